package contract

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

func (s *suite) decisions() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_user_may_do_what_their_roles_hold": func(t *testing.T, x tenant) {
			for role, permissions := range map[string][]string{
				"editor": {"edit_content", "view_content"},
				"viewer": {"view_content"},
				"admin":  {"site:*"},
			} {
				x.addRole(role)
				for _, permission := range permissions {
					x.grant(role, permission)
				}
			}
			for user, roles := range map[string][]string{"alice": {"editor", "viewer"}, "bob": {"viewer"}, "carol": {"admin"}} {
				for _, role := range roles {
					x.join(user, role)
				}
			}
			x.allows(x.UserHasPermission(x.ctx(), "alice", "edit_content"))
			x.denies(x.UserHasPermission(x.ctx(), "bob", "edit_content"))
			x.allows(x.UserHasPermission(x.ctx(), "carol", "site:restart"))
			x.denies(x.UserHasPermission(x.ctx(), "nobody", "view_content"))
			x.allows(x.UserCanRunWorkflow(x.ctx(), "carol", "site:restart"))
			x.denies(x.UserCanRunWorkflow(x.ctx(), "bob", "site:restart"))

			equal(t, "permissions of alice, each once", x.userPermissions("alice"), []string{"edit_content", "view_content"})
			equal(t, "permissions of carol", x.userPermissions("carol"), []string{"site:*"})
			equal(t, "permissions of nobody", x.userPermissions("nobody"), nil)
			x.total("permissions of alice", of(x.UserPermissions, "alice"), 2)
			x.total("permissions of nobody", of(x.UserPermissions, "nobody"), 0)

			viewers := []authz.Member{{User: "alice", Role: "editor"}, {User: "alice", Role: "viewer"}, {User: "bob", Role: "viewer"}}
			equal(t, "which users can view", x.whichUsersCan("view_content"), viewers)
			equal(t, "workflow users", x.workflowUsers("view_content"), viewers)
			equal(t, "which users can restart", x.whichUsersCan("site:restart"), []authz.Member{{User: "carol", Role: "admin"}})
			equal(t, "which users can fly", x.whichUsersCan("fly"), nil)
			equal(t, "which roles can view", x.whichRolesCan("view_content"), []string{"editor", "viewer"})
			users, err := x.WorkflowUsers(x.ctx(), "view_content", authz.Page{Limit: 1})
			if err != nil || users.Total != 3 {
				t.Errorf("workflow users: got total %d and error %v, want 3", users.Total, err)
			}
		},

		"a_user_with_two_matching_grants_of_a_role_is_listed_once": func(t *testing.T, x tenant) {
			x.addRole("editor")
			for _, permission := range []string{"post:edit", "post:*", "*"} {
				x.grant("editor", permission)
			}
			x.join("alice", "editor")
			alice := []authz.Member{{User: "alice", Role: "editor"}}
			equal(t, "which users can", x.whichUsersCan("post:edit"), alice)
			equal(t, "workflow users", x.workflowUsers("post:edit"), alice)
			equal(t, "which roles can", x.whichRolesCan("post:edit"), []string{"editor"})
			equal(t, "user permissions", x.userPermissions("alice"), []string{"*", "post:*", "post:edit"})
			users, err := x.WorkflowUsers(x.ctx(), "post:edit", authz.Page{})
			if err != nil || users.Total != 1 {
				t.Errorf("workflow users: got total %d and error %v, want 1", users.Total, err)
			}
		},

		"everyone_may_do_what_is_granted_to_everyone": func(t *testing.T, x tenant) {
			x.grant(authz.Everyone, "view_content")
			x.grant(authz.Everyone, "help:*")
			x.addRole("viewer")
			x.grant("viewer", "view_content")
			x.join("alice", "viewer")
			for _, user := range []string{"alice", "nobody"} {
				x.allows(x.UserHasPermission(x.ctx(), user, "view_content"))
				x.allows(x.UserHasPermission(x.ctx(), user, "help:read"))
				x.allows(x.UserCanRunWorkflow(x.ctx(), user, "help:read"))
				x.denies(x.UserHasPermission(x.ctx(), user, "edit_content"))
				equal(t, "permissions of "+user, x.userPermissions(user), []string{"help:*", "view_content"})
				x.total("permissions of "+user, of(x.UserPermissions, user), 2)
			}
			// It names nobody, since it would name everybody.
			equal(t, "which users can", x.whichUsersCan("view_content"), []authz.Member{{User: "alice", Role: "viewer"}})
			equal(t, "workflow users", x.workflowUsers("help:read"), nil)
			x.changed(x.DeletePermission(x.ctx(), authz.Everyone, "view_content"))
			x.denies(x.UserHasPermission(x.ctx(), "nobody", "view_content"))
			x.allows(x.UserHasPermission(x.ctx(), "alice", "view_content"))
		},

		"what_owners_may_do_allows_nothing_where_no_resource_is_named": func(t *testing.T, x tenant) {
			x.grant(authz.Owner, "*")
			x.denies(x.UserHasPermission(x.ctx(), "alice", "edit_content"))
			x.denies(x.HasMembership(x.ctx(), "alice", authz.Owner))
			equal(t, "user permissions", x.userPermissions("alice"), nil)
			equal(t, "which users can", x.whichUsersCan("edit_content"), nil)
		},
	}
}
