package engine_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// onBoth runs a test on an empty tenant of each database.
func onBoth(t *testing.T, test func(*testing.T, *engine.Engine, *engine.Tenant)) {
	t.Helper()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "gatehouse.sqlite3") },
		"postgresql": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := engine.Open(t.Context(), engine.Config{Database: database(t), AutoMigrate: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			test(t, e, e.Tenant(uuid.NewString()))
		})
	}
}

// newsroom makes a role with a grant and a member.
func newsroom(ctx context.Context, t *engine.Tenant) error {
	_, role := t.AddRole(ctx, "editor", authz.RoleOptions{})
	_, grant := t.AddPermission(ctx, "editor", "edit")
	_, membership := t.AddMembership(ctx, "alice", "editor", authz.Window{})
	return errors.Join(role, grant, membership)
}

func TestBatchIsOneRevision(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		// What was asked before must not be answered from memory after.
		if d, err := tenant.UserHasPermission(ctx, "alice", "edit"); err != nil || d.Allowed {
			t.Fatalf("before: got %v %v, want a denial", d, err)
		}
		written, err := tenant.Batch(ctx, func(within *engine.Tenant) error { return newsroom(ctx, within) })
		if err != nil || !written.Changed || written.Revision != 1 {
			t.Fatalf("got %+v %v, want a change at revision 1", written, err)
		}
		if d, err := tenant.UserHasPermission(ctx, "alice", "edit"); err != nil || !d.Allowed || d.Revision != 1 {
			t.Errorf("after: got %+v %v, want an allowance at revision 1", d, err)
		}
		changes, err := tenant.Changes(ctx, 0, authz.Page{})
		if err != nil || len(changes.Items) != 3 {
			t.Errorf("changes: got %v %v, want 3", changes.Items, err)
		}
		events, err := tenant.AuditEvents(ctx, engine.AuditFilter{}, authz.Page{})
		if err != nil || len(events.Items) != 3 {
			t.Fatalf("events: got %v %v, want 3", events.Items, err)
		}
		for _, event := range events.Items {
			if event.Revision != 1 {
				t.Errorf("event %s: got revision %d, want 1", event.Action, event.Revision)
			}
		}
		again, err := tenant.Batch(ctx, func(within *engine.Tenant) error { return newsroom(ctx, within) })
		if want := (authz.Written{Revision: 1}); err != nil || again != want {
			t.Errorf("again: got %+v %v, want %+v", again, err, want)
		}
	})
}

func TestBatchIsAllOrNone(t *testing.T) {
	t.Parallel()
	failed := errors.New("enough")
	for name, test := range map[string]struct {
		fn   func(context.Context, *engine.Tenant) error
		want error
	}{
		"fn_fails": {func(ctx context.Context, within *engine.Tenant) error {
			return errors.Join(newsroom(ctx, within), failed)
		}, failed},
		"a_mutation_fails": {func(ctx context.Context, within *engine.Tenant) error {
			_, err := within.AddMembership(ctx, "alice", "author", authz.Window{})
			return errors.Join(newsroom(ctx, within), err)
		}, engine.ErrNotFound},
		"a_mutation_fails_unheard": {func(ctx context.Context, within *engine.Tenant) error {
			err := newsroom(ctx, within)
			_, _ = within.AddPermission(ctx, "author", "write")
			return err
		}, engine.ErrNotFound},
		"within_another": {func(ctx context.Context, within *engine.Tenant) error {
			_, err := within.Batch(ctx, func(*engine.Tenant) error { return nil })
			return errors.Join(newsroom(ctx, within), err)
		}, engine.ErrInvalid},
		"a_decision": {func(ctx context.Context, within *engine.Tenant) error {
			_, err := within.UserHasPermission(ctx, "alice", "edit")
			return errors.Join(newsroom(ctx, within), err)
		}, engine.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
				ctx := t.Context()
				if _, err := tenant.Batch(ctx, func(within *engine.Tenant) error { return test.fn(ctx, within) }); !errors.Is(err, test.want) {
					t.Errorf("got %v, want %v", err, test.want)
				}
				roles, err := tenant.Roles(ctx, authz.Page{})
				if err != nil || len(roles.Items) != 0 || roles.Revision != 0 {
					t.Errorf("roles: got %+v %v, want none at revision 0", roles, err)
				}
				if events, err := tenant.AuditEvents(ctx, engine.AuditFilter{}, authz.Page{}); err != nil || len(events.Items) != 0 {
					t.Errorf("events: got %v %v, want none", events.Items, err)
				}
			})
		})
	}
}

func TestBatchReadsWhatItHasWritten(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		_, err := tenant.Batch(ctx, func(within *engine.Tenant) error {
			if err := newsroom(ctx, within); err != nil {
				return err
			}
			grants, err := within.Grants(ctx, "editor", authz.Page{})
			if err == nil && (len(grants.Items) != 1 || grants.Revision != 1) {
				err = fmt.Errorf("within: got %+v, want one grant at revision 1", grants)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestBatchEndsWithItsFunction(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		var escaped *engine.Tenant
		if _, err := tenant.Batch(t.Context(), func(within *engine.Tenant) error { escaped = within; return nil }); err != nil {
			t.Fatal(err)
		}
		_, write := escaped.AddRole(t.Context(), "editor", authz.RoleOptions{})
		_, read := escaped.Roles(t.Context(), authz.Page{})
		for _, err := range []error{write, read} {
			if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "has ended") {
				t.Errorf("got %v, want that the batch has ended", err)
			}
		}
	})
}

func TestBatchesAndSingleWritesAreOrdered(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		const writers, rounds = 4, 10
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for round := range rounds {
					name := fmt.Sprintf("role-%d-%d", w, round)
					if _, err := tenant.AddRole(ctx, name, authz.RoleOptions{}); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				for round := range rounds {
					_, err := tenant.Batch(ctx, func(within *engine.Tenant) error {
						_, first := within.AddRole(ctx, fmt.Sprintf("first-%d-%d", w, round), authz.RoleOptions{})
						_, second := within.AddRole(ctx, fmt.Sprintf("second-%d-%d", w, round), authz.RoleOptions{})
						return errors.Join(first, second)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		feed, err := tenant.Changes(ctx, 0, authz.Page{Limit: engine.MaxPage})
		if err != nil || feed.Revision != 2*writers*rounds || len(feed.Items) != 3*writers*rounds {
			t.Fatalf("got %d changes up to revision %d, %v, want %d up to %d", len(feed.Items), feed.Revision, err, 3*writers*rounds, 2*writers*rounds)
		}
		at := map[string]int64{}
		for _, change := range feed.Items {
			at[change.Key] = change.Revision
		}
		for key, revision := range at {
			if rest, first := strings.CutPrefix(key, "first-"); first && at["second-"+rest] != revision {
				t.Errorf("%s: made at revision %d, its second at %d", key, revision, at["second-"+rest])
			}
		}
	})
}

func TestBatchOpensATenant(t *testing.T) {
	t.Parallel()
	e, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), OpenRegistration: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	principal, err := e.Authenticate(t.Context(), uuid.NewString(), engine.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := principal.Tenant.Batch(t.Context(), func(within *engine.Tenant) error { return newsroom(t.Context(), within) }); err != nil {
		t.Fatal(err)
	}
	events, err := principal.Tenant.AuditEvents(t.Context(), engine.AuditFilter{Action: "CLIENT_KEY_CREATED"}, authz.Page{})
	if err != nil || len(events.Items) != 1 {
		t.Errorf("keys kept: got %v %v, want one", events.Items, err)
	}
}
