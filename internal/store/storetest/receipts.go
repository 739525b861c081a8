package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// receiptLife is how long the cases keep a receipt.
const receiptLife = time.Hour

func newReceipt(id, sealed string) store.Receipt {
	return store.Receipt{ID: id, Sealed: sealed, KeptAt: now, ExpiresAt: now.Add(receiptLife)}
}

// receipt reads what is sealed in a receipt; empty where there is none.
func (f fixture) receipt(t *testing.T, id string, at time.Time) (sealed string) {
	t.Helper()
	f.update(t, func(tx store.SessionTx) {
		sealed, _ = there(tx.Receipt(t.Context(), id, at))(t)
	})
	return sealed
}

func testReceipts(t *testing.T, f fixture) {
	ctx := t.Context()
	equal(t, "before", f.receipt(t, "a", now), "")
	equal(t, "the first is kept", get(f.KeepReceipt(ctx, f.tenant, newReceipt("a", "first")))(t), true)
	equal(t, "a second is kept", get(f.KeepReceipt(ctx, f.tenant, newReceipt("a", "second")))(t), false)
	equal(t, "until it expires", f.receipt(t, "a", now.Add(receiptLife-time.Microsecond)), "first")
	equal(t, "expired", f.receipt(t, "a", now.Add(receiptLife)), "")
	later := newReceipt("a", "third")
	later.KeptAt, later.ExpiresAt = now.Add(receiptLife), now.Add(2*receiptLife)
	equal(t, "one in the place of an expired one is kept", get(f.KeepReceipt(ctx, f.tenant, later))(t), true)
	equal(t, "in the place of the expired one", f.receipt(t, "a", later.KeptAt), "third")
	equal(t, "tenants made by it", len(get(f.Revisions(ctx, []string{f.tenant}))(t)), 0)

	other := f
	other.tenant += " other"
	equal(t, "another tenant's", other.receipt(t, "a", later.KeptAt), "")
	equal(t, "another tenant's is kept", get(f.KeepReceipt(ctx, other.tenant, newReceipt("a", "other")))(t), true)
	equal(t, "beside another tenant's", f.receipt(t, "a", later.KeptAt), "third")
}

// testReceiptRollback fails between a change and the end of its transaction: neither the
// receipt nor the change is there without the other.
func testReceiptRollback(t *testing.T, f fixture) {
	ctx, failure := t.Context(), errors.New("between")
	change := func(name string, fail error) error {
		_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
			if err := createRole(ctx, tx, name); err != nil {
				return err
			}
			equal(t, "kept", get(tx.KeepReceipt(ctx, newReceipt(name, "sealed")))(t), true)
			return fail
		})
		return err
	}
	must(t, change("done", nil))
	if err := change("failed", failure); !errors.Is(err, failure) {
		t.Fatalf("got error %v, want %v", err, failure)
	}
	for name, want := range map[string]string{"done": "sealed", "failed": ""} {
		equal(t, "the receipt of "+name, f.receipt(t, name, now), want)
		_, found := there(f.reader().Role(ctx, name))(t)
		equal(t, "the role "+name, found, want != "")
	}
}

// testReceiptAlone keeps a receipt in transactions that change nothing, which keep none.
func testReceiptAlone(t *testing.T, f fixture) {
	ctx := t.Context()
	revision := get(f.Update(ctx, f.tenant, func(tx store.Tx) error {
		_, err := tx.KeepReceipt(ctx, newReceipt("policy", "sealed"))
		return err
	}))(t)
	equal(t, "revision", revision, 0)
	equal(t, "with no policy", f.receipt(t, "policy", now), "")

	f.signIn(t, newSession("s", "alice"))
	f.update(t, func(tx store.SessionTx) {
		get(tx.KeepReceipt(ctx, newReceipt("sessions", "sealed")))(t)
		equal(t, "changed by a receipt", tx.Changed(), false)
	})
	equal(t, "with no session", f.receipt(t, "sessions", now), "")
	f.update(t, func(tx store.SessionTx) {
		record, _ := there(tx.Session(ctx, "s"))(t)
		equal(t, "the session's user", record.User, "alice")
		get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t)
		equal(t, "changed by an end", tx.Changed(), true)
		get(tx.KeepReceipt(ctx, newReceipt("sessions", "sealed")))(t)
	})
	equal(t, "with a session", f.receipt(t, "sessions", now), "sealed")
}

var errTaken = errors.New("another was faster")

// testParallelReceipts has transactions keep one receipt at once: one does, and the
// others know it.
func testParallelReceipts(t *testing.T, f fixture) {
	ctx := t.Context()
	var kept atomic.Int64
	together(8, func(i int) {
		user := fmt.Sprint("user", i)
		err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
			if _, err := tx.LockUser(ctx, user); err != nil {
				return err
			}
			if err := tx.CreateSession(ctx, newSession(user, user)); err != nil {
				return err
			}
			first, err := tx.KeepReceipt(ctx, newReceipt("a", user))
			if err == nil && !first {
				return errTaken
			}
			return err
		})
		if err == nil {
			kept.Add(1)
		} else if !errors.Is(err, errTaken) {
			t.Error(err)
		}
	})
	equal(t, "kept", kept.Load(), 1)
	sessions := get(f.SessionList(ctx, f.tenant, store.SessionQuery{At: now}, "", 10))(t)
	if len(sessions) != 1 || sessions[0].ID != f.receipt(t, "a", now) {
		t.Errorf("got sessions %+v, want that of the receipt", sessions)
	}
}

func testDeleteReceipts(t *testing.T, f fixture) {
	// It sees every tenant, so it has a store of its own.
	f.Store = f.open(t)
	ctx := t.Context()
	for i, id := range []string{"a", "b", "c"} {
		receipt := newReceipt(id, id)
		receipt.ExpiresAt = now.Add(time.Duration(i+1) * time.Minute)
		get(f.KeepReceipt(ctx, f.tenant, receipt))(t)
	}
	equal(t, "deleted at first", get(f.DeleteReceipts(ctx, now, 10))(t), 0)
	equal(t, "deleted of two", get(f.DeleteReceipts(ctx, now.Add(2*time.Minute), 1))(t), 1)
	equal(t, "deleted then", get(f.DeleteReceipts(ctx, now.Add(2*time.Minute), 10))(t), 1)
	equal(t, "what has not expired", f.receipt(t, "c", now), "c")
}
