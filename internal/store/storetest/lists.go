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
	for _, user := range users {
		for _, role := range roles {
			members = append(members, authz.Member{User: user, Role: role})
		}
	}
	for _, role := range roles {
		f.grant(t, role, permissions, users...)
	}
	r := f.reader()

	pages(t, "Roles", roles, func(after string, limit int) ([]string, error) {
		found, err := r.Roles(ctx, after, limit)
		var list []string
		for _, role := range found {
			list = append(list, role.Name)
		}
		return list, err
	})
	pages(t, "RolePermissions", permissions, func(after string, limit int) ([]string, error) {
		return r.RolePermissions(ctx, roles[2], after, limit)
	})
	pages(t, "UserPermissions", permissions, func(after string, limit int) ([]string, error) {
		return r.UserPermissions(ctx, users[2], now, after, limit)
	})
	pages(t, "UserRoles", roles, func(after string, limit int) ([]string, error) {
		return r.UserRoles(ctx, users[2], now, after, limit)
	})
	pages(t, "Members", users, func(after string, limit int) ([]string, error) {
		return r.Members(ctx, roles[2], now, after, limit)
	})
	pages(t, "RolesWithPermission", roles, func(after string, limit int) ([]string, error) {
		return r.RolesWithPermission(ctx, permissions[:2], after, limit)
	})
	pages(t, "UsersWithPermission", members, func(after authz.Member, limit int) ([]authz.Member, error) {
		return r.UsersWithPermission(ctx, permissions[:2], now, after, limit)
	})
	equal(t, "CountUserPermissions", get(r.CountUserPermissions(ctx, users[0], now))(t), n)
	equal(t, "CountUsersWithPermission", get(r.CountUsersWithPermission(ctx, permissions[:2], now))(t), n*n)
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
	r := f.reader()
	var listed []string
	for _, role := range get(r.Roles(ctx, "", 100))(t) {
		listed = append(listed, role.Name)
	}
	equalList(t, "Roles", listed, roles)
	equalList(t, "Members", get(r.Members(ctx, "a", now, "", 100))(t), users)
	equalList(t, "Members after z", get(r.Members(ctx, "a", now, "z", 100))(t), users[10:])
	equalList(t, "UserRoles", get(r.UserRoles(ctx, "中", now, "", 100))(t), roles)
	equalList(t, "RolePermissions", get(r.RolePermissions(ctx, "a", "", 100))(t), permissions)
	equalList(t, "UserPermissions", get(r.UserPermissions(ctx, "é", now, "", 100))(t), permissions)
	equalList(t, "RolesWithPermission", get(r.RolesWithPermission(ctx, permissions, "", 100))(t), roles)
	var who []string
	for _, member := range get(r.UsersWithPermission(ctx, []string{"a"}, now, authz.Member{}, 1000))(t) {
		if who = append(who, member.User); len(who) > 1 && who[len(who)-2] == member.User {
			who = who[:len(who)-1]
		}
	}
	equalList(t, "UsersWithPermission", who, users)
}

func testLongNames(t *testing.T, f fixture) {
	ctx := t.Context()
	user := strings.Repeat("é", authz.MaxID/2)
	astral := strings.Repeat("\U0001F600", authz.MaxID/4)
	role := strings.Repeat("r", authz.MaxRoleName)
	permission := strings.Repeat("p", authz.MaxPermissionName)
	description := strings.Repeat("\U0001F600", authz.MaxDescription)
	f.grant(t, role, []string{permission}, user, astral)
	f.write(t, func(tx store.Tx) { get(tx.SetRoleDescription(ctx, role, description))(t) })
	r := f.reader()
	equalList(t, "Roles", get(r.Roles(ctx, "", 10))(t), []authz.Role{{Name: role, Description: description}})
	equalList(t, "Members", get(r.Members(ctx, role, now, "", 10))(t), []string{user, astral})
	equalList(t, "RolePermissions", get(r.RolePermissions(ctx, role, "", 10))(t), []string{permission})
	equal(t, "allowed", get(r.CheckPermission(ctx, user, authz.Patterns(permission), now))(t).Allowed, true)
	equal(t, "one byte less", get(r.CheckPermission(ctx, user, []string{permission[1:]}, now))(t).Allowed, false)
	equal(t, "one letter less", get(r.CheckMembership(ctx, user[2:], role, now))(t).Allowed, false)
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
	}
	r := f.reader()
	for i, name := range odd {
		role := []string{fmt.Sprintf("role%02d", i)}
		equalList(t, "roles of "+name, get(r.UserRoles(ctx, name, now, "", 10))(t), role)
		equalList(t, "members for "+name, get(r.Members(ctx, role[0], now, "", 10))(t), []string{name})
		equalList(t, "roles with "+name, get(r.RolesWithPermission(ctx, []string{name}, "", 10))(t), role)
		equal(t, "users with "+name, get(r.CountUsersWithPermission(ctx, []string{name}, now))(t), 1)
		for _, other := range odd {
			got := get(r.CheckPermission(ctx, name, []string{other}, now))(t).Allowed
			equal(t, name+" may "+other, got, name == other)
		}
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
