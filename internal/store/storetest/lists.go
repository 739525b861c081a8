package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// names gives one name after another, each greater than the one before.
func names(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%02d", prefix, i)
	}
	return list
}

func testPaging(t *testing.T, f fixture) {
	ctx := t.Context()
	const n = 7
	users, roles, permissions := names("user", n), names("role", n), names("permission", n)
	var members []authz.Member
	var memberships []authz.Membership
	for _, name := range users {
		for _, role := range roles {
			members = append(members, authz.Member{User: name, Role: role})
			memberships = append(memberships, held(user(name), role, authz.Root))
		}
	}
	for _, role := range roles {
		f.grant(t, role, permissions, users...)
	}
	below := authz.Node{Type: "organization", ID: "acme"}
	f.write(t, func(tx store.Tx) {
		for i, id := range names("post", 2*n) {
			parent := authz.Root
			if i%2 == 0 {
				parent = below
			}
			get(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: id}, Parent: parent}))(t)
			get(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "page", ID: id}, Parent: parent}))(t)
		}
	})
	r := f.reader()

	pages(t, "Roles", roles, func(after string, limit int) ([]string, error) {
		found, err := r.Roles(ctx, after, limit)
		return each(found, func(role authz.Role) string { return role.Name }), err
	})
	pages(t, "Grants", permissions, func(after string, limit int) ([]string, error) {
		found, err := r.Grants(ctx, roles[2], after, limit)
		return each(found, func(grant authz.Grant) string { return grant.Permission }), err
	})
	pages(t, "Members", members, func(after authz.Member, limit int) ([]authz.Member, error) {
		return r.Members(ctx, store.MembersQuery{Roles: roles, At: now}, after, limit)
	})
	pages(t, "Memberships", memberships, func(after authz.Membership, limit int) ([]authz.Membership, error) {
		return r.Memberships(ctx, authz.Root, after, limit)
	})
	for _, parent := range []authz.Node{{}, below, authz.Root} {
		var want []string
		for i, id := range names("post", 2*n) {
			if parent == (authz.Node{}) || (i%2 == 0) == (parent == below) {
				want = append(want, id)
			}
		}
		pages(t, "Nodes below "+parent.String(), want, func(after string, limit int) ([]string, error) {
			found, err := r.Nodes(ctx, "post", parent, after, limit)
			return each(found, func(record store.NodeRecord) string { return record.ID }), err
		})
	}
}

func each[T, U any](list []T, fn func(T) U) []U {
	var mapped []U
	for _, item := range list {
		mapped = append(mapped, fn(item))
	}
	return mapped
}

// pages walks a list in pages of every size and wants the whole list each time. A
// page of no items, or of fewer, is empty.
func pages[T comparable](t *testing.T, name string, want []T, page func(after T, limit int) ([]T, error)) {
	t.Helper()
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []T
		for {
			var after T
			if len(got) > 0 {
				after = got[len(got)-1]
			}
			items := get(page(after, limit))(t)
			if len(items) > limit {
				t.Fatalf("%s: got %d items, want at most %d", name, len(items), limit)
			}
			got = append(got, items...)
			if len(items) < limit || len(got) > len(want) {
				break
			}
		}
		equalList(t, fmt.Sprintf("%s in pages of %d", name, limit), got, want)
	}
	for _, limit := range []int{0, -1} {
		var first T
		equal(t, fmt.Sprintf("%s in pages of %d", name, limit), len(get(page(first, limit))(t)), 0)
	}
}

