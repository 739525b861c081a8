package storetest

import (
	"math"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

func testRoles(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		equal(t, "exists before", get(tx.RoleExists(ctx, "editor"))(t), false)
		equal(t, "create", get(tx.CreateRole(ctx, authz.Role{Name: "editor", Description: "edits"}))(t), true)
		equal(t, "create again", get(tx.CreateRole(ctx, authz.Role{Name: "editor", Description: "other"}))(t), false)
		equal(t, "exists after", get(tx.RoleExists(ctx, "editor"))(t), true)
		equal(t, "another case", get(tx.RoleExists(ctx, "Editor"))(t), false)
	})
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), []authz.Role{{Name: "editor", Description: "edits"}})

	f.write(t, func(tx store.Tx) {
		equal(t, "describe", get(tx.SetRoleDescription(ctx, "editor", "edits ünïcode"))(t), true)
		equal(t, "describe the same", get(tx.SetRoleDescription(ctx, "editor", "edits ünïcode"))(t), false)
		equal(t, "describe a missing role", get(tx.SetRoleDescription(ctx, "nobody", "x"))(t), false)
	})
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), []authz.Role{{Name: "editor", Description: "edits ünïcode"}})

	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteRole(ctx, "editor"))(t), true)
		equal(t, "delete again", get(tx.DeleteRole(ctx, "editor"))(t), false)
	})
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), nil)
}

func testDeleteRole(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "doomed", []string{"read", "write"}, "ann", "bob")
	f.grant(t, "doomed2", []string{"read"}, "ann")
	f.write(t, func(tx store.Tx) { get(tx.DeleteRole(ctx, "doomed"))(t) })
	// A role of the same name is a new one.
	f.write(t, func(tx store.Tx) { get(tx.CreateRole(ctx, authz.Role{Name: "doomed"}))(t) })

	equalList(t, "its permissions", get(f.reader().RolePermissions(ctx, "doomed", "", 10))(t), nil)
	equalList(t, "its members", get(f.reader().Members(ctx, "doomed", now, "", 10))(t), nil)
	equalList(t, "ann's roles", get(f.reader().UserRoles(ctx, "ann", now, "", 10))(t), []string{"doomed2"})
	equalList(t, "the other's permissions", get(f.reader().RolePermissions(ctx, "doomed2", "", 10))(t), []string{"read"})
	equal(t, "bob may read", get(f.reader().CheckPermission(ctx, "bob", []string{"read"}, now))(t).Allowed, false)
	equal(t, "ann may read", get(f.reader().CheckPermission(ctx, "ann", []string{"read"}, now))(t).Allowed, true)
}

func testBuiltinRoles(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		for _, role := range []string{authz.Owner, authz.Everyone} {
			equal(t, role+" is there", get(tx.RoleExists(ctx, role))(t), true)
		}
	})
	f.grant(t, authz.Everyone, []string{"read"})
	f.grant(t, authz.Owner, []string{"edit"})
	f.grant(t, "viewer", []string{"read", "view"}, "ann")
	r := f.reader()
	equalList(t, "roles", get(r.Roles(ctx, "", 10))(t), []authz.Role{{Name: "viewer"}})
	equalList(t, "roles that can read", get(r.RolesWithPermission(ctx, []string{"read"}, "", 10))(t), []string{"viewer"})
	equalList(t, "a stranger's permissions", get(r.UserPermissions(ctx, "stranger", now, "", 10))(t), []string{"read"})
	equalList(t, "ann's permissions", get(r.UserPermissions(ctx, "ann", now, "", 10))(t), []string{"read", "view"})
	equal(t, "ann's count", get(r.CountUserPermissions(ctx, "ann", now))(t), 2)
	equalList(t, "users who can read", get(r.UsersWithPermission(ctx, []string{"read"}, now, authz.Member{}, 10))(t),
		[]authz.Member{{User: "ann", Role: "viewer"}})
	equal(t, "anyone may read", get(r.CheckPermission(ctx, "stranger", []string{"read"}, now))(t).Allowed, true)
	equal(t, "nobody owns the root", get(r.CheckPermission(ctx, "stranger", []string{"edit"}, now))(t).Allowed, false)
	equal(t, "everyone's grant", get(r.CheckRolePermission(ctx, authz.Everyone, []string{"read"}))(t).Allowed, true)
}

