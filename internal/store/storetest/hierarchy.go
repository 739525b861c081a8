package storetest

import (
	"fmt"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// A small tree, from the top down.
var (
	acme    = authz.Node{Type: "organization", ID: "acme"}
	rival   = authz.Node{Type: "organization", ID: "rival"}
	rocket  = authz.Node{Type: "project", ID: "rocket"}
	engines = authz.Node{Type: "team", ID: "engines"}
	plan    = authz.Node{Type: "post", ID: "plan"}
	// namesake has the id of another node and is below a third.
	namesake = authz.Node{Type: "project", ID: "acme"}
)

// parents is that tree.
var parents = map[authz.Node]authz.Node{
	acme: authz.Root, rival: authz.Root, rocket: acme, engines: rocket, plan: engines, namesake: rival,
}

// plant writes the tree, and has ann hold viewer at each of its nodes.
func (f fixture) plant(t *testing.T) {
	t.Helper()
	f.grant(t, "viewer", []string{"read"}, "ann")
	f.write(t, func(tx store.Tx) {
		for node, parent := range parents {
			get(tx.SetNode(t.Context(), store.NodeRecord{Node: node, Parent: parent}))(t)
			setMembership(t, tx, held(user("ann"), "viewer", node))
		}
	})
}

func (f fixture) node(t *testing.T, node authz.Node) (store.NodeRecord, bool) {
	t.Helper()
	return there(f.reader().Node(t.Context(), node))(t)
}

func testNodes(t *testing.T, f fixture) {
	ctx := t.Context()
	scope := store.NodeRecord{Node: acme, Parent: authz.Root, Name: "Acme, Ünc."}
	resource := store.NodeRecord{Node: plan, Parent: acme, Owner: "ann", Properties: map[string]any{"status": "active"}}
	set := func(record store.NodeRecord) bool {
		var changed bool
		f.write(t, func(tx store.Tx) { changed = get(tx.SetNode(ctx, record))(t) })
		got, found := f.node(t, record.Node)
		equal(t, "found", found, true)
		deepEqual(t, "the node", got, record)
		return changed
	}
	equal(t, "a scope", set(scope), true)
	equal(t, "the same", set(scope), false)
	equal(t, "a resource", set(resource), true)
	equal(t, "the same", set(resource), false)
	for what, change := range map[string]func(*store.NodeRecord){
		"name":        func(r *store.NodeRecord) { r.Name = "a name" },
		"owner":       func(r *store.NodeRecord) { r.Owner = "bob" },
		"no owner":    func(r *store.NodeRecord) { r.Owner = "" },
		"parent":      func(r *store.NodeRecord) { r.Parent = authz.Root },
		"parent type": func(r *store.NodeRecord) { r.Parent.Type = "project" },
		"parent id":   func(r *store.NodeRecord) { r.Parent.ID = "other" },
		"properties":  func(r *store.NodeRecord) { r.Properties = map[string]any{"status": "Active"} },
		"none":        func(r *store.NodeRecord) { r.Properties = nil },
	} {
		changed := resource
		change(&changed)
		equal(t, "another "+what, set(changed), true)
		equal(t, "the same "+what, set(changed), false)
		equal(t, "as before", set(resource), true)
	}
	for _, missing := range []authz.Node{
		authz.Root, {Type: "Post", ID: "plan"}, {Type: "post", ID: "Plan"}, {Type: "post"}, {ID: "plan"}, {Type: "plan", ID: "post"},
	} {
		_, found := f.node(t, missing)
		equal(t, missing.String()+" is there", found, false)
	}
}

func testMoveNode(t *testing.T, f fixture) {
	ctx := t.Context()
	f.plant(t)
	f.write(t, func(tx store.Tx) {
		equal(t, "move", get(tx.SetNode(ctx, store.NodeRecord{Node: rocket, Parent: rival}))(t), true)
	})
	projects := func(parent authz.Node) (list []string) {
		for _, record := range get(f.reader().Nodes(ctx, "project", parent, "", 10))(t) {
			list = append(list, record.ID)
		}
		return list
	}
	equalList(t, "of the old parent", projects(acme), nil)
	equalList(t, "of the new parent", projects(rival), []string{"acme", "rocket"})
	equalList(t, "of none", projects(rocket), nil)
	equalList(t, "all", projects(authz.Node{}), []string{"acme", "rocket"})
	// What lies below has moved along: it goes with the new parent, not the old one.
	f.write(t, func(tx store.Tx) { get(tx.DeleteNode(ctx, acme))(t) })
	_, found := f.node(t, plan)
	equal(t, "below after the old parent's deletion", found, true)
	f.write(t, func(tx store.Tx) { get(tx.DeleteNode(ctx, rival))(t) })
	_, found = f.node(t, plan)
	equal(t, "below after the new parent's deletion", found, false)
}

func testDeleteNode(t *testing.T, f fixture) {
	ctx := t.Context()
	f.plant(t)
	unstored := authz.Node{Type: "post", ID: "never stored"}
	f.write(t, func(tx store.Tx) {
		get(tx.CreateGroup(ctx, "staff"))(t)
		setMembership(t, tx, held(group("staff"), "viewer", rocket))
		setMembership(t, tx, held(user("bob"), "viewer", unstored))
	})
	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteNode(ctx, acme))(t), true)
		equal(t, "delete again", get(tx.DeleteNode(ctx, acme))(t), false)
		equal(t, "delete what lay below", get(tx.DeleteNode(ctx, plan))(t), false)
	})
	left := []string{"viewer@organization:rival", "viewer@project:acme", "viewer@tenant"}
	equalList(t, "ann's holdings", f.holdings(t, "ann"), left)
	// The same nodes again are new ones.
	f.write(t, func(tx store.Tx) {
		for _, node := range []authz.Node{acme, rocket, engines, plan} {
			get(tx.SetNode(ctx, store.NodeRecord{Node: node, Parent: parents[node]}))(t)
		}
	})
	equalList(t, "ann's holdings", f.holdings(t, "ann"), left)
	equal(t, "memberships at a new node", len(get(f.reader().Memberships(ctx, rocket, authz.Membership{}, 10))(t)), 0)
	_, found := f.node(t, namesake)
	equal(t, "the namesake is there", found, true)

	f.write(t, func(tx store.Tx) {
		equal(t, "memberships where nothing is stored", get(tx.DeleteNode(ctx, unstored))(t), true)
	})
	equalList(t, "bob's holdings", f.holdings(t, "bob"), nil)
}

