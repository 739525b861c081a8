package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file reads sessions, and changes one by a single statement.

// Session implements store.Sessions.
func (s *Store) Session(ctx context.Context, tenant, id string) (record store.SessionRecord, found bool, err error) {
	err = s.read(ctx, tenant, func(q postgres.Querier) (err error) {
		record, found, err = sessionRecord(ctx, q, tenant, id)
		return err
	})
	return record, found, err
}

func sessionRecord(ctx context.Context, q postgres.Querier, tenant, id string) (store.SessionRecord, bool, error) {
	row, err := q.Session(ctx, postgres.SessionParams{Tenant: tenant, ID: id})
	if err != nil {
		return store.SessionRecord{}, false, unlessNoRows(ctx, err, "read a session")
	}
	record := store.SessionRecord{Owner: session.User{Inactive: row.UserActive == 0, Epoch: row.UserEpoch}, ReadAt: timeOf(row.ReadAt)}
	if record.Row, err = sessionOf(sessionRow(row)); err != nil {
		return store.SessionRecord{}, false, err
	}
	return record, true, nil
}

func sessionRow(row postgres.SessionRow) postgres.Session {
	return postgres.Session{
		Tenant:        row.Tenant,
		ID:            row.ID,
		Subject:       row.Subject,
		Epoch:         row.Epoch,
		Generation:    row.Generation,
		Recent:        row.Recent,
		Confirmed:     row.Confirmed,
		Recovered:     row.Recovered,
		Replays:       row.Replays,
		CreatedAt:     row.CreatedAt,
		RotatedAt:     row.RotatedAt,
		IdleExpiresAt: row.IdleExpiresAt,
		ExpiresAt:     row.ExpiresAt,
		Ip:            row.Ip,
		UserAgent:     row.UserAgent,
		Binding:       row.Binding,
		EndedAt:       row.EndedAt,
		SweepAt:       row.SweepAt,
		EndReason:     row.EndReason,
		Seal:          row.Seal,
	}
}

// Now implements store.Sessions.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	micros, err := s.db.queries().DatabaseTime(ctx)
	if err != nil {
		return time.Time{}, classify(ctx, err, "read the database's clock")
	}
	return timeOf(micros), nil
}

// SessionList implements store.Sessions.
func (s *Store) SessionList(ctx context.Context, tenant string, query store.SessionQuery, after string, limit int) (sessions []session.Row, err error) {
	err = s.read(ctx, tenant, func(q postgres.Querier) error {
		rows, err := sessionRows(ctx, q, tenant, query, after, limit)
		if err != nil {
			return classify(ctx, err, "list the sessions")
		}
		sessions, err = sessionsOf(rows)
		return err
	})
	return sessions, err
}

// sessionRows has a query for each form of the question that has an index.
func sessionRows(ctx context.Context, q postgres.Querier, tenant string, query store.SessionQuery, after string, limit int) ([]postgres.Session, error) {
	switch {
	case query.User == "":
		return q.Sessions(ctx, postgres.SessionsParams{
			Tenant:    tenant,
			After:     after,
			WithEnded: flag(query.WithEnded),
			At:        micros(query.At),
			MaxRows:   maxRows(limit),
		})
	case query.WithEnded:
		return q.SessionsOfUser(ctx, postgres.SessionsOfUserParams{
			Tenant:  tenant,
			Subject: query.User,
			After:   after,
			MaxRows: maxRows(limit),
		})
	default:
		return q.LiveSessionsOfUser(ctx, postgres.LiveSessionsOfUserParams{
			Tenant:  tenant,
			Subject: query.User,
			After:   after,
			At:      micros(query.At),
			MaxRows: maxRows(limit),
		})
	}
}

// RotateSession implements store.Sessions.
func (s *Store) RotateSession(ctx context.Context, tenant string, from int64, row session.Row) (bool, error) {
	const doing = "rotate a session"
	params, err := rotation(tenant, from, row)
	if err != nil {
		return false, err
	}
	if !s.vault.opens() {
		return s.swap(ctx, doing, func(q postgres.Querier) (int64, error) { return q.RotateSession(ctx, params) })
	}
	stored, unmoved, err := s.storedSession(ctx, params)
	switch {
	case err != nil:
		return false, unlessNoRows(ctx, err, doing)
	case unmoved:
		rotated, err := s.swap(ctx, doing, func(q postgres.Querier) (int64, error) { return q.RotateSessionInPlace(ctx, inPlace(params, stored)) })
		if rotated || err != nil {
			return rotated, err
		}
		// It may only have been sealed anew meanwhile.
	}
	var rotated bool
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		tx, err := s.vault.hold(ctx, tx, tenant)
		if err != nil {
			return false, err
		}
		rows, err := tx.RotateSession(ctx, params)
		rotated = rows > 0
		return rotated, classify(ctx, err, doing)
	})
	return rotated, err
}

