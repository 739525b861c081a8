package engine

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
)

const (
	// sweepEvery is how long a session that has expired may go on to be listed as one
	// that has not ended.
	sweepEvery = time.Minute

	// houseLease is what a server holds for as long as it runs, so that one sweeps and the
	// others do not. They look at it every houseEvery.
	houseLease = "housekeeping"
	houseTerm  = 10 * time.Second
	houseEvery = 2 * time.Second

	// keptAfterExpiry is how long a session can be read after it expired.
	keptAfterExpiry = 24 * time.Hour

	// sweepBatch is how many sessions or decisions one transaction ends or deletes.
	sweepBatch = 500

	// workTimeout bounds one turn of what goes on in the background.
	workTimeout = 2 * time.Minute
)

// every does work again and again until ctx ends. What fails is tried again the next
// time, and complained about now and then.
func (e *Engine) every(ctx context.Context, interval time.Duration, what string, work func(context.Context) error) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var complained time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := bounded(ctx, work); err != nil && ctx.Err() == nil && time.Since(complained) >= complainEvery {
			complained = time.Now()
			e.log.WarnContext(ctx, "could not "+what+", and will try again", "error", err)
		}
	}
}

// bounded does work for workTimeout at most, so that it does not wait for ever for an
// answer that was lost. What is left is done the next time.
func bounded(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()
	return work(ctx)
}

// holdHouse holds the lease of housekeeping, as far as others do not, until ctx ends. A
// long sweep does not keep it from being renewed.
func (e *Engine) holdHouse(ctx context.Context) {
	e.every(ctx, houseEvery, "hold the lease of housekeeping", func(ctx context.Context) error {
		_, err := e.house.hold(ctx)
		return err
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	e.house.end(ctx)
}

// keepHouse sweeps where this process is the one to do so. One that takes over does so at
// once.
func (e *Engine) keepHouse(ctx context.Context) {
	swept := time.Now()
	e.every(ctx, houseEvery, "sweep", func(ctx context.Context) error {
		if !e.house.held.Load() || time.Since(swept) < sweepEvery {
			return nil
		}
		swept = time.Now()
		return errors.Join(e.sweep(ctx), e.sweepDecisions(ctx))
	})
}

// sweep ends the sessions of all tenants that have expired, and deletes what is of no
// more use, tokens and kept answers included. Any number of servers may do so at once.
func (e *Engine) sweep(ctx context.Context) error {
	now, err := e.sessionNow(ctx)
	if err != nil {
		return err
	}
	var expired func(session.Row) audit.Event
	if e.audit {
		expired = e.expiryEvent
	}
	err = inBatches(ctx, func() (int, error) { return e.store.ExpireSessions(ctx, now, sweepBatch, expired) })
	if err != nil {
		return err
	}
	err = inBatches(ctx, func() (int, error) { return e.store.DeleteSessions(ctx, now.Add(-keptAfterExpiry), sweepBatch) })
	if err != nil {
		return err
	}
	err = inBatches(ctx, func() (int, error) { return e.store.DeleteReceipts(ctx, now, sweepBatch) })
	if err != nil {
		return err
	}
	err = inBatches(ctx, func() (int, error) { return e.store.DeleteTokenFamilies(ctx, e.now(), sweepBatch) })
	if err != nil {
		return err
	}
	return e.deleteSigningKeys(ctx, now)
}

// expiryEvent tells of a session that has expired, whoever found out. Where nothing is
// known of its user, the row was damaged.
func (e *Engine) expiryEvent(row session.Row) audit.Event {
	details := map[string]any{"last_seen_at": row.RotatedAt.Format(time.RFC3339Nano)}
	if row.User == "" {
		details = map[string]any{"damaged": true}
		e.log.Error("a session that has expired was damaged in the database: it ended, and its audit event does not say whose it was")
	}
	event := sessionEvent(audit.SessionExpired, audit.Success, row, details)
	event.Time, event.Actor = e.now(), audit.System
	return event
}

// sweepDecisions deletes the decisions of all tenants that are older than they are to be
// kept.
func (e *Engine) sweepDecisions(ctx context.Context) error {
	if e.decisionRetention == 0 {
		return nil
	}
	before := e.now().Add(-e.decisionRetention)
	return inBatches(ctx, func() (int, error) { return e.store.DeleteDecisions(ctx, before, sweepBatch) })
}

// inBatches does work until a batch is not full.
func inBatches(ctx context.Context, work func() (int, error)) error {
	for {
		n, err := work()
		if err != nil || n < sweepBatch {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// deleteSigningKeys deletes the keys whose tokens have all expired.
func (e *Engine) deleteSigningKeys(ctx context.Context, now time.Time) error {
	for _, ring := range e.rings() {
		keys, err := ring.read(ctx)
		if err != nil {
			return err
		}
		upTo := outlivedKey(keys.stored, now.Add(-e.longestToken(ring.use)))
		if upTo == 0 {
			continue
		}
		if err := e.store.DeleteSigningKeys(ctx, ring.use, upTo); err != nil {
			return err
		}
		if _, err := ring.read(ctx); err != nil {
			return err
		}
	}
	return nil
}

// longestToken is how long a token of a use is good at most.
func (e *Engine) longestToken(use string) time.Duration {
	if use == UseAccess {
		return e.tokens.Access
	}
	return e.sessions.Absolute
}
