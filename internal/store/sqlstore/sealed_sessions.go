package sqlstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file seals sessions and the epochs of their users.

var (
	sessionsSubject  = seal.Column{Table: "sessions", Name: "subject"}
	sessionUsersName = seal.Column{Table: "session_users", Name: "name"}
)

// sessionContent is what is only read back of a session.
type sessionContent struct {
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
}

// sessionIdentity leaves out what single statements change: the session's state.
func sessionIdentity(row postgres.Session) []string {
	return []string{
		row.ID, row.Subject, strconv.FormatInt(row.Epoch, 10),
		strconv.FormatInt(row.CreatedAt, 10), strconv.FormatInt(row.ExpiresAt, 10), row.Binding,
	}
}

// openSession opens a row of sessions.
func (q *sealed) openSession(row postgres.Session) (postgres.Session, error) {
	subject, err := q.openName(sessionsSubject, row.Subject, row.Seal)
	if err != nil {
		return postgres.Session{}, err
	}
	row.Subject = subject
	content := sessionContent{IP: row.Ip, UserAgent: row.UserAgent}
	if err := q.openRow(sessionsSubject.Table, sessionIdentity(row), row.Seal, &content); err != nil {
		return postgres.Session{}, err
	}
	row.Ip, row.UserAgent, row.Seal = content.IP, content.UserAgent, ""
	return row, nil
}

// sealSession is a row of sessions as it is written.
func (q *sealed) sealSession(row postgres.Session) (postgres.Session, error) {
	var err error
	if row.Seal, err = q.rowSeal(sessionsSubject.Table, sessionIdentity(row), sessionContent{IP: row.Ip, UserAgent: row.UserAgent}); err != nil {
		return postgres.Session{}, err
	}
	if row.Seal != "" {
		row.Ip, row.UserAgent = "", ""
	}
	row.Subject, err = q.name(sessionsSubject, row.Subject)
	return row, err
}

