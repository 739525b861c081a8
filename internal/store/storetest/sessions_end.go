package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

func testEndSession(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, newSession("s", "ann"), newSession("other", "ann"))
	f.update(t, func(tx store.SessionTx) {
		equal(t, "end", get(tx.EndSession(ctx, "s", now, authz.EndTokenReused))(t), true)
		equal(t, "end again", get(tx.EndSession(ctx, "s", now.Add(1), authz.EndRevoked))(t), false)
		equal(t, "end an unknown session", get(tx.EndSession(ctx, "none", now, authz.EndRevoked))(t), false)
	})
	f.update(t, func(tx store.SessionTx) {
		equal(t, "end later", get(tx.EndSession(ctx, "s", now.Add(1), authz.EndRevoked))(t), false)
	})
	want := newSession("s", "ann")
	want.EndedAt, want.EndReason = now, authz.EndTokenReused
	deepEqual(t, "ended", f.session(t, "s").Row, want)
	deepEqual(t, "the other", f.session(t, "other").Row, newSession("other", "ann"))

	// One that has expired, and was not swept, can be ended still: another server's clock
	// may have it live.
	expired := newSession("expired", "ann")
	expired.IdleExpiresAt = now.Add(-time.Second)
	f.signIn(t, expired)
	f.update(t, func(tx store.SessionTx) {
		equal(t, "end an expired session", get(tx.EndSession(ctx, "expired", now, authz.EndRevoked))(t), true)
	})
}

// aged are sessions of a user, each made a second after the one before.
func aged(user string, ids ...string) (rows []session.Row) {
	for i, id := range ids {
		row := newSession(id, user)
		row.CreatedAt = now.Add(time.Duration(i) * time.Second)
		rows = append(rows, row)
	}
	return rows
}

func testEndSessions(t *testing.T, f fixture) {
	ctx := t.Context()
	rows := aged("ann", "z", "m", "a", "ended", "kept")
	f.signIn(t, append(rows, newSession("bob's", "bob"))...)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "ended", now, authz.EndExpired))(t) })
	at := now.Add(time.Minute)
	f.update(t, func(tx store.SessionTx) {
		ended := get(tx.EndSessions(ctx, "ann", "kept", at, authz.EndRevoked))(t)
		want := rows[:3]
		for i := range want {
			want[i].EndedAt, want[i].EndReason = at, authz.EndRevoked
		}
		deepEqual(t, "ended", ended, want)
		equal(t, "end again", len(get(tx.EndSessions(ctx, "ann", "kept", at, authz.EndRevoked))(t)), 0)
		equal(t, "end those of nobody", len(get(tx.EndSessions(ctx, "nobody", "", at, authz.EndRevoked))(t)), 0)
	})
	equalList(t, "live", f.liveSessions(t, ""), []string{"bob's", "kept"})
	equal(t, "the reason before", f.session(t, "ended").EndReason, authz.EndExpired)
	f.update(t, func(tx store.SessionTx) {
		equalList(t, "end the rest", ids(get(tx.EndSessions(ctx, "ann", "", at, authz.EndRevoked))(t)), []string{"kept"})
	})
	// Whoever signs in after that is welcome.
	equal(t, "epoch", f.session(t, "kept").Owner.Epoch, 0)
}

