package engine

import (
	"context"
	"time"
)

// sessionNow is the time that sessions live by: the database's, where it has a clock
// that all servers share, else this process's.
func (e *Engine) sessionNow(ctx context.Context) (time.Time, error) {
	now, err := e.store.Now(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return e.sessionTimeAt(now), nil
}

// sessionTimeAt is sessionNow of a moment that the database has told; zero where it
// has no clock.
func (e *Engine) sessionTimeAt(told time.Time) time.Time {
	if told.IsZero() {
		told = e.now()
	}
	if e.sessionTime != nil {
		told = e.sessionTime(told)
	}
	return told
}