// testNodeCircle deletes a tree that hangs under itself, as only damaged data does.
func testNodeCircle(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		get(tx.SetNode(ctx, store.NodeRecord{Node: rocket, Parent: engines}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: engines, Parent: rocket}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: plan, Parent: plan}))(t)
	})
	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteNode(ctx, rocket))(t), true)
		equal(t, "delete its own parent", get(tx.DeleteNode(ctx, plan))(t), true)
	})
	for _, node := range []authz.Node{rocket, engines, plan} {
		_, found := f.node(t, node)
		equal(t, node.String()+" is there", found, false)
	}
}

func testProperties(t *testing.T, f fixture) {
	ctx := t.Context()
	for name, properties := range map[string]map[string]any{
		"none":    nil,
		"simple":  {"a": "text", "b": true, "c": 1.5, "d": nil, "e": float64(-3)},
		"nested":  {"list": []any{"a", []any{}, map[string]any{"x": []any{1.0, nil}}}, "map": map[string]any{"": map[string]any{}}},
		"unicode": {"Ünï": "\U0001F600", "\u2028": "<&>", "nul": "\x00", "\uFFFD": `"\'%`, "é": "e\u0301"},
		"numbers": {"big": 1e300, "small": 5e-324, "exact": float64(1<<53 - 1)},
	} {
		var changed [6]bool
		f.write(t, func(tx store.Tx) {
			node := store.NodeRecord{Node: authz.Node{Type: "post", ID: name}, Parent: authz.Root, Properties: properties}
			changed[0] = get(tx.SetNode(ctx, node))(t)
			changed[1] = get(tx.SetNode(ctx, node))(t)
			changed[2] = get(tx.SetUser(ctx, authz.User{Name: name, Properties: properties}))(t)
			changed[3] = get(tx.SetUser(ctx, authz.User{Name: name, Properties: properties}))(t)
			// None and empty are the same.
			if len(properties) == 0 {
				node.Properties = map[string]any{}
				changed[4] = get(tx.SetNode(ctx, node))(t)
				changed[5] = get(tx.SetUser(ctx, authz.User{Name: name, Properties: map[string]any{}}))(t)
			}
		})
		equal(t, name+" changed", changed, [6]bool{true, false, true, false})
		node, _ := f.node(t, authz.Node{Type: "post", ID: name})
		deepEqual(t, name+" of a node", node.Properties, properties)
		stored, _ := there(f.reader().User(ctx, name))(t)
		deepEqual(t, name+" of a user", stored.Properties, properties)
	}
}

