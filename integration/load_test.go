package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/sdk"
)

// attempt is a write that was sent. Its revision is 0 where no answer came.
type attempt struct {
	// change is the audit event that the write makes: action and resource.
	change   string
	revision int64
}

// load writes to a server with several writers until it no longer answers, and
// returns what was sent. It calls reached once, when that many writes have been
// acknowledged.
func load(t *testing.T, c *sdk.Client, name string, acknowledged int, reached func()) []attempt {
	t.Helper()
	sent := make(chan attempt)
	var writers sync.WaitGroup
	for w := range 6 {
		writers.Go(func() { write(t, c, fmt.Sprint(name, "-", w), sent) })
	}
	go func() {
		writers.Wait()
		close(sent)
	}()
	var attempts []attempt
	for a := range sent {
		attempts = append(attempts, a)
		if a.revision > 0 {
			if acknowledged--; acknowledged == 0 {
				reached()
			}
		}
	}
	return attempts
}

// write makes and unmakes things of its own until a write is not answered.
func write(t *testing.T, c *sdk.Client, name string, sent chan<- attempt) {
	for n := 0; ; n++ {
		role, user := fmt.Sprint("role-", name, "-", n), fmt.Sprint("user-", name, "-", n)
		for _, w := range []struct {
			change string
			send   func(context.Context) (authz.Written, error)
		}{
			{"ROLE_CREATED role/" + role, func(ctx context.Context) (authz.Written, error) {
				return c.AddRole(ctx, role, authz.RoleOptions{})
			}},
			{"PERMISSION_GRANTED permission/" + role + "/edit", func(ctx context.Context) (authz.Written, error) {
				return c.AddPermission(ctx, role, "edit")
			}},
			{"MEMBERSHIP_ADDED membership/" + user + "/" + role, func(ctx context.Context) (authz.Written, error) {
				return c.AddMembership(ctx, user, role, authz.Window{})
			}},
			{"PERMISSION_REVOKED permission/" + role + "/edit", func(ctx context.Context) (authz.Written, error) {
				return c.DeletePermission(ctx, role, "edit")
			}},
		} {
			written, err := w.send(t.Context())
			sent <- attempt{w.change, written.Revision}
			if err == nil {
				continue
			}
			if e, ok := errors.AsType[*sdk.Error](err); !ok || e.Status != 0 {
				t.Errorf("%s: got %v, want no answer at all", w.change, err)
			}
			return
		}
	}
}

// record is one change of a tenant, as the change feed or the audit log has it.
type record struct {
	revision int64
	resource string
}

// wantWhole checks that a tenant holds every acknowledged attempt with its audit
// event and its change record under its revision, the others wholly or not at all,
// nothing else, and no gap. It returns how many of the unacknowledged it holds.
func wantWhole(t *testing.T, i installation, c *sdk.Client, key string, attempts []attempt) (unacknowledged int) {
	t.Helper()
	tenant := tenantOf(t, i, key)
	changes := changeFeed(t, i, tenant.ID())
	var events []record
	changed := map[string]int64{}
	state := map[string]bool{}
	for _, e := range auditLog(t, tenant) {
		events = append(events, record{e.Revision, e.Resource})
		changed[e.Action+" "+e.Resource] = e.Revision
		switch e.Action {
		case "ROLE_CREATED", "PERMISSION_GRANTED", "MEMBERSHIP_ADDED":
			state[e.Resource] = true
		case "PERMISSION_REVOKED":
			delete(state, e.Resource)
		}
	}

	if !slices.Equal(events, changes) {
		t.Errorf("the audit log and the change feed differ:\ngot  %v\nwant %v", events, changes)
	}
	for n, change := range changes {
		// The first revision also keeps the key that opens the tenant.
		if want := int64(max(n, 1)); change.revision != want {
			t.Errorf("change %d: got revision %d, want %d", n, change.revision, want)
		}
	}
	for _, a := range attempts {
		switch revision, there := changed[a.change]; {
		case a.revision > 0 && revision != a.revision:
			t.Errorf("acknowledged %s: got revision %d, want %d", a.change, revision, a.revision)
		case a.revision == 0 && there:
			unacknowledged++
		}
		delete(changed, a.change)
	}
	for change := range changed {
		if !strings.HasPrefix(change, "CLIENT_KEY_CREATED ") {
			t.Errorf("nobody asked for %s", change)
		}
	}
	if got, want := held(t, c), slices.Sorted(maps.Keys(state)); !slices.Equal(got, want) {
		t.Errorf("the tenant holds:\ngot  %v\nwant %v", got, want)
	}
	return unacknowledged
}

// tenantOf opens the tenant of a client key, past any server.
func tenantOf(t *testing.T, i installation, key string) *engine.Tenant {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Database: i.Database})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	principal, err := e.Authenticate(t.Context(), key, engine.Actor{})
	if err != nil {
		t.Fatalf("the client key was not kept: %v", err)
	}
	return principal.Tenant
}

// auditLog returns a tenant's events, oldest first.
func auditLog(t *testing.T, tenant *engine.Tenant) []engine.AuditEvent {
	t.Helper()
	events := all(t, func(p authz.Page) (authz.List[engine.AuditEvent], error) {
		return tenant.AuditEvents(t.Context(), engine.AuditFilter{}, p)
	})
	slices.Reverse(events)
	// Two events of one revision are in the order of their changes.
	slices.SortStableFunc(events, func(a, b engine.AuditEvent) int { return int(a.Revision - b.Revision) })
	return events
}

// changeFeed reads the feed from the store: nothing else shows it yet.
func changeFeed(t *testing.T, i installation, tenant string) []record {
	t.Helper()
	db, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: i.Database})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const most = 100_000
	var changes []authz.Change
	err = db.View(t.Context(), tenant, func(r store.Reader) error {
		changes, err = r.Changes(t.Context(), 0, most)
		return err
	})
	if err != nil || len(changes) == most {
		t.Fatalf("read the change feed: %d changes, %v", len(changes), err)
	}
	records := make([]record, len(changes))
	for n, change := range changes {
		records[n] = recordOf(change)
	}
	return records
}

func recordOf(change authz.Change) record {
	return record{change.Revision, change.Kind + "/" + change.Key}
}

// held lists what a tenant holds as audit resources, asked of a server.
func held(t *testing.T, c *sdk.Client) []string {
	t.Helper()
	ctx := t.Context()
	var resources []string
	for _, role := range all(t, func(p authz.Page) (authz.List[authz.Role], error) { return c.Roles(ctx, p) }) {
		resources = append(resources, "role/"+role.Name)
		for _, permission := range all(t, func(p authz.Page) (authz.List[string], error) { return c.RolePermissions(ctx, role.Name, p) }) {
			resources = append(resources, "permission/"+role.Name+"/"+permission)
		}
		for _, m := range all(t, func(p authz.Page) (authz.List[authz.Member], error) { return c.Members(ctx, role.Name, p) }) {
			resources = append(resources, "membership/"+m.User+"/"+m.Role)
		}
	}
	slices.Sort(resources)
	return resources
}

// all reads every page of a list.
func all[T any](t *testing.T, list func(authz.Page) (authz.List[T], error)) []T {
	t.Helper()
	var items []T
	for item, err := range authz.All(list) {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	return items
}
