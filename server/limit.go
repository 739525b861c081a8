package server

import (
	"context"
	"sync"
	"time"
)

// limited is the context of a request: it leads to the exchange, and ends after a
// limit, where there is one. Most requests are answered from memory and wait for
// nothing, so the timer is started by the first who asks when the context is done.
type limited struct {
	context.Context
	exchange *exchange

	mu sync.Mutex
	// end is zero where there is no limit.
	end time.Time
	// timed is nil until it is asked for.
	timed context.Context
	stop  context.CancelFunc
}

// limit ends the context after a time from now, whatever was set before; 0 means
// never, and lets go of the timer.
func (l *limited) limit(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		l.stop()
	}
	l.timed, l.stop, l.end = nil, nil, time.Time{}
	if after > 0 {
		l.end = time.Now().Add(after)
	}
}

// Deadline implements context.Context.
func (l *limited) Deadline() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, ends := l.Context.Deadline()
	if l.end.IsZero() || ends && end.Before(l.end) {
		return end, ends
	}
	return l.end, true
}

// Done implements context.Context.
func (l *limited) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end.IsZero() {
		return l.Context.Done()
	}
	if l.timed == nil {
		l.timed, l.stop = context.WithDeadline(l.Context, l.end)
	}
	return l.timed.Done()
}

// Err implements context.Context.
func (l *limited) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed != nil {
		return l.timed.Err()
	}
	if err := l.Context.Err(); err != nil {
		return err
	}
	if !l.end.IsZero() && !time.Now().Before(l.end) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. Asking the timed context lets package context
// find it, and derive from it without a goroutine.
func (l *limited) Value(key any) any {
	if key == (exchangeKey{}) {
		return l.exchange
	}
	l.mu.Lock()
	timed := l.timed
	l.mu.Unlock()
	if timed != nil {
		return timed.Value(key)
	}
	return l.Context.Value(key)
}
