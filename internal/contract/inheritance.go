package contract

import (
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) inheritance() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_role_is_read_as_it_was_put": func(t *testing.T, x tenant) {
			_, err := x.Role(x.ctx(), "editor")
			tells(t, "read an unknown role", err, fault.CodeNotFound, `role "editor" does not exist`)
			x.putRole("viewer")
			x.putRole("author")
			wanted := authz.RoleDetail{
				Name: "editor", Description: "Edits", Inherits: []string{"author", "viewer"}, Scopes: []authz.Kind{authz.KindProject, authz.KindTeam},
			}
			x.changed(x.PutRole(x.ctx(), wanted))
			x.seesRole(wanted)
			mixed := wanted
			mixed.Inherits = []string{"viewer", "author", "viewer"}
			mixed.Scopes = []authz.Kind{authz.KindTeam, authz.KindProject, authz.KindTeam}
			x.repeated(x.PutRole(x.ctx(), mixed))
			x.seesRole(wanted)
			x.changed(x.PutRole(x.ctx(), authz.RoleDetail{Name: "editor"}))
			x.seesRole(authz.RoleDetail{Name: "editor"})
		},

		"putting_a_role_leaves_its_grants_and_members": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit")
			x.join("alice", "editor")
			x.changed(x.PutRole(x.ctx(), authz.RoleDetail{Name: "editor", Description: "Edits"}))
			x.allows(x.UserHasPermission(x.ctx(), "alice", "edit"))
		},

		"a_role_has_what_it_inherits": func(t *testing.T, x tenant) {
			x.putRole("viewer")
			x.putRole("editor", "viewer")
			x.putRole("admin", "editor")
			x.grant("viewer", "view")
			x.grant("admin", "restart")
			x.join("alice", "admin")
			x.allows(x.UserHasPermission(x.ctx(), "alice", "view"))
			x.allows(x.RoleHasPermission(x.ctx(), "admin", "view"))
			x.denies(x.RoleHasPermission(x.ctx(), "viewer", "restart"))
			x.changed(x.DeleteRole(x.ctx(), "editor"))
			x.seesRole(authz.RoleDetail{Name: "admin"})
			x.denies(x.UserHasPermission(x.ctx(), "alice", "view"))
			x.allows(x.UserHasPermission(x.ctx(), "alice", "restart"))
			x.putRole("editor", "viewer")
			x.denies(x.UserHasPermission(x.ctx(), "alice", "view"))
		},

		"a_circle_of_inheritance_is_named": func(t *testing.T, x tenant) {
			x.putRole("a")
			x.putRole("b", "a")
			x.putRole("side", "a")
			x.putRole("c", "b", "side")
			before := x.revision()
			for path, role := range map[string]authz.RoleDetail{
				"a -> a":           {Name: "a", Inherits: []string{"a"}},
				"a -> b -> a":      {Name: "a", Inherits: []string{"b"}},
				"a -> c -> b -> a": {Name: "a", Inherits: []string{"c"}},
				"new -> new":       {Name: "new", Inherits: []string{"new"}},
			} {
				_, err := x.PutRole(x.ctx(), role)
				tells(t, path, err, fault.CodeConflict, "inheritance would go in a circle: "+path)
			}
			same(t, "revision", x.revision(), before)
			x.seesRole(authz.RoleDetail{Name: "a"})
		},

		"what_a_role_inherits_from_exists_and_is_not_built_in": func(t *testing.T, x tenant) {
			x.addRole("editor")
			_, err := x.PutRole(x.ctx(), authz.RoleDetail{Name: "editor", Inherits: []string{"nobody"}})
			tells(t, "inherit from an unknown role", err, fault.CodeConflict, `role "nobody" does not exist`)
			for _, builtin := range []string{authz.Everyone, authz.Owner} {
				_, err := x.PutRole(x.ctx(), authz.RoleDetail{Name: "editor", Inherits: []string{builtin}})
				tells(t, "inherit from "+builtin, err, fault.CodeConflict, builtin)
				_, err = x.PutRole(x.ctx(), authz.RoleDetail{Name: builtin, Inherits: []string{"editor"}})
				tells(t, "put "+builtin, err, fault.CodeConflict, builtin)
				same(t, builtin, value[authz.RoleDetail](x)(x.Role(x.ctx(), builtin)).Name, builtin)
			}
			_, err = x.PutRole(x.ctx(), authz.RoleDetail{Name: "editor", Inherits: []string{"a b"}})
			fails(t, "inherit from a malformed role", err, fault.CodeInvalid)
			x.seesRole(authz.RoleDetail{Name: "editor"})
		},

		"a_role_that_is_put_has_limits": func(t *testing.T, x tenant) {
			for what, role := range map[string]authz.RoleDetail{
				"long description":       {Name: "editor", Description: strings.Repeat("ä", authz.MaxDescription+1)},
				"U+0000":                 {Name: "editor", Description: "a\x00"},
				"unknown kind of scope":  {Name: "editor", Scopes: []authz.Kind{"galaxy"}},
				"kind of another letter": {Name: "editor", Scopes: []authz.Kind{"Team"}},
				"malformed name":         {Name: "a b"},
			} {
				_, err := x.PutRole(x.ctx(), role)
				fails(t, what, err, fault.CodeInvalid)
			}
			equal(t, "roles", x.roleNames(), nil)
		},

		"a_role_is_held_only_where_its_scopes_allow": func(t *testing.T, x tenant) {
			x.plant()
			x.changed(x.PutRole(x.ctx(), authz.RoleDetail{Name: "lead", Scopes: []authz.Kind{authz.KindProject, authz.KindTeam}}))
			x.changed(x.PutMembership(x.ctx(), at("alice", "lead", apollo)))
			x.changed(x.PutMembership(x.ctx(), at("alice", "lead", crew)))
			for _, node := range []authz.Node{authz.Root, acme, post} {
				_, err := x.PutMembership(x.ctx(), at("alice", "lead", node))
				tells(t, "hold it at "+node.String(), err, fault.CodeConflict, `"lead"`)
			}
			_, err := x.AddMembership(x.ctx(), "alice", "lead", authz.Window{})
			fails(t, "hold it at the root", err, fault.CodeConflict)

			_, err = x.PutRole(x.ctx(), authz.RoleDetail{Name: "lead", Scopes: []authz.Kind{authz.KindProject, authz.KindTenant}})
			tells(t, "exclude teams", err, fault.CodeConflict, `user "alice" holds role "lead" at team:crew`)
			x.changed(x.RemoveMembership(x.ctx(), user("alice"), "lead", crew))
			x.changed(x.PutRole(x.ctx(), authz.RoleDetail{Name: "lead", Scopes: []authz.Kind{authz.KindProject, authz.KindTenant}}))
			x.changed(x.PutMembership(x.ctx(), at("alice", "lead", authz.Root)))
		},
	}
}

// putRole makes a role that inherits from others.
func (x tenant) putRole(role string, inherits ...string) int64 {
	x.t.Helper()
	return x.changed(x.PutRole(x.ctx(), authz.RoleDetail{Name: role, Inherits: inherits}))
}

func (x tenant) seesRole(want authz.RoleDetail) {
	x.t.Helper()
	got := value[authz.RoleDetail](x)(x.Role(x.ctx(), want.Name))
	same(x.t, "name", got.Name, want.Name)
	same(x.t, "description", got.Description, want.Description)
	equal(x.t, "inherits", got.Inherits, want.Inherits)
	equal(x.t, "scopes", got.Scopes, want.Scopes)
}
