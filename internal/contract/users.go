package contract

import (
	"context"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) users() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_user_is_read_as_it_was_put": func(t *testing.T, x tenant) {
			_, err := x.User(x.ctx(), "alice")
			tells(t, "read an unknown user", err, fault.CodeNotFound, `user "alice" is not registered`)
			wanted := authz.User{Name: "alice", Inactive: true, Properties: map[string]any{"level": 3.0}}
			x.changed(x.PutUser(x.ctx(), wanted))
			x.repeated(x.PutUser(x.ctx(), wanted))
			x.seesUser(wanted)
			x.changed(x.PutUser(x.ctx(), authz.User{Name: "alice"}))
			x.repeated(x.PutUser(x.ctx(), authz.User{Name: "alice", Properties: map[string]any{}}))
			x.seesUser(authz.User{Name: "alice"})
			x.changed(x.DeleteUser(x.ctx(), "alice"))
			x.absent(x.DeleteUser(x.ctx(), "alice"))
		},

		"a_user_who_is_not_active_may_do_nothing": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit")
			x.grant(authz.Everyone, "view")
			x.join("alice", "editor")
			for _, inactive := range []bool{true, false} {
				x.changed(x.PutUser(x.ctx(), authz.User{Name: "alice", Inactive: inactive}))
				x.may("alice", "edit", authz.Root, !inactive)
				x.may("alice", "view", authz.Root, !inactive)
			}
		},

		"conditions_see_the_properties_of_a_user": func(t *testing.T, x tenant) {
			x.changed(x.PutGrant(x.ctx(), authz.Everyone, authz.Grant{Permission: "view", Condition: "subject.properties.level > 2"}))
			for level, want := range map[float64]bool{1: false, 3: true} {
				x.changed(x.PutUser(x.ctx(), authz.User{Name: "alice", Properties: map[string]any{"level": level}}))
				x.may("alice", "view", authz.Root, want)
			}
		},

		"deleting_a_user_takes_all_that_they_hold_and_nothing_of_others": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("editor")
			x.grant("editor", "edit")
			x.grant(authz.Owner, "own")
			for _, name := range []string{"alice", "bob"} {
				x.join(name, "editor")
				x.changed(x.PutMembership(x.ctx(), at(name, "editor", apollo)))
				x.changed(x.AddToGroup(x.ctx(), "writers", user(name)))
			}
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo, Owner: "alice"}))
			page := authz.Node{Type: "page", ID: "1"}
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: page, Owner: "bob"}))
			x.may("alice", "own", post, true) // and so whoever remembers answers has them
			x.changed(x.DeleteUser(x.ctx(), "alice"))
			x.absent(x.DeleteUser(x.ctx(), "alice"))
			x.may("alice", "own", post, false)
			x.may("alice", "edit", apollo, false)
			x.denies(x.HasMembership(x.ctx(), "alice", "editor"))
			x.absent(x.RemoveFromGroup(x.ctx(), "writers", user("alice")))
			x.seesResource(authz.Resource{Node: post, Parent: apollo})
			equal(t, "members of apollo", x.nodeMembers(apollo), []authz.Membership{at("bob", "editor", apollo)})
			equal(t, "members", x.members("editor"), asMembers([]string{"bob"}, "editor"))
			x.may("bob", "own", page, true)
			x.changed(x.RemoveFromGroup(x.ctx(), "writers", user("bob")))
			if events := x.events(audit.Filter{User: "alice"}); len(events) != 4 {
				t.Errorf("audit events of alice: got %d, want 4", len(events))
			}
		},

		"a_user_who_only_owns_or_is_in_a_group_can_be_deleted": func(t *testing.T, x tenant) {
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Owner: "alice"}))
			x.changed(x.DeleteUser(x.ctx(), "alice"))
			x.seesResource(authz.Resource{Node: post, Parent: authz.Root})
			x.changed(x.AddToGroup(x.ctx(), "writers", user("alice")))
			x.changed(x.DeleteUser(x.ctx(), "alice"))
			x.absent(x.RemoveFromGroup(x.ctx(), "writers", user("alice")))
		},

		"a_malformed_user_is_not_registered": func(t *testing.T, x tenant) {
			x.addRole("first")
			x.refuses("user", badUsers, map[string]func(context.Context, string) error{
				"PutUser":    func(ctx context.Context, s string) error { return failure(x.PutUser(ctx, authz.User{Name: s})) },
				"User":       func(ctx context.Context, s string) error { return failure(x.User(ctx, s)) },
				"DeleteUser": func(ctx context.Context, s string) error { return failure(x.DeleteUser(ctx, s)) },
			})
		},

		"a_registered_user_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			for _, name := range users {
				x.changed(x.PutUser(x.ctx(), authz.User{Name: name, Properties: map[string]any{"name": name}}))
			}
			for _, name := range users {
				x.seesUser(authz.User{Name: name, Properties: map[string]any{"name": name}})
				x.changed(x.DeleteUser(x.ctx(), name))
			}
		},
	}
}

func (x tenant) seesUser(want authz.User) {
	x.t.Helper()
	got := value[authz.User](x)(x.User(x.ctx(), want.Name))
	if len(got.Properties)+len(want.Properties) == 0 {
		got.Properties, want.Properties = nil, nil
	}
	same(x.t, "user", got, want)
}