func testUnusableProperties(t *testing.T, f fixture) {
	ctx := t.Context()
	properties := map[string]any{"channel": make(chan int)}
	for what, set := range map[string]func(store.Tx) (bool, error){
		"SetNode": func(tx store.Tx) (bool, error) {
			return tx.SetNode(ctx, store.NodeRecord{Node: plan, Parent: authz.Root, Properties: properties})
		},
		"SetUser": func(tx store.Tx) (bool, error) {
			return tx.SetUser(ctx, authz.User{Name: "ann", Properties: properties})
		},
	} {
		_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
			_, err := set(tx)
			return err
		})
		hasCode(t, what, err, fault.CodeInternal)
	}
	equal(t, "revision", f.revision(t), 0)
}

func testGroups(t *testing.T, f fixture) {
	ctx := t.Context()
	stored := func() authz.Group {
		found, _ := there(f.reader().Group(ctx, "staff"))(t)
		return found
	}
	f.write(t, func(tx store.Tx) {
		equal(t, "create", get(tx.CreateGroup(ctx, "staff"))(t), true)
		equal(t, "create again", get(tx.CreateGroup(ctx, "staff"))(t), false)
	})
	equal(t, "the group", stored(), authz.Group{Name: "staff"})
	f.write(t, func(tx store.Tx) {
		equal(t, "describe", get(tx.SetGroup(ctx, authz.Group{Name: "staff", Description: "all"}))(t), true)
		equal(t, "describe the same", get(tx.SetGroup(ctx, authz.Group{Name: "staff", Description: "all"}))(t), false)
		equal(t, "create what is described", get(tx.CreateGroup(ctx, "staff"))(t), false)
		equal(t, "set a new one", get(tx.SetGroup(ctx, authz.Group{Name: "other", Description: "few"}))(t), true)
	})
	equal(t, "the group", stored(), authz.Group{Name: "staff", Description: "all"})
	_, found := there(f.reader().Group(ctx, "Staff"))(t)
	equal(t, "another case", found, false)

	f.grant(t, "viewer", nil)
	f.write(t, func(tx store.Tx) {
		setMembership(t, tx, held(group("staff"), "viewer", plan))
		equal(t, "add", get(tx.AddToGroup(ctx, "staff", user("ann")))(t), true)
		equal(t, "add again", get(tx.AddToGroup(ctx, "staff", user("ann")))(t), false)
		equal(t, "add a group", get(tx.AddToGroup(ctx, "staff", group("other")))(t), true)
		get(tx.AddToGroup(ctx, "other", user("bob")))(t)
	})
	for _, name := range []string{"ann", "bob"} {
		equalList(t, name+"'s holdings", f.holdings(t, name), []string{"viewer@post:plan by staff"})
	}
	for _, name := range []string{"Ann", "staff", "other"} {
		equalList(t, name+"'s holdings", f.holdings(t, name), nil)
	}
	f.write(t, func(tx store.Tx) {
		equal(t, "remove a group of that name", get(tx.RemoveFromGroup(ctx, "staff", group("ann")))(t), false)
		equal(t, "remove from another group", get(tx.RemoveFromGroup(ctx, "other", user("ann")))(t), false)
		equal(t, "remove", get(tx.RemoveFromGroup(ctx, "staff", user("ann")))(t), true)
		equal(t, "remove again", get(tx.RemoveFromGroup(ctx, "staff", user("ann")))(t), false)
		equal(t, "remove a group", get(tx.RemoveFromGroup(ctx, "staff", group("other")))(t), true)
	})
	for _, name := range []string{"ann", "bob"} {
		equalList(t, name+"'s holdings after", f.holdings(t, name), nil)
	}
}

// depth is how deep the groups of ladder are nested.
const depth = 10

// ladder nests groups: each level has two, and both are in both of the next one. It
// returns the groups of each level; ann is in the lower two.
func (f fixture) ladder(t *testing.T) (levels [depth][2]string) {
	t.Helper()
	ctx := t.Context()
	f.grant(t, "viewer", []string{"read"})
	f.write(t, func(tx store.Tx) {
		for i := range levels {
			for j := range levels[i] {
				levels[i][j] = fmt.Sprintf("g%02d-%d", i, j)
				get(tx.CreateGroup(ctx, levels[i][j]))(t)
				if i == 0 {
					get(tx.AddToGroup(ctx, levels[i][j], user("ann")))(t)
					continue
				}
				for _, below := range levels[i-1] {
					get(tx.AddToGroup(ctx, levels[i][j], group(below)))(t)
				}
			}
		}
	})
	return levels
}