func testCodePointOrder(t *testing.T, f fixture) {
	ctx := t.Context()
	// U+FFFD comes before U+10000 by code point and after it in UTF-16.
	users := []string{"!", "0", "A", "B", "Z", "_", "a", "aa", "b", "z", "~", "É", "é", "中", "\uFFFD", "\U00010000", "\U0001F600"}
	roles := []string{"-", ".", "0", "9", "A", "B", "Z", "_", "a", "a-b", "aB", "ab", "z"}
	permissions := []string{"*", "A", "Z:*", "a", "a:*", "a:b", "b"}
	shuffled := slices.Clone(users)
	slices.Reverse(shuffled)
	for _, role := range slices.Backward(roles) {
		f.grant(t, role, permissions, shuffled...)
	}
	f.write(t, func(tx store.Tx) {
		for _, id := range shuffled {
			get(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: id}, Parent: authz.Root}))(t)
			setMembership(t, tx, held(user("!"), "a", authz.Node{Type: "post", ID: id}))
		}
	})
	r := f.reader()
	roleName := func(role authz.Role) string { return role.Name }
	equalList(t, "Roles", each(get(r.Roles(ctx, "", 100))(t), roleName), roles)
	equalList(t, "Grants", each(get(r.Grants(ctx, "a", "", 100))(t), func(g authz.Grant) string { return g.Permission }), permissions)
	equalList(t, "Members", f.members(t, "a"), users)
	query := store.MembersQuery{Roles: roles, At: now}
	equal(t, "Members after z", get(r.Members(ctx, query, authz.Member{User: "z", Role: "z"}, 100))(t)[0], authz.Member{User: "~", Role: "-"})
	equalList(t, "Nodes", each(get(r.Nodes(ctx, "post", authz.Node{}, "", 100))(t), func(n store.NodeRecord) string { return n.ID }), users)
	subject := func(m authz.Membership) string { return m.Subject.Name }
	at := get(r.Memberships(ctx, authz.Root, authz.Membership{}, 1000))(t)
	equalList(t, "Memberships", slices.Compact(each(at, subject)), users)
	equalList(t, "roles of a user in Memberships", each(at[:len(roles)], func(m authz.Membership) string { return m.Role }), roles)
	var specs []string
	for _, spec := range get(r.Policy(ctx))(t) {
		if !authz.IsBuiltin(spec.Name) {
			specs = append(specs, spec.Name)
		}
	}
	equalList(t, "Policy", specs, roles)
	var ids []string
	for _, holding := range get(r.Holdings(ctx, "!"))(t) {
		if holding.Node != authz.Root {
			ids = append(ids, holding.Node.ID)
		}
	}
	equalList(t, "Holdings", ids, users)
}

func testLongNames(t *testing.T, f fixture) {
	ctx := t.Context()
	name := strings.Repeat("é", authz.MaxID/2)
	astral := strings.Repeat("\U0001F600", authz.MaxID/4)
	role := strings.Repeat("r", authz.MaxRoleName)
	permission := strings.Repeat("p", authz.MaxPermissionName)
	description := strings.Repeat("\U0001F600", authz.MaxDescription)
	f.grant(t, role, []string{permission}, name, astral)
	f.write(t, func(tx store.Tx) { get(tx.SetRoleDescription(ctx, role, description))(t) })
	r := f.reader()
	equalList(t, "Roles", get(r.Roles(ctx, "", 10))(t), []authz.Role{{Name: role, Description: description}})
	equalList(t, "members", f.members(t, role), []string{name, astral})
	equalList(t, "Grants", get(r.Grants(ctx, role, "", 10))(t), []authz.Grant{{Permission: permission}})
	equalList(t, "holdings", f.holdings(t, name), []string{role + "@tenant"})
	equalList(t, "holdings of one letter less", f.holdings(t, name[2:]), nil)
	_, found := there(r.Grant(ctx, role, permission[1:]))(t)
	equal(t, "a grant of one byte less", found, false)
	node := store.NodeRecord{
		Node: authz.Node{Type: role, ID: name}, Parent: authz.Node{Type: "team", ID: astral}, Name: description, Owner: astral,
		Properties: map[string]any{"long": strings.Repeat("\U0001F600", 4096)},
	}
	tool := authz.Tool{Name: astral, Description: description, Permissions: []authz.DefinedPermission{{Name: permission, Description: description}}}
	f.write(t, func(tx store.Tx) {
		get(tx.SetNode(ctx, node))(t)
		get(tx.SetGroup(ctx, authz.Group{Name: name, Description: description}))(t)
		get(tx.AddToGroup(ctx, name, user(astral)))(t)
		get(tx.SetTool(ctx, tool))(t)
		setMembership(t, tx, held(group(name), role, node.Node))
	})
	stored, _ := f.node(t, node.Node)
	deepEqual(t, "the node", stored, node)
	storedTool, _ := there(r.Tool(ctx, astral))(t)
	deepEqual(t, "the tool", storedTool, tool)
	equalList(t, "holdings through a group", f.holdings(t, astral), []string{role + "@tenant", role + "@" + node.Node.String() + " by " + name})
}