// openSessions opens what a query returned.
func (q *sealed) openSessions(rows []postgres.Session, err error) ([]postgres.Session, error) {
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = q.openSession(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// openSessionUser opens a row of session_users.
func (q *sealed) openSessionUser(row postgres.SessionUser) (postgres.SessionUser, error) {
	name, err := q.openName(sessionUsersName, row.Name, row.Seal)
	if err != nil {
		return postgres.SessionUser{}, err
	}
	if err := q.openRow(sessionUsersName.Table, sessionUserIdentity(name, row.Epoch), row.Seal, &struct{}{}); err != nil {
		return postgres.SessionUser{}, err
	}
	row.Name, row.Seal = name, ""
	return row, nil
}

// sealSessionUser is a row of session_users as it is written.
func (q *sealed) sealSessionUser(row postgres.SessionUser) (postgres.SessionUser, error) {
	var err error
	if row.Seal, err = q.rowSeal(sessionUsersName.Table, sessionUserIdentity(row.Name, row.Epoch), struct{}{}); err != nil {
		return postgres.SessionUser{}, err
	}
	row.Name, err = q.name(sessionUsersName, row.Name)
	return row, err
}

func sessionUserIdentity(name string, epoch int64) []string {
	return []string{name, strconv.FormatInt(epoch, 10)}
}

func (q *sealed) CreateSession(ctx context.Context, session postgres.CreateSessionParams) error {
	row, err := q.sealSession(postgres.Session(session))
	if err != nil {
		return err
	}
	return q.Querier.CreateSession(ctx, postgres.CreateSessionParams(row))
}

// Session reads what the session's user is by the user's name, which the session's row
// has in another form.
func (q *sealed) Session(ctx context.Context, session postgres.SessionParams) (postgres.SessionRow, error) {
	row, err := q.Querier.Session(ctx, session)
	if err != nil {
		return postgres.SessionRow{}, err
	}
	opened, err := q.openSession(sessionRow(row))
	if err != nil {
		return postgres.SessionRow{}, err
	}
	row.Subject, row.Ip, row.UserAgent, row.Seal = opened.Subject, opened.Ip, opened.UserAgent, ""
	row.UserActive, row.UserEpoch = 1, 0
	switch user, err := q.User(ctx, postgres.UserParams{Tenant: session.Tenant, Name: row.Subject}); {
	case err == nil:
		row.UserActive = user.Active
	case !isNoRows(err):
		return postgres.SessionRow{}, err
	}
	switch _, user, err := q.sessionUser(row.Subject, func(form string) (postgres.SessionUser, error) {
		return q.Querier.SessionUser(ctx, postgres.SessionUserParams{Tenant: session.Tenant, Name: form})
	}); {
	case err == nil:
		row.UserEpoch = user.Epoch
	case !isNoRows(err):
		return postgres.SessionRow{}, err
	}
	return row, nil
}

func (q *sealed) Sessions(ctx context.Context, page postgres.SessionsParams) ([]postgres.Session, error) {
	return q.openSessions(q.Querier.Sessions(ctx, page))
}

func (q *sealed) SessionsOfUser(ctx context.Context, page postgres.SessionsOfUserParams) ([]postgres.Session, error) {
	return q.sessionsOf(page.Subject, page.MaxRows, func(form string) ([]postgres.Session, error) {
		page.Subject = form
		return q.Querier.SessionsOfUser(ctx, page)
	})
}

func (q *sealed) LiveSessionsOfUser(ctx context.Context, page postgres.LiveSessionsOfUserParams) ([]postgres.Session, error) {
	return q.sessionsOf(page.Subject, page.MaxRows, func(form string) ([]postgres.Session, error) {
		page.Subject = form
		return q.Querier.LiveSessionsOfUser(ctx, page)
	})
}

// sessionsOf reads a page of a user's sessions for each form of the user's name, and
// makes one of them.
func (q *sealed) sessionsOf(user string, maxRows int64, read func(form string) ([]postgres.Session, error)) ([]postgres.Session, error) {
	forms, err := q.inTurn(sessionsSubject, user)
	if err != nil {
		return nil, err
	}
	all := []postgres.Session{}
	for _, form := range forms {
		rows, err := q.openSessions(read(form))
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(a, b postgres.Session) int { return strings.Compare(a.ID, b.ID) })
	all = slices.CompactFunc(all, func(a, b postgres.Session) bool { return a.ID == b.ID })
	return all[:min(int64(len(all)), maxRows)], nil
}

func (q *sealed) EndSessionsOfUser(ctx context.Context, end postgres.EndSessionsOfUserParams) ([]postgres.Session, error) {
	return q.sessionsOf(end.Subject, noEnd, func(form string) ([]postgres.Session, error) {
		end.Subject = form
		return q.Querier.EndSessionsOfUser(ctx, end)
	})
}

// EndOldestSessions reads the user's live sessions to put them in order. The caller has
// locked the user.
func (q *sealed) EndOldestSessions(ctx context.Context, end postgres.EndOldestSessionsParams) ([]postgres.Session, error) {
	var live []postgres.Session
	for after := ""; ; {
		rows, err := q.LiveSessionsOfUser(ctx, postgres.LiveSessionsOfUserParams{
			Tenant: end.Tenant, Subject: end.Subject, After: after, At: end.At, MaxRows: scanRows,
		})
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		live, after = append(live, rows...), rows[len(rows)-1].ID
	}
	slices.SortFunc(live, func(a, b postgres.Session) int {
		return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	ended := []postgres.Session{}
	for _, row := range live[min(end.Keep, int64(len(live))):] {
		found, err := q.EndSession(ctx, postgres.EndSessionParams{Tenant: end.Tenant, ID: row.ID, EndedAt: end.EndedAt, EndReason: end.EndReason})
		if err != nil {
			return nil, err
		}
		if found > 0 {
			row.EndedAt, row.EndReason, row.SweepAt = end.EndedAt, end.EndReason, row.IdleExpiresAt
			ended = append(ended, row)
		}
	}
	return ended, nil
}

func (q *sealed) RotateSession(ctx context.Context, rotation postgres.RotateSessionParams) (int64, error) {
	stored, row, err := q.lockSession(ctx, rotation.Tenant, rotation.ID)
	if isNoRows(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	rotated, err := q.Querier.RotateSessionInPlace(ctx, inPlace(rotation, stored))
	if err != nil || rotated == 0 {
		return 0, err
	}
	return rotated, q.moveSession(ctx, stored, row, rotation.Ip, rotation.UserAgent)
}

// inPlace is a rotation that leaves what is sealed of a stored row as it is.
func inPlace(rotation postgres.RotateSessionParams, stored postgres.Session) postgres.RotateSessionInPlaceParams {
	return postgres.RotateSessionInPlaceParams{
		Tenant:         rotation.Tenant,
		ID:             rotation.ID,
		FromGeneration: rotation.FromGeneration,
		Generation:     rotation.Generation,
		Recent:         rotation.Recent,
		Confirmed:      rotation.Confirmed,
		Recovered:      rotation.Recovered,
		Replays:        rotation.Replays,
		RotatedAt:      rotation.RotatedAt,
		IdleExpiresAt:  rotation.IdleExpiresAt,
		Ip:             stored.Ip,
		UserAgent:      stored.UserAgent,
		Seal:           stored.Seal,
	}
}

func (q *sealed) MoveSession(ctx context.Context, move postgres.MoveSessionParams) (int64, error) {
	stored, row, err := q.lockSession(ctx, move.Tenant, move.ID)
	if isNoRows(err) {
		return 0, nil
	}
	if err != nil || (row.Ip == move.Ip && row.UserAgent == move.UserAgent) {
		return 0, err
	}
	moved, err := q.Querier.MarkSessionMoved(ctx, postgres.MarkSessionMovedParams{Tenant: move.Tenant, ID: move.ID, Generation: move.Generation})
	if err != nil || moved == 0 {
		return 0, err
	}
	return moved, q.moveSession(ctx, stored, row, move.Ip, move.UserAgent)
}

// lockSession locks a session, and returns it as it is stored and opened.
func (q *sealed) lockSession(ctx context.Context, tenant, id string) (stored, row postgres.Session, err error) {
	stored, err = q.Querier.LockSession(ctx, postgres.LockSessionParams{Tenant: tenant, ID: id})
	if err == nil {
		row, err = q.openSession(stored)
	}
	return stored, row, err
}

// moveSession changes where a locked session was used from, unless it is the same.
func (q *sealed) moveSession(ctx context.Context, stored, row postgres.Session, ip, userAgent string) error {
	if row.Ip == ip && row.UserAgent == userAgent {
		return nil
	}
	row.Ip, row.UserAgent = ip, userAgent
	row, err := q.sealSession(row)
	if err != nil {
		return err
	}
	_, err = resealSession(ctx, q.Querier, stored, row)
	return err
}

// resealSession writes a session's row anew, unless it is no more what it was.
func resealSession(ctx context.Context, q postgres.Querier, stored, row postgres.Session) (int64, error) {
	return q.ResealSession(ctx, postgres.ResealSessionParams{
		Tenant: stored.Tenant, ID: stored.ID, OldSeal: stored.Seal, OldIp: stored.Ip, OldUserAgent: stored.UserAgent,
		Subject: row.Subject, Ip: row.Ip, UserAgent: row.UserAgent, Seal: row.Seal,
	})
}

func (q *sealed) LockSessionUser(ctx context.Context, user postgres.LockSessionUserParams) (int64, error) {
	_, row, err := q.lockSessionUser(ctx, user.Tenant, user.Name)
	return row.Epoch, err
}

func (q *sealed) RaiseSessionEpoch(ctx context.Context, user postgres.RaiseSessionEpochParams) error {
	stored, row, err := q.lockSessionUser(ctx, user.Tenant, user.Name)
	if err != nil {
		return err
	}
	row.Epoch++
	if row, err = q.sealSessionUser(row); err != nil {
		return err
	}
	_, err = resealSessionUser(ctx, q.Querier, stored, row)
	return err
}

// lockSessionUser locks a user's sessions, and returns the user's row, which it makes
// where there is none, as it is stored and opened. No other transaction makes one
// meanwhile, in whatever form.
func (q *sealed) lockSessionUser(ctx context.Context, tenant, name string) (stored, row postgres.SessionUser, err error) {
	if err := q.Querier.LockNumber(ctx, postgres.LockNumberParams{Number: userNumber(tenant, name)}); err != nil {
		return stored, row, err
	}
	stored, row, err = q.sessionUser(name, func(form string) (postgres.SessionUser, error) {
		return q.Querier.LockStoredSessionUser(ctx, postgres.LockStoredSessionUserParams{Tenant: tenant, Name: form})
	})
	if !isNoRows(err) {
		return stored, row, err
	}
	row = postgres.SessionUser{Tenant: tenant, Name: name}
	if stored, err = q.sealSessionUser(row); err != nil {
		return stored, row, err
	}
	err = q.Querier.CreateSessionUser(ctx, postgres.CreateSessionUserParams(stored))
	if isUniqueViolation(err) {
		// The row was on its way to another form, behind each look.
		err = fmt.Errorf("%w: %w", store.ErrRetry, err)
	}
	return stored, row, err
}

// userNumber stands for a user in a lock, which is never stored.
func userNumber(tenant, name string) int64 {
	sum := sha256.Sum256([]byte("session_users\x00" + tenant + "\x00" + name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// sessionUser reads a user's row by any form of the name, and returns it as it is stored
// and opened.
func (q *sealed) sessionUser(name string, read func(form string) (postgres.SessionUser, error)) (stored, row postgres.SessionUser, err error) {
	stored, err = byName(q, sessionUsersName, name, read)
	if err == nil {
		row, err = q.openSessionUser(stored)
	}
	return stored, row, err
}

func resealSessionUser(ctx context.Context, q postgres.Querier, stored, row postgres.SessionUser) (int64, error) {
	return q.ResealSessionUser(ctx, postgres.ResealSessionUserParams{
		Tenant: stored.Tenant, OldName: stored.Name, OldEpoch: stored.Epoch, OldSeal: stored.Seal,
		Name: row.Name, Epoch: row.Epoch, Seal: row.Seal,
	})
}
