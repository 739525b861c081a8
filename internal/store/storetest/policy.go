package storetest

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

func testRoles(t *testing.T, f fixture) {
	ctx := t.Context()
	exists := func(r store.Reader, role string) bool {
		_, found := there(r.Role(ctx, role))(t)
		return found
	}
	f.write(t, func(tx store.Tx) {
		equal(t, "exists before", exists(tx, "editor"), false)
		equal(t, "create", get(tx.CreateRole(ctx, authz.Role{Name: "editor", Description: "edits"}))(t), true)
		equal(t, "create again", get(tx.CreateRole(ctx, authz.Role{Name: "editor", Description: "other"}))(t), false)
		equal(t, "exists after", exists(tx, "editor"), true)
		equal(t, "another case", exists(tx, "Editor"), false)
	})
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), []authz.Role{{Name: "editor", Description: "edits"}})

	f.write(t, func(tx store.Tx) {
		equal(t, "describe", get(tx.SetRoleDescription(ctx, "editor", "edits ünïcode"))(t), true)
		equal(t, "describe the same", get(tx.SetRoleDescription(ctx, "editor", "edits ünïcode"))(t), false)
		equal(t, "describe a missing role", get(tx.SetRoleDescription(ctx, "nobody", "x"))(t), false)
	})
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), []authz.Role{{Name: "editor", Description: "edits ünïcode"}})

	f.write(t, func(tx store.Tx) {
		equal(t, "delete", get(tx.DeleteRole(ctx, "editor"))(t), true)
		equal(t, "delete again", get(tx.DeleteRole(ctx, "editor"))(t), false)
	})
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), nil)
}

func testRoleDetail(t *testing.T, f fixture) {
	ctx := t.Context()
	for _, role := range []string{"a", "b", "c"} {
		f.grant(t, role, []string{"read"}, "ann")
	}
	for _, step := range []struct {
		name    string
		set     authz.RoleDetail
		changed bool
		// want is what is read after it, where that is not set.
		want *authz.RoleDetail
	}{
		{"a new role", authz.RoleDetail{Name: "d", Description: "new"}, true, nil},
		{"the same", authz.RoleDetail{Name: "d", Description: "new"}, false, nil},
		{"a description", authz.RoleDetail{Name: "d", Description: "ünï"}, true, nil},
		{"parents", authz.RoleDetail{Name: "d", Inherits: []string{"a", "b"}}, true, nil},
		{"the same parents", authz.RoleDetail{Name: "d", Inherits: []string{"a", "b"}}, false, nil},
		{"the same parents, unsorted and twice", authz.RoleDetail{Name: "d", Inherits: []string{"b", "a", "b"}}, false,
			&authz.RoleDetail{Name: "d", Inherits: []string{"a", "b"}}},
		{"another parent", authz.RoleDetail{Name: "d", Inherits: []string{"b", "c"}}, true, nil},
		{"one parent less", authz.RoleDetail{Name: "d", Inherits: []string{"c"}}, true, nil},
		{"scopes", authz.RoleDetail{Name: "d", Inherits: []string{"c"}, Scopes: []authz.Kind{authz.KindTenant, authz.KindResource}}, true, nil},
		{"the same scopes, unsorted and twice",
			authz.RoleDetail{Name: "d", Inherits: []string{"c"}, Scopes: []authz.Kind{authz.KindResource, authz.KindTenant, authz.KindResource}}, false,
			&authz.RoleDetail{Name: "d", Inherits: []string{"c"}, Scopes: []authz.Kind{authz.KindTenant, authz.KindResource}}},
		{"one scope", authz.RoleDetail{Name: "d", Scopes: []authz.Kind{authz.KindTeam}}, true, nil},
		{"nothing", authz.RoleDetail{Name: "d"}, true, nil},
	} {
		f.write(t, func(tx store.Tx) { equal(t, step.name, get(tx.SetRole(ctx, step.set))(t), step.changed) })
		want := step.want
		if want == nil {
			want = &step.set
		}
		got, _ := there(f.reader().Role(ctx, "d"))(t)
		deepEqual(t, "the role after "+step.name, got, *want)
	}
	f.write(t, func(tx store.Tx) { get(tx.SetRole(ctx, authz.RoleDetail{Name: "a", Description: "kept"}))(t) })
	equalList(t, "its grants", get(f.reader().Grants(ctx, "a", "", 10))(t), []authz.Grant{{Permission: "read"}})
	equalList(t, "its members", f.members(t, "a"), []string{"ann"})
	_, found := there(f.reader().Role(ctx, "none"))(t)
	equal(t, "a role that is not there", found, false)
}

