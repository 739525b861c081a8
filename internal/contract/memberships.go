package contract

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) memberships() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_membership_holds_until_it_is_taken": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.addRole("author")
			x.denies(x.HasMembership(x.ctx(), "alice", "editor"))
			x.absent(x.DeleteMembership(x.ctx(), "alice", "editor"))
			x.join("alice", "editor")
			x.join("alice", "author")
			x.join("bob", "editor")
			x.repeated(x.AddMembership(x.ctx(), "alice", "editor", authz.Window{}))
			x.allows(x.HasMembership(x.ctx(), "alice", "editor"))
			x.denies(x.HasMembership(x.ctx(), "bob", "author"))
			equal(t, "user roles", x.userRoles("alice"), []authz.Member{{User: "alice", Role: "author"}, {User: "alice", Role: "editor"}})
			equal(t, "members", x.members("editor"), []authz.Member{{User: "alice", Role: "editor"}, {User: "bob", Role: "editor"}})
			x.changed(x.DeleteMembership(x.ctx(), "alice", "editor"))
			x.absent(x.DeleteMembership(x.ctx(), "alice", "editor"))
			x.denies(x.HasMembership(x.ctx(), "alice", "editor"))
			equal(t, "user roles", x.userRoles("alice"), []authz.Member{{User: "alice", Role: "author"}})
			equal(t, "members", x.members("editor"), []authz.Member{{User: "bob", Role: "editor"}})
		},

		"a_membership_needs_its_role": func(t *testing.T, x tenant) {
			_, err := x.AddMembership(x.ctx(), "alice", "nobody", authz.Window{})
			fails(t, "join an unknown role", err, fault.CodeNotFound)
			x.absent(x.DeleteMembership(x.ctx(), "alice", "nobody"))
			x.denies(x.HasMembership(x.ctx(), "alice", "nobody"))
			equal(t, "members", x.members("nobody"), nil)
			equal(t, "user roles", x.userRoles("alice"), nil)
		},

		"the_built-in_roles_are_neither_given_nor_taken": func(t *testing.T, x tenant) {
			for _, role := range []string{authz.Owner, authz.Everyone} {
				_, err := x.AddMembership(x.ctx(), "alice", role, authz.Window{})
				fails(t, "give "+role, err, fault.CodeConflict)
				_, err = x.DeleteMembership(x.ctx(), "alice", role)
				fails(t, "take "+role, err, fault.CodeConflict)
				equal(t, "members", x.members(role), nil)
			}
			x.allows(x.HasMembership(x.ctx(), "alice", authz.Everyone))
			x.denies(x.HasMembership(x.ctx(), "alice", authz.Owner))
			equal(t, "user roles", x.userRoles("alice"), nil)
		},

		"a_window_must_open_before_it_closes": func(t *testing.T, x tenant) {
			x.addRole("editor")
			now := time.Now()
			for what, window := range map[string]authz.Window{
				"closes first":   {NotBefore: now, ExpiresAt: now.Add(-time.Second)},
				"closes at once": {NotBefore: now, ExpiresAt: now},
			} {
				_, err := x.AddMembership(x.ctx(), "alice", "editor", window)
				fails(t, what, err, fault.CodeInvalid)
			}
			x.absent(x.DeleteMembership(x.ctx(), "alice", "editor"))
		},

		"a_membership_outside_its_window_is_stored_but_does_not_hold": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit_content")
			for what, window := range map[string]authz.Window{
				"over":    {ExpiresAt: time.Now().Add(-24 * time.Hour)},
				"to come": {NotBefore: time.Now().Add(24 * 365 * time.Hour)},
			} {
				x.changed(x.AddMembership(x.ctx(), "alice", "editor", window))
				x.holds(what, false)
				x.changed(x.DeleteMembership(x.ctx(), "alice", "editor"))
			}
		},
	}
}

// clocked holds the tests that move the clock.
func (s *suite) clocked() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_membership_holds_from_its_first_moment_until_just_before_its_last": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit_content")
			start := s.clock.Now()
			// A zone that RFC 3339 cannot write, to show that only the moment counts.
			zone := time.FixedZone("LMT", -(4*60*60 + 56*60 + 2))
			window := authz.Window{NotBefore: start.Add(time.Hour).In(zone), ExpiresAt: start.Add(2 * time.Hour)}
			x.changed(x.AddMembership(x.ctx(), "alice", "editor", window))
			x.repeated(x.AddMembership(x.ctx(), "alice", "editor", window))
			x.holds("before", false)
			s.clock.Advance(time.Hour - time.Microsecond)
			x.holds("just before", false)
			s.clock.Advance(time.Microsecond)
			x.holds("at the first moment", true)
			s.clock.Advance(time.Hour - time.Microsecond)
			x.holds("just before the end", true)
			s.clock.Advance(time.Microsecond)
			x.holds("at the end", false)
		},

		"joining_again_replaces_the_window": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit_content")
			now := s.clock.Now()
			x.changed(x.AddMembership(x.ctx(), "alice", "editor", authz.Window{ExpiresAt: now.Add(time.Hour)}))
			x.holds("in the first window", true)
			x.changed(x.AddMembership(x.ctx(), "alice", "editor", authz.Window{NotBefore: now.Add(time.Hour)}))
			x.holds("before the second window", false)
			s.clock.Advance(time.Hour)
			x.holds("in the second window, which has no end", true)
			x.changed(x.AddMembership(x.ctx(), "alice", "editor", authz.Window{ExpiresAt: now}))
			x.holds("after the third window", false)
			x.changed(x.AddMembership(x.ctx(), "alice", "editor", authz.Window{}))
			x.holds("without a window", true)
		},

		"audit_events_are_found_by_time": func(t *testing.T, x tenant) { s.auditByTime(t, x) },
	}
}

// holds asks in every way whether alice holds the role editor, which alone has
// edit_content.
func (x tenant) holds(what string, want bool) {
	x.t.Helper()
	var member []authz.Member
	var permissions []string
	if want {
		member, permissions = []authz.Member{{User: "alice", Role: "editor"}}, []string{"edit_content"}
	}
	for _, ask := range []func() (authz.Decision, error){
		func() (authz.Decision, error) { return x.HasMembership(x.ctx(), "alice", "editor") },
		func() (authz.Decision, error) { return x.UserHasPermission(x.ctx(), "alice", "edit_content") },
		func() (authz.Decision, error) { return x.UserCanRunWorkflow(x.ctx(), "alice", "edit_content") },
	} {
		if decision, err := ask(); err != nil || decision.Allowed != want {
			x.t.Errorf("%s: got %v and error %v, want %v", what, decision.Allowed, err, want)
		}
	}
	equal(x.t, what+": user roles", x.userRoles("alice"), member)
	equal(x.t, what+": members", x.members("editor"), member)
	equal(x.t, what+": which users can", x.whichUsersCan("edit_content"), member)
	equal(x.t, what+": workflow users", x.workflowUsers("edit_content"), member)
	equal(x.t, what+": user permissions", x.userPermissions("alice"), permissions)
	x.total(what+": user permissions", of(x.UserPermissions, "alice"), int64(len(permissions)))
}

// total checks the Total of a list of strings, on a first page of one item.
func (x tenant) total(what string, list lister[string], want int64) {
	x.t.Helper()
	page, err := list(x.ctx(), authz.Page{Limit: 1})
	if err != nil || page.Total != want {
		x.t.Errorf("%s: got total %d and error %v, want %d", what, page.Total, err, want)
	}
}
