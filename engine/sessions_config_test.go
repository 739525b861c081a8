package engine_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

func TestSettingsOfSessionsThatDoNotGoTogether(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]engine.Config{
		"idle beyond absolute":   {Sessions: engine.SessionConfig{Absolute: time.Hour}},
		"no idle to speak of":    {Sessions: engine.SessionConfig{Idle: time.Millisecond}},
		"negative idle":          {Sessions: engine.SessionConfig{Idle: -time.Hour}},
		"overlap up to idle":     {Sessions: engine.SessionConfig{Idle: time.Hour, Overlap: time.Hour}},
		"lost window up to idle": {Sessions: engine.SessionConfig{Idle: time.Hour, LostWindow: time.Hour}},
		"rotation up to idle":    {Sessions: engine.SessionConfig{Idle: time.Hour, RotateAfter: time.Hour}},
		"negative rotation":      {Sessions: engine.SessionConfig{RotateAfter: -time.Second}},
		"negative maximum":       {Sessions: engine.SessionConfig{MaxPerUser: -1}},
		"unknown binding":        {Sessions: engine.SessionConfig{Binding: "loose"}},
		"unknown algorithm":      {TokenAlgorithm: "none"},
		"short secret":           {TokenSecret: []byte(strings.Repeat("s", 31))},
		"secret that cannot be":  {TokenSecret: []byte(strings.Repeat("s", 32)), TokenAlgorithm: "ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config.Database = filepath.Join(t.TempDir(), "gatehouse.sqlite3")
			e, err := engine.Open(t.Context(), config)
			if err == nil {
				_ = e.Close()
			}
			if !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("got error %v, want ErrInvalid", err)
			}
		})
	}
}

func TestASessionKeepsTheTenantThatItsKeyOpens(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		e := openEngine(t, engine.Config{Database: database, AutoMigrate: true, OpenRegistration: true})
		key := uuid.NewString()
		for i := range 2 {
			caller, err := e.Authenticate(t.Context(), key, engine.Actor{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := caller.Tenant.CreateSession(t.Context(), authz.NewSession{User: "alice", IP: "nowhere"}); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("got error %v, want ErrInvalid", err)
			}
			if keys, err := e.ClientKeys(t.Context()); err != nil || len(keys) != i {
				t.Errorf("got keys %+v, %v, want %d", keys, err, i)
			}
			signIn(t, caller.Tenant, "alice")
			if keys, err := e.ClientKeys(t.Context()); err != nil || len(keys) != 1 || keys[0].Tenant != caller.Tenant.ID() {
				t.Errorf("got keys %+v, %v, want that of the tenant", keys, err)
			}
			if got := len(events(t, caller.Tenant, audit.ClientKeyCreated)); got != 1 {
				t.Errorf("got %d events of a new key, want 1", got)
			}
		}
	})
}

func TestABatchHoldsNoSessions(t *testing.T) {
	t.Parallel()
	tenant := nodes(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})[0]
	issued := signIn(t, tenant, "alice")
	_, err := tenant.Batch(t.Context(), func(x *engine.Tenant) error {
		ctx, presented := t.Context(), from(home, issued.Token)
		for what, do := range map[string]func() error{
			"create":  func() error { _, err := x.CreateSession(ctx, authz.NewSession{User: "a", IP: home}); return err },
			"rotate":  func() error { _, err := x.RotateSession(ctx, presented); return err },
			"verify":  func() error { _, err := x.VerifySession(ctx, presented); return err },
			"read":    func() error { _, err := x.Session(ctx, issued.Session.ID); return err },
			"list":    func() error { _, err := x.Sessions(ctx, "", false, authz.Page{}); return err },
			"end":     func() error { _, err := x.EndSession(ctx, issued.Session.ID); return err },
			"end all": func() error { _, err := x.EndSessions(ctx, "alice", ""); return err },
		} {
			if err := do(); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%s: got error %v, want ErrInvalid", what, err)
			}
		}
		// What ends them with their user it does hold.
		_, err := x.DeleteUser(ctx, "alice")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, tenant, from(home, issued.Token), authz.ErrSessionEnded)
}

func TestATokenLeadsToItsTenant(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})
	issued := signIn(t, e.Tenant("tenant"), "alice")
	got, err := e.TenantOfSession(t.Context(), issued.Token)
	if err != nil || got.ID() != "tenant" {
		t.Fatalf("got %v, %v, want the tenant", got, err)
	}
	rotate(t, got, from(home, issued.Token))
}

func TestANameThatIsTooLongForATokenIsRefused(t *testing.T) {
	t.Parallel()
	tenant := nodes(t, engine.Config{
		Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), Issuer: "https://" + strings.Repeat("i", 1200),
	})[0]
	rotate(t, tenant, from(home, signIn(t, tenant, "alice").Token))
	user := strings.Repeat("u", 256)
	_, err := tenant.CreateSession(t.Context(), authz.NewSession{User: user, IP: home, UserAgent: browser})
	if !errors.Is(err, engine.ErrInvalid) || !strings.HasPrefix(err.Error(), "user: ") {
		t.Errorf("got error %v, want ErrInvalid of the user", err)
	}
	if got := live(t, tenant, user); len(got) != 0 {
		t.Errorf("live sessions: got %v, want none", got)
	}
}
