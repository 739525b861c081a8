package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var ours, theirs = lineKey{tenant: "ours"}, lineKey{tenant: "theirs"}

// waitIn has a request of a line wait for a place, and returns where its outcome comes.
func waitIn(ctx context.Context, p *places, key lineKey) <-chan error {
	outcome := make(chan error, 1)
	go func() { outcome <- p.enter(ctx, key) }()
	synctest.Wait()
	return outcome
}

// wantShed checks that a request was refused.
func wantShed(t *testing.T, outcome <-chan error, reason string) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-outcome:
		if why, ok := errors.AsType[*shed](err); !ok || why.reason != reason {
			t.Errorf("got %v, want a refusal: %s", err, reason)
		}
	default:
		t.Errorf("it still waits, want a refusal: %s", reason)
	}
}

// wantEmpty checks that nothing is kept of requests that are gone.
func wantEmpty(t *testing.T, p *places) {
	t.Helper()
	if p.atWork != 0 || p.waiting != 0 || len(p.lines) != 0 || len(p.turns) != 0 {
		t.Errorf("got %d at work, %d waiting, lines %v, turns %v, want none", p.atWork, p.waiting, p.lines, p.turns)
	}
}

// always are so many places.
func always(n int) func() int { return func() int { return n } }

func TestPlacesFollowWhatGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		most := 2
		p := newPlaces(func() int { return most }, 10, time.Minute)
		for range 2 {
			if err := p.enter(t.Context(), ours); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			go func() {
				if err := p.enter(t.Context(), ours); err != nil {
					t.Error(err)
				}
			}()
		}
		want := func(atWork, waiting int) {
			t.Helper()
			synctest.Wait()
			if p.atWork != atWork || p.waiting != waiting {
				t.Errorf("got %d at work and %d waiting, want %d and %d", p.atWork, p.waiting, atWork, waiting)
			}
		}
		want(2, 3)
		most = 1
		p.leave(ours)
		want(1, 3)
		most = 2
		p.leave(ours)
		want(2, 1)
		most = 3
		time.Sleep(seatEvery) // of the bubble
		want(3, 0)
		for range 3 {
			p.leave(ours)
		}
		wantEmpty(t, p)
	})
}

func TestPlacesGoToTheTenantsInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(always(1), 10, time.Minute)
		if err := p.enter(t.Context(), ours); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		wait := func(key lineKey) {
			go func() {
				if err := p.enter(t.Context(), key); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, key.tenant)
				mu.Unlock()
				p.leave(key)
			}()
			synctest.Wait()
		}
		for _, key := range []lineKey{ours, ours, ours, theirs, {tenant: "third"}} {
			wait(key)
		}
		p.leave(ours)
		synctest.Wait()
		if want := []string{"ours", "theirs", "third", "ours", "ours"}; !slices.Equal(order, want) {
			t.Errorf("got the order %v, want %v", order, want)
		}
		wantEmpty(t, p)
	})
}

func TestFullLineMakesRoomForAnotherTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(always(1), 3, time.Minute)
		if err := p.enter(t.Context(), ours); err != nil {
			t.Fatal(err)
		}
		first, second, third := waitIn(t.Context(), p, ours), waitIn(t.Context(), p, ours), waitIn(t.Context(), p, ours)
		if !p.crowded(ours) || p.crowded(theirs) {
			t.Errorf("crowded: got %t for the tenant that waits and %t for another", p.crowded(ours), p.crowded(theirs))
		}
		wantShed(t, waitIn(t.Context(), p, ours), shedFull)
		other := waitIn(t.Context(), p, theirs)
		wantShed(t, third, shedFull)
		// As many as the other has now would be more than a fair share.
		another := waitIn(t.Context(), p, theirs)
		wantShed(t, another, shedFull)
		for _, turn := range []struct {
			outcome <-chan error
			before  lineKey
			key     lineKey
		}{{first, ours, ours}, {other, ours, theirs}, {second, theirs, ours}} {
			p.leave(turn.before)
			synctest.Wait()
			if err := <-turn.outcome; err != nil {
				t.Errorf("got %v, want a place", err)
			}
		}
		p.leave(ours)
		wantEmpty(t, p)
	})
}

func TestChangesOfOnePolicyWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(always(6), 10, time.Minute)
		policy := lineKey{tenant: "ours", policy: true}
		for range maxPolicyChanges {
			if err := p.enter(t.Context(), policy); err != nil {
				t.Fatal(err)
			}
		}
		third := waitIn(t.Context(), p, policy)
		for _, key := range []lineKey{ours, {tenant: "theirs", policy: true}} {
			if err := p.enter(t.Context(), key); err != nil {
				t.Errorf("%+v: got %v, want a place", key, err)
			}
		}
		select {
		case err := <-third:
			t.Errorf("got %v, want it to wait for the others of its tenant", err)
		default:
		}
		p.leave(policy)
		if err := <-third; err != nil {
			t.Errorf("got %v, want a place", err)
		}
	})
}

func TestWhoeverWaitsTooLongIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(always(1), 10, time.Second)
		if err := p.enter(t.Context(), ours); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		tired, canceled := waitIn(t.Context(), p, ours), waitIn(gone, p, theirs)
		cancel()
		if err := <-canceled; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v for a caller that has gone", err)
		}
		time.Sleep(2 * time.Second) // of the bubble
		wantShed(t, tired, shedWaited)
		p.leave(ours)
		wantEmpty(t, p)
	})
}
