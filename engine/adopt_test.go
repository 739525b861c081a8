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
)

func TestAdoptedKeyAndMembershipAreKeptOnce(t *testing.T) {
	t.Parallel()
	e, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if _, _, err := e.AdoptClientKey(t.Context(), uuid.Nil.String()); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("the nil UUID: got %v, want %v", err, engine.ErrInvalid)
	}
	key := uuid.NewString()
	tenant, adopted, err := e.AdoptClientKey(t.Context(), key)
	if err != nil || !adopted {
		t.Fatalf("got %t and %v, want a new key", adopted, err)
	}
	if again, adopted, err := e.AdoptClientKey(t.Context(), strings.ToUpper(key)); err != nil || adopted || again.ID() != tenant.ID() {
		t.Errorf("again: got %v, %t and %v, want the same tenant and no new key", again, adopted, err)
	}
	if _, err := tenant.AdoptMembership(t.Context(), "alice", "editor"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a role that is not there: got %v, want %v", err, engine.ErrNotFound)
	}
	if _, err := tenant.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	past := authz.Window{ExpiresAt: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := tenant.AddMembership(t.Context(), "bob", "editor", past); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]bool{"alice": true, "bob": false} {
		if written, err := tenant.AdoptMembership(t.Context(), user, "editor"); err != nil || written.Changed != want {
			t.Errorf("%s: got %+v and %v, want changed to be %t", user, written, err, want)
		}
		if got, err := tenant.HasMembership(t.Context(), user, "editor"); err != nil || got.Allowed != want {
			t.Errorf("%s is a member: got %t and %v, want %t", user, got.Allowed, err, want)
		}
	}
	events, err := tenant.AuditEvents(t.Context(), engine.AuditFilter{User: "alice"}, authz.Page{})
	if err != nil || len(events.Items) != 1 {
		t.Errorf("got %+v and %v, want one event about alice", events.Items, err)
	}
}
