package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file is FuzzEnginesAgree's part on sessions.

var (
	fuzzSessions = []string{"s", "S", "é", "%"}
	fuzzAgents   = []string{"", "browser", "Browser", "a\xffb", "a\x00b"}
	fuzzReasons  = []authz.SessionEnd{authz.EndRevoked, authz.EndMaximum}
)

func (m *machine) sessionRow() session.Row {
	row := session.Row{
		ID: pick(m, fuzzSessions), User: pick(m, fuzzUsers), Generation: int64(1 + m.next(3)),
		Confirmed: int64(m.next(3)), Recovered: int64(m.next(3)), Replays: int64(m.next(3)),
		CreatedAt: pick(m, fuzzTimes), RotatedAt: pick(m, fuzzTimes), IdleExpiresAt: pick(m, fuzzTimes), ExpiresAt: pick(m, fuzzTimes),
		IP: pick(m, fuzzAgents), UserAgent: pick(m, fuzzAgents), Binding: authz.BindingStrict,
	}
	for range m.next(3) {
		row.Recent = append(row.Recent, session.Superseded{UpTo: int64(m.next(5)), At: pick(m, fuzzTimes)})
	}
	return row
}

// changeSessions makes one change by itself, or one to three in a transaction.
func (m *machine) changeSessions(ctx context.Context) (name string, result outcome) {
	answer := func(name string, value any, err error) (string, outcome) {
		return name, outcome{Value: value, Code: fault.CodeOf(err), Failed: err != nil}
	}
	row, generation := m.sessionRow(), int64(m.next(4))
	switch m.next(8) {
	case 0:
		did, err := m.store.RotateSession(ctx, m.tenant, generation, row)
		return answer("RotateSession", did, err)
	case 1:
		did, err := m.store.CountReplay(ctx, m.tenant, row.ID, generation, 2)
		return answer("CountReplay", did, err)
	case 2:
		did, err := m.store.ConfirmSession(ctx, m.tenant, row.ID, generation)
		return answer("ConfirmSession", did, err)
	case 3:
		query := store.SessionQuery{WithEnded: m.next(2) == 0, At: pick(m, fuzzTimes)}
		if m.next(2) == 0 {
			query.User = row.User
		}
		rows, err := m.store.SessionList(ctx, m.tenant, query, pick(m, append(fuzzSessions, "")), m.next(4))
		return answer("SessionList", rows, err)
	}
	changes, fate, calls := 1+m.next(3), m.next(8), 0
	begin := m.program
	var did []any
	err := m.store.UpdateSessions(ctx, m.tenant, func(tx store.SessionTx) error {
		m.program, did, name = begin, nil, ""
		calls++
		for range changes {
			operation, value, err := m.changeSession(ctx, tx)
			name += operation + " "
			if err != nil {
				return err
			}
			did = append(did, value)
			if err := tx.AppendEvent(ctx, audit.Event{Time: fuzzTimes[2], Action: operation}); err != nil {
				return err
			}
		}
		switch {
		case fate == 0:
			return errors.New("an error of the function's own")
		case fate == 1 && calls == 1:
			return store.ErrRetry
		}
		return nil
	})
	return answer(name, did, err)
}

func (m *machine) changeSession(ctx context.Context, tx store.SessionTx) (name string, value any, err error) {
	row, at, reason := m.sessionRow(), pick(m, fuzzTimes), pick(m, fuzzReasons)
	switch m.next(10) {
	case 0:
		value, err = tx.RotateSession(ctx, int64(m.next(4)), row)
		return "RotateSession in a transaction", value, err
	case 1:
		value, err = tx.RecoverSession(ctx, row)
		return "RecoverSession", value, err
	case 2:
		value, err = tx.MoveSession(ctx, row)
		return "MoveSession", value, err
	case 3:
		value, err = tx.EndSession(ctx, row.ID, at, reason)
		return "EndSession", value, err
	case 4:
		value, err = tx.EndSessions(ctx, row.User, pick(m, append(fuzzSessions, "")), at, reason)
		return "EndSessions", value, err
	case 5:
		if _, err := tx.LockUser(ctx, row.User); err != nil {
			return "EndOldest", nil, err
		}
		value, err = tx.EndOldest(ctx, row.User, m.next(3), at, reason)
		return "EndOldest", value, err
	default:
		user, err := tx.LockUser(ctx, row.User)
		if err != nil {
			return "LockUser", nil, err
		}
		row.Epoch = user.Epoch
		return "CreateSession", user, tx.CreateSession(ctx, row)
	}
}

// allSessions reads all that the tenant holds of sessions.
func (m *machine) allSessions(ctx context.Context) (found []any) {
	for _, id := range fuzzSessions {
		record, there, err := m.store.Session(ctx, m.tenant, id)
		// The engines' clocks differ on purpose.
		record.ReadAt = time.Time{}
		found = append(found, record, there, err != nil)
	}
	for _, user := range append(fuzzUsers, "") {
		for _, at := range fuzzTimes {
			rows, err := m.store.SessionList(ctx, m.tenant, store.SessionQuery{User: user, At: at}, "", 100)
			found = append(found, rows, fmt.Sprint(err))
		}
	}
	return found
}
