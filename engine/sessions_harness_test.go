package engine_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

const (
	browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
	// home and cafe are where the owner of a session and its thief are.
	home = "192.0.2.1"
	cafe = "198.51.100.7"
)

// onEachDatabase runs a test on an empty SQLite file and an empty PostgreSQL database.
func onEachDatabase(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "gatehouse.sqlite3"))
	})
	t.Run("postgresql", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.URL(t))
	})
}

// nodes are servers on one database, each with its own view of one tenant.
func nodes(t *testing.T, configs ...engine.Config) []*engine.Tenant {
	t.Helper()
	var tenants []*engine.Tenant
	for _, config := range configs {
		config.AutoMigrate = true
		tenants = append(tenants, openEngine(t, config).Tenant("tenant"))
	}
	return tenants
}

// moved is a clock for sessions that starts at the database's time, or this machine's,
// and is moved by hand beyond that.
type moved struct{ *contract.Clock }

func newMoved() moved { return moved{contract.NewClock(time.Time{})} }

// on has an engine's sessions live by the clock.
func (m moved) on(config engine.Config) engine.Config {
	return config.WithSessionTime(func(now time.Time) time.Time { return now.Add(m.Now().Sub(time.Time{})) })
}

func from(ip, token string) authz.PresentedSession {
	return authz.PresentedSession{Token: token, IP: ip, UserAgent: browser}
}

func signIn(t *testing.T, tenant *engine.Tenant, user string) authz.IssuedSession {
	t.Helper()
	issued, err := tenant.CreateSession(t.Context(), authz.NewSession{User: user, IP: home, UserAgent: browser})
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	return issued
}

// rotate presents a token that must be taken.
func rotate(t *testing.T, tenant *engine.Tenant, presented authz.PresentedSession) authz.RotatedSession {
	t.Helper()
	rotated, err := tenant.RotateSession(t.Context(), presented)
	if err != nil {
		t.Fatalf("rotate: %v", err)
	}
	return rotated
}

// refused presents a token that must not be taken.
func refused(t *testing.T, tenant *engine.Tenant, presented authz.PresentedSession, want authz.SessionRefusal) {
	t.Helper()
	got, err := tenant.RotateSession(t.Context(), presented)
	if !errors.Is(err, want) || !errors.Is(err, engine.ErrUnauthenticated) {
		t.Errorf("rotate: got %+v, error %v; want %q", got, err, want)
	}
}

// live lists the ids of a user's sessions that are not over.
func live(t *testing.T, tenant *engine.Tenant, user string) []string {
	t.Helper()
	var ids []string
	for session, err := range authz.All(func(page authz.Page) (authz.List[authz.Session], error) {
		return tenant.Sessions(t.Context(), user, false, page)
	}) {
		if err != nil {
			t.Fatalf("list the sessions: %v", err)
		}
		ids = append(ids, session.ID)
	}
	return ids
}

// events lists what the audit log tells by an action.
func events(t *testing.T, tenant *engine.Tenant, action string) []engine.AuditEvent {
	t.Helper()
	list, err := tenant.AuditEvents(t.Context(), engine.AuditFilter{Action: action}, authz.Page{})
	if err != nil {
		t.Fatalf("list the audit log: %v", err)
	}
	return list.Items
}
