package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

func testKnown(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", []string{"view", "page:*", "*", "page:edit"}, "held", "both")
	f.write(t, func(tx store.Tx) {
		get(tx.SetUser(ctx, authz.User{Name: "registered"}))(t)
		get(tx.SetUser(ctx, authz.User{Name: "both"}))(t)
		get(tx.CreateGroup(ctx, "staff"))(t)
		get(tx.AddToGroup(ctx, "staff", user("grouped")))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: plan, Parent: authz.Root, Owner: "Ünal"}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: acme, Parent: authz.Root}))(t)
		get(tx.SetTool(ctx, authz.Tool{Name: "wiki", Permissions: []authz.DefinedPermission{{Name: "page:read"}, {Name: "view"}}}))(t)
	})
	pages(t, "KnownUsers", []string{"both", "grouped", "held", "registered", "Ünal"}, func(after string, limit int) ([]string, error) {
		return f.reader().KnownUsers(ctx, after, limit)
	})
	pages(t, "KnownPermissions", []string{"page:edit", "page:read", "view"}, func(after string, limit int) ([]string, error) {
		return f.reader().KnownPermissions(ctx, after, limit)
	})
}

func testHolders(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", nil, "at the root")
	f.grant(t, "editor", nil)
	f.write(t, func(tx store.Tx) {
		for _, name := range []string{"staff", "interns"} {
			get(tx.CreateGroup(ctx, name))(t)
		}
		get(tx.AddToGroup(ctx, "staff", group("interns")))(t)
		get(tx.AddToGroup(ctx, "staff", user("ann")))(t)
		get(tx.AddToGroup(ctx, "interns", user("ivy")))(t)
		setMembership(t, tx, held(group("staff"), "viewer", plan))
		setMembership(t, tx, held(user("ann"), "viewer", plan))
		setMembership(t, tx, held(user("bob"), "editor", plan))
		setMembership(t, tx, held(user("zoe"), "viewer", authz.Node{Type: "post", ID: "other"}))
		expired := held(user("late"), "viewer", plan)
		expired.Window.ExpiresAt = now
		setMembership(t, tx, expired)
	})
	for _, test := range []struct {
		roles []string
		want  []string
	}{
		{[]string{"viewer", "editor", "viewer"}, []string{"ann", "bob", "ivy"}}, {[]string{"editor"}, []string{"bob"}}, {nil, nil},
	} {
		query := store.HoldersQuery{Roles: test.roles, Node: plan, At: now}
		pages(t, "Holders", test.want, func(after string, limit int) ([]string, error) {
			return f.reader().Holders(ctx, query, after, limit)
		})
	}
}

func testSubjects(t *testing.T, f fixture) {
	ctx := t.Context()
	f.plant(t)
	f.write(t, func(tx store.Tx) {
		get(tx.SetUser(ctx, authz.User{Name: "ann", Inactive: true, Properties: map[string]any{"a": "b"}}))(t)
		get(tx.CreateGroup(ctx, "staff"))(t)
		get(tx.AddToGroup(ctx, "staff", user("bob")))(t)
		setMembership(t, tx, held(group("staff"), "viewer", rocket))
	})
	names := []string{"ann", "bob", "unknown"}
	awkward := authz.Node{Type: `["`, ID: "engines"}
	for _, at := range [][]authz.Node{{plan, rocket, authz.Root}, {rocket, awkward, rocket}, {awkward}, nil} {
		records := get(f.reader().Subjects(ctx, names, at))(t)
		equal(t, "subjects", len(records), len(names))
		for _, name := range names {
			registered, found := there(f.reader().User(ctx, name))(t)
			if !found {
				registered = authz.User{Name: name}
			}
			deepEqual(t, name, records[name].User, registered)
			held := slices.DeleteFunc(get(f.reader().Holdings(ctx, name))(t), func(h authz.Holding) bool { return !slices.Contains(at, h.Node) })
			equalList(t, fmt.Sprint(name, " holds at ", at), records[name].Holdings, held)
		}
	}
}

func testNodesOfUsers(t *testing.T, f fixture) {
	ctx := t.Context()
	f.plant(t)
	f.write(t, func(tx store.Tx) {
		for id, parent := range map[string]authz.Node{"a": engines, "b": rocket, "c": acme, "d": rival, "e": authz.Root} {
			get(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: id}, Parent: parent, Owner: "owner of " + id}))(t)
		}
		get(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: "f"}, Parent: authz.Root, Owner: "owner of a"}))(t)
	})
	pages(t, "NodesOfType", []string{"a", "b", "c", "d", "e", "f", "plan"}, func(after string, limit int) ([]string, error) {
		return f.reader().NodesOfType(ctx, "post", after, limit)
	})
	pages(t, "NodesOwned", []string{"a", "f"}, func(after string, limit int) ([]string, error) {
		return f.reader().NodesOwned(ctx, "post", "owner of a", after, limit)
	})
	for _, test := range []struct {
		query store.WithinQuery
		want  []string
	}{
		{store.WithinQuery{NodeType: "post", Kind: authz.KindOrganization, IDs: []string{"acme"}}, []string{"a", "b", "c", "plan"}},
		{store.WithinQuery{NodeType: "post", Kind: authz.KindOrganization, IDs: []string{"acme", "rival", "none"}}, []string{"a", "b", "c", "d", "plan"}},
		{store.WithinQuery{NodeType: "post", Kind: authz.KindTeam, IDs: []string{"engines"}}, []string{"a", "plan"}},
		{store.WithinQuery{NodeType: "team", Kind: authz.KindOrganization, IDs: []string{"acme"}}, []string{"engines"}},
		{store.WithinQuery{NodeType: "post", Kind: authz.KindProject}, nil},
	} {
		pages(t, "NodesWithin", test.want, func(after string, limit int) ([]string, error) {
			return f.reader().NodesWithin(ctx, test.query, after, limit)
		})
	}
	named := get(f.reader().NodesNamed(ctx, "post", []string{"f", "a", "f", "rocket", "none"}))(t)
	slices.SortFunc(named, func(a, b store.NodeRecord) int { return strings.Compare(a.ID, b.ID) })
	deepEqual(t, "NodesNamed", named, []store.NodeRecord{
		{Node: authz.Node{Type: "post", ID: "a"}, Parent: engines, Owner: "owner of a"},
		{Node: authz.Node{Type: "post", ID: "f"}, Parent: authz.Root, Owner: "owner of a"},
	})
	equal(t, "NodesNamed of none", len(get(f.reader().NodesNamed(ctx, "post", nil))(t)), 0)
}
