package contract

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// wiki is a tool; its permissions are not in their order.
var wiki = authz.Tool{Name: "wiki", Description: "Pages", Permissions: []authz.DefinedPermission{
	{Name: "page:read", Description: "Read a page"}, {Name: "page:edit"}, {Name: "export"},
}}

func (s *suite) catalogue() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_tool_is_read_as_it_was_put": func(t *testing.T, x tenant) {
			_, err := x.Tool(x.ctx(), "wiki")
			tells(t, "read an unknown tool", err, fault.CodeNotFound, `tool "wiki" does not exist`)
			x.absent(x.DeleteTool(x.ctx(), "wiki"))
			x.changed(x.PutTool(x.ctx(), wiki))
			x.repeated(x.PutTool(x.ctx(), wiki))
			x.seesTool(wiki)
			for _, changed := range []authz.Tool{
				{Name: "wiki", Description: "All pages", Permissions: wiki.Permissions},
				{Name: "wiki", Permissions: wiki.Permissions},
				{Name: "wiki", Permissions: []authz.DefinedPermission{{Name: "page:edit", Description: "Edit"}, {Name: "import"}}},
				{Name: "wiki"},
			} {
				x.changed(x.PutTool(x.ctx(), changed))
				x.repeated(x.PutTool(x.ctx(), changed))
				x.seesTool(changed)
			}
			x.changed(x.DeleteTool(x.ctx(), "wiki"))
			x.absent(x.DeleteTool(x.ctx(), "wiki"))
			equal(t, "tools", all(x, x.Tools), nil)
		},

		"a_permission_is_defined_by_one_tool": func(t *testing.T, x tenant) {
			x.changed(x.PutTool(x.ctx(), wiki))
			before := x.revision()
			forum := authz.Tool{Name: "forum", Permissions: []authz.DefinedPermission{{Name: "thread:read"}, {Name: "page:edit"}}}
			_, err := x.PutTool(x.ctx(), forum)
			tells(t, "define what another tool defines", err, fault.CodeConflict, `permission "page:edit" is defined by the tool "wiki"`)
			same(t, "revision", x.revision(), before)
			_, err = x.Tool(x.ctx(), "forum")
			fails(t, "the tool that was refused", err, fault.CodeNotFound)
			x.changed(x.PutTool(x.ctx(), authz.Tool{Name: "wiki", Permissions: wiki.Permissions[:1]}))
			x.changed(x.PutTool(x.ctx(), forum))
			x.changed(x.DeleteTool(x.ctx(), "forum"))
			x.changed(x.PutTool(x.ctx(), wiki))
		},

		"the_catalogue_lists_what_is_defined_and_what_is_granted": func(t *testing.T, x tenant) {
			equal(t, "an empty catalogue", all(x, x.Permissions), nil)
			x.changed(x.PutTool(x.ctx(), wiki))
			x.addRole("editor")
			x.addRole("author")
			x.grant("editor", "page:edit")
			x.grant("author", "page:edit")
			x.grant("author", "page:*")
			x.grant(authz.Everyone, "page:edit")
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "fly", Condition: "false"}))
			equal(t, "catalogue", all(x, x.Permissions), []authz.CatalogueEntry{
				{DefinedPermission: authz.DefinedPermission{Name: "export"}, Tool: "wiki"},
				{DefinedPermission: authz.DefinedPermission{Name: "fly"}, Roles: []string{"editor"}},
				{DefinedPermission: authz.DefinedPermission{Name: "page:*"}, Roles: []string{"author"}},
				{DefinedPermission: authz.DefinedPermission{Name: "page:edit"}, Tool: "wiki", Roles: []string{authz.Everyone, "author", "editor"}},
				{DefinedPermission: wiki.Permissions[0], Tool: "wiki"},
			})
			x.changed(x.DeleteTool(x.ctx(), "wiki"))
			x.changed(x.DeleteRole(x.ctx(), "author"))
			x.changed(x.DeletePermission(x.ctx(), "editor", "fly"))
			equal(t, "catalogue without the tool", all(x, x.Permissions), []authz.CatalogueEntry{
				{DefinedPermission: authz.DefinedPermission{Name: "page:edit"}, Roles: []string{authz.Everyone, "editor"}},
			})
			x.allows(x.UserHasPermission(x.ctx(), "alice", "page:edit"))
		},

		"tools_and_the_catalogue_are_listed_page_by_page": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.addRole("author")
			var tools, permissions []string
			for i := range 7 {
				tool := authz.Tool{Name: fmt.Sprint("tool", i)}
				for j := range i {
					tool.Permissions = append(tool.Permissions, authz.DefinedPermission{Name: fmt.Sprintf("p%d%d", i, j)})
					permissions = append(permissions, fmt.Sprintf("p%d%d", i, j))
				}
				x.changed(x.PutTool(x.ctx(), tool))
				tools = append(tools, tool.Name)
			}
			for _, role := range []string{"editor", "author"} {
				x.grant(role, "p33")
				x.grant(role, "p66")
			}
			permissions = append(permissions, "p33", "p66")
			slices.Sort(permissions)
			permissions = slices.Compact(permissions)
			for limit := 1; limit <= 8; limit++ {
				equal(t, "tools", pagesOf(x, limit, x.Tools, func(tool authz.Tool) string { return tool.Name }), tools)
				equal(t, "catalogue", pagesOf(x, limit, x.Permissions, func(e authz.CatalogueEntry) string { return e.Name }), permissions)
			}
			page, err := x.Tools(x.ctx(), authz.Page{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			_, err = x.Permissions(x.ctx(), authz.Page{Cursor: page.Next})
			fails(t, "the cursor of another list", err, fault.CodeInvalid)
		},

		"a_malformed_tool_is_refused": func(t *testing.T, x tenant) {
			x.addRole("first")
			x.refuses("tool", badUsers, map[string]func(context.Context, string) error{
				"PutTool":    func(ctx context.Context, s string) error { return failure(x.PutTool(ctx, authz.Tool{Name: s})) },
				"Tool":       func(ctx context.Context, s string) error { return failure(x.Tool(ctx, s)) },
				"DeleteTool": func(ctx context.Context, s string) error { return failure(x.DeleteTool(ctx, s)) },
			})
			defining := func(permissions ...authz.DefinedPermission) error {
				return failure(x.PutTool(x.ctx(), authz.Tool{Name: "wiki", Permissions: permissions}))
			}
			x.refuses("permission", append([]string{"*", "page:*"}, badPermissions...), map[string]func(context.Context, string) error{
				"PutTool": func(_ context.Context, s string) error { return defining(authz.DefinedPermission{Name: s}) },
			})
			long := strings.Repeat("ä", authz.MaxDescription+1)
			for what, err := range map[string]error{
				"a long description":      failure(x.PutTool(x.ctx(), authz.Tool{Name: "wiki", Description: long})),
				"a permission's":          defining(authz.DefinedPermission{Name: "read", Description: long}),
				"a permission twice":      defining(authz.DefinedPermission{Name: "read"}, authz.DefinedPermission{Name: "read", Description: "Read"}),
				"too many permissions":    defining(slices.Repeat(wiki.Permissions, 334)...),
				"a description of binary": failure(x.PutTool(x.ctx(), authz.Tool{Name: "wiki", Description: "a\xff"})),
			} {
				fails(t, what, err, fault.CodeInvalid)
			}
			_, err := x.Tool(x.ctx(), "wiki")
			fails(t, "the tool that was refused", err, fault.CodeNotFound)
		},

		"a_tool_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			for _, name := range users {
				x.changed(x.PutTool(x.ctx(), authz.Tool{Name: name, Description: "Of " + name}))
			}
			for _, name := range users {
				x.seesTool(authz.Tool{Name: name, Description: "Of " + name})
				x.changed(x.DeleteTool(x.ctx(), name))
			}
		},

		"tools_and_settings_leave_events_and_changes": func(t *testing.T, x tenant) {
			before := x.revision()
			x.changed(x.PutTool(x.ctx(), authz.Tool{Name: "a/b"}))
			x.changed(x.PutTool(x.ctx(), authz.Tool{Name: "a/b", Description: "Both"}))
			x.changed(x.DeleteTool(x.ctx(), "a/b"))
			x.changed(x.PutSettings(x.ctx(), authz.Settings{StrictUsers: true}))
			x.repeated(x.PutSettings(x.ctx(), authz.Settings{StrictUsers: true}))
			var events, changes []string
			for _, e := range slices.Backward(x.events(audit.Filter{})) {
				events = append(events, e.Action+" "+e.Resource)
			}
			equal(t, "events", events, []string{
				"TOOL_CREATED tool/a%2Fb", "TOOL_UPDATED tool/a%2Fb", "TOOL_DELETED tool/a%2Fb", "SETTINGS_UPDATED settings/*",
			})
			feed, err := x.Changes(x.ctx(), before, authz.Page{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range feed.Items {
				if c.Kind != "client_key" { // some services open their tenant with one
					changes = append(changes, c.Kind+"/"+c.Key)
				}
			}
			equal(t, "changes", changes, []string{"tool/a%2Fb", "tool/a%2Fb", "tool/a%2Fb", "settings/*"})
		},

		"settings_are_read_as_they_were_put": func(t *testing.T, x tenant) {
			settings, err := x.Settings(x.ctx())
			if err != nil || settings != (authz.Snapshot[authz.Settings]{}) {
				t.Errorf("settings of a new tenant: got %+v and error %v, want none on at revision 0", settings, err)
			}
			for _, want := range []authz.Settings{
				{StrictPermissions: true}, {StrictUsers: true}, {StrictPermissions: true, StrictUsers: true}, {},
			} {
				x.changed(x.PutSettings(x.ctx(), want))
				x.repeated(x.PutSettings(x.ctx(), want))
				same(t, "settings", value[authz.Settings](x)(x.Settings(x.ctx())), want)
			}
		},

		"strict_permissions_refuse_to_grant_what_no_tool_defines": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "fly")
			x.grant("editor", "old:*")
			x.changed(x.PutSettings(x.ctx(), authz.Settings{StrictPermissions: true}))
			before := x.revision()
			for _, permission := range []string{"*", "read", "page:*", "page:read", "page:read:*", "pag:*", "page", "old:new"} {
				_, err := x.AddPermission(x.ctx(), "editor", permission)
				tells(t, "add "+permission, err, fault.CodeConflict, "strict_permissions")
				_, err = x.PutGrant(x.ctx(), authz.Owner, authz.Grant{Permission: permission})
				tells(t, "put "+permission, err, fault.CodeConflict, "strict_permissions")
			}
			// What is there is not judged anew.
			x.repeated(x.AddPermission(x.ctx(), "editor", "fly"))
			same(t, "revision", x.revision(), before)
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "old:*", Condition: "false"}))
			x.changed(x.DeletePermission(x.ctx(), "editor", "old:*"))
			_, err := x.AddPermission(x.ctx(), "editor", "old:*")
			fails(t, "what was there before", err, fault.CodeConflict)

			x.changed(x.PutTool(x.ctx(), wiki))
			for _, permission := range []string{"*", "page:*", "page:read", "export"} {
				x.grant("editor", permission)
				x.changed(x.PutGrant(x.ctx(), authz.Owner, authz.Grant{Permission: permission, Condition: "true"}))
			}
			for _, permission := range []string{"page", "pag:*", "page:rea", "page:read:*", "PAGE:*", "export:*"} {
				_, err := x.AddPermission(x.ctx(), "editor", permission)
				fails(t, "add "+permission, err, fault.CodeConflict)
			}
			x.changed(x.DeleteTool(x.ctx(), "wiki"))
			x.allows(x.RoleHasPermission(x.ctx(), "editor", "page:read"))
			x.changed(x.PutSettings(x.ctx(), authz.Settings{}))
			x.grant("editor", "page")
		},

		"strict_users_refuse_those_who_are_not_registered": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("editor")
			x.join("early", "editor")
			x.changed(x.AddToGroup(x.ctx(), "writers", user("early")))
			x.changed(x.PutUser(x.ctx(), authz.User{Name: "alice", Inactive: true}))
			x.changed(x.PutSettings(x.ctx(), authz.Settings{StrictUsers: true}))
			before := x.revision()
			for _, node := range []authz.Node{authz.Root, apollo, post} {
				_, err := x.PutMembership(x.ctx(), at("bob", "editor", node))
				tells(t, "a membership at "+node.String(), err, fault.CodeConflict, `user "bob" is not registered, as strict_users demands`)
			}
			_, err := x.AddToGroup(x.ctx(), "new", user("bob"))
			tells(t, "a place in a group", err, fault.CodeConflict, `user "bob" is not registered`)
			_, err = x.Group(x.ctx(), "new")
			fails(t, "the group of nobody", err, fault.CodeNotFound)
			_, err = x.AddMembership(x.ctx(), "bob", "nobody", authz.Window{})
			fails(t, "a role that is not there", err, fault.CodeNotFound)
			// What is there is not judged anew.
			x.repeated(x.AddMembership(x.ctx(), "early", "editor", authz.Window{}))
			x.repeated(x.AddToGroup(x.ctx(), "writers", user("early")))
			same(t, "revision", x.revision(), before)
			x.changed(x.AddMembership(x.ctx(), "early", "editor", distantWindow))
			x.changed(x.DeleteMembership(x.ctx(), "early", "editor"))

			x.join("alice", "editor")
			x.changed(x.AddToGroup(x.ctx(), "new", user("alice")))
			x.changed(x.AddToGroup(x.ctx(), "new", group("bob")))
			x.changed(x.PutMembership(x.ctx(), authz.Membership{Subject: group("bob"), Role: "editor", Node: apollo}))
			x.changed(x.PutSettings(x.ctx(), authz.Settings{}))
			x.join("bob", "editor")
		},

		"a_catalogue_and_settings_are_their_tenant's_own": func(t *testing.T, x tenant) {
			other := s.tenant(t)
			x.changed(x.PutTool(x.ctx(), wiki))
			x.changed(x.PutSettings(x.ctx(), authz.Settings{StrictPermissions: true, StrictUsers: true}))
			other.addRole("editor")
			other.grant("editor", "fly")
			other.join("bob", "editor")
			equal(t, "tools of the other", all(other, other.Tools), nil)
			other.changed(other.PutTool(other.ctx(), authz.Tool{Name: "forum", Permissions: wiki.Permissions}))
			other.changed(other.PutTool(other.ctx(), authz.Tool{Name: "wiki"}))
			other.changed(other.DeleteTool(other.ctx(), "wiki"))
			x.seesTool(wiki)
			x.addRole("editor")
			_, err := x.AddPermission(x.ctx(), "editor", "fly")
			fails(t, "grant what the other grants", err, fault.CodeConflict)
		},
	}
}

// seesTool wants a tool as it was put, its permissions sorted.
func (x tenant) seesTool(want authz.Tool) {
	x.t.Helper()
	want.Permissions = slices.SortedFunc(slices.Values(want.Permissions), func(a, b authz.DefinedPermission) int {
		return strings.Compare(a.Name, b.Name)
	})
	same(x.t, "tool", value[authz.Tool](x)(x.Tool(x.ctx(), want.Name)), want)
	for _, listed := range all(x, x.Tools) {
		if listed.Name == want.Name {
			same(x.t, "tool in the list", listed, want)
			return
		}
	}
	x.t.Errorf("tool %q: got none in the list, want it", want.Name)
}

// pagesOf reads a list to its end in pages of a size.
func pagesOf[T, U any](x tenant, limit int, list lister[T], shown func(T) U) []U {
	x.t.Helper()
	var items []U
	for page := (authz.Page{Limit: limit}); ; {
		l, err := list(x.ctx(), page)
		if err != nil {
			x.t.Fatalf("list: %v", err)
		}
		for _, item := range l.Items {
			items = append(items, shown(item))
		}
		if page.Cursor = l.Next; page.Cursor == "" {
			return items
		}
	}
}
