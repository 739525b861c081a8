package engine

import (
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/internal/store"
)

// lease is a part in what one server at a time does for all. It goes by the database's
// time, so that no server's clock matters. But for held, one goroutine has it.
type lease struct {
	store store.Leases
	name  string
	// holder names this process to the others.
	holder string
	// term is after how long without a word another server goes on.
	term time.Duration
	now  func(context.Context) (time.Time, error)

	// heldUntil is when the lease needs to be asked for again, by this process's clock;
	// zero before it was first held.
	heldUntil time.Time
	// held is whether this process had the lease when it last asked.
	held atomic.Bool
}

func (e *Engine) newLease(name string, term time.Duration) *lease {
	return &lease{store: e.store, name: name, holder: rand.Text(), term: term, now: e.sessionNow}
}

// hold keeps the lease, or takes it.
func (l *lease) hold(ctx context.Context) (bool, error) {
	if time.Now().Before(l.heldUntil) {
		return true, nil
	}
	held, err := l.take(ctx)
	l.held.Store(held)
	return held, err
}

func (l *lease) take(ctx context.Context) (bool, error) {
	asked := time.Now()
	now, err := l.now(ctx)
	if err != nil {
		return false, err
	}
	held, err := l.store.TakeLease(ctx, l.name, l.holder, now, l.term)
	if held {
		l.heldUntil = asked.Add(l.term / 2)
	}
	return held, err
}

// lapse notes that a lease is no longer held that was not asked for again in time.
func (l *lease) lapse() {
	if l.held.Load() && !time.Now().Before(l.heldUntil) {
		l.held.Store(false)
	}
}

// end lets go of a lease that was held, so that another server need not wait. Where that
// fails, it waits for the term.
func (l *lease) end(ctx context.Context) {
	l.held.Store(false)
	if !l.heldUntil.IsZero() {
		_ = l.store.EndLease(ctx, l.name, l.holder)
	}
}