func testEndOldest(t *testing.T, f fixture) {
	ctx := t.Context()
	rows := aged("ann", "z", "ended", "m", "expired", "a", "b")
	rows[3].IdleExpiresAt = now
	rows[5].CreatedAt = rows[4].CreatedAt
	f.signIn(t, append(rows, newSession("bob's", "bob"))...)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "ended", now, authz.EndRevoked))(t) })
	for _, c := range []struct {
		keep int
		want []string
	}{
		{5, nil}, {4, nil}, {3, []string{"z"}}, {3, nil}, {1, []string{"m", "a"}}, {0, []string{"b"}}, {0, nil}, {-1, nil},
	} {
		f.update(t, func(tx store.SessionTx) {
			get(tx.LockUser(ctx, "ann"))(t)
			equalList(t, "ended", ids(get(tx.EndOldest(ctx, "ann", c.keep, now, authz.EndMaximum))(t)), c.want)
		})
	}
	got := f.session(t, "m").Row
	want := rows[2]
	want.EndedAt, want.EndReason = now, authz.EndMaximum
	deepEqual(t, "ended", got, want)
	equalList(t, "live", f.liveSessions(t, ""), []string{"bob's"})
	equal(t, "the expired one is not ended", f.session(t, "expired").EndedAt.IsZero(), true)
	err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
		_, err := tx.EndOldest(ctx, "bob", 0, now, authz.EndMaximum)
		return err
	})
	hasCode(t, "a user who is not locked", err, fault.CodeInternal)
}

func testLockUser(t *testing.T, f fixture) {
	ctx := t.Context()
	locked := func(what, user string, want session.User) {
		t.Helper()
		f.update(t, func(tx store.SessionTx) { equal(t, what, get(tx.LockUser(ctx, user))(t), want) })
	}
	locked("an unknown user", "ann", session.User{})
	f.write(t, func(tx store.Tx) { get(tx.SetUser(ctx, authz.User{Name: "ann", Inactive: true}))(t) })
	locked("an inactive user", "ann", session.User{Inactive: true})
	f.write(t, func(tx store.Tx) { get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserInactive))(t) })
	locked("a user whose sessions were ended", "ann", session.User{Inactive: true, Epoch: 1})
	f.write(t, func(tx store.Tx) { get(tx.DeleteUser(ctx, "ann"))(t) })
	locked("a deleted user", "ann", session.User{Epoch: 1})
	locked("a user of nearly the same name", "Ann", session.User{})
}

func testEndUserSessions(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, append(aged("ann", "z", "a"), newSession("ended", "ann"), newSession("bob's", "bob"))...)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "ended", now, authz.EndRevoked))(t) })
	f.write(t, func(tx store.Tx) {
		equal(t, "ended", len(get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserDeleted))(t)), 2)
		equal(t, "ended again", len(get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserDeleted))(t)), 0)
	})
	equalList(t, "live", f.liveSessions(t, ""), []string{"bob's"})
	record := f.session(t, "z")
	equal(t, "reason", record.EndReason, authz.EndUserDeleted)
	equal(t, "time", record.EndedAt, now)
	if record.Owner.Epoch <= record.Epoch {
		t.Errorf("got the user's epoch %d, want one above the session's, %d", record.Owner.Epoch, record.Epoch)
	}
	equal(t, "the epoch of others", f.session(t, "bob's").Owner.Epoch, 0)

	// Where there is nothing to end, nothing has changed.
	revision := f.revision(t)
	got, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		equal(t, "ended of nobody's", len(get(tx.EndUserSessions(ctx, "nobody", now, authz.EndUserDeleted))(t)), 0)
		equal(t, "ended once more", len(get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserDeleted))(t)), 0)
		return nil
	})
	equal(t, "revision", get(got, err)(t), revision)

	// One who comes back gets sessions of the new epoch.
	f.signIn(t, newSession("new", "ann"))
	record = f.session(t, "new")
	equal(t, "epoch", record.Epoch, record.Owner.Epoch)
	equalList(t, "live afterwards", f.liveSessions(t, "ann"), []string{"new"})
}

// testEndUserSessionsRollback wants a failed change of policy to end nothing.
func testEndUserSessionsRollback(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, newSession("s", "ann"))
	_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		equal(t, "ended", len(get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserDeleted))(t)), 1)
		return errors.New("sorry")
	})
	if err == nil {
		t.Error("got no error, want the function's")
	}
	record := f.session(t, "s")
	deepEqual(t, "session", record.Row, newSession("s", "ann"))
	equal(t, "owner", record.Owner, session.User{})
}