func testGrants(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		get(tx.CreateRole(ctx, authz.Role{Name: "editor"}))(t)
		equal(t, "grant", get(tx.CreateGrant(ctx, "editor", "post:*"))(t), true)
		equal(t, "grant again", get(tx.CreateGrant(ctx, "editor", "post:*"))(t), false)
		get(tx.CreateGrant(ctx, "editor", "read"))(t)
	})
	r := f.reader()
	equalList(t, "permissions", get(r.RolePermissions(ctx, "editor", "", 10))(t), []string{"post:*", "read"})
	for permission, want := range map[string]bool{"post:edit": true, "post": false, "read": true, "Read": false, "rea": false} {
		got := get(r.CheckRolePermission(ctx, "editor", authz.Patterns(permission)))(t)
		equal(t, "editor holds "+permission, got, authz.Decision{Allowed: want, Revision: 1})
	}
	equal(t, "a missing role", get(r.CheckRolePermission(ctx, "none", authz.Patterns("read")))(t), authz.Decision{Revision: 1})
	equalList(t, "roles with", get(r.RolesWithPermission(ctx, authz.Patterns("post:edit:now"), "", 10))(t), []string{"editor"})

	f.write(t, func(tx store.Tx) {
		equal(t, "revoke", get(tx.DeleteGrant(ctx, "editor", "post:*"))(t), true)
		equal(t, "revoke again", get(tx.DeleteGrant(ctx, "editor", "post:*"))(t), false)
	})
	equalList(t, "permissions", get(r.RolePermissions(ctx, "editor", "", 10))(t), []string{"read"})
	equalList(t, "permissions of none", get(r.RolePermissions(ctx, "none", "", 10))(t), nil)
}

func testMissingRole(t *testing.T, f fixture) {
	ctx := t.Context()
	for what, fn := range map[string]func(store.Tx) (bool, error){
		"CreateGrant": func(tx store.Tx) (bool, error) { return tx.CreateGrant(ctx, "none", "read") },
		"CreateMembership": func(tx store.Tx) (bool, error) {
			return tx.CreateMembership(ctx, authz.Member{User: "ann", Role: "none"}, authz.Window{})
		},
	} {
		_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
			_, err := fn(tx)
			return err
		})
		hasCode(t, what, err, fault.CodeInternal)
	}
	equal(t, "revision", f.revision(t), 0)
}

func testMemberships(t *testing.T, f fixture) {
	ctx := t.Context()
	ann := authz.Member{User: "ann@example.org", Role: "editor"}
	f.grant(t, "editor", []string{"read"})
	f.write(t, func(tx store.Tx) {
		equal(t, "create", get(tx.CreateMembership(ctx, ann, authz.Window{}))(t), true)
		equal(t, "create again", get(tx.CreateMembership(ctx, ann, authz.Window{NotBefore: now.Add(time.Hour)}))(t), false)
	})
	r := f.reader()
	equal(t, "holds", get(r.CheckMembership(ctx, ann.User, "editor", now))(t), authz.Decision{Allowed: true, Revision: 2})
	equal(t, "another user", get(r.CheckMembership(ctx, "Ann@example.org", "editor", now))(t), authz.Decision{Revision: 2})
	equal(t, "another role", get(r.CheckMembership(ctx, ann.User, "Editor", now))(t), authz.Decision{Revision: 2})
	equalList(t, "roles", get(r.UserRoles(ctx, ann.User, now, "", 10))(t), []string{"editor"})
	equalList(t, "members", get(r.Members(ctx, "editor", now, "", 10))(t), []string{ann.User})

	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteMembership(ctx, ann))(t), true)
		equal(t, "delete again", get(tx.DeleteMembership(ctx, ann))(t), false)
		equal(t, "window of none", get(tx.SetMembershipWindow(ctx, ann, authz.Window{ExpiresAt: now}))(t), false)
	})
	equal(t, "holds no longer", get(r.CheckMembership(ctx, ann.User, "editor", now))(t), authz.Decision{Revision: 3})
}