func testRolesAbove(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		for _, role := range []authz.RoleDetail{
			{Name: "a"}, {Name: "b", Inherits: []string{"a"}}, {Name: "c", Inherits: []string{"a", "b"}}, {Name: "d"},
			{Name: "e", Inherits: []string{"c", "d"}},
		} {
			get(tx.SetRole(ctx, role))(t)
		}
		// As only damaged data has it.
		get(tx.SetRole(ctx, authz.RoleDetail{Name: "d", Inherits: []string{"e"}}))(t)
		all := map[string][]string{"a": nil, "b": {"a"}, "c": {"a", "b"}, "d": {"e"}, "e": {"c", "d"}}
		for _, test := range []struct {
			roles []string
			limit int
			want  map[string][]string
		}{
			{[]string{"e"}, 10, all}, {[]string{"d"}, 5, all}, {[]string{"c", "none", "c"}, 10, map[string][]string{"a": nil, "b": {"a"}, "c": {"a", "b"}}},
			{[]string{"b", "a"}, 10, map[string][]string{"a": nil, "b": {"a"}}}, {[]string{"none"}, 10, map[string][]string{}},
			{nil, 10, map[string][]string{}}, {[]string{"e"}, 3, map[string][]string{"c": {"a", "b"}, "d": {"e"}, "e": {"c", "d"}}},
		} {
			deepEqual(t, fmt.Sprint("above ", test.roles, " up to ", test.limit), get(tx.RolesAbove(ctx, test.roles, test.limit))(t), test.want)
		}
	})
}

func testDeleteRole(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "doomed", []string{"read", "write"}, "ann", "bob")
	f.grant(t, "doomed2", []string{"read"}, "ann")
	f.write(t, func(tx store.Tx) {
		get(tx.CreateGroup(ctx, "staff"))(t)
		setMembership(t, tx, held(group("staff"), "doomed", authz.Node{Type: "post", ID: "1"}))
		get(tx.SetRole(ctx, authz.RoleDetail{Name: "child", Inherits: []string{"doomed", "doomed2"}}))(t)
		get(tx.SetRole(ctx, authz.RoleDetail{Name: "doomed", Inherits: []string{"doomed2"}, Scopes: []authz.Kind{authz.KindTenant}}))(t)
	})
	f.write(t, func(tx store.Tx) { get(tx.DeleteRole(ctx, "doomed"))(t) })
	// A role of the same name is a new one.
	f.write(t, func(tx store.Tx) { get(tx.CreateRole(ctx, authz.Role{Name: "doomed"}))(t) })

	role, _ := there(f.reader().Role(ctx, "doomed"))(t)
	deepEqual(t, "the role", role, authz.RoleDetail{Name: "doomed"})
	child, _ := there(f.reader().Role(ctx, "child"))(t)
	deepEqual(t, "its child", child, authz.RoleDetail{Name: "child", Inherits: []string{"doomed2"}})
	equalList(t, "its grants", get(f.reader().Grants(ctx, "doomed", "", 10))(t), nil)
	equalList(t, "its members", f.members(t, "doomed"), nil)
	equal(t, "memberships at a node", len(get(f.reader().Memberships(ctx, authz.Node{Type: "post", ID: "1"}, authz.Membership{}, 10))(t)), 0)
	equalList(t, "ann's holdings", f.holdings(t, "ann"), []string{"doomed2@tenant"})
	equalList(t, "bob's holdings", f.holdings(t, "bob"), nil)
	equalList(t, "the other's grants", get(f.reader().Grants(ctx, "doomed2", "", 10))(t), []authz.Grant{{Permission: "read"}})
}

