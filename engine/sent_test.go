package engine_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// TestNumbersThatFloatsCannotTellApartAreRefused puts them wherever properties go.
func TestNumbersThatFloatsCannotTellApartAreRefused(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.Config{Database: t.TempDir() + "/gatehouse.sqlite3"})
	tenant, ctx := e.Tenant("t"), t.Context()
	large := map[string]any{"ids": []any{1.0, float64(1 << 53)}}
	post := authz.Node{Type: "post", ID: "1"}
	ask := func(request authz.Request) error {
		request.User, request.Permission = "alice", "read"
		_, err := tenant.Check(ctx, request)
		return err
	}
	_, user := tenant.PutUser(ctx, authz.User{Name: "alice", Properties: large})
	_, resource := tenant.PutResource(ctx, authz.Resource{Node: post, Properties: large})
	_, search := tenant.Subjects(ctx, authz.Request{Permission: "read", Context: large}, authz.Page{})
	for field, err := range map[string]error{
		"properties.ids.1: ":          user,
		"properties.ids.1: must":      resource,
		"context.ids.1: ":             ask(authz.Request{Context: large}),
		"context.ids.1: must":         search,
		"user_properties.ids.1: ":     ask(authz.Request{UserProperties: large}),
		"action_properties.ids.1: ":   ask(authz.Request{ActionProperties: large}),
		"resource.properties.ids.1: ": ask(authz.Request{Resource: &authz.RequestedResource{Node: post, Properties: large}}),
	} {
		if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want it refused", field, err)
		}
	}
}

func TestBoundThatWouldBecomeNoneIsRefused(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.Config{Database: t.TempDir() + "/gatehouse.sqlite3"})
	tenant, ctx := e.Tenant("t"), t.Context()
	if _, err := tenant.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	nearlyZero := time.Time{}.Add(100 * time.Nanosecond)
	for field, window := range map[string]authz.Window{"expires_at": {ExpiresAt: nearlyZero}, "not_before": {NotBefore: nearlyZero}} {
		_, err := tenant.PutMembership(ctx, authz.Membership{Subject: authz.SubjectRef{Type: authz.UserType, Name: "alice"}, Role: "editor", Node: authz.Root, Window: window})
		if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want it refused", field, err)
		}
	}
}
