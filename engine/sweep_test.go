package engine_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

func TestSweepEndsExpiredSessionsOnceAndDeletesThemADayLater(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := newMoved()
		config := clock.on(engine.Config{Database: database, AutoMigrate: true})
		engines := []*engine.Engine{openEngine(t, config), openEngine(t, config)}
		tenant := engines[0].Tenant("tenant")
		const expiring = 600 // more than one batch
		var last authz.IssuedSession
		for range expiring {
			last = signIn(t, tenant, "alice")
		}
		ended := signIn(t, tenant, "alice")
		if _, err := tenant.EndSession(t.Context(), ended.Session.ID); err != nil {
			t.Fatal(err)
		}
		sweep := func() {
			t.Helper()
			var sweeping sync.WaitGroup
			for _, e := range engines {
				sweeping.Go(func() {
					if err := e.Sweep(t.Context()); err != nil {
						t.Errorf("sweep: %v", err)
					}
				})
			}
			sweeping.Wait()
		}
		clock.Advance(11 * time.Hour)
		used := rotate(t, tenant, from(home, signIn(t, tenant, "bob").Token))
		clock.Advance(time.Hour + time.Minute)
		sweep()
		got, err := tenant.Session(t.Context(), last.Session.ID)
		if err != nil || got.EndReason != authz.EndExpired || !got.EndedAt.Equal(got.IdleExpiresAt) {
			t.Errorf("got %+v, %v, want it expired", got, err)
		}
		told := events(t, tenant, audit.SessionExpired)
		if len(told) != expiring || told[0].Actor != audit.System || told[0].User != "alice" || told[0].Outcome != audit.Success {
			t.Errorf("got %d events such as %+v, want %d by the system, of alice", len(told), told[:min(1, len(told))], expiring)
		}
		used = rotate(t, tenant, from(home, used.Token))

		clock.Advance(23 * time.Hour)
		sweep()
		if _, err := tenant.Session(t.Context(), last.Session.ID); err != nil {
			t.Errorf("within a day: got error %v, want the session", err)
		}
		clock.Advance(time.Hour)
		sweep()
		for _, id := range []string{last.Session.ID, ended.Session.ID} {
			if got, err := tenant.Session(t.Context(), id); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("a day later: got %+v, error %v, want ErrNotFound", got, err)
			}
		}
		for _, token := range []string{last.Token, ended.Token, used.Token} {
			refused(t, tenant, from(home, token), authz.ErrSessionEnded)
		}
		if got, want := len(events(t, tenant, audit.SessionExpired)), expiring+1; got != want {
			t.Errorf("got %d events, want %d", got, want)
		}
	})
}

func TestWithoutAuditSessionsLeaveNoEvents(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := newMoved()
		e := openEngine(t, clock.on(engine.Config{Database: database, AutoMigrate: true, DisableAudit: true}))
		tenant := e.Tenant("tenant")
		issued := signIn(t, tenant, "alice")
		rotate(t, tenant, from(cafe, issued.Token))
		clock.Advance(13 * time.Hour)
		if err := e.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := tenant.EndSessions(t.Context(), "alice", ""); err != nil {
			t.Fatal(err)
		}
		got, err := tenant.Session(t.Context(), issued.Session.ID)
		if err != nil || got.EndReason != authz.EndExpired {
			t.Errorf("got %+v, %v, want it expired", got, err)
		}
		if got := events(t, tenant, ""); len(got) != 0 {
			t.Errorf("got events %+v, want none", got)
		}
	})
}
