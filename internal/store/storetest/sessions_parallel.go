package storetest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
)

// testParallelRotation wants one of many rotations of a generation to win, by
// themselves and in transactions.
func testParallelRotation(t *testing.T, f fixture) {
	ctx := t.Context()
	row := newSession("s", "ann")
	f.signIn(t, row)
	for generation := int64(1); generation <= 4; generation++ {
		var won atomic.Int64
		var winner atomic.Value
		together(50, func(i int) {
			mine := rotated(row, now)
			mine.IP = fmt.Sprint("192.0.2.", i)
			var did bool
			var err error
			if generation%2 == 0 {
				err = f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) (err error) {
					did, err = tx.RotateSession(ctx, generation, mine)
					return err
				})
			} else {
				did, err = f.RotateSession(ctx, f.tenant, generation, mine)
			}
			if err != nil {
				t.Errorf("rotate: %v", err)
			}
			if did {
				won.Add(1)
				winner.Store(mine)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("generation %d: got %d rotations, want 1", generation, won.Load())
		}
		row = winner.Load().(session.Row)
		deepEqual(t, "session", f.session(t, "s").Row, row)
	}
}

// testEndWhileRotating ends a session that is rotated all the time: the end stands.
func testEndWhileRotating(t *testing.T, f fixture) {
	ctx := t.Context()
	for name, end := range map[string]func() error{
		"EndSession": func() error {
			return f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
				_, err := tx.EndSession(ctx, "EndSession", now, authz.EndRevoked)
				return err
			})
		},
		"EndSessions": func() error {
			return f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
				_, err := tx.EndSessions(ctx, "EndSessions", "", now, authz.EndRevoked)
				return err
			})
		},
		"EndOldest": func() error {
			return f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
				if _, err := tx.LockUser(ctx, "EndOldest"); err != nil {
					return err
				}
				_, err := tx.EndOldest(ctx, "EndOldest", 0, now, authz.EndRevoked)
				return err
			})
		},
		"EndUserSessions": func() error {
			_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
				if _, err := tx.EndUserSessions(ctx, "EndUserSessions", now, authz.EndRevoked); err != nil {
					return err
				}
				return tx.AppendChange(ctx, store.KindUser, "EndUserSessions")
			})
			return err
		},
	} {
		// Each has a session and a user of its own name.
		f.signIn(t, newSession(name, name))
		rotating := make(chan struct{})
		together(3, func(i int) {
			if i == 0 {
				<-rotating
				if err := end(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			for first := i == 1; ; first = false {
				record, _, err := f.Session(ctx, f.tenant, name)
				if err != nil {
					t.Errorf("read: %v", err)
					return
				}
				if !record.EndedAt.IsZero() {
					return
				}
				next := rotated(record.Row, now)
				next.Recent = nil
				if _, err := f.RotateSession(ctx, f.tenant, record.Generation, next); err != nil {
					t.Errorf("rotate: %v", err)
					return
				}
				if first {
					close(rotating)
				}
			}
		})
		record := f.session(t, name)
		equal(t, name+": ended", record.EndedAt, now)
		equal(t, name+": rotate after the end", get(f.RotateSession(ctx, f.tenant, record.Generation, rotated(record.Row, now)))(t), false)
	}
}

// testParallelEnds ends a session many times at once: one of them does, and its
// event is the only one.
func testParallelEnds(t *testing.T, f fixture) {
	ctx := t.Context()
	f.signIn(t, newSession("s", "ann"))
	together(8, func(i int) {
		err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
			did, err := tx.EndSession(ctx, "s", now, authz.EndTokenReused)
			if err != nil || !did {
				return err
			}
			return tx.AppendEvent(ctx, audit.Event{Time: now, RequestID: fmt.Sprint(i)})
		})
		if err != nil {
			t.Errorf("end: %v", err)
		}
	})
	equal(t, "events", len(get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)), 1)
}

