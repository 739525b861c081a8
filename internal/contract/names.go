package contract

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// users are names that something on the way may mangle, in no order. No two are
// the same, though some look alike, decode to one another or match as patterns.
var users = []string{
	"alice", "Alice", "alice@example.com", "alice+tag@example.com", "alice tag@example.com",
	"a/b", "a%2Fb", "a%2fb", "/a", "a/", "a//b", "a/../b", "../b", "./b", "...", "a/.",
	"100%", "%", "%%", "%zz", "%00", "_", "a_b", "a%b", "axb",
	"a?b=c&d", "a#b", "a;b", "a:b", "a,b", "a=b", "a&b", "a\\b", `"a"`, "'a'", "a'; --", "<a>", "{a}", "[a]", "$1", "@everyone", "@owner", "*",
	"ä", "a\u0308", "é\u2028x", "日本語", "👩‍👩‍👧", "\u00a0", "\ufeff", "\ufffd", "\U0001d4b3", "\uffee", "~", "Zoë", "zoë", "null", "0",
	strings.Repeat("x", authz.MaxID), strings.Repeat("ä", authz.MaxID/2), strings.Repeat("/", authz.MaxID), strings.Repeat("%", authz.MaxID),
}

var (
	badUsers = []string{
		"", ".", "..", "/", " ", " a", "a ", "a\n", "\na", "a\r\nb", "a\tb", "\x00", "a\x00", "a\x7fb", "a\u0085b", "a\u009fb",
		"\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("x", authz.MaxID+1), strings.Repeat("ä", authz.MaxID/2) + "x",
	}
	roleNames = []string{"a", "A", "0", "_", "-", "a.b", "a..b", "...", ".a", "-a", "role_1.x-Y", strings.Repeat("r", authz.MaxRoleName)}
	badRoles  = []string{
		"", ".", "..", "/", " ", "a b", " a", "a ", "a\n", "a\x00", "a/b", "a:b", "a%b", "a%20b", "a+b", "ä", "*", "@", "@a", "@Owner", "@everyone ", "\xff",
		strings.Repeat("r", authz.MaxRoleName+1),
	}
	permissionNames = []string{
		"a", "A", "edit_content", "post:edit", "a:b:c", "a/b", "a//b", "//", "a/../b", "../a", ":", "a:", ":a", "-", "_", "...", "a.b",
		strings.Repeat("p", authz.MaxPermissionName), strings.Repeat("/", authz.MaxPermissionName), strings.Repeat(":", authz.MaxPermissionName),
	}
	badPermissions = []string{
		"", ".", "..", "/", " ", "a b", "a\n", "a\x00", "a%b", "a%2Fb", "a+b", "a?b", "a#b", "a@b", "ä", "a*", "*a", "**", "a*b", "a:*b", ":**", "a:*:b", "\xff",
		strings.Repeat("p", authz.MaxPermissionName+1),
	}
	badGrants = append([]string{":*", "a b:*", "ä:*", "*:*", "a:*:*", strings.Repeat("p", authz.MaxPermissionName-1) + ":*"}, badPermissions...)
)

