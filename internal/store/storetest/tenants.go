package storetest

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

func testMissingTenant(t *testing.T, f fixture) {
	ctx := t.Context()
	for name, ask := range everyQuestion(f.reader()) {
		equal(t, name, ask(t), 0)
	}
	err := f.View(ctx, f.tenant, func(r store.Reader) error {
		equal(t, "revision in a view", get(r.Revision(ctx))(t), 0)
		return nil
	})
	if err != nil {
		t.Errorf("View: %v", err)
	}
}

func testTenantRevisions(t *testing.T, f fixture) {
	ctx := t.Context()
	other, missing := f, f.tenant+"-missing"
	other.tenant += `-"other"`
	f.write(t, func(store.Tx) {})
	f.write(t, func(store.Tx) {})
	other.write(t, func(store.Tx) {})
	deepEqual(t, "revisions", get(f.Revisions(ctx, []string{f.tenant, other.tenant, missing, f.tenant}))(t),
		map[string]int64{f.tenant: 2, other.tenant: 1})
	deepEqual(t, "revisions of none", get(f.Revisions(ctx, nil))(t), map[string]int64{})
}

func testIsolation(t *testing.T, f fixture) {
	ctx := t.Context()
	full, empty := f, f
	empty.tenant += "-other"
	full.fill(t)
	// The other tenant is there too, but has none of it.
	empty.write(t, func(store.Tx) {})
	for name, ask := range everyQuestion(empty.reader()) {
		want := 0
		switch name {
		case "Revision", "Changes":
			want = 1
		case "Policy":
			want = 2
		}
		equal(t, name, ask(t), want)
	}

	// What one tenant writes under the same names leaves the other as it was.
	for name, destroy := range destruction(full.tenant) {
		empty.write(t, func(tx store.Tx) { equal(t, name, get(destroy(t, tx))(t), false) })
	}
	before := map[string]int{}
	for name, ask := range everyQuestion(full.reader()) {
		if before[name] = ask(t); before[name] == 0 {
			t.Errorf("%s: got nothing, want what is there", name)
		}
	}
	empty.fill(t)
	for name, destroy := range destruction(empty.tenant) {
		empty.write(t, func(tx store.Tx) { get(destroy(t, tx))(t) })
		for question, ask := range everyQuestion(full.reader()) {
			equal(t, question+" of the other tenant after "+name, ask(t), before[question])
		}
	}
	equal(t, "the key is not revoked", get(f.ClientKeyByFingerprint(ctx, "print "+full.tenant))(t).RevokedAt.IsZero(), true)
}

// fill writes something of every kind, so that each of everyQuestion has an answer.
func (f fixture) fill(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	f.grant(t, "viewer", []string{"view"})
	f.grant(t, "editor", []string{"read"}, "ann")
	f.write(t, func(tx store.Tx) {
		get(tx.SetRole(ctx, authz.RoleDetail{Name: "editor", Inherits: []string{"viewer"}}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: acme, Parent: authz.Root}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: rocket, Parent: acme}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: plan, Parent: rocket, Owner: "ann"}))(t)
		get(tx.CreateGroup(ctx, "staff"))(t)
		get(tx.CreateGroup(ctx, "all"))(t)
		get(tx.AddToGroup(ctx, "staff", user("ann")))(t)
		get(tx.AddToGroup(ctx, "all", group("staff")))(t)
		setMembership(t, tx, held(group("all"), "viewer", plan))
		setMembership(t, tx, held(group("all"), "viewer", authz.Root))
		get(tx.SetUser(ctx, authz.User{Name: "ann"}))(t)
		get(tx.SetTool(ctx, authz.Tool{Name: "wiki", Permissions: defined("read")}))(t)
		get(tx.SetSettings(ctx, authz.Settings{StrictPermissions: true, StrictUsers: true}))(t)
		must(t, tx.AppendEvent(ctx, audit.Event{Time: now, Action: audit.RoleCreated, User: "ann"}))
		get(tx.CreateClientKey(ctx, store.ClientKey{Hash: "hash " + f.tenant, Fingerprint: "print " + f.tenant}))(t)
	})
}

// destruction is every way to change or take away what fill wrote in a tenant.
func destruction(tenant string) map[string]func(*testing.T, store.Tx) (bool, error) {
	later := authz.Window{ExpiresAt: now.Add(time.Hour)}
	return map[string]func(*testing.T, store.Tx) (bool, error){
		"SetRoleDescription": func(t *testing.T, tx store.Tx) (bool, error) {
			return tx.SetRoleDescription(t.Context(), "editor", "x")
		},
		"DeleteRole":  func(t *testing.T, tx store.Tx) (bool, error) { return tx.DeleteRole(t.Context(), "editor") },
		"DeleteGrant": func(t *testing.T, tx store.Tx) (bool, error) { return tx.DeleteGrant(t.Context(), "viewer", "view") },
		"DeleteMembership": func(t *testing.T, tx store.Tx) (bool, error) {
			return tx.DeleteMembership(t.Context(), user("ann"), "editor", authz.Root)
		},
		"HeldOutside": func(t *testing.T, tx store.Tx) (bool, error) {
			_, found, err := tx.HeldOutside(t.Context(), "viewer", []authz.Kind{authz.KindTeam})
			return found, err
		},
		"DeleteNode":  func(t *testing.T, tx store.Tx) (bool, error) { return tx.DeleteNode(t.Context(), acme) },
		"DeleteGroup": func(t *testing.T, tx store.Tx) (bool, error) { return tx.DeleteGroup(t.Context(), "all") },
		"RemoveFromGroup": func(t *testing.T, tx store.Tx) (bool, error) {
			return tx.RemoveFromGroup(t.Context(), "staff", user("ann"))
		},
		"GroupPath": func(t *testing.T, tx store.Tx) (bool, error) {
			path, err := tx.GroupPath(t.Context(), "staff", "all")
			return path != nil, err
		},
		"DeleteUser": func(t *testing.T, tx store.Tx) (bool, error) { return tx.DeleteUser(t.Context(), "ann") },
		"DeleteTool": func(t *testing.T, tx store.Tx) (bool, error) { return tx.DeleteTool(t.Context(), "wiki") },
		"SetSettings": func(t *testing.T, tx store.Tx) (bool, error) {
			return tx.SetSettings(t.Context(), authz.Settings{})
		},
		"SetClientKeyExpiry": func(t *testing.T, tx store.Tx) (bool, error) {
			return tx.SetClientKeyExpiry(t.Context(), "print "+tenant, later.ExpiresAt)
		},
		"RevokeClientKey": func(t *testing.T, tx store.Tx) (bool, error) {
			return tx.RevokeClientKey(t.Context(), "print "+tenant, now)
		},
	}
}

