package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

// UpdateSessions implements store.Sessions. What it says of a COMMIT whose answer was
// lost is what Update says.
func (s *Store) UpdateSessions(ctx context.Context, tenant string, fn func(store.SessionTx) error) error {
	return s.updateUnrevised(ctx, tenant, "begin a change of sessions", func(w *sessionWriter) error { return fn(w) })
}

// updateUnrevised runs fn in a transaction that has no revision.
func (s *Store) updateUnrevised(ctx context.Context, tenant, begin string, fn func(*sessionWriter) error) error {
	var w *sessionWriter
	err := s.inTransaction(ctx, begin, func(tx transaction) (bool, error) {
		tx, err := s.vault.hold(ctx, tx, tenant)
		if err != nil {
			return false, err
		}
		w = &sessionWriter{writer: writer{reader: reader{queries: tx, tenant: tenant}, ids: &s.events}}
		if err := fn(w); err != nil {
			return false, err
		}
		if w.failed != nil || !w.changed || len(w.events) == 0 {
			return w.changed, w.failed
		}
		return true, w.appendLog(ctx, tx)
	})
	if err == nil && w.changed {
		s.counts.committed(&w.writer)
	}
	return err
}

// inTransaction runs fn in a write transaction, again after a conflict, and commits
// where fn says that there is something to.
func (s *Store) inTransaction(ctx context.Context, begin string, fn func(transaction) (changed bool, err error)) error {
	return retry(ctx, func() error {
		tx, err := s.db.begin(ctx)
		if err != nil {
			return classify(ctx, err, begin)
		}
		// This also ends the transaction when fn panics.
		defer tx.rollback(ctx)
		changed, err := fn(tx)
		if err != nil || !changed {
			return err
		}
		return tx.commit(ctx)
	})
}

// sessionWriter implements store.SessionTx and store.TokenTx. It has the writer's way with failures and
// events, and no revision.
type sessionWriter struct {
	writer
	// locked are the users whose rows this transaction has locked.
	locked []string
}

var _ store.SessionTx = (*sessionWriter)(nil)

// Changed implements store.SessionTx.
func (w *sessionWriter) Changed() bool { return w.changed }

// Session implements store.SessionTx.
func (w *sessionWriter) Session(ctx context.Context, id string) (store.SessionRecord, bool, error) {
	return sessionRecord(ctx, w.queries, w.tenant, id)
}

// LockUser implements store.SessionTx.
func (w *sessionWriter) LockUser(ctx context.Context, user string) (session.User, error) {
	const doing = "lock a user's sessions"
	epoch, err := w.queries.LockSessionUser(ctx, postgres.LockSessionUserParams{Tenant: w.tenant, Name: user})
	if err != nil {
		return session.User{}, w.fail(classify(ctx, err, doing))
	}
	w.locked = append(w.locked, user)
	// Only a statement that begins under the lock sees what its last holder committed.
	row, err := w.queries.User(ctx, postgres.UserParams{Tenant: w.tenant, Name: user})
	switch {
	case isNoRows(err):
		return session.User{Epoch: epoch}, nil
	case err != nil:
		return session.User{}, w.fail(classify(ctx, err, doing))
	}
	return session.User{Inactive: row.Active == 0, Epoch: epoch}, nil
}

// CreateSession implements store.SessionTx.
func (w *sessionWriter) CreateSession(ctx context.Context, row session.Row) error {
	if err := w.needLock(row.User); err != nil {
		return err
	}
	recent, err := recentText(row.Recent)
	if err != nil {
		return w.fail(err)
	}
	err = w.queries.CreateSession(ctx, postgres.CreateSessionParams{
		Tenant:        w.tenant,
		ID:            row.ID,
		Subject:       row.User,
		Epoch:         row.Epoch,
		Generation:    row.Generation,
		Recent:        recent,
		Confirmed:     row.Confirmed,
		Recovered:     row.Recovered,
		Replays:       row.Replays,
		CreatedAt:     micros(row.CreatedAt),
		RotatedAt:     micros(row.RotatedAt),
		IdleExpiresAt: micros(row.IdleExpiresAt),
		ExpiresAt:     micros(row.ExpiresAt),
		Ip:            storable(row.IP),
		UserAgent:     storable(row.UserAgent),
		Binding:       string(row.Binding),
		EndedAt:       endMicros(row.EndedAt),
		SweepAt:       micros(row.IdleExpiresAt),
		EndReason:     string(row.EndReason),
	})
	_, err = w.wrote(ctx, 1, err, "create a session")
	return err
}

