package contract

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// distantWindow is far from any test's present.
var distantWindow = authz.Window{
	NotBefore: time.Date(2001, 2, 3, 4, 5, 6, 7000, time.UTC),
	ExpiresAt: time.Date(2101, 2, 3, 4, 5, 6, 7000, time.UTC),
}

func (s *suite) audit() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"each_change_leaves_one_event_and_no_change_none": func(t *testing.T, x tenant) {
			var revisions []int64
			for _, step := range x.life() {
				written, err := step.do()
				if err != nil {
					t.Fatalf("%s: %v", step.what, err)
				}
				if step.new {
					revisions = append(revisions, written.Revision)
				}
			}
			type told struct{ Action, Resource, User, Outcome string }
			const role, permission, membership = "role/editor", "permission/editor/post:edit", "membership/a%2Fb@c/editor"
			want := []told{
				{audit.RoleCreated, role, "", audit.Success},
				{audit.RoleUpdated, role, "", audit.Success},
				{audit.PermissionGranted, permission, "", audit.Success},
				{audit.MembershipAdded, membership, "a/b@c", audit.Success},
				{audit.MembershipUpdated, membership, "a/b@c", audit.Success},
				{audit.PermissionRevoked, permission, "", audit.Success},
				{audit.MembershipRemoved, membership, "a/b@c", audit.Success},
				{audit.RoleDeleted, role, "", audit.Success},
			}
			events := x.events(audit.Filter{})
			slices.Reverse(events) // oldest first, as the changes were made
			var got []told
			var at []int64
			for _, e := range events {
				got = append(got, told{e.Action, e.Resource, e.User, e.Outcome})
				at = append(at, e.Revision)
				if e.Actor == "" || e.Time.IsZero() {
					t.Errorf("%s: got actor %q and time %v, want both", e.Action, e.Actor, e.Time)
				}
			}
			equal(t, "events", got, want)
			equal(t, "revisions of the events", at, revisions)
			if !slices.IsSortedFunc(events, func(a, b audit.Event) int { return strings.Compare(a.ID, b.ID) }) {
				t.Errorf("events: got %+v, want them newest first", events)
			}
			if len(events) == len(want) {
				details := fmt.Sprint(events[4].Details)
				if want := "map[expires_at:2101-02-03T04:05:06.000007Z not_before:2001-02-03T04:05:06.000007Z]"; details != want {
					t.Errorf("details of the window's change: got %s, want %s", details, want)
				}
			}
		},

		"each_thing_that_a_change_touches_leaves_one_event": func(t *testing.T, x tenant) {
			before := x.revision()
			for _, step := range x.growth() {
				if _, err := step.do(); err != nil {
					t.Fatalf("%s: %v", step.what, err)
				}
			}
			const (
				project   = "scope/project/a%2Fb"
				inProject = "membership/scopes/project/a%2Fb/members/a@c/roles/editor"
				atPost    = "membership/resources/post/7/groups/writers/roles/editor"
				atRoot    = "membership/groups/writers/roles/editor"
			)
			type told struct{ Action, Resource, User string }
			want := []told{
				{audit.ScopeCreated, "scope/organization/acme", ""},
				{audit.ScopeCreated, project, ""},
				{audit.ScopeUpdated, project, ""},
				{audit.ResourceCreated, "resource/post/7", ""},
				{audit.ResourceUpdated, "resource/post/7", ""},
				{audit.RoleCreated, "role/viewer", ""},
				{audit.RoleCreated, "role/editor", ""},
				{audit.RoleUpdated, "role/editor", ""},
				{audit.PermissionGranted, "permission/editor/post:%2A", ""},
				{audit.PermissionUpdated, "permission/editor/post:%2A", ""},
				{audit.MembershipAdded, inProject, "a@c"},
				{audit.MembershipUpdated, inProject, "a@c"},
				{audit.GroupCreated, "group/writers", ""},
				{audit.MembershipAdded, atPost, ""},
				{audit.GroupUpdated, "group/writers", ""},
				{audit.MembershipAdded, atRoot, ""},
				{audit.GroupMemberAdded, "group/groups/writers/members/a@c", "a@c"},
				{audit.GroupCreated, "group/people", ""},
				{audit.GroupMemberAdded, "group/groups/people/groups/writers", ""},
				{audit.UserRegistered, "user/a@c", "a@c"},
				{audit.UserUpdated, "user/a@c", "a@c"},
				{audit.GroupMemberRemoved, "group/groups/writers/members/a@c", "a@c"},
				{audit.GroupMemberRemoved, "group/groups/people/groups/writers", ""},
				{audit.MembershipRemoved, atRoot, ""},
				{audit.MembershipRemoved, atPost, ""},
				{audit.GroupDeleted, "group/writers", ""},
				{audit.UserDeleted, "user/a@c", "a@c"},
				{audit.ResourceDeleted, "resource/post/7", ""},
				{audit.ScopeDeleted, "scope/organization/acme", ""},
			}
			var got []told
			// What a deletion takes along has no event of its own, but a change.
			along := map[string]string{audit.UserDeleted: " resource/*", audit.ResourceDeleted: " membership/*", audit.ScopeDeleted: " membership/*"}
			var fromEvents, fromFeed []string
			for _, e := range slices.Backward(x.events(audit.Filter{})) {
				got = append(got, told{e.Action, e.Resource, e.User})
				fromEvents = append(fromEvents, fmt.Sprint(e.Revision, " ", e.Resource))
				if taken := along[e.Action]; taken != "" {
					fromEvents = append(fromEvents, fmt.Sprint(e.Revision, taken))
				}
			}
			equal(t, "events", got, want)
			feed, err := x.Changes(x.ctx(), before, authz.Page{})
			if err != nil {
				t.Fatalf("read the change feed: %v", err)
			}
			for _, c := range feed.Items {
				if c.Kind != "client_key" {
					fromFeed = append(fromFeed, fmt.Sprint(c.Revision, " ", c.Kind, "/", c.Key))
				}
			}
			equal(t, "change feed", fromFeed, fromEvents)
		},

		"a_change_that_fails_leaves_no_event": func(t *testing.T, x tenant) {
			_, err := x.AddPermission(x.ctx(), "nobody", "edit")
			fails(t, "grant to an unknown role", err, fault.CodeNotFound)
			_, err = x.AddRole(x.ctx(), authz.Everyone, authz.RoleOptions{})
			fails(t, "add a built-in role", err, fault.CodeConflict)
			equal(t, "events", x.events(audit.Filter{}), nil)
		},

		"events_are_found_by_what_they_tell": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.addRole("author")
			x.join("alice@example.com", "editor")
			x.join("bob", "editor")
			for what, test := range map[string]struct {
				filter audit.Filter
				want   int
			}{
				"user":                {audit.Filter{User: "alice@example.com"}, 1},
				"part of a user":      {audit.Filter{User: "alice"}, 0},
				"action":              {audit.Filter{Action: audit.RoleCreated}, 2},
				"resource":            {audit.Filter{Resource: "role/editor"}, 1},
				"resource with a @":   {audit.Filter{Resource: "membership/alice@example.com/editor"}, 1},
				"outcome":             {audit.Filter{Outcome: audit.Success}, 4},
				"other outcome":       {audit.Filter{Outcome: audit.Refused}, 0},
				"unknown request":     {audit.Filter{RequestID: "none"}, 0},
				"since long ago":      {audit.Filter{Since: distantWindow.NotBefore}, 4},
				"since long from now": {audit.Filter{Since: distantWindow.ExpiresAt}, 0},
				"until long ago":      {audit.Filter{Until: distantWindow.NotBefore}, 0},
				"all that fit":        {audit.Filter{User: "bob", Action: audit.MembershipAdded, Resource: "membership/bob/editor", Outcome: audit.Success}, 1},
				"one that does not":   {audit.Filter{User: "bob", Action: audit.RoleCreated}, 0},
			} {
				if got := len(x.events(test.filter)); got != test.want {
					t.Errorf("by %s: got %d events, want %d", what, got, test.want)
				}
			}
			_, err := x.AuditEvents(x.ctx(), audit.Filter{Outcome: "maybe"}, authz.Page{})
			fails(t, "unknown outcome", err, fault.CodeInvalid)
		},
	}
}

