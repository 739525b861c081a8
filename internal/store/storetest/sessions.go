package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

const (
	sessionIdle     = time.Hour
	sessionAbsolute = 24 * time.Hour
)

// newSession is a session that was made now.
func newSession(id, user string) session.Row {
	return session.Row{
		ID: id, User: user, Generation: 1,
		CreatedAt: now, RotatedAt: now, IdleExpiresAt: now.Add(sessionIdle), ExpiresAt: now.Add(sessionAbsolute),
		IP: "192.0.2.1", UserAgent: "browser", Binding: authz.BindingStandard,
	}
}

// rotated is what a session's row becomes when its current token is presented.
func rotated(row session.Row, at time.Time) session.Row {
	row.Recent = append(slices.Clone(row.Recent), session.Superseded{UpTo: row.Generation, At: at})
	row.Confirmed = row.Generation
	row.Generation++
	row.Replays = 0
	row.RotatedAt, row.IdleExpiresAt = at, at.Add(sessionIdle)
	return row
}

// update changes sessions, which must succeed.
func (f fixture) update(t *testing.T, fn func(store.SessionTx)) {
	t.Helper()
	must(t, f.UpdateSessions(t.Context(), f.tenant, func(tx store.SessionTx) error {
		fn(tx)
		return nil
	}))
}

// signIn creates sessions in turn, each with its user's epoch.
func (f fixture) signIn(t *testing.T, rows ...session.Row) {
	t.Helper()
	f.update(t, func(tx store.SessionTx) {
		for _, row := range rows {
			row.Epoch = get(tx.LockUser(t.Context(), row.User))(t).Epoch
			must(t, tx.CreateSession(t.Context(), row))
		}
	})
}

// session reads a session that must be there.
func (f fixture) session(t *testing.T, id string) store.SessionRecord {
	t.Helper()
	record, there := there(f.Session(t.Context(), f.tenant, id))(t)
	if !there {
		t.Fatalf("session %s is not there", id)
	}
	return record
}

// liveSessions lists the ids of a user's live sessions; of all users where that is
// empty.
func (f fixture) liveSessions(t *testing.T, user string) []string {
	t.Helper()
	return ids(get(f.SessionList(t.Context(), f.tenant, store.SessionQuery{User: user, At: now}, "", 1000))(t))
}

func ids(rows []session.Row) []string {
	return each(rows, func(row session.Row) string { return row.ID })
}

func testSessions(t *testing.T, f fixture) {
	ctx := t.Context()
	_, found := there(f.Session(ctx, f.tenant, "s"))(t)
	equal(t, "found before it is there", found, false)

	want := session.Row{
		ID: "s", User: "ann", Epoch: 0, Generation: 7,
		Recent:    []session.Superseded{{UpTo: 4, At: now.Add(-time.Second)}, {UpTo: 6, At: now.Add(-time.Microsecond)}},
		Confirmed: 5, Recovered: 4, Replays: 3,
		CreatedAt: now.Add(-time.Hour), RotatedAt: now, IdleExpiresAt: now.Add(time.Minute), ExpiresAt: now.Add(time.Hour),
		IP: "2001:db8::1", UserAgent: "böwser \U0001F600", Binding: authz.BindingStrict,
	}
	f.signIn(t, want)
	before := time.Now()
	record := f.session(t, "s")
	deepEqual(t, "session", record.Row, want)
	equal(t, "owner", record.Owner, session.User{})
	clock := get(f.Now(ctx))(t)
	for what, at := range map[string]time.Time{"ReadAt": record.ReadAt, "Now": clock} {
		if !at.IsZero() && (at.Before(before.Add(-time.Minute)) || at.After(before.Add(time.Minute))) {
			t.Errorf("%s: got %v, want the time, about %v, or none", what, at, before)
		}
		equal(t, what+" is none", at.IsZero(), clock.IsZero())
	}

	f.write(t, func(tx store.Tx) { get(tx.SetUser(ctx, authz.User{Name: "ann", Inactive: true}))(t) })
	equal(t, "inactive owner", f.session(t, "s").Owner, session.User{Inactive: true})
	f.write(t, func(tx store.Tx) { get(tx.SetUser(ctx, authz.User{Name: "ann"}))(t) })
	equal(t, "active owner", f.session(t, "s").Owner, session.User{})

	err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
		get(tx.LockUser(ctx, "ann"))(t)
		return tx.CreateSession(ctx, newSession("s", "ann"))
	})
	hasCode(t, "an id that is taken", err, fault.CodeInternal)
	err = f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
		get(tx.LockUser(ctx, "ann"))(t)
		return tx.CreateSession(ctx, newSession("s2", "bob"))
	})
	hasCode(t, "a user who is not locked", err, fault.CodeInternal)
	deepEqual(t, "session in the end", f.session(t, "s").Row, want)
	equalList(t, "sessions", ids(get(f.SessionList(ctx, f.tenant, store.SessionQuery{WithEnded: true}, "", 10))(t)), []string{"s"})
}

