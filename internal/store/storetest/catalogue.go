package storetest

import (
	"fmt"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// defined gives permissions that have no description.
func defined(names ...string) []authz.DefinedPermission {
	return each(names, func(name string) authz.DefinedPermission { return authz.DefinedPermission{Name: name} })
}

func testTools(t *testing.T, f fixture) {
	ctx := t.Context()
	_, found := there(f.reader().Tool(ctx, "wiki"))(t)
	equal(t, "found before", found, false)
	for _, want := range []authz.Tool{
		{Name: "wiki"},
		{Name: "wiki", Description: "pages"},
		{Name: "wiki", Description: "pages", Permissions: defined("Read", "edit", "read")},
		{Name: "wiki", Description: "pages", Permissions: []authz.DefinedPermission{{Name: "Read"}, {Name: "edit", Description: "Ü"}, {Name: "read"}}},
		{Name: "wiki", Permissions: defined("Read", "edit", "write")},
		{Name: "wiki", Permissions: defined("write")},
		{Name: "wiki"},
	} {
		f.write(t, func(tx store.Tx) {
			equal(t, "set", get(tx.SetTool(ctx, want))(t), true)
			equal(t, "set again", get(tx.SetTool(ctx, want))(t), false)
		})
		got, found := there(f.reader().Tool(ctx, "wiki"))(t)
		equal(t, "found", found, true)
		deepEqual(t, "the tool", got, want)
		deepEqual(t, "the tools", get(f.reader().Tools(ctx, "", 10))(t), []authz.Tool{want})
	}
	_, found = there(f.reader().Tool(ctx, "Wiki"))(t)
	equal(t, "another case", found, false)

	other := authz.Tool{Name: "forum", Permissions: defined("post")}
	f.write(t, func(tx store.Tx) {
		get(tx.SetTool(ctx, other))(t)
		get(tx.SetTool(ctx, authz.Tool{Name: "wiki", Permissions: defined("read")}))(t)
		equal(t, "delete", get(tx.DeleteTool(ctx, "wiki"))(t), true)
		equal(t, "delete again", get(tx.DeleteTool(ctx, "wiki"))(t), false)
	})
	f.write(t, func(tx store.Tx) { get(tx.SetTool(ctx, authz.Tool{Name: "wiki"}))(t) })
	deepEqual(t, "a tool of the same name", get(f.reader().Tools(ctx, "", 10))(t), []authz.Tool{other, {Name: "wiki"}})
}

func testDefiningTool(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		_, found := there(tx.DefiningTool(ctx, "*"))(t)
		equal(t, "anything where there is no tool", found, false)
		get(tx.SetTool(ctx, authz.Tool{Name: "wiki", Permissions: defined("a", "b:c", "b:c:zz", "d:")}))(t)
		get(tx.SetTool(ctx, authz.Tool{Name: "forum", Permissions: defined("A", "b:e")}))(t)
	})
	for grant, want := range map[string]string{
		"a": "wiki", "b:c": "wiki", "b:e": "forum", "A": "forum", "*": "forum", "b:*": "wiki", "b:c:*": "wiki", "d:*": "wiki", "d:": "wiki",
		"b": "", "b:": "", "c": "", "a:*": "", "B:*": "", "b:c:z": "", "b:e:*": "", "b:d:*": "", "aa": "", ":*": "",
	} {
		got, found := there(f.reader().DefiningTool(ctx, grant))(t)
		equal(t, "the tool that defines "+grant, got, want)
		equal(t, grant+" is defined", found, want != "")
	}
}

