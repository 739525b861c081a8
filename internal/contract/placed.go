package contract

import (
	"context"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func user(name string) authz.SubjectRef  { return authz.SubjectRef{Type: authz.UserType, Name: name} }
func group(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.GroupType, Name: name} }

// at is a membership of a user without bounds.
func at(name, role string, node authz.Node) authz.Membership {
	return authz.Membership{Subject: user(name), Role: role, Node: node}
}

// placed holds the tests of memberships at scopes and resources.
func (s *suite) placed() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_role_counts_where_it_is_held_and_below": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("lead")
			x.grant("lead", "edit")
			x.changed(x.PutMembership(x.ctx(), at("alice", "lead", apollo)))
			x.repeated(x.PutMembership(x.ctx(), at("alice", "lead", apollo)))
			for node, want := range map[authz.Node]bool{
				authz.Root: false, acme: false, umbrella: false, zeus: false, apollo: true, crew: true, post: true,
			} {
				x.may("alice", "edit", node, want)
				x.may("bob", "edit", node, false)
			}
			x.denies(x.UserHasPermission(x.ctx(), "alice", "edit"))
			x.denies(x.HasMembership(x.ctx(), "alice", "lead"))
			x.changed(x.RemoveMembership(x.ctx(), user("alice"), "lead", apollo))
			x.absent(x.RemoveMembership(x.ctx(), user("alice"), "lead", apollo))
			x.may("alice", "edit", post, false)
		},

		"the_members_of_a_node_are_listed_users_first": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("lead")
			x.addRole("author")
			want := []authz.Membership{
				{Subject: user("alice"), Role: "author", Node: post},
				{Subject: user("alice"), Role: "lead", Node: post, Window: distantWindow},
				{Subject: user("zoë"), Role: "lead", Node: post},
				{Subject: group("a/b"), Role: "lead", Node: post},
				{Subject: group("alice"), Role: "author", Node: post},
			}
			for i := range want {
				x.changed(x.PutMembership(x.ctx(), want[len(want)-1-i]))
			}
			x.changed(x.PutMembership(x.ctx(), at("bob", "lead", apollo)))
			equal(t, "members of the post", x.nodeMembers(post), want)
			equal(t, "members of apollo", x.nodeMembers(apollo), []authz.Membership{at("bob", "lead", apollo)})
			equal(t, "members of nothing", x.nodeMembers(authz.Node{Type: "post", ID: "nothing"}), nil)
			x.changed(x.RemoveMembership(x.ctx(), group("alice"), "author", post))
			x.changed(x.PutMembership(x.ctx(), at("alice", "lead", post)))
			want[1].Window = authz.Window{}
			equal(t, "members of the post", x.nodeMembers(post), want[:4])
		},

		"a_membership_at_the_root_is_the_same_either_way": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.join("alice", "editor")
			x.repeated(x.PutMembership(x.ctx(), at("alice", "editor", authz.Root)))
			x.changed(x.PutMembership(x.ctx(), at("bob", "editor", authz.Root)))
			equal(t, "members", x.members("editor"), asMembers([]string{"alice", "bob"}, "editor"))
			x.changed(x.RemoveMembership(x.ctx(), user("alice"), "editor", authz.Root))
			x.changed(x.DeleteMembership(x.ctx(), "bob", "editor"))
			equal(t, "members", x.members("editor"), nil)
		},

		"a_membership_needs_its_role_and_its_node": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("lead")
			before := x.revision()
			for _, subject := range []authz.SubjectRef{user("alice"), group("writers")} {
				_, err := x.PutMembership(x.ctx(), authz.Membership{Subject: subject, Role: "nobody", Node: apollo})
				tells(t, "unknown role", err, fault.CodeNotFound, `role "nobody"`)
				for _, node := range []authz.Node{{Type: "team", ID: "gone"}, {Type: "post", ID: "gone"}, {Type: "project", ID: "crew"}} {
					_, err := x.PutMembership(x.ctx(), authz.Membership{Subject: subject, Role: "lead", Node: node})
					tells(t, "unknown node", err, fault.CodeNotFound, node.ID)
					x.absent(x.RemoveMembership(x.ctx(), subject, "lead", node))
				}
				for _, builtin := range []string{authz.Everyone, authz.Owner} {
					_, err := x.PutMembership(x.ctx(), authz.Membership{Subject: subject, Role: builtin, Node: apollo})
					tells(t, "built-in role", err, fault.CodeConflict, builtin)
				}
			}
			_, err := x.Group(x.ctx(), "writers")
			fails(t, "the group that was named in vain", err, fault.CodeNotFound)
			same(t, "revision", x.revision(), before)
		},

		"a_malformed_membership_is_refused": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("lead")
			for name, subject := range map[string]func(string) authz.SubjectRef{"user": user, "group": group} {
				x.refuses(name, badUsers, map[string]func(context.Context, string) error{
					"PutMembership": func(ctx context.Context, s string) error {
						return failure(x.PutMembership(ctx, authz.Membership{Subject: subject(s), Role: "lead", Node: apollo}))
					},
					"RemoveMembership": func(ctx context.Context, s string) error {
						return failure(x.RemoveMembership(ctx, subject(s), "lead", apollo))
					},
				})
			}
			x.refuses("role", badRoles, map[string]func(context.Context, string) error{
				"PutMembership": func(ctx context.Context, role string) error {
					return failure(x.PutMembership(ctx, at("alice", role, apollo)))
				},
			})
			x.refuses("id", badUsers, map[string]func(context.Context, string) error{
				"NodeMembers": func(ctx context.Context, s string) error {
					return failure(x.NodeMembers(ctx, authz.Node{Type: "post", ID: s}, authz.Page{}))
				},
			})
			for what, membership := range map[string]authz.Membership{
				"nobody":    {Role: "lead", Node: apollo},
				"a robot":   {Subject: authz.SubjectRef{Type: "robot", Name: "r2"}, Role: "lead", Node: apollo},
				"nowhere":   {Subject: user("alice"), Role: "lead"},
				"no id":     {Subject: user("alice"), Role: "lead", Node: authz.Node{Type: "project"}},
				"no time":   {Subject: user("alice"), Role: "lead", Node: apollo, Window: authz.Window{NotBefore: distantWindow.ExpiresAt, ExpiresAt: distantWindow.NotBefore}},
				"no moment": {Subject: user("alice"), Role: "lead", Node: apollo, Window: authz.Window{NotBefore: distantWindow.ExpiresAt, ExpiresAt: distantWindow.ExpiresAt}},
			} {
				_, err := x.PutMembership(x.ctx(), membership)
				fails(t, what, err, fault.CodeInvalid)
			}
			equal(t, "members", x.nodeMembers(apollo), nil)
		},
	}
}

func (x tenant) nodeMembers(node authz.Node) []authz.Membership {
	x.t.Helper()
	members := all(x, of(x.NodeMembers, node))
	for i := range members {
		members[i].Window.NotBefore = inUTC(members[i].Window.NotBefore)
		members[i].Window.ExpiresAt = inUTC(members[i].Window.ExpiresAt)
	}
	return members
}