// testParallelMaximum has a user sign in many times at once, with a maximum.
func testParallelMaximum(t *testing.T, f fixture) {
	ctx := t.Context()
	const signIns, keep = 24, 3
	var ended atomic.Int64
	together(signIns, func(i int) {
		row := newSession(fmt.Sprintf("s%02d", i), "ann")
		row.CreatedAt = now.Add(time.Duration(i) * time.Second)
		var gone []session.Row
		err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) (err error) {
			if _, err = tx.LockUser(ctx, "ann"); err != nil {
				return err
			}
			if gone, err = tx.EndOldest(ctx, "ann", keep-1, now, authz.EndMaximum); err != nil {
				return err
			}
			return tx.CreateSession(ctx, row)
		})
		if err != nil {
			t.Errorf("sign in: %v", err)
		}
		ended.Add(int64(len(gone)))
	})
	equal(t, "live", len(f.liveSessions(t, "ann")), keep)
	equal(t, "ended", ended.Load(), signIns-keep)
}

// testEndSessionsWaits ends a user's sessions while one is being created: that one too.
func testEndSessionsWaits(t *testing.T, f fixture) {
	ctx := t.Context()
	begun, ended := make(chan struct{}), make(chan error, 1)
	f.update(t, func(tx store.SessionTx) {
		get(tx.LockUser(ctx, "ann"))(t)
		must(t, tx.CreateSession(ctx, newSession("s0", "ann")))
		go func() {
			close(begun)
			ended <- f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) error {
				_, err := tx.EndSessions(ctx, "ann", "", now, authz.EndRevoked)
				return err
			})
		}()
		<-begun
		for i := range 50 {
			must(t, tx.CreateSession(ctx, newSession(fmt.Sprint("s", i+1), "ann")))
		}
	})
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
	equalList(t, "live", f.liveSessions(t, "ann"), nil)
}

// testSignInAndDeactivation has a user sign in while an administrator makes the user
// inactive. Whoever comes second sees what the first did.
func testSignInAndDeactivation(t *testing.T, f fixture) {
	ctx := t.Context()
	for round := range 25 {
		// In every other round no session was there before, nor anything else of the user.
		name := fmt.Sprint("user", round)
		if round%2 == 0 {
			f.signIn(t, newSession(name+" before", name))
		}
		deactivated := make(chan struct{})
		together(5, func(i int) {
			if i == 0 {
				defer close(deactivated)
				_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
					if _, err := tx.SetUser(ctx, authz.User{Name: name, Inactive: true}); err != nil {
						return err
					}
					if _, err := tx.EndUserSessions(ctx, name, now, authz.EndUserInactive); err != nil {
						return err
					}
					return tx.AppendChange(ctx, store.KindUser, name)
				})
				if err != nil {
					t.Errorf("deactivate: %v", err)
				}
				return
			}
			for j, after := 0, false; !after; j++ {
				select {
				case <-deactivated:
					after = true
				default:
				}
				row := newSession(fmt.Sprintf("%s %d %d", name, i, j), name)
				var user session.User
				err := f.UpdateSessions(ctx, f.tenant, func(tx store.SessionTx) (err error) {
					if user, err = tx.LockUser(ctx, name); err != nil || user.Inactive {
						return err
					}
					row.Epoch = user.Epoch
					return tx.CreateSession(ctx, row)
				})
				if err != nil {
					t.Errorf("sign in: %v", err)
				}
				if after && !user.Inactive {
					t.Errorf("a sign-in after the deactivation saw an active user")
				}
			}
		})
		equalList(t, "live after the deactivation", f.liveSessions(t, name), nil)
		for _, row := range get(f.SessionList(ctx, f.tenant, store.SessionQuery{User: name, WithEnded: true}, "", 10000))(t) {
			if row.Epoch != 0 || row.EndReason != authz.EndUserInactive {
				t.Errorf("got %+v, want a session of the first epoch that the deactivation ended", row)
			}
		}
	}
}