func testCatalogue(t *testing.T, f fixture) {
	ctx := t.Context()
	const n = 5
	var want []string
	f.grant(t, "editor", nil)
	f.grant(t, "author", nil)
	f.write(t, func(tx store.Tx) {
		for i := range n {
			both, granted, alone := fmt.Sprintf("p%d:a", i), fmt.Sprintf("p%d:b", i), fmt.Sprintf("p%d:c", i)
			get(tx.SetTool(ctx, authz.Tool{Name: fmt.Sprint("tool", i), Permissions: defined(alone, both)}))(t)
			for _, role := range []string{"editor", authz.Everyone, "author"} {
				get(tx.SetGrant(ctx, role, authz.Grant{Permission: both}))(t)
				get(tx.SetGrant(ctx, role, authz.Grant{Permission: granted, Condition: "false"}))(t)
			}
			want = append(want, both, granted, alone)
		}
		get(tx.SetGrant(ctx, "author", authz.Grant{Permission: "*"}))(t)
	})
	want = append([]string{"*"}, want...)
	pages(t, "Catalogue", want, func(after string, limit int) ([]string, error) {
		entries, err := f.reader().Catalogue(ctx, after, limit)
		return each(entries, func(entry authz.CatalogueEntry) string { return entry.Name }), err
	})
	everybody := []string{authz.Everyone, "author", "editor"}
	deepEqual(t, "some entries", get(f.reader().Catalogue(ctx, "", 4))(t), []authz.CatalogueEntry{
		{DefinedPermission: authz.DefinedPermission{Name: "*"}, Roles: []string{"author"}},
		{DefinedPermission: authz.DefinedPermission{Name: "p0:a"}, Tool: "tool0", Roles: everybody},
		{DefinedPermission: authz.DefinedPermission{Name: "p0:b"}, Roles: everybody},
		{DefinedPermission: authz.DefinedPermission{Name: "p0:c"}, Tool: "tool0"},
	})
}

func testSettings(t *testing.T, f fixture) {
	ctx := t.Context()
	equal(t, "before", get(f.reader().Settings(ctx))(t), authz.Settings{})
	f.write(t, func(tx store.Tx) { equal(t, "set none", get(tx.SetSettings(ctx, authz.Settings{}))(t), false) })
	for _, want := range []authz.Settings{{StrictPermissions: true}, {StrictUsers: true}, {StrictPermissions: true, StrictUsers: true}, {}} {
		f.write(t, func(tx store.Tx) {
			equal(t, "set", get(tx.SetSettings(ctx, want))(t), true)
			equal(t, "set again", get(tx.SetSettings(ctx, want))(t), false)
		})
		equal(t, "the settings", get(f.reader().Settings(ctx))(t), want)
	}
	f.write(t, func(tx store.Tx) { get(tx.SetSettings(ctx, authz.Settings{StrictUsers: true}))(t) })
	equal(t, "another tenant's", get(Reader(f, f.tenant+"x").Settings(ctx))(t), authz.Settings{})
}

// testPeople lists users, groups and their members page by page.
func testPeople(t *testing.T, f fixture) {
	ctx := t.Context()
	people := []string{"!", "Z", "a", "aa", "z", "~", "é", "\uFFFD", "\U0001F600"}
	var members []authz.SubjectRef
	f.write(t, func(tx store.Tx) {
		for i, name := range people {
			get(tx.SetGroup(ctx, authz.Group{Name: name, Description: "of " + name}))(t)
			get(tx.SetUser(ctx, authz.User{Name: name, Inactive: i%2 == 0, Properties: map[string]any{"name": name}}))(t)
		}
		for _, name := range people {
			get(tx.AddToGroup(ctx, "a", user(name)))(t)
			members = append(members, user(name))
		}
		for _, name := range people {
			get(tx.AddToGroup(ctx, "a", group(name)))(t)
			members = append(members, group(name))
		}
		get(tx.AddToGroup(ctx, "aa", user("elsewhere")))(t)
	})
	r := f.reader()
	pages(t, "GroupMembers", members, func(after authz.SubjectRef, limit int) ([]authz.SubjectRef, error) {
		return r.GroupMembers(ctx, "a", after, limit)
	})
	equal(t, "members of no group", len(get(r.GroupMembers(ctx, "none", authz.SubjectRef{}, 10))(t)), 0)
	pages(t, "Groups", people, func(after string, limit int) ([]string, error) {
		groups, err := r.Groups(ctx, after, limit)
		return each(groups, func(g authz.Group) string { return g.Name }), err
	})
	equal(t, "a group", get(r.Groups(ctx, "!", 1))(t)[0], authz.Group{Name: "Z", Description: "of Z"})
	pages(t, "Users", people, func(after string, limit int) ([]string, error) {
		users, err := r.Users(ctx, after, limit)
		return each(users, func(u authz.User) string { return u.Name }), err
	})
	deepEqual(t, "users", get(r.Users(ctx, "!", 2))(t), []authz.User{
		{Name: "Z", Properties: map[string]any{"name": "Z"}}, {Name: "a", Inactive: true, Properties: map[string]any{"name": "a"}},
	})
}
