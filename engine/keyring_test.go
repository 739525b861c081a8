package engine

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/internal/store"
)

// countedKeys is a database without signing keys that counts how often it is asked
// for them.
type countedKeys struct {
	store.Sessions
	asked int
	err   error
}

func (c *countedKeys) SigningKeys(context.Context, string) ([]store.SigningKey, error) {
	c.asked++
	// Whoever else asks meanwhile has to wait.
	time.Sleep(time.Millisecond)
	return nil, c.err
}

func TestUnknownKidsHaveTheKeysReadOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &countedKeys{}
		k, err := newKeyring(UseSession, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		k.db = db
		if _, err := k.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		crowd := func(want int, what string) {
			t.Helper()
			db.asked = 0
			seen := k.current.Load()
			var running sync.WaitGroup
			for range 50 {
				running.Go(func() {
					if _, err := k.readFor(t.Context(), seen); err != nil && !errors.Is(err, db.err) {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
			running.Wait()
			if db.asked != want {
				t.Errorf("%s: got %d readings, want %d", what, db.asked, want)
			}
		}
		crowd(1, "at first")
		crowd(0, "again at once")
		time.Sleep(keyGap)
		crowd(1, "a second later")
		time.Sleep(keyGap)
		db.err = errors.New("the database is away")
		crowd(1, "while the database is away")
		crowd(0, "again at once")

		// Nobody waits for longer than they have time.
		k.reading <- struct{}{}
		late, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := k.readFor(late, k.current.Load()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another reads: got error %v, want that the time has passed", err)
		}
	})
}