func testNestedGroups(t *testing.T, f fixture) {
	levels := f.ladder(t)
	var want []string
	f.write(t, func(tx store.Tx) {
		setMembership(t, tx, held(user("ann"), "viewer", authz.Root))
		for _, level := range levels {
			setMembership(t, tx, held(group(level[0]), "viewer", authz.Root))
			setMembership(t, tx, held(group(level[1]), "viewer", plan))
		}
	})
	want = append(want, "viewer@tenant")
	for _, level := range levels {
		want = append(want, "viewer@tenant by "+level[0], "viewer@post:plan by "+level[1])
	}
	equalList(t, "holdings", f.holdings(t, "ann"), want)
	equalList(t, "members", f.members(t, "viewer"), []string{"ann"})

	f.write(t, func(tx store.Tx) {
		get(tx.DeleteMembership(t.Context(), user("ann"), "viewer", authz.Root))(t)
		for _, level := range levels[:depth-1] {
			get(tx.DeleteMembership(t.Context(), group(level[0]), "viewer", authz.Root))(t)
		}
	})
	equalList(t, "members by the uppermost group alone", f.members(t, "viewer"), []string{"ann"})
}

func testGroupPath(t *testing.T, f fixture) {
	ctx := t.Context()
	levels := f.ladder(t)
	f.write(t, func(tx store.Tx) {
		up := get(tx.GroupPath(ctx, levels[0][1], levels[depth-1][1]))(t)
		want := []string{levels[0][1]}
		for _, level := range levels[1 : depth-1] {
			want = append(want, level[0])
		}
		equalList(t, "the way up", up, append(want, levels[depth-1][1]))

		get(tx.AddToGroup(ctx, levels[depth-1][1], group(levels[1][1])))(t)
		equalList(t, "a shorter way", get(tx.GroupPath(ctx, levels[0][1], levels[depth-1][1]))(t),
			[]string{levels[0][1], levels[1][1], levels[depth-1][1]})
		equalList(t, "the way down", get(tx.GroupPath(ctx, levels[1][0], levels[0][0]))(t), nil)
		equalList(t, "to itself", get(tx.GroupPath(ctx, "g", "g"))(t), []string{"g"})
		equalList(t, "from a user of the name", get(tx.GroupPath(ctx, "ann", levels[0][0]))(t), nil)
		equalList(t, "to one that is not there", get(tx.GroupPath(ctx, levels[0][0], "none"))(t), nil)
	})
}

// testGroupCircle reads groups that are in each other, as only damaged data has
// them.
func testGroupCircle(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", nil)
	f.write(t, func(tx store.Tx) {
		for _, name := range []string{"a", "b"} {
			get(tx.CreateGroup(ctx, name))(t)
			setMembership(t, tx, held(group(name), "viewer", authz.Root))
		}
		get(tx.AddToGroup(ctx, "a", group("b")))(t)
		get(tx.AddToGroup(ctx, "b", group("a")))(t)
		get(tx.AddToGroup(ctx, "a", user("ann")))(t)
		equalList(t, "a way", get(tx.GroupPath(ctx, "a", "b"))(t), []string{"a", "b"})
		equalList(t, "no way", get(tx.GroupPath(ctx, "a", "c"))(t), nil)
	})
	equalList(t, "holdings", f.holdings(t, "ann"), []string{"viewer@tenant by a", "viewer@tenant by b"})
	equalList(t, "members", f.members(t, "viewer"), []string{"ann"})
}

func testDeleteGroup(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", nil, "staff")
	nest := func(tx store.Tx) {
		get(tx.AddToGroup(ctx, "staff", user("ann")))(t)
		get(tx.AddToGroup(ctx, "staff", group("inner")))(t)
	}
	f.write(t, func(tx store.Tx) {
		for _, name := range []string{"outer", "staff", "inner"} {
			get(tx.SetGroup(ctx, authz.Group{Name: name, Description: "first"}))(t)
			setMembership(t, tx, held(group(name), "viewer", plan))
		}
		nest(tx)
		get(tx.AddToGroup(ctx, "outer", group("staff")))(t)
		get(tx.AddToGroup(ctx, "outer", user("staff")))(t)
		get(tx.AddToGroup(ctx, "inner", user("ann")))(t)
	})
	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteGroup(ctx, "staff"))(t), true)
		equal(t, "delete again", get(tx.DeleteGroup(ctx, "staff"))(t), false)
	})
	_, found := there(f.reader().Group(ctx, "staff"))(t)
	equal(t, "found", found, false)
	equalList(t, "a member's holdings", f.holdings(t, "ann"), []string{"viewer@post:plan by inner"})
	equalList(t, "a user of the name", f.holdings(t, "staff"), []string{"viewer@tenant", "viewer@post:plan by outer"})

	f.write(t, func(tx store.Tx) { get(tx.CreateGroup(ctx, "staff"))(t) })
	again, _ := there(f.reader().Group(ctx, "staff"))(t)
	equal(t, "a group of the same name", again, authz.Group{Name: "staff"})
	equalList(t, "a member's holdings", f.holdings(t, "ann"), []string{"viewer@post:plan by inner"})
	// And with its members again, it still has neither roles nor places.
	f.write(t, nest)
	equalList(t, "a member's holdings", f.holdings(t, "ann"), []string{"viewer@post:plan by inner"})
}

