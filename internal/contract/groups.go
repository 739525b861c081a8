package contract

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) groups() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_group_is_read_as_it_was_put": func(t *testing.T, x tenant) {
			_, err := x.Group(x.ctx(), "writers")
			tells(t, "read an unknown group", err, fault.CodeNotFound, `group "writers" does not exist`)
			x.absent(x.DeleteGroup(x.ctx(), "writers"))
			x.changed(x.PutGroup(x.ctx(), authz.Group{Name: "writers", Description: "Those who write"}))
			x.repeated(x.PutGroup(x.ctx(), authz.Group{Name: "writers", Description: "Those who write"}))
			x.seesGroup(authz.Group{Name: "writers", Description: "Those who write"})
			x.changed(x.PutGroup(x.ctx(), authz.Group{Name: "writers"}))
			x.seesGroup(authz.Group{Name: "writers"})
			x.changed(x.DeleteGroup(x.ctx(), "writers"))
			x.absent(x.DeleteGroup(x.ctx(), "writers"))
		},

		"what_a_group_holds_its_members_hold": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("editor")
			x.grant("editor", "edit")
			x.changed(x.AddToGroup(x.ctx(), "inner", user("alice")))
			x.repeated(x.AddToGroup(x.ctx(), "inner", user("alice")))
			x.changed(x.AddToGroup(x.ctx(), "outer", group("inner")))
			x.changed(x.PutMembership(x.ctx(), authz.Membership{Subject: group("outer"), Role: "editor", Node: apollo}))
			x.may("alice", "edit", post, true)
			x.may("alice", "edit", authz.Root, false)
			x.may("inner", "edit", post, false)
			x.changed(x.PutMembership(x.ctx(), authz.Membership{Subject: group("outer"), Role: "editor", Node: authz.Root}))
			equal(t, "members", x.members("editor"), asMembers([]string{"alice"}, "editor"))
			equal(t, "user roles", x.userRoles("alice"), asMembers([]string{"alice"}, "editor"))
			x.allows(x.HasMembership(x.ctx(), "alice", "editor"))
			x.changed(x.RemoveFromGroup(x.ctx(), "outer", group("inner")))
			x.absent(x.RemoveFromGroup(x.ctx(), "outer", group("inner")))
			x.may("alice", "edit", post, false)
			x.denies(x.HasMembership(x.ctx(), "alice", "editor"))
			x.changed(x.AddToGroup(x.ctx(), "outer", user("alice")))
			x.may("alice", "edit", post, true)
			x.changed(x.DeleteGroup(x.ctx(), "outer"))
			x.may("alice", "edit", post, false)
			x.changed(x.PutGroup(x.ctx(), authz.Group{Name: "outer"}))
			x.may("alice", "edit", post, false)
			x.absent(x.RemoveFromGroup(x.ctx(), "outer", user("alice")))
			x.changed(x.RemoveFromGroup(x.ctx(), "inner", user("alice")))
		},

		"naming_a_group_makes_it": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("editor")
			x.changed(x.PutMembership(x.ctx(), authz.Membership{Subject: group("a"), Role: "editor", Node: post}))
			x.seesGroup(authz.Group{Name: "a"})
			x.changed(x.AddToGroup(x.ctx(), "b", group("c")))
			x.seesGroup(authz.Group{Name: "b"})
			x.seesGroup(authz.Group{Name: "c"})
			x.absent(x.RemoveFromGroup(x.ctx(), "d", group("e")))
			x.absent(x.RemoveMembership(x.ctx(), group("d"), "editor", post))
			for _, name := range []string{"d", "e"} {
				_, err := x.Group(x.ctx(), name)
				fails(t, name, err, fault.CodeNotFound)
			}
		},

		"a_named_group_keeps_its_description": func(t *testing.T, x tenant) {
			x.changed(x.PutGroup(x.ctx(), authz.Group{Name: "writers", Description: "Those who write"}))
			x.changed(x.AddToGroup(x.ctx(), "writers", user("alice")))
			x.changed(x.AddToGroup(x.ctx(), "people", group("writers")))
			x.seesGroup(authz.Group{Name: "writers", Description: "Those who write"})
		},

		"a_circle_of_groups_is_named": func(t *testing.T, x tenant) {
			x.changed(x.AddToGroup(x.ctx(), "b", group("a")))
			x.changed(x.AddToGroup(x.ctx(), "c", group("b")))
			x.changed(x.AddToGroup(x.ctx(), "d", group("b")))
			before := x.revision()
			for path, link := range map[string][2]string{
				"a -> a":           {"a", "a"},
				"b -> a -> b":      {"a", "b"},
				"c -> a -> b -> c": {"a", "c"},
				"new -> new":       {"new", "new"},
			} {
				_, err := x.AddToGroup(x.ctx(), link[0], group(link[1]))
				tells(t, path, err, fault.CodeConflict, "circle: "+path)
			}
			same(t, "revision", x.revision(), before)
			x.changed(x.AddToGroup(x.ctx(), "a", user("a")))
		},

		"a_group_and_a_user_of_one_name_are_two": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.changed(x.PutMembership(x.ctx(), authz.Membership{Subject: group("alice"), Role: "editor", Node: authz.Root}))
			x.denies(x.HasMembership(x.ctx(), "alice", "editor"))
			x.join("alice", "editor")
			x.changed(x.DeleteGroup(x.ctx(), "alice"))
			x.allows(x.HasMembership(x.ctx(), "alice", "editor"))
		},

		"a_malformed_group_is_refused": func(t *testing.T, x tenant) {
			x.addRole("editor")
			methods := map[string]func(context.Context, string) error{
				"PutGroup":    func(ctx context.Context, s string) error { return failure(x.PutGroup(ctx, authz.Group{Name: s})) },
				"Group":       func(ctx context.Context, s string) error { return failure(x.Group(ctx, s)) },
				"DeleteGroup": func(ctx context.Context, s string) error { return failure(x.DeleteGroup(ctx, s)) },
			}
			for what, member := range map[string]func(string) authz.SubjectRef{"user": user, "group": group} {
				methods["AddToGroup, "+what] = func(ctx context.Context, s string) error { return failure(x.AddToGroup(ctx, "g", member(s))) }
				methods["AddToGroup of "+what] = func(ctx context.Context, s string) error { return failure(x.AddToGroup(ctx, s, member("m"))) }
				methods["RemoveFromGroup, "+what] = func(ctx context.Context, s string) error {
					return failure(x.RemoveFromGroup(ctx, "g", member(s)))
				}
			}
			x.refuses("group", badUsers, methods)
			_, err := x.AddToGroup(x.ctx(), "g", authz.SubjectRef{Name: "alice"})
			fails(t, "a member of no type", err, fault.CodeInvalid)
			_, err = x.PutGroup(x.ctx(), authz.Group{Name: "g", Description: strings.Repeat("ä", authz.MaxDescription+1)})
			fails(t, "a long description", err, fault.CodeInvalid)
		},

		"a_group_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			x.addRole("editor")
			for _, name := range users {
				x.changed(x.PutGroup(x.ctx(), authz.Group{Name: name, Description: "Of " + name}))
				x.changed(x.AddToGroup(x.ctx(), name, user(name)))
				x.changed(x.PutMembership(x.ctx(), authz.Membership{Subject: group(name), Role: "editor", Node: authz.Root}))
				x.allows(x.HasMembership(x.ctx(), name, "editor"))
			}
			for _, name := range users {
				x.changed(x.RemoveFromGroup(x.ctx(), name, user(name)))
				x.changed(x.RemoveMembership(x.ctx(), group(name), "editor", authz.Root))
				x.changed(x.DeleteGroup(x.ctx(), name))
			}
		},
	}
}

func (x tenant) seesGroup(want authz.Group) {
	x.t.Helper()
	same(x.t, "group", value[authz.Group](x)(x.Group(x.ctx(), want.Name)), want)
}
