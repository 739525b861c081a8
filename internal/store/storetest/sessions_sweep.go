package storetest

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

// alone gives a store to a case that touches every tenant's.
func (f fixture) alone(t *testing.T) fixture {
	f.Store = f.open(t)
	return f
}

// expiredEvent is the event of a session that has expired.
func expiredEvent(row session.Row) audit.Event {
	return audit.Event{Time: row.EndedAt, Action: "EXPIRED", Resource: row.ID, User: row.User, Outcome: string(row.EndReason)}
}

// expiredIDs lists the sessions that there are events of.
func (f fixture) expiredIDs(t *testing.T) []string {
	t.Helper()
	events := get(f.reader().AuditEvents(t.Context(), audit.Filter{}, "", 10000))(t)
	return each(events, func(event audit.Event) string { return event.Resource })
}

// wantExpired and wantDeleted want a sweep of up to limit sessions to find so many. A
// sweep leaves those that are held just then, by a change of keys perhaps, to the next.
func (f fixture) wantExpired(t *testing.T, before time.Time, limit, want int) {
	t.Helper()
	wantSwept(t, "expired", limit, want, func(limit int) (int, error) {
		return f.ExpireSessions(t.Context(), before, limit, expiredEvent)
	})
}

func (f fixture) wantDeleted(t *testing.T, before time.Time, limit, want int) {
	t.Helper()
	wantSwept(t, "deleted", limit, want, func(limit int) (int, error) {
		return f.DeleteSessions(t.Context(), before, limit)
	})
}

// maxSweeps bounds how often those that are held are come back to.
const maxSweeps = 1000

func wantSwept(t *testing.T, what string, limit, want int, sweep func(limit int) (int, error)) {
	t.Helper()
	total := get(sweep(limit))(t)
	for range maxSweeps {
		if total >= want {
			break
		}
		total += get(sweep(limit - total))(t)
	}
	equal(t, what, total, want)
}

func testExpireSessions(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	other := f
	other.tenant += "-other"
	expired := newSession("expired", "ann")
	expired.IdleExpiresAt = now.Add(-time.Microsecond)
	used := newSession("used since", "ann")
	used.IdleExpiresAt = now.Add(-time.Hour)
	limit, ended := newSession("at its limit", "ann"), newSession("ended", "ann")
	limit.IdleExpiresAt, ended.IdleExpiresAt = now, now.Add(-time.Hour)
	f.signIn(t, expired, used, limit, ended, newSession("live", "ann"))
	other.signIn(t, expired)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "ended", now, authz.EndRevoked))(t) })
	used = rotated(used, now)
	equal(t, "use", get(f.RotateSession(ctx, f.tenant, 1, used))(t), true)

	f.wantExpired(t, now, 10, 2)
	equal(t, "expired again", get(f.ExpireSessions(ctx, now, 10, expiredEvent))(t), 0)
	want := expired
	want.EndedAt, want.EndReason = expired.IdleExpiresAt, authz.EndExpired
	for _, f := range []fixture{f, other} {
		deepEqual(t, "expired", f.session(t, "expired").Row, want)
		events := get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)
		if len(events) != 1 {
			t.Fatalf("got events %+v, want one", events)
		}
		events[0].ID = ""
		deepEqual(t, "event", events[0], expiredEvent(want))
	}
	equal(t, "the reason of one that had ended", f.session(t, "ended").EndReason, authz.EndRevoked)
	equalList(t, "live", f.liveSessions(t, ""), []string{"live", "used since"})
	deepEqual(t, "used since", f.session(t, "used since").Row, used)

	// A session that was put off is found at its expiry.
	f.wantExpired(t, used.IdleExpiresAt.Add(time.Microsecond), 10, 3)
	equalList(t, "live later", f.liveSessions(t, ""), nil)
	equal(t, "revision", f.revision(t), 0)
}

