package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// How often and how fast work is run again after store.ErrRetry, and how often at most
// after errLost.
const (
	maxTries   = 10
	maxLost    = 4
	firstPause = 5 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

var (
	errNoChange   = errors.New("the update changed something and appended no change to the feed")
	errEventAlone = errors.New("the update appended an audit event and no change, so the event would be lost")
)

// Update implements store.Store. After a COMMIT whose answer was lost it does not
// run fn again: that error is fault.CodeUnavailable and says that the outcome is
// unknown.
func (s *Store) Update(ctx context.Context, tenant string, fn func(store.Tx) error) (revision int64, err error) {
	err = retry(ctx, func() error {
		var err error
		revision, err = s.updateOnce(ctx, tenant, fn)
		return err
	})
	return revision, err
}

func (s *Store) updateOnce(ctx context.Context, tenant string, fn func(store.Tx) error) (int64, error) {
	tx, err := s.db.begin(ctx)
	if err != nil {
		return 0, classify(ctx, err, "begin an update")
	}
	// This also ends the transaction when fn panics.
	defer tx.rollback(ctx)

	raised, err := tx.RaiseRevision(ctx, postgres.RaiseRevisionParams{Tenant: tenant, CreatedAt: nowMicros()})
	if err != nil {
		return 0, classify(ctx, err, "raise the revision")
	}
	revision := raised.Revision
	if tx, err = s.vault.inState(ctx, tx, tenant, sealingOf(raised.SealedWith, raised.SealedAlso)); err != nil {
		return 0, err
	}
	if revision == 1 {
		for _, role := range []string{authz.Owner, authz.Everyone} {
			if _, err := tx.CreateRole(ctx, postgres.CreateRoleParams{Tenant: tenant, Name: role}); err != nil {
				return 0, classify(ctx, err, "create the built-in roles")
			}
		}
	}

	w := &writer{reader: reader{queries: tx, tenant: tenant}, revision: revision, ids: &s.events}
	if err := fn(w); err != nil {
		return 0, err
	}
	switch {
	case w.failed != nil:
		return 0, w.failed
	case len(w.changes) > 0:
	case w.changed:
		return 0, errNoChange
	case len(w.events) > 0:
		return 0, errEventAlone
	default:
		return revision - 1, nil
	}

	if err := w.appendLog(ctx, tx); err != nil {
		return 0, err
	}
	err = tx.commit(ctx)
	s.db.announce() // perhaps for nothing: the commit's answer may have been lost
	if err != nil {
		return 0, err
	}
	s.counts.committed(w)
	return revision, nil
}

// appendLog inserts what fn appended.
func (w *writer) appendLog(ctx context.Context, tx transaction) error {
	err := tx.pipeline(ctx, func(insert postgres.Querier) error {
		for _, change := range w.changes {
			if err := insert.CreateChange(ctx, change); err != nil {
				return err
			}
		}
		for _, event := range w.events {
			if err := insert.CreateAuditEvent(ctx, event); err != nil {
				return err
			}
		}
		return nil
	})
	return classify(ctx, err, "append to the change feed and the audit log")
}

// retry runs work until it returns something else than store.ErrRetry or errLost, the
// tries are used up or ctx ends.
func retry(ctx context.Context, work func() error) error {
	for try := 1; ; try++ {
		err := work()
		switch {
		case errors.Is(err, store.ErrRetry):
			if try >= maxTries {
				return fault.Unavailable(err, "the database is busy")
			}
		case !errors.Is(err, errLost) || try >= maxLost:
			return err
		}
		if ended := pause(ctx, try); ended != nil {
			return fmt.Errorf("wait for a busy database: %w (%w)", ended, err)
		}
	}
}

// pause waits a random while, which grows with the number of tries, or returns
// ctx's error.
func pause(ctx context.Context, try int) error {
	return pauseAtMost(ctx, min(firstPause<<try, maxPause))
}

// pauseAtMost waits a random part of a time, or returns ctx's error.
func pauseAtMost(ctx context.Context, longest time.Duration) error {
	return wait(ctx, 1+rand.N(longest))
}