// everyQuestion asks each of a Reader's questions and counts what comes back, which
// is not 0 in a tenant that fill wrote.
func everyQuestion(r store.Reader) map[string]func(*testing.T) int {
	query := store.MembersQuery{Roles: []string{"editor", "viewer"}, At: now, ActiveOnly: true}
	return map[string]func(*testing.T) int{
		"Revision":     func(t *testing.T) int { return int(get(r.Revision(t.Context()))(t)) },
		"Policy":       counted(func(t *testing.T) ([]authz.RoleSpec, error) { return r.Policy(t.Context()) }),
		"Holdings":     counted(func(t *testing.T) ([]authz.Holding, error) { return r.Holdings(t.Context(), "ann") }),
		"User":         found(func(t *testing.T) (authz.User, bool, error) { return r.User(t.Context(), "ann") }),
		"Node":         found(func(t *testing.T) (store.NodeRecord, bool, error) { return r.Node(t.Context(), plan) }),
		"Role":         found(func(t *testing.T) (authz.RoleDetail, bool, error) { return r.Role(t.Context(), "editor") }),
		"Grant":        found(func(t *testing.T) (authz.Grant, bool, error) { return r.Grant(t.Context(), "editor", "read") }),
		"Grants":       counted(func(t *testing.T) ([]authz.Grant, error) { return r.Grants(t.Context(), "editor", "", 10) }),
		"Group":        found(func(t *testing.T) (authz.Group, bool, error) { return r.Group(t.Context(), "staff") }),
		"Roles":        counted(func(t *testing.T) ([]authz.Role, error) { return r.Roles(t.Context(), "", 10) }),
		"Changes":      counted(func(t *testing.T) ([]authz.Change, error) { return r.Changes(t.Context(), 0, 10) }),
		"CountMembers": func(t *testing.T) int { return int(get(r.CountMembers(t.Context(), query))(t)) },
		"Nodes": counted(func(t *testing.T) ([]store.NodeRecord, error) {
			return r.Nodes(t.Context(), plan.Type, authz.Node{}, "", 10)
		}),
		"Nodes of a parent": counted(func(t *testing.T) ([]store.NodeRecord, error) {
			return r.Nodes(t.Context(), plan.Type, rocket, "", 10)
		}),
		"Memberships": counted(func(t *testing.T) ([]authz.Membership, error) {
			return r.Memberships(t.Context(), plan, authz.Membership{}, 10)
		}),
		"Members": counted(func(t *testing.T) ([]authz.Member, error) {
			return r.Members(t.Context(), query, authz.Member{}, 10)
		}),
		"Groups": counted(func(t *testing.T) ([]authz.Group, error) { return r.Groups(t.Context(), "", 10) }),
		"GroupMembers": counted(func(t *testing.T) ([]authz.SubjectRef, error) {
			return r.GroupMembers(t.Context(), "staff", authz.SubjectRef{}, 10)
		}),
		"Users":        counted(func(t *testing.T) ([]authz.User, error) { return r.Users(t.Context(), "", 10) }),
		"Tool":         found(func(t *testing.T) (authz.Tool, bool, error) { return r.Tool(t.Context(), "wiki") }),
		"Tools":        counted(func(t *testing.T) ([]authz.Tool, error) { return r.Tools(t.Context(), "", 10) }),
		"DefiningTool": found(func(t *testing.T) (string, bool, error) { return r.DefiningTool(t.Context(), "*") }),
		"Catalogue": counted(func(t *testing.T) ([]authz.CatalogueEntry, error) {
			return r.Catalogue(t.Context(), "", 10)
		}),
		"Settings": found(func(t *testing.T) (authz.Settings, bool, error) {
			settings, err := r.Settings(t.Context())
			return settings, settings != authz.Settings{}, err
		}),
		"AuditEvents": counted(func(t *testing.T) ([]audit.Event, error) {
			return r.AuditEvents(t.Context(), audit.Filter{}, "", 10)
		}),
	}
}

func counted[T any](ask func(*testing.T) ([]T, error)) func(*testing.T) int {
	return func(t *testing.T) int { return len(get(ask(t))(t)) }
}

func found[T any](ask func(*testing.T) (T, bool, error)) func(*testing.T) int {
	return func(t *testing.T) int {
		if _, found := there(ask(t))(t); found {
			return 1
		}
		return 0
	}
}
