package engine

import (
	"context"
	"strconv"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Session reads a session, over or not; one that is not there, or that expired more
// than a day ago, is ErrNotFound.
func (t *Tenant) Session(ctx context.Context, id string) (authz.Session, error) {
	if err := t.validateSessionID(id); err != nil {
		return authz.Session{}, err
	}
	record, found, err := t.engine.store.Session(ctx, t.id, id)
	if err != nil {
		return authz.Session{}, err
	}
	if !found {
		return authz.Session{}, fault.NotFound("there is no session %q", id)
	}
	return record.Row.Session(), nil
}

// Sessions lists sessions by id, those of one user or, where user is empty, of all.
// Those that are over are left out unless withEnded. The list has no revision.
func (t *Tenant) Sessions(ctx context.Context, user string, withEnded bool, page authz.Page) (authz.List[authz.Session], error) {
	if err := t.validateSessions(); err != nil {
		return authz.List[authz.Session]{}, err
	}
	if user != "" {
		if err := validateUser(user); err != nil {
			return authz.List[authz.Session]{}, err
		}
	}
	limit, err := pageLimit(page)
	if err != nil {
		return authz.List[authz.Session]{}, err
	}
	asked := question("sessions", user, strconv.FormatBool(withEnded))
	after, err := parseCursor(page.Cursor, asked, 1)
	if err != nil {
		return authz.List[authz.Session]{}, err
	}
	now, err := t.engine.sessionNow(ctx)
	if err != nil {
		return authz.List[authz.Session]{}, err
	}
	// One more than asked for tells whether there is a next page.
	rows, err := t.engine.store.SessionList(ctx, t.id, store.SessionQuery{User: user, WithEnded: withEnded, At: now}, after[0], limit+1)
	if err != nil {
		return authz.List[authz.Session]{}, err
	}
	var result authz.List[authz.Session]
	if len(rows) > limit {
		rows = rows[:limit]
		result.Next = cursor(asked, []string{rows[limit-1].ID})
	}
	for _, row := range rows {
		result.Items = append(result.Items, row.Session())
	}
	return result, nil
}

// EndSession ends a session at once, on every server, and tells whether it was live.
func (t *Tenant) EndSession(ctx context.Context, id string) (bool, error) {
	if err := t.validateSessionID(id); err != nil {
		return false, err
	}
	record, found, err := t.session(ctx, id)
	if err != nil || !found {
		return false, err
	}
	at := t.engine.sessionTimeAt(record.ReadAt)
	event := sessionEvent(audit.SessionEnded, audit.Success, record.Row, map[string]any{"reason": string(authz.EndRevoked)})
	return t.changeSession(ctx, event, func(tx store.SessionTx) (bool, error) {
		return tx.EndSession(ctx, id, at, authz.EndRevoked)
	})
}

// EndSessions ends all sessions of a user, but for the one with the id except where
// that is not empty, and returns how many were live.
func (t *Tenant) EndSessions(ctx context.Context, user, except string) (int64, error) {
	if err := validateUser(user); err != nil {
		return 0, err
	}
	if except != "" {
		if err := authz.ValidateID(except); err != nil {
			return 0, invalid("except", err)
		}
	}
	if err := t.validateSessions(); err != nil {
		return 0, err
	}
	now, err := t.sessionNow(ctx)
	if err != nil {
		return 0, err
	}
	var ended []session.Row
	err = t.updateSessions(ctx, func(tx store.SessionTx) (err error) {
		if ended, err = tx.EndSessions(ctx, user, except, now, authz.EndRevoked); err != nil {
			return err
		}
		return t.appendEnds(ctx, tx, ended, authz.EndRevoked)
	})
	if err != nil {
		return 0, err
	}
	return int64(len(ended)), nil
}

// TenantOfSession finds the tenant of a session token by its signature alone; the
// error is authz.ErrInvalidToken where it is no token of ours. Whether it is still
// good, the tenant says.
func (e *Engine) TenantOfSession(ctx context.Context, token string) (*Tenant, error) {
	claims, _, err := e.parseSession(ctx, token)
	if err != nil {
		return nil, err
	}
	return e.Tenant(claims.Tenant), nil
}
