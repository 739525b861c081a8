package contract

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
)

func (s *suite) isolation() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_tenant_sees_nothing_of_another": func(t *testing.T, x tenant) {
			other := s.tenant(t)
			before := other.revision()
			x.populate("edit", "Mine")
			other.sees(t, "a tenant beside a full one", nil)
			if after := other.revision(); after != before {
				t.Errorf("revision of the other: got %d, want %d", after, before)
			}
			x.sees(t, "the full one", []string{"edit"})
		},

		"a_tree_is_its_tenant's_own": func(t *testing.T, x tenant) {
			other := s.tenant(t)
			for _, y := range []tenant{x, other} {
				y.plant()
				y.addRole("lead")
				y.grant("lead", "edit")
				y.changed(y.AddToGroup(y.ctx(), "writers", user("alice")))
				y.changed(y.PutMembership(y.ctx(), authz.Membership{Subject: group("writers"), Role: "lead", Node: apollo}))
				y.changed(y.PutResource(y.ctx(), authz.Resource{Node: post, Parent: apollo, Owner: "alice"}))
				y.changed(y.PutUser(y.ctx(), authz.User{Name: "alice"}))
				y.may("alice", "edit", post, true)
			}
			revision := x.revision()
			other.changed(other.PutUser(other.ctx(), authz.User{Name: "alice", Inactive: true}))
			other.may("alice", "edit", post, false)
			x.may("alice", "edit", post, true)
			other.changed(other.DeleteUser(other.ctx(), "alice"))
			other.changed(other.DeleteGroup(other.ctx(), "writers"))
			other.changed(other.DeleteScope(other.ctx(), acme))
			other.changed(other.DeleteRole(other.ctx(), "lead"))
			x.may("alice", "edit", post, true)
			x.seesUser(authz.User{Name: "alice"})
			x.seesGroup(authz.Group{Name: "writers"})
			x.seesResource(authz.Resource{Node: post, Parent: apollo, Owner: "alice"})
			equal(t, "members of apollo", x.nodeMembers(apollo), []authz.Membership{{Subject: group("writers"), Role: "lead", Node: apollo}})
			same(t, "revision of the first", x.revision(), revision)
		},

		"a_tenant_changes_nothing_of_another": func(t *testing.T, x tenant) {
			other := s.tenant(t)
			x.populate("edit", "Mine")
			other.populate("fly", "Theirs")
			x.sees(t, "the first", []string{"edit"})
			other.sees(t, "the second", []string{"fly"})
			x.denies(x.UserHasPermission(x.ctx(), "alice", "fly"))
			other.denies(other.UserHasPermission(x.ctx(), "alice", "edit"))
			equal(t, "roles of the second", all(other, other.Roles), []authz.Role{{Name: "editor", Description: "Theirs"}})

			revision, events := x.revision(), len(x.events(audit.Filter{}))
			other.changed(other.DeletePermission(x.ctx(), authz.Everyone, "fly:high"))
			other.changed(other.DeletePermission(x.ctx(), "editor", "fly"))
			other.changed(other.DeleteMembership(x.ctx(), "alice", "editor"))
			other.changed(other.DeleteRole(x.ctx(), "editor"))
			other.sees(t, "the second, emptied", nil)
			x.sees(t, "the first, beside it", []string{"edit"})
			equal(t, "roles of the first", all(x, x.Roles), []authz.Role{{Name: "editor", Description: "Mine"}})
			if got := x.revision(); got != revision {
				t.Errorf("revision of the first: got %d, want %d", got, revision)
			}
			if got := len(x.events(audit.Filter{})); got != events {
				t.Errorf("events of the first: got %d, want %d", got, events)
			}
		},
	}
}

// populate makes alice an editor who may do what is named, and lets everyone do it
// "high".
func (x tenant) populate(permission, description string) {
	x.t.Helper()
	x.changed(x.AddRole(x.ctx(), "editor", authz.RoleOptions{Description: &description}))
	x.grant("editor", permission)
	x.grant(authz.Everyone, permission+":high")
	x.join("alice", "editor")
}

// sees asks a tenant everything that populate could have put there, and wants the
// permissions of the role editor and nothing else.
func (x tenant) sees(t *testing.T, what string, permissions []string) {
	t.Helper()
	var roles []string
	var members []authz.Member
	var mine []string
	if permissions != nil {
		roles, members = []string{"editor"}, []authz.Member{{User: "alice", Role: "editor"}}
		mine = append(mine, permissions...)
		for _, permission := range permissions {
			mine = append(mine, permission+":high")
		}
	}
	equal(t, what+": roles", x.roleNames(), roles)
	equal(t, what+": role permissions", x.rolePermissions("editor"), permissions)
	equal(t, what+": members", x.members("editor"), members)
	equal(t, what+": user roles", x.userRoles("alice"), members)
	equal(t, what+": user permissions", x.userPermissions("alice"), mine)
	for _, permission := range []string{"edit", "fly"} {
		var can []string
		var who []authz.Member
		holds := len(permissions) > 0 && permissions[0] == permission
		if holds {
			can, who = roles, members
		}
		equal(t, what+": which roles can "+permission, x.whichRolesCan(permission), can)
		equal(t, what+": which users can "+permission, x.whichUsersCan(permission), who)
		equal(t, what+": workflow users of "+permission, x.workflowUsers(permission), who)
		for _, ask := range []func() (authz.Decision, error){
			func() (authz.Decision, error) { return x.RoleHasPermission(x.ctx(), "editor", permission) },
			func() (authz.Decision, error) { return x.UserHasPermission(x.ctx(), "alice", permission) },
			func() (authz.Decision, error) { return x.UserCanRunWorkflow(x.ctx(), "alice", permission) },
			func() (authz.Decision, error) { return x.UserHasPermission(x.ctx(), "bob", permission+":high") },
			func() (authz.Decision, error) {
				return x.RoleHasPermission(x.ctx(), authz.Everyone, permission+":high")
			},
		} {
			if decision, err := ask(); err != nil || decision.Allowed != holds {
				t.Errorf("%s: %s: got %v and error %v, want %v", what, permission, decision.Allowed, err, holds)
			}
		}
	}
	has, err := x.HasMembership(x.ctx(), "alice", "editor")
	if err != nil || has.Allowed != (permissions != nil) {
		t.Errorf("%s: membership: got %v and error %v, want %v", what, has.Allowed, err, permissions != nil)
	}
}