func testBuiltinRoles(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, authz.Everyone, []string{"read"})
	f.grant(t, authz.Owner, []string{"edit"})
	f.grant(t, "viewer", []string{"read", "view"}, "ann")
	r := f.reader()
	equalList(t, "roles", get(r.Roles(ctx, "", 10))(t), []authz.Role{{Name: "viewer"}})
	deepEqual(t, "policy", get(r.Policy(ctx))(t), []authz.RoleSpec{
		{Name: authz.Everyone, Grants: []authz.Grant{{Permission: "read"}}},
		{Name: authz.Owner, Grants: []authz.Grant{{Permission: "edit"}}},
		{Name: "viewer", Grants: []authz.Grant{{Permission: "read"}, {Permission: "view"}}},
	})
	for _, role := range []string{authz.Owner, authz.Everyone} {
		_, found := there(r.Role(ctx, role))(t)
		equal(t, role+" is there", found, true)
	}
}

func testHeldOutside(t *testing.T, f fixture) {
	ctx := t.Context()
	nodes := map[authz.Kind]authz.Node{
		authz.KindTenant:       authz.Root,
		authz.KindOrganization: {Type: "organization", ID: "o"},
		authz.KindProject:      {Type: "project", ID: "p"},
		authz.KindTeam:         {Type: "team", ID: "t"},
		authz.KindResource:     {Type: "tenant", ID: "a resource of a type called so"},
	}
	all := []authz.Kind{authz.KindTenant, authz.KindOrganization, authz.KindProject, authz.KindTeam, authz.KindResource}
	window := authz.Window{NotBefore: now, ExpiresAt: now.Add(time.Hour)}
	f.write(t, func(tx store.Tx) {
		for kind, node := range nodes {
			get(tx.CreateRole(ctx, authz.Role{Name: string(kind)}))(t)
			membership := held(user("ann"), string(kind), node)
			membership.Window = window
			setMembership(t, tx, membership)
		}
		get(tx.CreateRole(ctx, authz.Role{Name: "unheld"}))(t)
	})
	f.write(t, func(tx store.Tx) {
		for kind, node := range nodes {
			others := make([]authz.Kind, 0, len(all))
			for _, other := range all {
				if other != kind {
					others = append(others, other)
				}
			}
			want := authz.Membership{Subject: user("ann"), Role: string(kind), Node: node, Window: window}
			got, found := there(tx.HeldOutside(ctx, string(kind), others))(t)
			equal(t, "a membership outside all but "+string(kind), found, true)
			equal(t, "the membership", got, want)
			for _, kinds := range [][]authz.Kind{{kind}, all, nil} {
				_, found = there(tx.HeldOutside(ctx, string(kind), kinds))(t)
				equal(t, "none outside those with "+string(kind), found, false)
			}
		}
		_, found := there(tx.HeldOutside(ctx, "unheld", all[:1]))(t)
		equal(t, "a role that nobody holds", found, false)
	})
}

func testGrants(t *testing.T, f fixture) {
	ctx := t.Context()
	const condition = `resource.owner == "é'%" && 1 < 2`
	f.write(t, func(tx store.Tx) {
		get(tx.CreateRole(ctx, authz.Role{Name: "editor"}))(t)
		equal(t, "grant", get(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "post:*"}))(t), true)
		equal(t, "grant again", get(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "post:*"}))(t), false)
		equal(t, "a condition", get(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "post:*", Condition: condition}))(t), true)
		equal(t, "the same condition", get(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "post:*", Condition: condition}))(t), false)
		get(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "read"}))(t)
	})
	r := f.reader()
	conditional := authz.Grant{Permission: "post:*", Condition: condition}
	equalList(t, "grants", get(r.Grants(ctx, "editor", "", 10))(t), []authz.Grant{conditional, {Permission: "read"}})
	grant, found := there(r.Grant(ctx, "editor", "post:*"))(t)
	equal(t, "found", found, true)
	equal(t, "grant", grant, conditional)
	for _, missing := range [][2]string{{"editor", "post"}, {"editor", "Read"}, {"Editor", "read"}, {"none", "read"}} {
		_, found := there(r.Grant(ctx, missing[0], missing[1]))(t)
		equal(t, missing[0]+" has "+missing[1], found, false)
	}

	f.write(t, func(tx store.Tx) {
		equal(t, "no condition", get(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "post:*"}))(t), true)
		equal(t, "revoke", get(tx.DeleteGrant(ctx, "editor", "post:*"))(t), true)
		equal(t, "revoke again", get(tx.DeleteGrant(ctx, "editor", "post:*"))(t), false)
	})
	equalList(t, "grants", get(r.Grants(ctx, "editor", "", 10))(t), []authz.Grant{{Permission: "read"}})
	equalList(t, "grants of none", get(r.Grants(ctx, "none", "", 10))(t), nil)
}