func testSessionTimes(t *testing.T, f fixture) {
	// As fine as a store keeps times.
	at := now.Add(time.Microsecond + 999*time.Nanosecond)
	kept := now.Add(time.Microsecond)
	row := newSession("s", "ann")
	row.CreatedAt, row.RotatedAt, row.IdleExpiresAt, row.ExpiresAt = at, at, at, at
	row.Recent = []session.Superseded{{UpTo: 1, At: at}}
	f.signIn(t, row)
	want := row
	want.CreatedAt, want.RotatedAt, want.IdleExpiresAt, want.ExpiresAt = kept, kept, kept, kept
	want.Recent = []session.Superseded{{UpTo: 1, At: kept}}
	deepEqual(t, "between microseconds", f.session(t, "s").Row, want)

	far := newSession("far", "ann")
	far.CreatedAt, far.RotatedAt = time.Time{}, time.Time{}
	far.IdleExpiresAt, far.ExpiresAt = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	f.signIn(t, far)
	deepEqual(t, "far apart", f.session(t, "far").Row, far)

	// No clock makes an end that reads as none.
	for id, at := range map[string]time.Time{"zero": {}, "1970": time.Unix(0, 0), "past the last": time.Unix(1<<60, 0)} {
		f.signIn(t, newSession(id, "ann"))
		f.update(t, func(tx store.SessionTx) { get(tx.EndSession(t.Context(), id, at, authz.EndRevoked))(t) })
		equal(t, "ended at "+id+" reads as live", f.session(t, id).EndedAt.IsZero(), false)
	}
}

func testHostileSession(t *testing.T, f fixture) {
	ctx := t.Context()
	row := newSession("s", "ann")
	row.IP, row.UserAgent = "a\x00b", "a\xff\xfeb\x00"
	f.signIn(t, row)
	got := f.session(t, "s").Row
	equal(t, "User-Agent", got.UserAgent, "a\uFFFDb\uFFFD")
	equal(t, "IP", got.IP, "a\uFFFDb")
	f.update(t, func(tx store.SessionTx) { equal(t, "move to the same", get(tx.MoveSession(ctx, row))(t), false) })
	next := rotated(row, now)
	equal(t, "rotate", get(f.RotateSession(ctx, f.tenant, 1, next))(t), true)
	equal(t, "User-Agent after a rotation", f.session(t, "s").UserAgent, "a\uFFFDb\uFFFD")
}

func testRotateSession(t *testing.T, f fixture) {
	ctx := t.Context()
	row := newSession("s", "ann")
	f.signIn(t, row, newSession("other", "ann"))
	row.Replays = 2
	next := rotated(row, now.Add(time.Second))
	next.IP, next.UserAgent = "192.0.2.2", "browser, updated"
	unchanged := next
	// A rotation has no say in these.
	next.User, next.Binding, next.CreatedAt, next.ExpiresAt = "eve", authz.BindingOff, now.Add(-time.Hour), now.Add(999*time.Hour)

	equal(t, "from a generation to come", get(f.RotateSession(ctx, f.tenant, 2, next))(t), false)
	equal(t, "rotate", get(f.RotateSession(ctx, f.tenant, 1, next))(t), true)
	deepEqual(t, "rotated", f.session(t, "s").Row, unchanged)
	equal(t, "rotate again", get(f.RotateSession(ctx, f.tenant, 1, next))(t), false)
	third := rotated(unchanged, now.Add(2*time.Second))
	f.update(t, func(tx store.SessionTx) {
		equal(t, "from a superseded generation, in a transaction", get(tx.RotateSession(ctx, 1, third))(t), false)
		equal(t, "rotate in a transaction", get(tx.RotateSession(ctx, 2, third))(t), true)
	})
	deepEqual(t, "rotated in a transaction", f.session(t, "s").Row, third)
	deepEqual(t, "the other session", f.session(t, "other").Row, newSession("other", "ann"))

	unknown := third
	unknown.ID = "none"
	equal(t, "rotate an unknown session", get(f.RotateSession(ctx, f.tenant, 3, unknown))(t), false)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t) })
	equal(t, "rotate an ended session", get(f.RotateSession(ctx, f.tenant, 3, rotated(third, now)))(t), false)
	equal(t, "generation in the end", f.session(t, "s").Generation, 3)
}

