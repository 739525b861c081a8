package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/store"
)

// signingKey is a key for a use that no other case has.
func (f fixture) signingKey(number int64) store.SigningKey {
	return store.SigningKey{
		Use: f.tenant, Number: number, ID: fmt.Sprint("kid ", number), Algorithm: "HS256", Material: "bWF0ZXJpYWw=",
		CreatedAt: now, SignsFrom: now.Add(time.Duration(number) * time.Microsecond),
	}
}

func testSigningKeys(t *testing.T, f fixture) {
	ctx := t.Context()
	keys := func() []store.SigningKey { return get(f.SigningKeys(ctx, f.tenant))(t) }
	equal(t, "keys at first", len(keys()), 0)
	for _, number := range []int64{2, 10, 1} {
		equal(t, "create", get(f.CreateSigningKey(ctx, f.signingKey(number)))(t), true)
	}
	other := f.signingKey(2)
	other.ID, other.Material = "another", "YW5vdGhlcg=="
	equal(t, "create the same number", get(f.CreateSigningKey(ctx, other))(t), false)
	other.Use += " of another kind"
	equal(t, "create it for another use", get(f.CreateSigningKey(ctx, other))(t), true)
	equalList(t, "keys", keys(), []store.SigningKey{f.signingKey(1), f.signingKey(2), f.signingKey(10)})

	must(t, f.DeleteSigningKeys(ctx, f.tenant, 2))
	must(t, f.DeleteSigningKeys(ctx, f.tenant, 2))
	equalList(t, "keys that are left", keys(), []store.SigningKey{f.signingKey(10)})
	equalList(t, "keys for the other use", get(f.SigningKeys(ctx, other.Use))(t), []store.SigningKey{other})
}

// testParallelSigningKeys makes keys of one number at once: one is kept.
func testParallelSigningKeys(t *testing.T, f fixture) {
	ctx := t.Context()
	var won atomic.Int64
	var winner atomic.Value
	together(8, func(i int) {
		key := f.signingKey(1)
		key.ID = fmt.Sprint("kid of ", i)
		created, err := f.CreateSigningKey(ctx, key)
		if err != nil {
			t.Errorf("create: %v", err)
		}
		if created {
			won.Add(1)
			winner.Store(key)
		}
	})
	equal(t, "created", won.Load(), 1)
	equalList(t, "keys", get(f.SigningKeys(ctx, f.tenant))(t), []store.SigningKey{winner.Load().(store.SigningKey)})
}
