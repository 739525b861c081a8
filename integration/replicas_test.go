package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

func TestParallelIdenticalWritesOnTwoServersAllSucceed(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		servers := []*sdk.Client{client(t, i.Serve(), key), client(t, i.Serve(), key)}
		const rounds, callers = 5, 8
		steps := []struct {
			name    string
			send    func(context.Context, *sdk.Client) (authz.Written, error)
			deletes bool
		}{
			{"add the role", func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
				return c.AddRole(ctx, "editor", authz.RoleOptions{})
			}, false},
			{"add the permission", func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
				return c.AddPermission(ctx, "editor", "edit")
			}, false},
			{"add the membership", func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
				return c.AddMembership(ctx, "alice", "editor", authz.Window{})
			}, false},
			{"delete the membership", func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
				return c.DeleteMembership(ctx, "alice", "editor")
			}, true},
			{"delete the permission", func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
				return c.DeletePermission(ctx, "editor", "edit")
			}, true},
			{"delete the role", func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
				return c.DeleteRole(ctx, "editor")
			}, true},
		}
		revision := int64(0)
		for round := range rounds {
			for _, step := range steps {
				revision++
				var changed atomic.Int64
				var callersLeft sync.WaitGroup
				for n := range callers {
					callersLeft.Go(func() {
						written, err := step.send(t.Context(), servers[n%len(servers)])
						if err != nil || written.Revision != revision {
							t.Errorf("round %d, %s: got %+v, %v, want revision %d", round, step.name, written, err, revision)
						}
						if written.Changed {
							changed.Add(1)
						}
					})
				}
				callersLeft.Wait()
				if want := int64(1); step.deletes && changed.Load() != want {
					t.Errorf("round %d, %s: %d deletions say that it was there, want %d", round, step.name, changed.Load(), want)
				}
			}
		}
	})
}

func TestWriteOnOneServerIsSeenByTheOther(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		one, other := client(t, i.Serve(), key), client(t, i.Serve(), key)
		if _, err := one.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := other.AddPermission(t.Context(), "editor", "edit"); err != nil {
			t.Fatal(err)
		}
		var users sync.WaitGroup
		for u := range 4 {
			users.Go(func() {
				user := fmt.Sprint("user-", u)
				writes, reads := one, other
				for round := range 20 {
					writes, reads = reads, writes
					added, err := writes.AddMembership(t.Context(), user, "editor", authz.Window{})
					wantDecision(t, fmt.Sprint("round ", round, ": added"), reads, user, true, added.Revision, err)
					deleted, err := writes.DeleteMembership(t.Context(), user, "editor")
					wantDecision(t, fmt.Sprint("round ", round, ": deleted"), reads, user, false, deleted.Revision, err)
				}
			})
		}
		users.Wait()
	})
}

// wantDecision asks whether a user may edit, at the revision of a write or later.
func wantDecision(t *testing.T, what string, c *sdk.Client, user string, want bool, revision int64, err error) {
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	got, err := c.AtLeast(revision).UserHasPermission(t.Context(), user, "edit")
	if err != nil || got.Allowed != want || got.Revision < revision {
		t.Errorf("%s: got %+v, %v, want %t at revision %d or later", what, got, err, want, revision)
	}
}

func TestRevokedKeyIsRefusedByBothServers(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		i = i.With("AUTH_CLIENT_REGISTRATION=closed")
		one, other := i.Serve(), i.Serve()
		key := strings.TrimSpace(i.Must("client", "create", "--name", "doomed"))
		clients := []*sdk.Client{client(t, one, key), client(t, other, key)}
		for n, c := range clients {
			// Both servers hold the key in memory from here on.
			if _, err := c.Roles(t.Context(), authz.Page{}); err != nil {
				t.Fatalf("server %d: %v", n, err)
			}
		}
		i.Must("client", "revoke", keysByName(i)["doomed"].fingerprint)
		// The bound is one second; the rest is for a busy machine.
		const bound = 5 * time.Second
		for n, c := range clients {
			servertest.Eventually(t, bound, fmt.Sprint("server ", n, " refuses the key"), func() bool {
				_, err := c.Roles(t.Context(), authz.Page{})
				if err != nil && !errors.Is(err, sdk.ErrUnauthenticated) {
					t.Fatalf("server %d: got %v, want %v", n, err, sdk.ErrUnauthenticated)
				}
				return err != nil
			})
			// Nor is it let in again.
			if _, err := c.AddRole(t.Context(), "editor", authz.RoleOptions{}); !errors.Is(err, sdk.ErrUnauthenticated) {
				t.Errorf("server %d, a write: got %v, want %v", n, err, sdk.ErrUnauthenticated)
			}
		}
	})
}

func TestTenantsOfEqualNamesNeverMeet(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		server := i.Serve()
		mine, theirs := newClient(t, server), newClient(t, server)
		ctx := t.Context()
		for _, c := range []*sdk.Client{mine, theirs} {
			if _, err := c.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := mine.AddPermission(ctx, "editor", "edit"); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.AddMembership(ctx, "alice", "editor", authz.Window{}); err != nil {
			t.Fatal(err)
		}
		if got := held(t, theirs); len(got) != 1 {
			t.Errorf("the other tenant holds %v, want its role alone", got)
		}
		if got, err := theirs.UserHasPermission(ctx, "alice", "edit"); err != nil || got.Allowed {
			t.Errorf("the other tenant decides %+v, %v, want no", got, err)
		}
		events, err := theirs.AuditEvents(ctx, sdk.AuditFilter{User: "alice"}, authz.Page{})
		if err != nil || len(events.Items) != 0 {
			t.Errorf("the other tenant's audit log: got %v, %v, want nothing of alice", events.Items, err)
		}
		if _, err := theirs.DeleteRole(ctx, "editor"); err != nil {
			t.Fatal(err)
		}
		if got, err := mine.UserHasPermission(ctx, "alice", "edit"); err != nil || !got.Allowed {
			t.Errorf("after the other tenant's deletion: got %+v, %v, want yes", got, err)
		}
	})
}