func testCountReplay(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, newSession("s", "ann"))
	for i, want := range []bool{true, true, false} {
		equal(t, fmt.Sprint("replay ", i), get(f.CountReplay(ctx, f.tenant, "s", 1, 2))(t), want)
	}
	equal(t, "of another generation", get(f.CountReplay(ctx, f.tenant, "s", 2, 9))(t), false)
	equal(t, "of an unknown session", get(f.CountReplay(ctx, f.tenant, "none", 1, 9))(t), false)
	equal(t, "replays", f.session(t, "s").Replays, 2)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t) })
	equal(t, "of an ended session", get(f.CountReplay(ctx, f.tenant, "s", 1, 9))(t), false)
}

func testConfirmSession(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, newSession("s", "ann"))
	equal(t, "confirm another generation", get(f.ConfirmSession(ctx, f.tenant, "s", 2))(t), false)
	equal(t, "confirm", get(f.ConfirmSession(ctx, f.tenant, "s", 1))(t), true)
	equal(t, "confirm again", get(f.ConfirmSession(ctx, f.tenant, "s", 1))(t), false)
	equal(t, "confirm an unknown session", get(f.ConfirmSession(ctx, f.tenant, "none", 1))(t), false)
	want := newSession("s", "ann")
	want.Confirmed = 1
	deepEqual(t, "confirmed", f.session(t, "s").Row, want)
	get(f.RotateSession(ctx, f.tenant, 1, rotated(want, now)))(t)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t) })
	equal(t, "confirm an ended session", get(f.ConfirmSession(ctx, f.tenant, "s", 2))(t), false)
}

func testRecoverSession(t *testing.T, f fixture) {
	ctx := t.Context()
	row := newSession("s", "ann")
	f.signIn(t, row)
	row = rotated(row, now)
	get(f.RotateSession(ctx, f.tenant, 1, row))(t)
	get(f.CountReplay(ctx, f.tenant, "s", 2, 9))(t)

	row.Recovered = 2
	row.Recent = []session.Superseded{{UpTo: 1, At: now.Add(time.Minute)}}
	superseded, unknown := row, row
	superseded.Generation, unknown.ID = 1, "none"
	f.update(t, func(tx store.SessionTx) {
		equal(t, "of a superseded generation", get(tx.RecoverSession(ctx, superseded))(t), false)
		equal(t, "of an unknown session", get(tx.RecoverSession(ctx, unknown))(t), false)
		equal(t, "recover", get(tx.RecoverSession(ctx, row))(t), true)
		equal(t, "recover again", get(tx.RecoverSession(ctx, row))(t), false)
	})
	want := row
	want.Replays = 2
	deepEqual(t, "recovered", f.session(t, "s").Row, want)

	row = rotated(want, now.Add(2*time.Minute))
	get(f.RotateSession(ctx, f.tenant, 2, row))(t)
	get(f.ConfirmSession(ctx, f.tenant, "s", 3))(t)
	row.Recovered = 3
	f.update(t, func(tx store.SessionTx) {
		equal(t, "recover what was presented", get(tx.RecoverSession(ctx, row))(t), false)
	})
	equal(t, "rotate what was recovered meanwhile", get(f.RotateSession(ctx, f.tenant, 3, rotated(row, now)))(t), false)
	row.Recovered = 2
	row = rotated(row, now.Add(3*time.Minute))
	equal(t, "rotate", get(f.RotateSession(ctx, f.tenant, 3, row))(t), true)
	row.Recovered = 4
	f.update(t, func(tx store.SessionTx) {
		get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t)
		equal(t, "recover an ended session", get(tx.RecoverSession(ctx, row))(t), false)
	})
}

