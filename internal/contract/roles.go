package contract

import (
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) roles() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_role_is_listed_until_it_is_deleted": func(t *testing.T, x tenant) {
			x.absent(x.DeleteRole(x.ctx(), "editor"))
			x.addRole("editor")
			x.addRole("author")
			x.repeated(x.AddRole(x.ctx(), "editor", authz.RoleOptions{}))
			equal(t, "roles", x.roleNames(), []string{"author", "editor"})
			x.changed(x.DeleteRole(x.ctx(), "editor"))
			x.absent(x.DeleteRole(x.ctx(), "editor"))
			equal(t, "roles", x.roleNames(), []string{"author"})
		},

		"a_description_is_kept_replaced_and_cleared": func(t *testing.T, x tenant) {
			describe := func(description *string) func() (authz.Written, error) {
				return func() (authz.Written, error) {
					return x.AddRole(x.ctx(), "editor", authz.RoleOptions{Description: description})
				}
			}
			first, second, none := "Edits \"<ä>\"\n", "Second", ""
			for _, step := range []struct {
				what string
				add  func() (authz.Written, error)
				want string
				new  bool
			}{
				{"create", describe(&first), first, true},
				{"say nothing", describe(nil), first, false},
				{"say the same", describe(&first), first, false},
				{"replace", describe(&second), second, true},
				{"clear", describe(&none), "", true},
			} {
				if step.new {
					x.changed(step.add())
				} else {
					x.repeated(step.add())
				}
				equal(t, step.what, all(x, x.Roles), []authz.Role{{Name: "editor", Description: step.want}})
			}
		},

		"a_description_has_limits": func(t *testing.T, x tenant) {
			longest := strings.Repeat("ä", authz.MaxDescription)
			x.changed(x.AddRole(x.ctx(), "editor", authz.RoleOptions{Description: &longest}))
			for what, description := range map[string]string{
				"too long":  longest + "a",
				"U+0000":    "a\x00b",
				"not UTF-8": "a\xffb",
			} {
				_, err := x.AddRole(x.ctx(), "editor", authz.RoleOptions{Description: &description})
				fails(t, what, err, fault.CodeInvalid)
			}
			equal(t, "roles", all(x, x.Roles), []authz.Role{{Name: "editor", Description: longest}})
		},

		"a_role_that_is_made_again_brings_nothing_back": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit_content")
			x.join("alice", "editor")
			x.changed(x.DeleteRole(x.ctx(), "editor"))
			for range 2 { // gone, and still gone when the role is back
				equal(t, "role permissions", x.rolePermissions("editor"), nil)
				equal(t, "members", x.members("editor"), nil)
				equal(t, "user roles", x.userRoles("alice"), nil)
				equal(t, "user permissions", x.userPermissions("alice"), nil)
				x.denies(x.HasMembership(x.ctx(), "alice", "editor"))
				x.denies(x.RoleHasPermission(x.ctx(), "editor", "edit_content"))
				x.denies(x.UserHasPermission(x.ctx(), "alice", "edit_content"))
				if _, err := x.AddRole(x.ctx(), "editor", authz.RoleOptions{}); err != nil {
					t.Fatalf("make the role again: %v", err)
				}
			}
		},

		"deleting_a_role_leaves_the_others": func(t *testing.T, x tenant) {
			for _, role := range []string{"editor", "author"} {
				x.addRole(role)
				x.grant(role, "edit_content")
				x.join("alice", role)
			}
			x.changed(x.DeleteRole(x.ctx(), "editor"))
			equal(t, "role permissions", x.rolePermissions("author"), []string{"edit_content"})
			equal(t, "user roles", x.userRoles("alice"), []authz.Member{{User: "alice", Role: "author"}})
			x.allows(x.UserHasPermission(x.ctx(), "alice", "edit_content"))
		},

		"the_built-in_roles_are_not_made_deleted_or_listed": func(t *testing.T, x tenant) {
			description := "mine"
			for _, role := range []string{authz.Owner, authz.Everyone} {
				_, err := x.AddRole(x.ctx(), role, authz.RoleOptions{Description: &description})
				fails(t, "add "+role, err, fault.CodeConflict)
				_, err = x.DeleteRole(x.ctx(), role)
				fails(t, "delete "+role, err, fault.CodeConflict)
			}
			equal(t, "roles", x.roleNames(), nil)
			x.addRole("editor")
			equal(t, "roles", x.roleNames(), []string{"editor"})
		},
	}
}
