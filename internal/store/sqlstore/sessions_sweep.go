package sqlstore

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
)

// This file ends sessions that have expired, and deletes those that nobody will ask
// for any more. A rotation does not move the time at which a session is looked at here,
// so one that is due may have been used since: it is put off to its expiry. Each
// session comes up that way once in an idle time at most.

// ExpireSessions implements store.Sessions.
func (s *Store) ExpireSessions(ctx context.Context, before time.Time, limit int, made func(session.Row) audit.Event) (int, error) {
	total := 0
	for total < limit {
		batch := limit - total
		due, expired, err := s.expireOnce(ctx, before, batch, made)
		total += expired
		if err != nil || due < batch {
			return total, err
		}
	}
	return total, nil
}

// expireOnce handles up to limit sessions that are due.
func (s *Store) expireOnce(ctx context.Context, before time.Time, limit int, made func(session.Row) audit.Event) (due, expired int, err error) {
	const doing = "expire sessions"
	var events []postgres.CreateAuditEventParams
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		rows, err := tx.DueSessions(ctx, postgres.DueSessionsParams{Before: micros(before), MaxRows: maxRows(limit)})
		due, expired = len(rows), 0
		if err != nil || due == 0 {
			return false, classify(ctx, err, doing)
		}
		held := map[string]transaction{}
		events = make([]postgres.CreateAuditEventParams, 0, len(rows))
		for i := range rows {
			row := &rows[i]
			if row.IdleExpiresAt >= micros(before) {
				continue
			}
			expired++
			row.EndedAt, row.EndReason = max(row.IdleExpiresAt, 1), string(authz.EndExpired)
			if made == nil {
				continue
			}
			event, err := s.expiry(ctx, tx, held, *row, made)
			if err != nil {
				return false, err
			}
			events = append(events, event)
		}
		err = tx.pipeline(ctx, func(q postgres.Querier) error { return settle(ctx, q, rows, events) })
		return true, classify(ctx, err, doing)
	})
	if err != nil {
		return 0, 0, err
	}
	s.counts.ended.Add(string(authz.EndExpired), uint64(expired))
	s.counts.events.Add(uint64(len(events)))
	return due, expired, nil
}

// expiry makes the event of a session that has expired, as it is written. held are the
// tenants that tx holds already.
func (s *Store) expiry(ctx context.Context, tx transaction, held map[string]transaction, row postgres.Session, made func(session.Row) audit.Event) (postgres.CreateAuditEventParams, error) {
	var none postgres.CreateAuditEventParams
	if held[row.Tenant] == nil {
		tenant, err := s.vault.hold(ctx, tx, row.Tenant)
		if err != nil {
			return none, err
		}
		held[row.Tenant] = tenant
	}
	q, isSealed := held[row.Tenant].(sealedTx)
	ended, err := endedSession(q, isSealed, row)
	if err != nil {
		// It will never open. It ends with what is known, and keeps no other from its end.
		ended = session.Row{ID: row.ID, EndedAt: endOf(row.EndedAt), EndReason: authz.SessionEnd(row.EndReason)}
	}
	event, err := s.events.row(row.Tenant, 0, made(ended))
	if err != nil || !isSealed {
		return event, err
	}
	return q.sealedEvent(event)
}

// endedSession opens a session where its tenant is sealed.
func endedSession(q sealedTx, isSealed bool, row postgres.Session) (session.Row, error) {
	if isSealed {
		var err error
		if row, err = q.openSession(row); err != nil {
			return session.Row{}, err
		}
	}
	return sessionOf(row)
}

// settle writes what became of sessions that were due.
func settle(ctx context.Context, q postgres.Querier, rows []postgres.Session, events []postgres.CreateAuditEventParams) error {
	for _, row := range rows {
		var err error
		if row.EndedAt == noEnd {
			err = q.PostponeSweep(ctx, postgres.PostponeSweepParams{Tenant: row.Tenant, ID: row.ID})
		} else {
			_, err = q.EndSession(ctx, postgres.EndSessionParams{
				Tenant: row.Tenant, ID: row.ID, EndedAt: row.EndedAt, EndReason: row.EndReason,
			})
		}
		if err != nil {
			return err
		}
	}
	for _, event := range events {
		if err := q.CreateAuditEvent(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

// DeleteSessions implements store.Sessions.
func (s *Store) DeleteSessions(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	const doing = "delete old sessions"
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		rows, err := tx.StaleSessions(ctx, postgres.StaleSessionsParams{Before: micros(before), MaxRows: maxRows(limit)})
		deleted = len(rows)
		if err != nil || deleted == 0 {
			return false, classify(ctx, err, doing)
		}
		err = tx.pipeline(ctx, func(q postgres.Querier) error {
			for _, row := range rows {
				if err := q.DeleteSession(ctx, postgres.DeleteSessionParams(row)); err != nil {
					return err
				}
			}
			return nil
		})
		return true, classify(ctx, err, doing)
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}