func testMoveSession(t *testing.T, f fixture) {
	ctx := t.Context()
	row := newSession("s", "ann")
	f.signIn(t, row)
	move := func(what string, row session.Row, want bool) {
		t.Helper()
		f.update(t, func(tx store.SessionTx) { equal(t, what, get(tx.MoveSession(ctx, row))(t), want) })
	}
	move("to the same", row, false)
	deepEqual(t, "not moved", f.session(t, "s").Row, row)
	row.IP = "192.0.2.2"
	move("to another address", row, true)
	move("there again", row, false)
	row.UserAgent = "browser, updated"
	move("to another User-Agent", row, true)
	want := row
	want.Confirmed = 1
	deepEqual(t, "moved", f.session(t, "s").Row, want)

	row.IP = "192.0.2.3"
	ahead, unknown := row, row
	ahead.Generation, unknown.ID = 2, "none"
	move("of another generation", ahead, false)
	move("of an unknown session", unknown, false)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t) })
	move("of an ended session", row, false)
	equal(t, "address in the end", f.session(t, "s").IP, "192.0.2.2")
}

func testSessionList(t *testing.T, f fixture) {
	ctx := t.Context()
	var rows []session.Row
	for _, id := range []string{"A", "Z", "a", "a%", "b", "é", "\U0001F600"} {
		rows = append(rows, newSession(id, "ann"))
	}
	expired, atLimit := newSession("expired", "ann"), newSession("expires now", "ann")
	expired.IdleExpiresAt, atLimit.IdleExpiresAt = now.Add(-time.Microsecond), now
	f.signIn(t, append([]session.Row{newSession("ended", "ann"), newSession("m", "Ann"), expired, atLimit}, rows...)...)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "ended", now, authz.EndRevoked))(t) })
	other := f
	other.tenant += "-other"
	other.signIn(t, newSession("elsewhere", "ann"))

	live := []string{"A", "Z", "a", "a%", "b", "é", "\U0001F600"}
	for _, c := range []struct {
		query store.SessionQuery
		want  []string
	}{
		{store.SessionQuery{User: "ann"}, live},
		{store.SessionQuery{User: "ann", WithEnded: true}, append([]string{"ended", "expired", "expires now"}, live...)},
		{store.SessionQuery{}, append([]string{"m"}, live...)},
		{store.SessionQuery{WithEnded: true}, append([]string{"m", "ended", "expired", "expires now"}, live...)},
		{store.SessionQuery{User: "Ann"}, []string{"m"}},
		{store.SessionQuery{User: "nobody", WithEnded: true}, nil},
	} {
		c.query.At = now
		slices.Sort(c.want)
		pages(t, fmt.Sprintf("sessions of %+v", c.query), c.want, func(after string, limit int) ([]string, error) {
			rows, err := f.SessionList(ctx, f.tenant, c.query, after, limit)
			return ids(rows), err
		})
	}
	listed := get(f.SessionList(ctx, f.tenant, store.SessionQuery{User: "ann", At: now}, "", 1))(t)
	deepEqual(t, "listed", listed, rows[:1])
}

func testSessionEvents(t *testing.T, f fixture) {
	ctx := t.Context()
	f.update(t, func(tx store.SessionTx) {
		get(tx.LockUser(ctx, "ann"))(t)
		must(t, tx.CreateSession(ctx, newSession("s", "ann")))
		must(t, tx.AppendEvent(ctx, audit.Event{Time: now, Action: "ACTION", Resource: "session/s", User: "ann"}))
	})
	events := get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)
	if len(events) != 1 || events[0].ID == "" {
		t.Fatalf("got events %+v, want one with an id", events)
	}
	events[0].ID = ""
	deepEqual(t, "event", events[0], audit.Event{Time: now, Action: "ACTION", Resource: "session/s", User: "ann"})
	equal(t, "revision", f.revision(t), 0)
}

