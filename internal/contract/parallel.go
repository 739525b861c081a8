package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// callers is how many do the same at once.
const callers = 12

func (s *suite) parallel() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"of_identical_changes_at_once_one_is_made": func(t *testing.T, x tenant) {
			x.addRole("first")
			for _, test := range []struct {
				what string
				do   func(context.Context, int) (authz.Written, error)
			}{
				{"add a role", func(ctx context.Context, _ int) (authz.Written, error) {
					return x.AddRole(ctx, "editor", authz.RoleOptions{})
				}},
				{"grant", func(ctx context.Context, _ int) (authz.Written, error) { return x.AddPermission(ctx, "editor", "edit") }},
				{"join", func(ctx context.Context, _ int) (authz.Written, error) {
					return x.AddMembership(ctx, "alice", "editor", authz.Window{})
				}},
				{"revoke", func(ctx context.Context, _ int) (authz.Written, error) {
					return x.DeletePermission(ctx, "editor", "edit")
				}},
				{"leave", func(ctx context.Context, _ int) (authz.Written, error) {
					return x.DeleteMembership(ctx, "alice", "editor")
				}},
				{"delete a role", func(ctx context.Context, _ int) (authz.Written, error) { return x.DeleteRole(ctx, "editor") }},
			} {
				before := x.revision()
				changes := 0
				for i, r := range atOnce(x.ctx(), test.do) {
					if r.err != nil {
						t.Errorf("%s: caller %d: %v", test.what, i, r.err)
					}
					if r.written.Revision != before+1 {
						t.Errorf("%s: caller %d: got revision %d, want %d", test.what, i, r.written.Revision, before+1)
					}
					if r.written.Changed {
						changes++
					}
				}
				deletes := test.what == "revoke" || test.what == "leave" || test.what == "delete a role"
				if (deletes || s.additionsTellChanged) && changes != 1 {
					t.Errorf("%s: got %d that changed something, want 1", test.what, changes)
				}
				if after := x.revision(); after != before+1 {
					t.Errorf("%s: got revision %d, want %d", test.what, after, before+1)
				}
			}
			if events := x.events(audit.Filter{}); len(events) != 7 {
				t.Errorf("audit: got %d events, want 7", len(events))
			}
		},

		"of_identical_puts_at_once_one_is_made": func(t *testing.T, x tenant) {
			x.addRole("first") // with it the tenant is there
			for _, step := range x.growth() {
				if !step.new {
					continue
				}
				before := x.revision()
				changes := 0
				for i, r := range atOnce(x.ctx(), func(context.Context, int) (authz.Written, error) { return step.do() }) {
					if r.err != nil || r.written.Revision != before+1 {
						t.Errorf("%s: caller %d: got revision %d and error %v, want %d", step.what, i, r.written.Revision, r.err, before+1)
					}
					if r.written.Changed {
						changes++
					}
				}
				if s.additionsTellChanged && changes != 1 {
					t.Errorf("%s: got %d that changed something, want 1", step.what, changes)
				}
			}
		},

		"circles_are_not_closed_from_two_sides_at_once": func(t *testing.T, x tenant) {
			names := []string{"a", "b"}
			x.putRole("a")
			x.putRole("b")
			inherit := func(ctx context.Context, i int) (authz.Written, error) {
				return x.PutRole(ctx, authz.RoleDetail{Name: names[i%2], Inherits: []string{names[1-i%2]}})
			}
			nest := func(ctx context.Context, i int) (authz.Written, error) {
				return x.AddToGroup(ctx, names[i%2], group(names[1-i%2]))
			}
			for what, change := range map[string]func(context.Context, int) (authz.Written, error){"roles": inherit, "groups": nest} {
				var won [2]int
				for i, r := range atOnce(x.ctx(), change) {
					switch {
					case r.err == nil:
						won[i%2]++
					case !errors.Is(r.err, fault.CodeConflict):
						t.Errorf("%s: caller %d: got error %v, want none or %q", what, i, r.err, fault.CodeConflict.Error())
					}
				}
				if won != [2]int{callers / 2, 0} && won != [2]int{0, callers / 2} {
					t.Errorf("%s: got %v successes on either side, want all on one", what, won)
				}
			}
		},

		"different_changes_at_once_get_revisions_of_their_own": func(t *testing.T, x tenant) {
			before := x.addRole("editor")
			var got, want []int64
			for i, r := range atOnce(x.ctx(), func(ctx context.Context, i int) (authz.Written, error) {
				return x.AddMembership(ctx, fmt.Sprintf("user-%d", i), "editor", authz.Window{})
			}) {
				if r.err != nil {
					t.Errorf("caller %d: %v", i, r.err)
				}
				got = append(got, r.written.Revision)
				want = append(want, before+1+int64(i))
			}
			slices.Sort(got)
			equal(t, "revisions", got, want)
			if members := x.members("editor"); len(members) != callers {
				t.Errorf("members: got %d, want %d", len(members), callers)
			}
		},

		"the_first_changes_of_a_tenant_can_come_at_once": func(t *testing.T, x tenant) {
			for i, r := range atOnce(x.ctx(), func(ctx context.Context, i int) (authz.Written, error) {
				return x.AddRole(ctx, fmt.Sprintf("role-%d", i), authz.RoleOptions{})
			}) {
				if r.err != nil {
					t.Errorf("caller %d: %v", i, r.err)
				}
			}
			if roles := x.roleNames(); len(roles) != callers {
				t.Errorf("roles: got %v, want %d", roles, callers)
			}
		},

		"joining_while_the_role_goes_leaves_no_member_behind": func(t *testing.T, x tenant) {
			x.addRole("editor")
			for i, r := range atOnce(x.ctx(), func(ctx context.Context, i int) (authz.Written, error) {
				if i == callers/2 {
					return x.DeleteRole(ctx, "editor")
				}
				return x.AddMembership(ctx, fmt.Sprintf("user-%d", i), "editor", authz.Window{})
			}) {
				if r.err != nil && !errors.Is(r.err, fault.CodeNotFound) {
					t.Errorf("caller %d: got error %v, want none or %q", i, r.err, fault.CodeNotFound.Error())
				}
			}
			equal(t, "members", x.members("editor"), nil)
			x.addRole("editor")
			equal(t, "members of the new role", x.members("editor"), nil)
		},
	}
}

type outcome struct {
	written authz.Written
	err     error
}

// atOnce makes a change from all callers, who start together.
func atOnce(ctx context.Context, change func(ctx context.Context, caller int) (authz.Written, error)) []outcome {
	outcomes := make([]outcome, callers)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range outcomes {
		running.Go(func() {
			<-start
			outcomes[i].written, outcomes[i].err = change(ctx, i)
		})
	}
	close(start)
	running.Wait()
	return outcomes
}