func testWindow(t *testing.T, f fixture) {
	ctx := t.Context()
	ann := authz.Member{User: "ann", Role: "editor"}
	window := authz.Window{NotBefore: now, ExpiresAt: now.Add(time.Hour)}
	f.grant(t, "editor", []string{"read"})
	f.write(t, func(tx store.Tx) {
		equal(t, "create", get(tx.CreateMembership(ctx, ann, window))(t), true)
		equal(t, "the same window", get(tx.SetMembershipWindow(ctx, ann, window))(t), false)
		elsewhere := authz.Window{NotBefore: now.In(time.FixedZone("", 3600)), ExpiresAt: window.ExpiresAt}
		equal(t, "the same window elsewhere", get(tx.SetMembershipWindow(ctx, ann, elsewhere))(t), false)
	})
	f.expectMember(t, ann, map[time.Time]bool{
		now.Add(-time.Microsecond):              false,
		now:                                     true,
		now.Add(time.Microsecond):               true,
		window.ExpiresAt.Add(-time.Microsecond): true,
		window.ExpiresAt:                        false,
		window.ExpiresAt.Add(100 * 365 * 24 * time.Hour): false,
	})

	for _, change := range []struct {
		name   string
		window authz.Window
		want   map[time.Time]bool
	}{
		{"only a start", authz.Window{NotBefore: now}, map[time.Time]bool{now.Add(-1): false, now: true, now.Add(time.Hour): true}},
		{"only an end", authz.Window{ExpiresAt: now}, map[time.Time]bool{time.Unix(1, 0): true, now.Add(-time.Microsecond): true, now: false}},
		{"none", authz.Window{}, map[time.Time]bool{time.Unix(0, 0): true, now: true, now.Add(1 << 62): true}},
		{"empty", authz.Window{NotBefore: now, ExpiresAt: now}, map[time.Time]bool{now.Add(-1): false, now: false, now.Add(1): false}},
	} {
		f.write(t, func(tx store.Tx) {
			equal(t, change.name, get(tx.SetMembershipWindow(ctx, ann, change.window))(t), true)
		})
		f.expectMember(t, ann, change.want)
	}
}

// expectMember asks every question that depends on whether the member, the only
// one of its role, is valid at a time.
func (f fixture) expectMember(t *testing.T, member authz.Member, want map[time.Time]bool) {
	t.Helper()
	ctx, r := t.Context(), f.reader()
	for at, valid := range want {
		got := map[string]bool{
			"CheckMembership":          get(r.CheckMembership(ctx, member.User, member.Role, at))(t).Allowed,
			"CheckPermission":          get(r.CheckPermission(ctx, member.User, []string{"read"}, at))(t).Allowed,
			"UserRoles":                len(get(r.UserRoles(ctx, member.User, at, "", 10))(t)) == 1,
			"Members":                  len(get(r.Members(ctx, member.Role, at, "", 10))(t)) == 1,
			"UserPermissions":          len(get(r.UserPermissions(ctx, member.User, at, "", 10))(t)) == 1,
			"CountUserPermissions":     get(r.CountUserPermissions(ctx, member.User, at))(t) == 1,
			"UsersWithPermission":      len(get(r.UsersWithPermission(ctx, []string{"read"}, at, authz.Member{}, 10))(t)) == 1,
			"CountUsersWithPermission": get(r.CountUsersWithPermission(ctx, []string{"read"}, at))(t) == 1,
		}
		for what, holds := range got {
			equal(t, what+" at "+at.String(), holds, valid)
		}
	}
}