// testSessionRollback wants nothing to be left of a change that fails, or that turns
// out to be none.
func testSessionRollback(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, newSession("s", "ann"))
	sorry := errors.New("sorry")
	change := func(tx store.SessionTx) {
		get(tx.LockUser(ctx, "bob"))(t)
		must(t, tx.CreateSession(ctx, newSession("s2", "bob")))
		equal(t, "end", get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t), true)
		must(t, tx.AppendEvent(ctx, audit.Event{Time: now}))
	}
	untouched := func(what string) {
		t.Helper()
		deepEqual(t, what+": session", f.session(t, "s").Row, newSession("s", "ann"))
		_, found := there(f.Session(ctx, f.tenant, "s2"))(t)
		equal(t, what+": the other session is there", found, false)
		equal(t, what+": events", len(get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)), 0)
	}

	calls := 0
	err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
		calls++
		change(tx)
		return sorry
	})
	if !errors.Is(err, sorry) || calls != 1 {
		t.Errorf("got error %v after %d calls, want the function's after 1", err, calls)
	}
	untouched("an error")

	err = f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
		change(tx)
		if err := tx.CreateSession(ctx, newSession("s2", "bob")); err == nil {
			t.Error("the same id again: got no error, want one")
		}
		return nil
	})
	hasCode(t, "an error that fn keeps to itself", err, fault.CodeInternal)
	untouched("an error that fn keeps to itself")

	f.update(t, func(tx store.SessionTx) {
		get(tx.LockUser(ctx, "ann"))(t)
		equal(t, "end an unknown session", get(tx.EndSession(ctx, "none", now, authz.EndRevoked))(t), false)
		must(t, tx.AppendEvent(ctx, audit.Event{Time: now}))
	})
	untouched("no change")

	func() {
		defer func() { equal(t, "panic", recover(), any("help")) }()
		_ = f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
			change(tx)
			panic("help")
		})
	}()
	untouched("a panic")

	f.update(t, change)
	equal(t, "ended at last", f.session(t, "s").EndedAt, now)
}

func testSessionRetry(t *testing.T, f fixture) {
	ctx := t.Context()
	calls := 0
	must(t, f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
		calls++
		get(tx.LockUser(ctx, "ann"))(t)
		must(t, tx.CreateSession(ctx, newSession(fmt.Sprint("s", calls), "ann")))
		must(t, tx.AppendEvent(ctx, audit.Event{Time: now}))
		if calls == 1 {
			return fmt.Errorf("injected: %w", store.ErrRetry)
		}
		return nil
	}))
	equal(t, "calls", calls, 2)
	equalList(t, "sessions", f.liveSessions(t, "ann"), []string{"s2"})
	equal(t, "events", len(get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)), 1)

	err := f.UpdateSessions(ctx, f.tenant, func(store.SessionTx) error { return store.ErrRetry })
	hasCode(t, "a conflict that stays", err, fault.CodeUnavailable)
}

// testSessionIsolation has two tenants use the same names.
func testSessionIsolation(t *testing.T, f fixture) {
	ctx := t.Context()
	other := f
	other.tenant += "-other"
	row := newSession("s", "ann")
	f.signIn(t, row, newSession("s2", "ann"))
	_, found := there(other.Session(ctx, other.tenant, "s"))(t)
	equal(t, "found by another tenant", found, false)

	next := rotated(row, now)
	for round := range 2 {
		// The other tenant has no such session at first, and then one of its own.
		did := round == 1
		equal(t, "count", get(other.CountReplay(ctx, other.tenant, "s", 1, 9))(t), did)
		equal(t, "confirm", get(other.ConfirmSession(ctx, other.tenant, "s", 1))(t), did)
		equal(t, "rotate", get(other.RotateSession(ctx, other.tenant, 1, next))(t), did)
		changed := next
		changed.Recovered, changed.IP = 2, "192.0.2.9"
		other.update(t, func(tx store.SessionTx) {
			equal(t, "recover", get(tx.RecoverSession(ctx, changed))(t), did)
			equal(t, "move", get(tx.MoveSession(ctx, changed))(t), did)
			equal(t, "rotate in a transaction", get(tx.RotateSession(ctx, 2, rotated(changed, now)))(t), did)
			get(tx.LockUser(ctx, "ann"))(t)
			equal(t, "end the oldest", len(get(tx.EndOldest(ctx, "ann", 1, now, authz.EndMaximum))(t)) > 0, did)
			get(tx.EndSession(ctx, "s", now, authz.EndRevoked))(t)
			equal(t, "end all", len(get(tx.EndSessions(ctx, "ann", "", now, authz.EndRevoked))(t)) > 0, did)
		})
		other.write(t, func(tx store.Tx) { get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserDeleted))(t) })
		if !did {
			other.signIn(t, row, newSession("s2", "ann"))
		}
	}
	for _, id := range []string{"s", "s2"} {
		record := f.session(t, id)
		deepEqual(t, "session "+id, record.Row, newSession(id, "ann"))
		equal(t, "owner of "+id, record.Owner, session.User{})
	}
}