func testUsers(t *testing.T, f fixture) {
	ctx := t.Context()
	_, found := there(f.reader().User(ctx, "ann"))(t)
	equal(t, "found before", found, false)
	for _, want := range []authz.User{
		{Name: "ann"},
		{Name: "ann", Inactive: true},
		{Name: "ann", Inactive: true, Properties: map[string]any{"level": 3.0}},
		{Name: "ann", Properties: map[string]any{"level": 3.0}},
		{Name: "ann", Properties: map[string]any{"level": "3"}},
	} {
		f.write(t, func(tx store.Tx) {
			equal(t, "set", get(tx.SetUser(ctx, want))(t), true)
			equal(t, "set again", get(tx.SetUser(ctx, want))(t), false)
		})
		got, found := there(f.reader().User(ctx, "ann"))(t)
		equal(t, "found", found, true)
		deepEqual(t, "the user", got, want)
	}
	_, found = there(f.reader().User(ctx, "Ann"))(t)
	equal(t, "another case", found, false)
}

func testDeleteUser(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", []string{"read"}, "ann", "bob")
	f.write(t, func(tx store.Tx) {
		get(tx.CreateGroup(ctx, "ann"))(t)
		get(tx.CreateGroup(ctx, "staff"))(t)
		for _, member := range []authz.SubjectRef{user("ann"), user("bob"), group("ann")} {
			get(tx.AddToGroup(ctx, "staff", member))(t)
			setMembership(t, tx, held(member, "viewer", plan))
		}
		setMembership(t, tx, held(group("staff"), "viewer", acme))
		get(tx.SetUser(ctx, authz.User{Name: "ann", Inactive: true, Properties: map[string]any{"level": 3.0}}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: plan, Parent: acme, Owner: "ann", Properties: map[string]any{"a": "b"}}))(t)
		get(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: "2"}, Parent: acme, Owner: "bob"}))(t)
	})
	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteUser(ctx, "ann"))(t), true)
		equal(t, "delete again", get(tx.DeleteUser(ctx, "ann"))(t), false)
	})
	f.write(t, func(tx store.Tx) { get(tx.SetUser(ctx, authz.User{Name: "ann"}))(t) })
	again, _ := there(f.reader().User(ctx, "ann"))(t)
	deepEqual(t, "a user of the same name", again, authz.User{Name: "ann"})
	equalList(t, "ann's holdings", f.holdings(t, "ann"), nil)
	equalList(t, "bob's holdings", f.holdings(t, "bob"), []string{"viewer@post:plan", "viewer@tenant", "viewer@organization:acme by staff"})
	node, _ := f.node(t, plan)
	deepEqual(t, "what ann owned", node, store.NodeRecord{Node: plan, Parent: acme, Properties: map[string]any{"a": "b"}})
	node, _ = f.node(t, authz.Node{Type: "post", ID: "2"})
	equal(t, "owner of what bob owns", node.Owner, "bob")
	var at []authz.SubjectRef
	for _, membership := range get(f.reader().Memberships(ctx, plan, authz.Membership{}, 10))(t) {
		at = append(at, membership.Subject)
	}
	equalList(t, "who holds a role at the node", at, []authz.SubjectRef{user("bob"), group("ann")})

	// Each of what a user can have is enough for a deletion to find something.
	for what, have := range map[string]func(store.Tx){
		"a membership": func(tx store.Tx) { setMembership(t, tx, held(user("eve"), "viewer", plan)) },
		"a group":      func(tx store.Tx) { get(tx.AddToGroup(ctx, "staff", user("eve")))(t) },
		"a node":       func(tx store.Tx) { get(tx.SetNode(ctx, store.NodeRecord{Node: plan, Parent: acme, Owner: "eve"}))(t) },
		"a record":     func(tx store.Tx) { get(tx.SetUser(ctx, authz.User{Name: "eve"}))(t) },
	} {
		f.write(t, have)
		f.write(t, func(tx store.Tx) { equal(t, what, get(tx.DeleteUser(ctx, "eve"))(t), true) })
	}
}