// testMissingThings writes what refers to something that is not there.
func testMissingThings(t *testing.T, f fixture) {
	ctx := t.Context()
	for what, fn := range map[string]func(store.Tx) error{
		"SetGrant": func(tx store.Tx) error {
			_, err := tx.SetGrant(ctx, "none", authz.Grant{Permission: "read"})
			return err
		},
		"SetMembership": func(tx store.Tx) error {
			_, _, err := tx.SetMembership(ctx, held(user("ann"), "none", authz.Root))
			return err
		},
		"SetRole": func(tx store.Tx) error {
			_, err := tx.SetRole(ctx, authz.RoleDetail{Name: "child", Inherits: []string{"none"}})
			return err
		},
		"AddToGroup": func(tx store.Tx) error {
			_, err := tx.AddToGroup(ctx, "none", user("ann"))
			return err
		},
	} {
		_, err := f.Update(ctx, f.tenant, fn)
		hasCode(t, what, err, fault.CodeInternal)
	}
	equal(t, "revision", f.revision(t), 0)
}

func testPolicy(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		for _, role := range []string{"b", "a", "B", "a-", "ab"} {
			get(tx.CreateRole(ctx, authz.Role{Name: role, Description: "not in it"}))(t)
		}
		get(tx.SetRole(ctx, authz.RoleDetail{Name: "a", Inherits: []string{"b", "ab", "B"}}))(t)
		get(tx.SetRole(ctx, authz.RoleDetail{Name: "ab", Inherits: []string{"b"}}))(t)
		for _, grant := range []authz.Grant{{Permission: "z"}, {Permission: "*"}, {Permission: "Z", Condition: "1 < 2"}} {
			get(tx.SetGrant(ctx, "a", grant))(t)
			get(tx.SetGrant(ctx, "b", grant))(t)
		}
		get(tx.SetGrant(ctx, "a-", authz.Grant{Permission: "read"}))(t)
	})
	grants := []authz.Grant{{Permission: "*"}, {Permission: "Z", Condition: "1 < 2"}, {Permission: "z"}}
	deepEqual(t, "policy", get(f.reader().Policy(ctx))(t), []authz.RoleSpec{
		{Name: authz.Everyone},
		{Name: authz.Owner},
		{Name: "B"},
		{Name: "a", Inherits: []string{"B", "ab", "b"}, Grants: grants},
		{Name: "a-", Grants: []authz.Grant{{Permission: "read"}}},
		{Name: "ab", Inherits: []string{"b"}},
		{Name: "b", Grants: grants},
	})
}