// EndOldest implements store.SessionTx.
func (w *sessionWriter) EndOldest(ctx context.Context, user string, keep int, at time.Time, reason authz.SessionEnd) ([]session.Row, error) {
	if err := w.needLock(user); err != nil {
		return nil, err
	}
	rows, err := w.queries.EndOldestSessions(ctx, postgres.EndOldestSessionsParams{
		Tenant:    w.tenant,
		Subject:   user,
		At:        micros(at),
		Keep:      maxRows(keep),
		EndedAt:   endedMicros(at),
		EndReason: string(reason),
	})
	w.end(reason, len(rows))
	return w.ended(ctx, rows, err)
}

// RotateSession implements store.SessionTx.
func (w *sessionWriter) RotateSession(ctx context.Context, from int64, row session.Row) (bool, error) {
	params, err := rotation(w.tenant, from, row)
	if err != nil {
		return false, w.fail(err)
	}
	rows, err := w.queries.RotateSession(ctx, params)
	return w.wrote(ctx, rows, err, "rotate a session")
}

// RecoverSession implements store.SessionTx.
func (w *sessionWriter) RecoverSession(ctx context.Context, row session.Row) (bool, error) {
	recent, err := recentText(row.Recent)
	if err != nil {
		return false, w.fail(err)
	}
	rows, err := w.queries.RecoverSession(ctx, postgres.RecoverSessionParams{
		Tenant:     w.tenant,
		ID:         row.ID,
		Generation: row.Generation,
		Recovered:  row.Recovered,
		Recent:     recent,
	})
	return w.wrote(ctx, rows, err, "recover a session")
}

// MoveSession implements store.SessionTx.
func (w *sessionWriter) MoveSession(ctx context.Context, row session.Row) (bool, error) {
	rows, err := w.queries.MoveSession(ctx, postgres.MoveSessionParams{
		Tenant:     w.tenant,
		ID:         row.ID,
		Generation: row.Generation,
		Ip:         storable(row.IP),
		UserAgent:  storable(row.UserAgent),
	})
	return w.wrote(ctx, rows, err, "move a session")
}

// EndSession implements store.SessionTx.
func (w *sessionWriter) EndSession(ctx context.Context, id string, at time.Time, reason authz.SessionEnd) (bool, error) {
	rows, err := w.queries.EndSession(ctx, postgres.EndSessionParams{
		Tenant:    w.tenant,
		ID:        id,
		EndedAt:   endedMicros(at),
		EndReason: string(reason),
	})
	w.end(reason, int(rows))
	return w.wrote(ctx, rows, err, "end a session")
}

// EndSessions implements store.SessionTx.
func (w *sessionWriter) EndSessions(ctx context.Context, user, except string, at time.Time, reason authz.SessionEnd) ([]session.Row, error) {
	// It waits for a session that is just being created, and for others that end these, so
	// that no two wait for each other's rows.
	if !slices.Contains(w.locked, user) {
		if _, err := w.LockUser(ctx, user); err != nil {
			return nil, err
		}
	}
	rows, err := w.endSessions(ctx, user, except, at, reason)
	return w.ended(ctx, rows, err)
}

// EndUserSessions implements store.Tx. Raising the epoch is no change by itself: where
// no session was live, there is none for it to end.
func (w *writer) EndUserSessions(ctx context.Context, user string, at time.Time, reason authz.SessionEnd) ([]session.Row, error) {
	const doing = "end a user's sessions"
	// It also locks the user, so that the next statement sees every session.
	if err := w.queries.RaiseSessionEpoch(ctx, postgres.RaiseSessionEpochParams{Tenant: w.tenant, Name: user}); err != nil {
		return nil, w.fail(classify(ctx, err, doing))
	}
	rows, err := w.endSessions(ctx, user, "", at, reason)
	if _, err = w.wrote(ctx, int64(len(rows)), err, doing); err != nil {
		return nil, err
	}
	return sessionsOf(rows)
}

func (w *writer) endSessions(ctx context.Context, user, except string, at time.Time, reason authz.SessionEnd) ([]postgres.Session, error) {
	rows, err := w.queries.EndSessionsOfUser(ctx, postgres.EndSessionsOfUserParams{
		Tenant:    w.tenant,
		Subject:   user,
		ExceptID:  except,
		EndedAt:   endedMicros(at),
		EndReason: string(reason),
	})
	w.end(reason, len(rows))
	return rows, err
}

// needLock keeps a caller that has not asked what a user is from deciding on it.
func (w *sessionWriter) needLock(user string) error {
	if slices.Contains(w.locked, user) {
		return nil
	}
	return w.fail(fmt.Errorf("user %q is not locked", user))
}

// ended takes what a statement returned of the sessions that it ended, oldest first.
func (w *sessionWriter) ended(ctx context.Context, rows []postgres.Session, err error) ([]session.Row, error) {
	if _, err := w.wrote(ctx, int64(len(rows)), err, "end sessions"); err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b postgres.Session) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	list, err := sessionsOf(rows)
	if err != nil {
		return nil, w.fail(err)
	}
	return list, nil
}