// testExtremeTimes uses times that do not fit into microseconds: none may wrap
// around into the present.
func testExtremeTimes(t *testing.T, f fixture) {
	ctx := t.Context()
	ann := authz.Member{User: "ann", Role: "editor"}
	past, future := time.Unix(math.MinInt64/2, 0), time.Unix(math.MaxInt64/4, 0)
	f.grant(t, "editor", []string{"read"}, ann.User)
	for _, c := range []struct {
		name   string
		window authz.Window
		want   bool
	}{
		{"from the far past", authz.Window{NotBefore: past}, true},
		{"until the far future", authz.Window{ExpiresAt: future}, true},
		{"from the far future", authz.Window{NotBefore: future}, false},
		{"until the far past", authz.Window{ExpiresAt: past}, false},
		{"until before 1970", authz.Window{ExpiresAt: time.Unix(-5, 0)}, false},
	} {
		f.write(t, func(tx store.Tx) { get(tx.SetMembershipWindow(ctx, ann, c.window))(t) })
		equal(t, c.name, get(f.reader().CheckMembership(ctx, ann.User, ann.Role, now))(t).Allowed, c.want)
	}
	f.write(t, func(tx store.Tx) { get(tx.SetMembershipWindow(ctx, ann, authz.Window{}))(t) })
	for _, at := range []time.Time{past, {}, future} {
		equal(t, "no bounds at "+at.String(), get(f.reader().CheckMembership(ctx, ann.User, ann.Role, at))(t).Allowed, true)
	}
}

func testCheckPermission(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "exact", []string{"post:edit"}, "exact")
	f.grant(t, "prefix", []string{"post:*"}, "prefix")
	f.grant(t, "all", []string{"*"}, "all")
	f.grant(t, "nothing", nil, "nothing")
	for _, c := range []struct {
		user, permission string
		want             bool
	}{
		{"exact", "post:edit", true}, {"exact", "post:edit:all", false}, {"exact", "post", false}, {"exact", "Post:edit", false},
		{"prefix", "post:edit", true}, {"prefix", "post:edit:all", true}, {"prefix", "post", false}, {"prefix", "poster:edit", false},
		{"all", "anything", true}, {"all", "post:edit", true},
		{"nothing", "post:edit", false}, {"stranger", "post:edit", false}, {"", "post:edit", false},
	} {
		got := get(f.reader().CheckPermission(ctx, c.user, authz.Patterns(c.permission), now))(t)
		equal(t, c.user+" may "+c.permission, got, authz.Decision{Allowed: c.want, Revision: 4})
	}
	equal(t, "no patterns", get(f.reader().CheckPermission(ctx, "all", nil, now))(t), authz.Decision{Revision: 4})
}

func testMissingTenant(t *testing.T, f fixture) {
	ctx := t.Context()
	for name, ask := range everyQuestion(f.reader(), "ann", "editor", "read") {
		equal(t, name, ask(t), answer{})
	}
	err := f.View(ctx, f.tenant, func(r store.Reader) error {
		equal(t, "revision in a view", get(r.Revision(ctx))(t), 0)
		return nil
	})
	if err != nil {
		t.Errorf("View: %v", err)
	}
}

func testIsolation(t *testing.T, f fixture) {
	ctx := t.Context()
	full, empty := f, f
	empty.tenant += "-other"
	fill := func(f fixture) {
		f.grant(t, "editor", []string{"read"}, "ann")
		f.write(t, func(tx store.Tx) {
			must(t, tx.AppendEvent(ctx, audit.Event{Time: now, Action: audit.RoleCreated, User: "ann"}))
			get(tx.CreateClientKey(ctx, store.ClientKey{Hash: "hash " + f.tenant, Fingerprint: "print " + f.tenant}))(t)
		})
	}
	fill(full)
	// The other tenant is there too, but has none of it.
	empty.write(t, func(store.Tx) {})
	for name, ask := range everyQuestion(empty.reader(), "ann", "editor", "read") {
		want := answer{}
		switch name {
		case "Revision", "CheckPermission", "CheckRolePermission", "CheckMembership":
			want.revision = 1
		case "Changes":
			want.count = 1
		}
		equal(t, name, ask(t), want)
	}

	// What one tenant writes under the same names leaves the other as it was.
	for name, destroy := range map[string]func(store.Tx) (bool, error){
		"SetRoleDescription": func(tx store.Tx) (bool, error) { return tx.SetRoleDescription(ctx, "editor", "x") },
		"DeleteRole":         func(tx store.Tx) (bool, error) { return tx.DeleteRole(ctx, "editor") },
		"DeleteGrant":        func(tx store.Tx) (bool, error) { return tx.DeleteGrant(ctx, "editor", "read") },
		"DeleteMembership": func(tx store.Tx) (bool, error) {
			return tx.DeleteMembership(ctx, authz.Member{User: "ann", Role: "editor"})
		},
		"SetMembershipWindow": func(tx store.Tx) (bool, error) {
			return tx.SetMembershipWindow(ctx, authz.Member{User: "ann", Role: "editor"}, authz.Window{ExpiresAt: now})
		},
		"SetClientKeyExpiry": func(tx store.Tx) (bool, error) { return tx.SetClientKeyExpiry(ctx, "print "+full.tenant, now) },
		"RevokeClientKey":    func(tx store.Tx) (bool, error) { return tx.RevokeClientKey(ctx, "print "+full.tenant, now) },
		"RoleExists":         func(tx store.Tx) (bool, error) { return tx.RoleExists(ctx, "editor") },
	} {
		empty.write(t, func(tx store.Tx) { equal(t, name, get(destroy(tx))(t), false) })
	}
	fill(empty)
	empty.write(t, func(tx store.Tx) { get(tx.DeleteRole(ctx, "editor"))(t) })
	for name, ask := range everyQuestion(full.reader(), "ann", "editor", "read") {
		if got := ask(t); got == (answer{}) {
			t.Errorf("%s: got nothing, want what is there", name)
		}
	}
	equal(t, "the key is not revoked", get(f.ClientKeyByFingerprint(ctx, "print "+full.tenant))(t).RevokedAt.IsZero(), true)
}

