package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// TestTheftIsFound has an owner and a thief who both hold the current token, and then
// nobody uses the session for a day. Whoever is second is noticed, on whichever server.
func TestTheftIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ first, second string }{
		"thief first": {cafe, home},
		"owner first": {home, cafe},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachDatabase(t, func(t *testing.T, database string) {
				clock := newMoved()
				config := clock.on(engine.Config{Database: database, Sessions: engine.SessionConfig{Idle: 48 * time.Hour}})
				tenants := nodes(t, config, config)
				issued := signIn(t, tenants[0], "alice")
				stolen := rotate(t, tenants[0], from(home, issued.Token)).Token
				clock.Advance(24 * time.Hour)
				successor := rotate(t, tenants[1], from(test.first, stolen))
				clock.Advance(24 * time.Hour)

				// Both servers are shown it, many times, at once.
				var ended atomic.Int64
				atOnce(func(member int) {
					_, err := tenants[member%2].RotateSession(t.Context(), from(test.second, stolen))
					switch {
					case errors.Is(err, authz.ErrTokenReused):
						ended.Add(1)
					case !errors.Is(err, authz.ErrSessionEnded):
						t.Errorf("got error %v, want that the session has ended", err)
					}
				})
				if ended.Load() == 0 {
					t.Error("nobody was told of the theft")
				}
				for _, tenant := range tenants {
					refused(t, tenant, from(test.first, successor.Token), authz.ErrSessionEnded)
					refused(t, tenant, from(test.second, stolen), authz.ErrSessionEnded)
				}
				told := events(t, tenants[0], audit.SessionTokenReused)
				if len(told) != 1 {
					t.Fatalf("got %d events, want 1: %+v", len(told), told)
				}
				for detail, want := range map[string]any{
					"presented_generation": 2.0, "generation": 3.0, "presented_ip": test.second, "session_ip": test.first,
					"presented_user_agent": browser, "session_user_agent": browser,
					"last_seen_at": successor.Session.LastSeenAt.Format(time.RFC3339Nano),
				} {
					if got := told[0].Details[detail]; got != want {
						t.Errorf("detail %s: got %v, want %v", detail, got, want)
					}
				}
				if got, want := told[0].Resource, "session/"+issued.Session.ID; got != want {
					t.Errorf("resource: got %q, want %q", got, want)
				}
			})
		})
	}
}

// TestServersWhoseClocksDifferAgree has one server's clock a minute ahead of the
// database's and another's a minute behind.
func TestServersWhoseClocksDifferAgree(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	skewed := func(by time.Duration) engine.Config {
		return engine.Config{Database: database, Now: func() time.Time { return time.Now().Add(by) }}
	}
	tenants := nodes(t, skewed(time.Minute), skewed(-time.Minute))
	for i := range tenants {
		ahead, behind := tenants[i], tenants[1-i]
		issued := signIn(t, ahead, "alice")
		if got := time.Since(issued.Session.CreatedAt).Abs(); got > time.Minute/2 {
			t.Errorf("made %s from now, want the database's time", got)
		}
		second := rotate(t, behind, from(home, issued.Token))
		third := rotate(t, ahead, from(home, second.Token))
		if !third.Session.LastSeenAt.After(second.Session.LastSeenAt) {
			t.Errorf("got times %s and then %s, want them in order", second.Session.LastSeenAt, third.Session.LastSeenAt)
		}
		for _, tenant := range tenants {
			for _, token := range []string{issued.Token, second.Token} {
				got := rotate(t, tenant, from(home, token))
				if got.Outcome != authz.SessionReplayed || got.Session.Generation != 3 {
					t.Errorf("a token that has just been superseded: got %+v, want generation 3 replayed", got)
				}
			}
		}
		rotate(t, behind, from(home, third.Token))
	}
}

func TestTokensOutliveARestart(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			onEachDatabase(t, func(t *testing.T, database string) {
				config := engine.Config{Database: database, AutoMigrate: true, TokenAlgorithm: algorithm}
				e, err := engine.Open(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				issued := signIn(t, e.Tenant("tenant"), "alice")
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				got := rotate(t, nodes(t, config)[0], from(home, issued.Token))
				if got.Outcome != authz.SessionRotated || got.Session.Generation != 2 {
					t.Errorf("got %+v, want generation 2", got)
				}
			})
		})
	}
}

// TestARestoredDatabaseEndsSessionsThatAreAheadOfIt rotates a session beyond what a
// copy of the database knows of it.
func TestARestoredDatabaseEndsSessionsThatAreAheadOfIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, copied := filepath.Join(dir, "gatehouse.sqlite3"), filepath.Join(dir, "copy")
	var current authz.PresentedSession
	use := func(do func(tenant *engine.Tenant)) {
		t.Helper()
		e, err := engine.Open(t.Context(), engine.Config{Database: file})
		if err != nil {
			t.Fatal(err)
		}
		do(e.Tenant("tenant"))
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	use(func(tenant *engine.Tenant) { current = from(home, signIn(t, tenant, "alice").Token) })
	copyFile(t, file, copied)
	use(func(tenant *engine.Tenant) {
		for range 2 {
			current.Token = rotate(t, tenant, current).Token
		}
	})
	for _, rest := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + rest); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	copyFile(t, copied, file)
	use(func(tenant *engine.Tenant) {
		for range 2 {
			refused(t, tenant, current, authz.ErrSessionEnded)
		}
		told := events(t, tenant, audit.SessionGenerationAhead)
		if len(told) != 1 || told[0].Details["presented_generation"] != 3.0 || told[0].Details["generation"] != 1.0 {
			t.Errorf("got events %+v, want one, of generation 3 where 1 is the latest", told)
		}
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
