package engine_test

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/engine"
)

func TestLeaseIsHeldByOneUntilItsTermIsOver(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := newMoved()
		e := openEngine(t, clock.on(engine.Config{Database: database, AutoMigrate: true}))
		const term = 10 * time.Second
		for _, step := range []struct {
			after  time.Duration
			holder string
			want   bool
		}{
			{0, "one", true},
			{0, "another", false},
			{6 * time.Second, "one", true},
			{6 * time.Second, "another", false}, // renewed meanwhile
			{5 * time.Second, "another", true},
			{0, "one", false},
		} {
			clock.Advance(step.after)
			got, err := e.HoldLease(t.Context(), "a lease of the test", step.holder, term)
			if err != nil || got != step.want {
				t.Errorf("%s, after %s: held %t, %v, want %t", step.holder, step.after, got, err, step.want)
			}
		}
	})
}

func TestOneServerKeepsHouse(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		config := engine.Config{Database: database, AutoMigrate: true}
		first, err := engine.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		awaitHouse(t, first)
		second := openEngine(t, config)
		// Whoever has looked once at the lease that the first holds does not have it.
		if held, err := second.HoldHouse(t.Context()); err != nil || held {
			t.Errorf("the second has the lease: %t, %v, want that it has not", held, err)
		}
		if first, second := first.Stats().KeepsHouse, second.Stats().KeepsHouse; !first || second {
			t.Errorf("the first keeps house: %t, the second: %t, want the first alone", first, second)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		awaitHouse(t, second)
	})
}

// awaitHouse waits until an engine keeps house.
func awaitHouse(t *testing.T, e *engine.Engine) {
	t.Helper()
	eventually(t, "the engine to keep house", func() bool { return e.Stats().KeepsHouse })
}