// testExpireSome wants as many as were asked for, however many come up that are not
// to be ended.
func testExpireSome(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	for i := range 20 {
		row := newSession(fmt.Sprintf("s%02d", i), "ann")
		row.IdleExpiresAt = now.Add(time.Duration(i-100) * time.Second)
		f.signIn(t, row)
		if i%4 < 3 && i < 16 {
			get(f.RotateSession(ctx, f.tenant, 1, rotated(row, now)))(t)
		}
	}
	for _, want := range []int{3, 3, 2, 0} {
		f.wantExpired(t, now, 3, want)
	}
	equal(t, "events", len(f.expiredIDs(t)), 8)
	equal(t, "live", len(f.liveSessions(t, "")), 12)
	for _, limit := range []int{0, -1} {
		equal(t, "none", get(f.ExpireSessions(ctx, now.Add(sessionAbsolute), limit, expiredEvent))(t), 0)
	}
}

func testExpireRollback(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	f.signIn(t, newSession("s", "ann"))
	later := now.Add(sessionAbsolute)
	_, err := f.ExpireSessions(ctx, later, 10, func(session.Row) audit.Event {
		return audit.Event{Time: now, Details: map[string]any{"channel": make(chan int)}}
	})
	if err == nil {
		t.Error("an event that cannot be written: got no error, want one")
	}
	deepEqual(t, "session", f.session(t, "s").Row, newSession("s", "ann"))
	f.wantExpired(t, later, 10, 1)
	f.signIn(t, newSession("s2", "ann"))
	equal(t, "expired without an event", get(f.ExpireSessions(ctx, later, 10, nil))(t), 1)
	equalList(t, "events", f.expiredIDs(t), []string{"s"})
}

func testDeleteSessions(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	for i := range 5 {
		row := newSession("old "+strconv.Itoa(i), "ann")
		row.IdleExpiresAt = now.Add(-time.Hour)
		f.signIn(t, row)
	}
	f.signIn(t, newSession("ended", "ann"), newSession("live", "ann"))
	used := rotated(newSession("ended", "ann"), now.Add(sessionIdle/2))
	equal(t, "use", get(f.RotateSession(ctx, f.tenant, 1, used))(t), true)
	f.update(t, func(tx store.SessionTx) { get(tx.EndSession(ctx, "ended", now, authz.EndRevoked))(t) })
	equal(t, "before they are ended", get(f.DeleteSessions(ctx, now, 10))(t), 0)
	f.wantExpired(t, now, 10, 5)
	equal(t, "at their limit", get(f.DeleteSessions(ctx, now.Add(-time.Hour), 10))(t), 0)
	for _, want := range []int{2, 2, 1, 0} {
		f.wantDeleted(t, now, 2, want)
	}
	all := store.SessionQuery{WithEnded: true}
	equalList(t, "left", ids(get(f.SessionList(ctx, f.tenant, all, "", 10))(t)), []string{"ended", "live"})
	for _, limit := range []int{0, -1} {
		equal(t, "none", get(f.DeleteSessions(ctx, now.Add(2*sessionAbsolute), limit))(t), 0)
	}
	// One that was ended early stays as long as its token might be shown.
	equal(t, "deleted at its limit", get(f.DeleteSessions(ctx, used.IdleExpiresAt, 10))(t), 0)
	f.wantDeleted(t, now.Add(2*sessionAbsolute), 10, 1)
	equal(t, "events", len(f.expiredIDs(t)), 5)
}

// testParallelSweeps has each session expire once, and be deleted once.
func testParallelSweeps(t *testing.T, f fixture) {
	ctx := t.Context()
	f = f.alone(t)
	const sessions = 60
	for i := range sessions {
		f.signIn(t, newSession(fmt.Sprint("s", i), "ann"))
	}
	later := now.Add(sessionAbsolute)
	until := func(sweep func() (int, error)) int {
		var total atomic.Int64
		together(4, func(int) {
			for total.Load() < sessions {
				n, err := sweep()
				if err != nil {
					t.Errorf("sweep: %v", err)
					return
				}
				total.Add(int64(n))
			}
		})
		return int(total.Load())
	}
	equal(t, "expired", until(func() (int, error) { return f.ExpireSessions(ctx, later, 7, expiredEvent) }), sessions)
	seen := map[string]bool{}
	for _, id := range f.expiredIDs(t) {
		equal(t, "a second event of "+id, seen[id], false)
		seen[id] = true
	}
	equal(t, "sessions with an event", len(seen), sessions)
	equal(t, "deleted", until(func() (int, error) { return f.DeleteSessions(ctx, later, 7) }), sessions)
}