// answer is what matters of a Reader's answer in the cases that ask everything.
type answer struct {
	revision int64
	allowed  bool
	count    int
}

// everyQuestion asks each of a Reader's questions; a tenant that holds the given
// names has a better answer than answer{} to each.
func everyQuestion(r store.Reader, user, role, permission string) map[string]func(*testing.T) answer {
	patterns := authz.Patterns(permission)
	decided := func(d authz.Decision) answer { return answer{revision: d.Revision, allowed: d.Allowed} }
	return map[string]func(*testing.T) answer{
		"Revision": func(t *testing.T) answer { return answer{revision: get(r.Revision(t.Context()))(t)} },
		"CheckPermission": func(t *testing.T) answer {
			return decided(get(r.CheckPermission(t.Context(), user, patterns, now))(t))
		},
		"CheckRolePermission": func(t *testing.T) answer {
			return decided(get(r.CheckRolePermission(t.Context(), role, patterns))(t))
		},
		"CheckMembership": func(t *testing.T) answer {
			return decided(get(r.CheckMembership(t.Context(), user, role, now))(t))
		},
		"Roles": func(t *testing.T) answer { return answer{count: len(get(r.Roles(t.Context(), "", 10))(t))} },
		"RolePermissions": func(t *testing.T) answer {
			return answer{count: len(get(r.RolePermissions(t.Context(), role, "", 10))(t))}
		},
		"UserPermissions": func(t *testing.T) answer {
			return answer{count: len(get(r.UserPermissions(t.Context(), user, now, "", 10))(t))}
		},
		"CountUserPermissions": func(t *testing.T) answer {
			return answer{count: int(get(r.CountUserPermissions(t.Context(), user, now))(t))}
		},
		"UserRoles": func(t *testing.T) answer {
			return answer{count: len(get(r.UserRoles(t.Context(), user, now, "", 10))(t))}
		},
		"Members": func(t *testing.T) answer {
			return answer{count: len(get(r.Members(t.Context(), role, now, "", 10))(t))}
		},
		"RolesWithPermission": func(t *testing.T) answer {
			return answer{count: len(get(r.RolesWithPermission(t.Context(), patterns, "", 10))(t))}
		},
		"UsersWithPermission": func(t *testing.T) answer {
			return answer{count: len(get(r.UsersWithPermission(t.Context(), patterns, now, authz.Member{}, 10))(t))}
		},
		"CountUsersWithPermission": func(t *testing.T) answer {
			return answer{count: int(get(r.CountUsersWithPermission(t.Context(), patterns, now))(t))}
		},
		"Changes": func(t *testing.T) answer { return answer{count: len(get(r.Changes(t.Context(), 0, 10))(t))} },
		"AuditEvents": func(t *testing.T) answer {
			return answer{count: len(get(r.AuditEvents(t.Context(), audit.Filter{}, "", 10))(t))}
		},
	}
}