func (s *suite) names() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_user_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit_content")
			for _, user := range users {
				x.denies(x.HasMembership(x.ctx(), user, "editor"))
				x.join(user, "editor")
				x.allows(x.HasMembership(x.ctx(), user, "editor"))
				x.allows(x.UserHasPermission(x.ctx(), user, "edit_content"))
				x.allows(x.UserCanRunWorkflow(x.ctx(), user, "edit_content"))
				equal(t, "user roles", x.userRoles(user), []authz.Member{{User: user, Role: "editor"}})
				equal(t, "user permissions", x.userPermissions(user), []string{"edit_content"})
				if events := x.events(audit.Filter{User: user}); len(events) != 1 || events[0].User != user {
					t.Errorf("audit events of %q: got %+v, want the one of joining", user, events)
				}
			}
			equal(t, "members", x.members("editor"), asMembers(slices.Sorted(slices.Values(users)), "editor"))
			for _, user := range users {
				x.changed(x.DeleteMembership(x.ctx(), user, "editor"))
				x.denies(x.HasMembership(x.ctx(), user, "editor"))
			}
		},

		"a_role_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			for _, role := range roleNames {
				x.addRole(role)
				x.grant(role, "edit_content")
				x.join("alice", role)
				x.allows(x.HasMembership(x.ctx(), "alice", role))
				equal(t, "role permissions", x.rolePermissions(role), []string{"edit_content"})
				equal(t, "members", x.members(role), []authz.Member{{User: "alice", Role: role}})
			}
			equal(t, "roles", x.roleNames(), slices.Sorted(slices.Values(roleNames)))
			for _, role := range roleNames {
				x.changed(x.DeleteRole(x.ctx(), role))
			}
			equal(t, "roles", x.roleNames(), nil)
		},

		"a_permission_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.join("alice", "editor")
			for _, permission := range permissionNames {
				x.denies(x.UserHasPermission(x.ctx(), "alice", permission))
				x.grant("editor", permission)
				x.allows(x.UserHasPermission(x.ctx(), "alice", permission))
				x.allows(x.RoleHasPermission(x.ctx(), "editor", permission))
				equal(t, "which roles can", x.whichRolesCan(permission), []string{"editor"})
				equal(t, "workflow users", x.workflowUsers(permission), []authz.Member{{User: "alice", Role: "editor"}})
			}
			equal(t, "role permissions", x.rolePermissions("editor"), slices.Sorted(slices.Values(permissionNames)))
			for _, permission := range permissionNames {
				x.changed(x.DeletePermission(x.ctx(), "editor", permission))
			}
			equal(t, "role permissions", x.rolePermissions("editor"), nil)
		},

		"the_longest_wildcard_is_granted": func(t *testing.T, x tenant) {
			x.addRole("editor")
			prefix := strings.Repeat("p", authz.MaxPermissionName-2)
			x.grant("editor", prefix+":*")
			x.allows(x.RoleHasPermission(x.ctx(), "editor", prefix+":x"))
		},

		"a_malformed_user_is_refused": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.refuses("user", badUsers, map[string]func(context.Context, string) error{
				"AddMembership": func(ctx context.Context, user string) error {
					return failure(x.AddMembership(ctx, user, "editor", authz.Window{}))
				},
				"DeleteMembership": func(ctx context.Context, user string) error { return failure(x.DeleteMembership(ctx, user, "editor")) },
				"HasMembership":    func(ctx context.Context, user string) error { return failure(x.HasMembership(ctx, user, "editor")) },
				"UserRoles":        func(ctx context.Context, user string) error { return failure(x.UserRoles(ctx, user, authz.Page{})) },
				"UserPermissions": func(ctx context.Context, user string) error {
					return failure(x.UserPermissions(ctx, user, authz.Page{}))
				},
				"UserHasPermission":  func(ctx context.Context, user string) error { return failure(x.UserHasPermission(ctx, user, "edit")) },
				"UserCanRunWorkflow": func(ctx context.Context, user string) error { return failure(x.UserCanRunWorkflow(ctx, user, "edit")) },
			})
		},

		"a_malformed_role_is_refused": func(t *testing.T, x tenant) {
			x.refuses("role", badRoles, map[string]func(context.Context, string) error{
				"AddRole": func(ctx context.Context, role string) error {
					return failure(x.AddRole(ctx, role, authz.RoleOptions{}))
				},
				"DeleteRole":        func(ctx context.Context, role string) error { return failure(x.DeleteRole(ctx, role)) },
				"AddPermission":     func(ctx context.Context, role string) error { return failure(x.AddPermission(ctx, role, "edit")) },
				"DeletePermission":  func(ctx context.Context, role string) error { return failure(x.DeletePermission(ctx, role, "edit")) },
				"RoleHasPermission": func(ctx context.Context, role string) error { return failure(x.RoleHasPermission(ctx, role, "edit")) },
				"RolePermissions": func(ctx context.Context, role string) error {
					return failure(x.RolePermissions(ctx, role, authz.Page{}))
				},
				"AddMembership": func(ctx context.Context, role string) error {
					return failure(x.AddMembership(ctx, "alice", role, authz.Window{}))
				},
				"DeleteMembership": func(ctx context.Context, role string) error { return failure(x.DeleteMembership(ctx, "alice", role)) },
				"HasMembership":    func(ctx context.Context, role string) error { return failure(x.HasMembership(ctx, "alice", role)) },
				"Members":          func(ctx context.Context, role string) error { return failure(x.Members(ctx, role, authz.Page{})) },
				"Role":             func(ctx context.Context, role string) error { return failure(x.Role(ctx, role)) },
				"Grants":           func(ctx context.Context, role string) error { return failure(x.Grants(ctx, role, authz.Page{})) },
			})
		},

		"a_malformed_permission_is_refused": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.refuses("grant", badGrants, map[string]func(context.Context, string) error{
				"AddPermission":    func(ctx context.Context, p string) error { return failure(x.AddPermission(ctx, "editor", p)) },
				"DeletePermission": func(ctx context.Context, p string) error { return failure(x.DeletePermission(ctx, "editor", p)) },
				"PutGrant": func(ctx context.Context, p string) error {
					return failure(x.PutGrant(ctx, "editor", authz.Grant{Permission: p}))
				},
			})
			x.refuses("permission", badPermissions, map[string]func(context.Context, string) error{
				"RoleHasPermission":  func(ctx context.Context, p string) error { return failure(x.RoleHasPermission(ctx, "editor", p)) },
				"UserHasPermission":  func(ctx context.Context, p string) error { return failure(x.UserHasPermission(ctx, "alice", p)) },
				"UserCanRunWorkflow": func(ctx context.Context, p string) error { return failure(x.UserCanRunWorkflow(ctx, "alice", p)) },
				"WhichRolesCan":      func(ctx context.Context, p string) error { return failure(x.WhichRolesCan(ctx, p, authz.Page{})) },
				"WhichUsersCan":      func(ctx context.Context, p string) error { return failure(x.WhichUsersCan(ctx, p, authz.Page{})) },
				"WorkflowUsers":      func(ctx context.Context, p string) error { return failure(x.WorkflowUsers(ctx, p, authz.Page{})) },
			})
		},
	}
}

// failure drops an answer that must not come.
func failure[T any](_ T, err error) error { return err }

// refuses checks that calls fail with every one of the names, and change nothing.
func (x tenant) refuses(what string, names []string, calls map[string]func(context.Context, string) error) {
	x.t.Helper()
	before := x.revision()
	for method, call := range calls {
		for _, name := range names {
			if err := call(x.ctx(), name); err == nil || fault.CodeOf(err) != fault.CodeInvalid {
				x.t.Errorf("%s with the %s %.40q: got error %v, want %q", method, what, name, err, fault.CodeInvalid.Error())
			}
		}
	}
	if after := x.revision(); after != before {
		x.t.Errorf("revision after refusals: got %d, want %d", after, before)
	}
}

func asMembers(users []string, role string) []authz.Member {
	members := make([]authz.Member, len(users))
	for i, user := range users {
		members[i] = authz.Member{User: user, Role: role}
	}
	return members
}