// auditByTime moves the clock between events.
func (s *suite) auditByTime(t *testing.T, x tenant) {
	var times []time.Time
	for _, role := range []string{"a", "b", "c"} {
		times = append(times, s.clock.Now().UTC().Truncate(time.Microsecond))
		x.addRole(role)
		s.clock.Advance(time.Microsecond)
	}
	for what, test := range map[string]struct {
		filter audit.Filter
		want   []time.Time
	}{
		"all":             {audit.Filter{}, []time.Time{times[2], times[1], times[0]}},
		"since its time":  {audit.Filter{Since: times[1]}, []time.Time{times[2], times[1]}},
		"until its time":  {audit.Filter{Until: times[1]}, []time.Time{times[0]}},
		"one moment":      {audit.Filter{Since: times[1], Until: times[2]}, []time.Time{times[1]}},
		"in another zone": {audit.Filter{Since: times[2].In(time.FixedZone("", 5*60*60+30*60))}, []time.Time{times[2]}},
	} {
		var got []time.Time
		for _, event := range x.events(test.filter) {
			got = append(got, event.Time.UTC())
		}
		equal(t, what, got, test.want)
	}
}

// inUTC is a moment in the form that compares.
func inUTC(moment time.Time) time.Time {
	if moment.IsZero() {
		return time.Time{}
	}
	return moment.UTC()
}
