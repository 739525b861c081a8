package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// testMembers asks for several roles, held directly and through groups.
func testMembers(t *testing.T, f fixture) {
	ctx := t.Context()
	levels := f.ladder(t)
	f.grant(t, "editor", nil, "ann", "bob", "é")
	f.grant(t, "other", nil, "ann", "eve")
	f.write(t, func(tx store.Tx) {
		// ann holds viewer twice, and bob through a group that also holds editor.
		setMembership(t, tx, held(user("ann"), "viewer", authz.Root))
		setMembership(t, tx, held(group(levels[depth-1][0]), "viewer", authz.Root))
		setMembership(t, tx, held(group(levels[depth-1][1]), "editor", authz.Root))
		get(tx.AddToGroup(ctx, levels[4][0], user("bob")))(t)
		get(tx.AddToGroup(ctx, levels[5][1], user("\U0001F600")))(t)
		// None of this counts: another node, another role.
		setMembership(t, tx, held(user("elsewhere"), "editor", plan))
		setMembership(t, tx, held(user("elsewhere"), "editor", authz.Node{Type: "tenant", ID: "x"}))
		get(tx.CreateGroup(ctx, "elsewhere"))(t)
		get(tx.AddToGroup(ctx, "elsewhere", user("elsewhere")))(t)
		setMembership(t, tx, held(group("elsewhere"), "editor", plan))
	})
	want := []authz.Member{
		{User: "ann", Role: "editor"}, {User: "ann", Role: "viewer"},
		{User: "bob", Role: "editor"}, {User: "bob", Role: "viewer"},
		{User: "é", Role: "editor"},
		{User: "\U0001F600", Role: "editor"}, {User: "\U0001F600", Role: "viewer"},
	}
	query := store.MembersQuery{Roles: []string{"viewer", "editor", "none", "editor"}, At: now}
	r := f.reader()
	pages(t, "Members", want, func(after authz.Member, limit int) ([]authz.Member, error) {
		return r.Members(ctx, query, after, limit)
	})
	equal(t, "CountMembers", get(r.CountMembers(ctx, query))(t), int64(len(want)))
	for _, roles := range [][]string{nil, {"none"}} {
		query.Roles = roles
		equal(t, "members of no role", len(get(r.Members(ctx, query, authz.Member{}, 10))(t)), 0)
		equal(t, "count of no role", get(r.CountMembers(ctx, query))(t), 0)
	}
}

func testInactiveMembers(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", nil, "active", "inactive", "unregistered")
	f.write(t, func(tx store.Tx) {
		get(tx.CreateGroup(ctx, "staff"))(t)
		setMembership(t, tx, held(group("staff"), "viewer", authz.Root))
		for _, name := range []string{"active", "inactive", "in a group", "inactive in a group"} {
			get(tx.AddToGroup(ctx, "staff", user(name)))(t)
		}
		get(tx.SetUser(ctx, authz.User{Name: "active"}))(t)
		get(tx.SetUser(ctx, authz.User{Name: "inactive", Inactive: true}))(t)
		get(tx.SetUser(ctx, authz.User{Name: "inactive in a group", Inactive: true}))(t)
	})
	for activeOnly, want := range map[bool][]string{
		false: {"active", "in a group", "inactive", "inactive in a group", "unregistered"},
		true:  {"active", "in a group", "unregistered"},
	} {
		query := store.MembersQuery{Roles: []string{"viewer"}, At: now, ActiveOnly: activeOnly}
		pages(t, fmt.Sprint("Members, active only: ", activeOnly), want, func(after string, limit int) ([]string, error) {
			members, err := f.reader().Members(ctx, query, authz.Member{User: after, Role: "viewer"}, limit)
			var names []string
			for _, member := range members {
				names = append(names, member.User)
			}
			return names, err
		})
		equal(t, "CountMembers", get(f.reader().CountMembers(ctx, query))(t), int64(len(want)))
	}
}

// testMembersWindow holds a role through a group for a time only.
func testMembersWindow(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "viewer", nil)
	bounded := held(group("staff"), "viewer", authz.Root)
	bounded.Window = authz.Window{NotBefore: now, ExpiresAt: now.Add(time.Microsecond)}
	f.write(t, func(tx store.Tx) {
		get(tx.CreateGroup(ctx, "staff"))(t)
		get(tx.AddToGroup(ctx, "staff", user("ann")))(t)
		setMembership(t, tx, bounded)
	})
	for at, want := range map[time.Time]int64{now.Add(-time.Microsecond): 0, now: 1, bounded.Window.ExpiresAt: 0} {
		query := store.MembersQuery{Roles: []string{"viewer"}, At: at}
		equal(t, "Members at "+at.String(), int64(len(get(f.reader().Members(ctx, query, authz.Member{}, 10))(t))), want)
		equal(t, "CountMembers at "+at.String(), get(f.reader().CountMembers(ctx, query))(t), want)
	}
	holdings := get(f.reader().Holdings(ctx, "ann"))(t)
	equalList(t, "holdings", holdings, []authz.Holding{{
		Role: "viewer", Node: authz.Root, Group: "staff", NotBeforeMicros: now.UnixMicro(), ExpiresAtMicros: now.UnixMicro() + 1,
	}})
}