// storedSession reads a session that is to be rotated, and reports whether it is sealed
// and stays where it was used from: nothing that is sealed changes then, whatever becomes
// of the key meanwhile.
func (s *Store) storedSession(ctx context.Context, rotation postgres.RotateSessionParams) (stored postgres.Session, unmoved bool, err error) {
	q := s.db.queries()
	row, err := q.Session(ctx, postgres.SessionParams{Tenant: rotation.Tenant, ID: rotation.ID})
	if err != nil || row.Seal == "" {
		return postgres.Session{}, false, err
	}
	stored = sessionRow(row)
	opener, err := s.vault.sealed(ctx, q, rotation.Tenant, sealing{with: seal.KeyID(stored.Seal)})
	if err != nil {
		return postgres.Session{}, false, err
	}
	opened, err := opener.openSession(stored)
	return stored, opened.Ip == rotation.Ip && opened.UserAgent == rotation.UserAgent, err
}

// CountReplay implements store.Sessions.
func (s *Store) CountReplay(ctx context.Context, tenant, id string, generation, limit int64) (bool, error) {
	return s.swap(ctx, "count a replay", func(q postgres.Querier) (int64, error) {
		return q.CountReplay(ctx, postgres.CountReplayParams{Tenant: tenant, ID: id, Generation: generation, MaxReplays: limit})
	})
}

// ConfirmSession implements store.Sessions.
func (s *Store) ConfirmSession(ctx context.Context, tenant, id string, generation int64) (bool, error) {
	return s.swap(ctx, "confirm a session", func(q postgres.Querier) (int64, error) {
		return q.ConfirmSession(ctx, postgres.ConfirmSessionParams{Tenant: tenant, ID: id, Generation: generation})
	})
}

// swap runs one statement by itself, and reports whether it found what it was to
// change. What it says where the statement's answer was lost is what Update says of a
// COMMIT.
func (s *Store) swap(ctx context.Context, doing string, statement func(postgres.Querier) (int64, error)) (found bool, err error) {
	err = retry(ctx, func() error {
		if err := s.vault.admit(ctx, s.db.queries()); err != nil {
			return err
		}
		rows, err := statement(s.db.statements())
		found = rows > 0
		return classifyAlone(ctx, err, doing)
	})
	return found, err
}

func rotation(tenant string, from int64, row session.Row) (postgres.RotateSessionParams, error) {
	recent, err := recentText(row.Recent)
	return postgres.RotateSessionParams{
		Tenant:         tenant,
		ID:             row.ID,
		FromGeneration: from,
		Generation:     row.Generation,
		Recent:         recent,
		Confirmed:      row.Confirmed,
		Recovered:      row.Recovered,
		Replays:        row.Replays,
		RotatedAt:      micros(row.RotatedAt),
		IdleExpiresAt:  micros(row.IdleExpiresAt),
		Ip:             storable(row.IP),
		UserAgent:      storable(row.UserAgent),
	}, err
}

func sessionOf(row postgres.Session) (session.Row, error) {
	recent, err := recentOf(row.Recent)
	if err != nil {
		return session.Row{}, fmt.Errorf("decode session %s: %w", row.ID, err)
	}
	return session.Row{
		ID:            row.ID,
		User:          row.Subject,
		Epoch:         row.Epoch,
		Generation:    row.Generation,
		Recent:        recent,
		Confirmed:     row.Confirmed,
		Recovered:     row.Recovered,
		Replays:       row.Replays,
		CreatedAt:     timeOf(row.CreatedAt),
		RotatedAt:     timeOf(row.RotatedAt),
		IdleExpiresAt: timeOf(row.IdleExpiresAt),
		ExpiresAt:     timeOf(row.ExpiresAt),
		IP:            row.Ip,
		UserAgent:     row.UserAgent,
		Binding:       authz.SessionBinding(row.Binding),
		EndedAt:       endOf(row.EndedAt),
		EndReason:     authz.SessionEnd(row.EndReason),
	}, nil
}

func sessionsOf(rows []postgres.Session) ([]session.Row, error) {
	list := make([]session.Row, len(rows))
	for i, row := range rows {
		var err error
		if list[i], err = sessionOf(row); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// recentText encodes a session's Recent as the tables hold it: pairs of a generation
// and microseconds.
func recentText(recent []session.Superseded) (string, error) {
	pairs := make([][2]int64, len(recent))
	for i, entry := range recent {
		pairs[i] = [2]int64{entry.UpTo, micros(entry.At)}
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		return "", fmt.Errorf("encode the recent generations: %w", err)
	}
	return string(text), nil
}

// recentOf is nil where there are none.
func recentOf(text string) (recent []session.Superseded, err error) {
	var pairs [][2]int64
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, fmt.Errorf("decode the recent generations: %w", err)
	}
	for _, pair := range pairs {
		recent = append(recent, session.Superseded{UpTo: pair[0], At: timeOf(pair[1])})
	}
	return recent, nil
}