// testPolicySnapshot reads the policy while a role comes and goes with its grant:
// there is never the one without the other.
func testPolicySnapshot(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(store.Tx) {})
	var group sync.WaitGroup
	defer group.Wait()
	done := make(chan struct{})
	defer close(done)
	reading := make(chan struct{})
	group.Go(func() {
		for reads := 0; ; reads++ {
			policy, err := f.reader().Policy(ctx)
			if err != nil {
				t.Errorf("Policy: %v", err)
			}
			for _, role := range policy {
				if role.Name == "editor" && len(role.Grants) != 1 {
					t.Errorf("got %+v, want its grant too", role)
				}
			}
			if reads == 0 {
				close(reading)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	<-reading
	for range 20 {
		f.grant(t, "editor", []string{"read"})
		f.write(t, func(tx store.Tx) { get(tx.DeleteRole(ctx, "editor"))(t) })
	}
}

func testMemberships(t *testing.T, f fixture) {
	ctx := t.Context()
	ann := held(user("ann@example.org"), "editor", authz.Root)
	set := func(tx store.Tx, membership authz.Membership) [2]bool {
		created, changed, err := tx.SetMembership(ctx, membership)
		must(t, err)
		return [2]bool{created, changed}
	}
	later := ann
	later.Window.NotBefore = now.Add(time.Hour)
	f.grant(t, "editor", []string{"read"})
	f.write(t, func(tx store.Tx) {
		equal(t, "create", set(tx, ann), [2]bool{true, true})
		equal(t, "the same", set(tx, ann), [2]bool{false, false})
		equal(t, "another window", set(tx, later), [2]bool{false, true})
		equal(t, "the old window", set(tx, ann), [2]bool{false, true})
	})
	equalList(t, "holdings", f.holdings(t, ann.Subject.Name), []string{"editor@tenant"})
	equalList(t, "another user's", f.holdings(t, "Ann@example.org"), nil)
	equalList(t, "a group's of that name", get(f.reader().Memberships(ctx, authz.Root, authz.Membership{}, 10))(t), []authz.Membership{ann})
	equalList(t, "members", f.members(t, "editor"), []string{ann.Subject.Name})
	equalList(t, "members of another role", f.members(t, "Editor"), nil)

	f.write(t, func(tx store.Tx) {
		for what, other := range map[string]authz.Membership{
			"another user":  held(user("Ann@example.org"), ann.Role, ann.Node),
			"a group":       held(group(ann.Subject.Name), ann.Role, ann.Node),
			"another role":  held(ann.Subject, "Editor", ann.Node),
			"another node":  held(ann.Subject, ann.Role, authz.Node{Type: "tenant", ID: "x"}),
			"another type":  held(ann.Subject, ann.Role, authz.Node{Type: "organization"}),
			"the node's id": held(ann.Subject, ann.Role, authz.Node{ID: "tenant"}),
		} {
			equal(t, "delete for "+what, get(tx.DeleteMembership(ctx, other.Subject, other.Role, other.Node))(t), false)
		}
		equal(t, "delete", get(tx.DeleteMembership(ctx, ann.Subject, ann.Role, ann.Node))(t), true)
		equal(t, "delete again", get(tx.DeleteMembership(ctx, ann.Subject, ann.Role, ann.Node))(t), false)
	})
	equalList(t, "holdings after", f.holdings(t, ann.Subject.Name), nil)
}

func testMembershipsAtNode(t *testing.T, f fixture) {
	ctx := t.Context()
	post := authz.Node{Type: "post", ID: "1"}
	f.grant(t, "viewer", nil)
	f.grant(t, "editor", nil)
	bounded := held(user("ann"), "viewer", post)
	bounded.Window = authz.Window{NotBefore: now, ExpiresAt: now.Add(time.Hour)}
	want := []authz.Membership{
		held(user("ann"), "editor", post), bounded, held(user("bob"), "viewer", post),
		held(group("ann"), "viewer", post), held(group("Zed"), "editor", post),
	}
	// Groups are sorted by code point as well.
	want[3], want[4] = want[4], want[3]
	f.write(t, func(tx store.Tx) {
		for _, membership := range want {
			setMembership(t, tx, membership)
			elsewhere := membership
			elsewhere.Node.ID = "2"
			setMembership(t, tx, elsewhere)
		}
		setMembership(t, tx, held(user("ann"), "viewer", authz.Root))
	})
	pages(t, "Memberships", want, func(after authz.Membership, limit int) ([]authz.Membership, error) {
		return f.reader().Memberships(ctx, post, after, limit)
	})
	equalList(t, "ann's holdings", f.holdings(t, "ann"), []string{
		"editor@post:1", "viewer@post:1", "editor@post:2", "viewer@post:2", "viewer@tenant",
	})
}

func testWindow(t *testing.T, f fixture) {
	ctx := t.Context()
	ann := held(user("ann"), "editor", authz.Root)
	ann.Window = authz.Window{NotBefore: now, ExpiresAt: now.Add(time.Hour)}
	f.grant(t, "editor", []string{"read"})
	changes := func(window authz.Window) bool {
		var changed bool
		f.write(t, func(tx store.Tx) {
			membership := ann
			membership.Window = window
			var err error
			_, changed, err = tx.SetMembership(ctx, membership)
			must(t, err)
		})
		return changed
	}
	equal(t, "create", changes(ann.Window), true)
	equal(t, "the same window", changes(ann.Window), false)
	equal(t, "the same window elsewhere", changes(authz.Window{NotBefore: now.In(time.FixedZone("", 3600)), ExpiresAt: ann.Window.ExpiresAt}), false)
	f.expectMember(t, map[time.Time]bool{
		now.Add(-time.Microsecond): false,
		now:                        true,
		now.Add(time.Microsecond):  true,
		ann.Window.ExpiresAt.Add(-time.Microsecond):          true,
		ann.Window.ExpiresAt:                                 false,
		ann.Window.ExpiresAt.Add(100 * 365 * 24 * time.Hour): false,
	})
	equalList(t, "as it was written", get(f.reader().Memberships(ctx, authz.Root, authz.Membership{}, 10))(t), []authz.Membership{ann})

	for _, change := range []struct {
		name   string
		window authz.Window
		want   map[time.Time]bool
	}{
		{"only a start", authz.Window{NotBefore: now}, map[time.Time]bool{now.Add(-1): false, now: true, now.Add(time.Hour): true}},
		{"only an end", authz.Window{ExpiresAt: now}, map[time.Time]bool{time.Unix(1, 0): true, now.Add(-time.Microsecond): true, now: false}},
		{"none", authz.Window{}, map[time.Time]bool{time.Unix(0, 0): true, now: true, now.Add(1 << 62): true}},
		{"empty", authz.Window{NotBefore: now, ExpiresAt: now}, map[time.Time]bool{now.Add(-1): false, now: false, now.Add(1): false}},
	} {
		equal(t, change.name, changes(change.window), true)
		f.expectMember(t, change.want)
	}

	equal(t, "an end before 1970", changes(authz.Window{ExpiresAt: time.Unix(-5, 0)}), true)
	f.expectMember(t, map[time.Time]bool{time.Unix(1, 0): false, now: false})
	read := get(f.reader().Memberships(ctx, authz.Root, authz.Membership{}, 10))(t)
	if len(read) != 1 || read[0].Window.ExpiresAt.IsZero() {
		t.Errorf("got %+v, want an end: without one it would be for ever", read)
	}
}

// expectMember wants ann, the only one who holds editor, to do so at the times that
// want says.
func (f fixture) expectMember(t *testing.T, want map[time.Time]bool) {
	t.Helper()
	ctx, r := t.Context(), f.reader()
	holdings := get(r.Holdings(ctx, "ann"))(t)
	if len(holdings) != 1 {
		t.Fatalf("got holdings %+v, want one, valid or not", holdings)
	}
	for at, valid := range want {
		query := store.MembersQuery{Roles: []string{"editor"}, At: at}
		equal(t, "ValidAt "+at.String(), holdings[0].ValidAt(at.UnixMicro()), valid)
		equal(t, "Members at "+at.String(), len(get(r.Members(ctx, query, authz.Member{}, 10))(t)) == 1, valid)
		equal(t, "CountMembers at "+at.String(), get(r.CountMembers(ctx, query))(t) == 1, valid)
	}
}

// testExtremeTimes uses times that do not fit into microseconds: none may wrap
// around into the present.
func testExtremeTimes(t *testing.T, f fixture) {
	ann := held(user("ann"), "editor", authz.Root)
	past, future := time.Unix(math.MinInt64/2, 0), time.Unix(math.MaxInt64/4, 0)
	f.grant(t, "editor", []string{"read"}, "ann")
	for _, c := range []struct {
		name   string
		window authz.Window
		want   bool
	}{
		{"from the far past", authz.Window{NotBefore: past}, true},
		{"until the far future", authz.Window{ExpiresAt: future}, true},
		{"from the far future", authz.Window{NotBefore: future}, false},
		{"until the far past", authz.Window{ExpiresAt: past}, false},
		{"until before 1970", authz.Window{ExpiresAt: time.Unix(-5, 0)}, false},
	} {
		ann.Window = c.window
		f.write(t, func(tx store.Tx) { setMembership(t, tx, ann) })
		t.Log(c.name)
		f.expectMember(t, map[time.Time]bool{now: c.want})
	}
	ann.Window = authz.Window{}
	f.write(t, func(tx store.Tx) { setMembership(t, tx, ann) })
	for _, at := range []time.Time{past, {}, future} {
		query := store.MembersQuery{Roles: []string{"editor"}, At: at}
		equal(t, "no bounds at "+at.String(), get(f.reader().CountMembers(t.Context(), query))(t), 1)
	}
}
