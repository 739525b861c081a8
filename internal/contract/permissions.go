package contract

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) permissions() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_grant_holds_until_it_is_taken": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.denies(x.RoleHasPermission(x.ctx(), "editor", "edit_content"))
			x.grant("editor", "edit_content")
			x.grant("editor", "a_first")
			x.repeated(x.AddPermission(x.ctx(), "editor", "edit_content"))
			x.allows(x.RoleHasPermission(x.ctx(), "editor", "edit_content"))
			equal(t, "role permissions", x.rolePermissions("editor"), []string{"a_first", "edit_content"})
			x.changed(x.DeletePermission(x.ctx(), "editor", "edit_content"))
			x.absent(x.DeletePermission(x.ctx(), "editor", "edit_content"))
			x.denies(x.RoleHasPermission(x.ctx(), "editor", "edit_content"))
			equal(t, "role permissions", x.rolePermissions("editor"), []string{"a_first"})
		},

		"a_grant_needs_its_role": func(t *testing.T, x tenant) {
			_, err := x.AddPermission(x.ctx(), "nobody", "edit_content")
			fails(t, "grant to an unknown role", err, fault.CodeNotFound)
			x.addRole("editor")
			_, err = x.AddPermission(x.ctx(), "nobody", "edit_content")
			fails(t, "grant to an unknown role", err, fault.CodeNotFound)
			x.absent(x.DeletePermission(x.ctx(), "nobody", "edit_content"))
			equal(t, "which roles can", x.whichRolesCan("edit_content"), nil)
		},

		"reads_of_what_is_unknown_are_empty": func(t *testing.T, x tenant) {
			x.denies(x.RoleHasPermission(x.ctx(), "nobody", "edit_content"))
			equal(t, "role permissions", x.rolePermissions("nobody"), nil)
			equal(t, "which roles can", x.whichRolesCan("edit_content"), nil)
			equal(t, "roles", x.roleNames(), nil)
		},

		"a_grant_holds_what_it_matches": func(t *testing.T, x tenant) {
			for _, test := range []struct {
				grant          string
				allows, denies []string
			}{
				{"post:edit", []string{"post:edit"}, []string{"post", "post:", "post:edit:", "post:edit:own", "post:edi", "Post:edit", "post:read"}},
				{"post:*", []string{"post:edit", "post:edit:own", "post:"}, []string{"post", "posts:edit", "Post:edit", "apost:edit", "post/edit"}},
				{"post:edit:*", []string{"post:edit:own", "post:edit:a:b"}, []string{"post:edit", "post:read:own"}},
				{"a/b:*", []string{"a/b:c"}, []string{"a:c", "a/b"}},
				{"a_c:*", []string{"a_c:x"}, []string{"abc:x"}},
				{"*", []string{"post:edit", "x", "a/b:c"}, nil},
			} {
				x.addRole("r")
				x.grant("r", test.grant)
				x.join("alice", "r")
				equal(t, "role permissions", x.rolePermissions("r"), []string{test.grant})
				for _, permission := range test.allows {
					x.grants(test.grant, permission, true)
				}
				for _, permission := range test.denies {
					x.grants(test.grant, permission, false)
				}
				x.changed(x.DeleteRole(x.ctx(), "r"))
			}
		},

		"a_wildcard_is_taken_as_it_was_granted": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "post:*")
			x.absent(x.DeletePermission(x.ctx(), "editor", "post:edit"))
			x.absent(x.DeletePermission(x.ctx(), "editor", "*"))
			x.grant("editor", "post:edit")
			x.changed(x.DeletePermission(x.ctx(), "editor", "post:*"))
			x.allows(x.RoleHasPermission(x.ctx(), "editor", "post:edit"))
			x.denies(x.RoleHasPermission(x.ctx(), "editor", "post:read"))
		},

		"a_wildcard_cannot_be_asked_for": func(t *testing.T, x tenant) {
			x.addRole("admin")
			x.grant("admin", "*")
			for _, wildcard := range []string{"*", "post:*", "a:b:*"} {
				ctx, none := x.ctx(), authz.Page{}
				_, err := x.RoleHasPermission(ctx, "admin", wildcard)
				fails(t, "RoleHasPermission "+wildcard, err, fault.CodeInvalid)
				_, err = x.UserHasPermission(ctx, "alice", wildcard)
				fails(t, "UserHasPermission "+wildcard, err, fault.CodeInvalid)
				_, err = x.UserCanRunWorkflow(ctx, "alice", wildcard)
				fails(t, "UserCanRunWorkflow "+wildcard, err, fault.CodeInvalid)
				_, err = x.WhichRolesCan(ctx, wildcard, none)
				fails(t, "WhichRolesCan "+wildcard, err, fault.CodeInvalid)
				_, err = x.WhichUsersCan(ctx, wildcard, none)
				fails(t, "WhichUsersCan "+wildcard, err, fault.CodeInvalid)
				_, err = x.WorkflowUsers(ctx, wildcard, none)
				fails(t, "WorkflowUsers "+wildcard, err, fault.CodeInvalid)
			}
		},

		"the_built-in_roles_are_granted_like_others_but_not_listed": func(t *testing.T, x tenant) {
			for _, role := range []string{authz.Everyone, authz.Owner} {
				x.grant(role, "view_content")
				x.repeated(x.AddPermission(x.ctx(), role, "view_content"))
				x.allows(x.RoleHasPermission(x.ctx(), role, "view_content"))
				equal(t, "role permissions", x.rolePermissions(role), []string{"view_content"})
			}
			equal(t, "which roles can", x.whichRolesCan("view_content"), nil)
			x.changed(x.DeletePermission(x.ctx(), authz.Everyone, "view_content"))
			x.denies(x.RoleHasPermission(x.ctx(), authz.Everyone, "view_content"))
		},
	}
}

// grants asks in every way whether role r, which alice alone holds, has a permission.
func (x tenant) grants(grant, permission string, want bool) {
	x.t.Helper()
	what := "granted " + grant + ", asked " + permission
	var roles []string
	var users []authz.Member
	if want {
		roles, users = []string{"r"}, []authz.Member{{User: "alice", Role: "r"}}
	}
	for _, ask := range []func() (authz.Decision, error){
		func() (authz.Decision, error) { return x.RoleHasPermission(x.ctx(), "r", permission) },
		func() (authz.Decision, error) { return x.UserHasPermission(x.ctx(), "alice", permission) },
		func() (authz.Decision, error) { return x.UserCanRunWorkflow(x.ctx(), "alice", permission) },
	} {
		if decision, err := ask(); err != nil || decision.Allowed != want {
			x.t.Errorf("%s: got %v and error %v, want %v", what, decision.Allowed, err, want)
		}
	}
	equal(x.t, what+": which roles can", x.whichRolesCan(permission), roles)
	equal(x.t, what+": which users can", x.whichUsersCan(permission), users)
	equal(x.t, what+": workflow users", x.workflowUsers(permission), users)
}