func testMetacharacters(t *testing.T, f fixture) {
	ctx := t.Context()
	odd := []string{
		"%", "_", "a%", "a_c", "abc", `a\`, `"`, `a"b`, "'", "''", "a'; DROP TABLE roles; --", "[a]", "[\"a\"]", "{}",
		"*", "?", "$1", "?1", ":a", "@a", `\u0061`, "\\x61", "null", "<&>", "\u2028", "a b", "-- ", "/*", "tab\there",
	}
	// The store takes any text for a name: what names may be is decided above it.
	for i, name := range odd {
		role := fmt.Sprintf("role%02d", i)
		f.grant(t, role, []string{name}, name)
		f.write(t, func(tx store.Tx) {
			node := authz.Node{Type: name, ID: name}
			get(tx.SetNode(ctx, store.NodeRecord{Node: node, Parent: node, Name: name, Owner: name, Properties: map[string]any{name: name}}))(t)
			get(tx.SetGroup(ctx, authz.Group{Name: name, Description: name}))(t)
			get(tx.AddToGroup(ctx, name, user(name)))(t)
			setMembership(t, tx, held(group(name), role, node))
			get(tx.SetUser(ctx, authz.User{Name: name, Inactive: true}))(t)
			get(tx.SetTool(ctx, authz.Tool{Name: name, Description: name, Permissions: defined("p" + name)}))(t)
		})
	}
	r := f.reader()
	for i, name := range odd {
		role := fmt.Sprintf("role%02d", i)
		node := authz.Node{Type: name, ID: name}
		equalList(t, "holdings of "+name, f.holdings(t, name), []string{role + "@tenant", role + "@" + node.String() + " by " + name})
		equalList(t, "members for "+name, f.members(t, role), []string{name})
		equalList(t, "grants of "+name, get(r.Grants(ctx, role, "", 10))(t), []authz.Grant{{Permission: name}})
		query := store.MembersQuery{Roles: []string{role}, At: now, ActiveOnly: true}
		equal(t, "active members for "+name, get(r.CountMembers(ctx, query))(t), 0)
		stored, _ := f.node(t, node)
		deepEqual(t, "node "+name, stored, store.NodeRecord{Node: node, Parent: node, Name: name, Owner: name, Properties: map[string]any{name: name}})
		tool, _ := there(r.Tool(ctx, name))(t)
		deepEqual(t, "tool "+name, tool, authz.Tool{Name: name, Description: name, Permissions: defined("p" + name)})
		equal(t, "members of group "+name, get(r.GroupMembers(ctx, name, authz.SubjectRef{}, 10))(t)[0], user(name))
		equal(t, "nodes under "+name, len(get(r.Nodes(ctx, name, node, "", 10))(t)), 1)
		for _, other := range odd {
			_, found := there(r.Grant(ctx, role, other))(t)
			equal(t, name+" may "+other, found, name == other)
		}
	}
	f.write(t, func(tx store.Tx) {
		for _, name := range odd[:4] {
			equal(t, "delete node "+name, get(tx.DeleteNode(ctx, authz.Node{Type: name, ID: name}))(t), true)
			equal(t, "delete group "+name, get(tx.DeleteGroup(ctx, name))(t), true)
			equal(t, "delete user "+name, get(tx.DeleteUser(ctx, name))(t), true)
		}
	})
	for i, name := range odd {
		_, found := f.node(t, authz.Node{Type: name, ID: name})
		equal(t, "node left "+name, found, i >= 4)
		equal(t, "holdings left of "+name, len(f.holdings(t, name)) > 0, i >= 4)
	}
	f.write(t, func(tx store.Tx) { equal(t, "delete %", get(tx.DeleteRole(ctx, "%"))(t), false) })
	equal(t, "roles left", len(get(r.Roles(ctx, "", 100))(t)), len(odd))
	for _, name := range odd {
		event := audit.Event{Time: now, Action: audit.AccessRefused, User: name, Resource: name, RequestID: name}
		if err := f.AppendEvent(ctx, f.tenant, event); err != nil {
			t.Fatalf("AppendEvent: %v", err)
		}
		filter := audit.Filter{User: name, Resource: name, RequestID: name}
		equal(t, "events of "+name, len(get(r.AuditEvents(ctx, filter, "", 10))(t)), 1)
	}
}
