package live_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// TestChangeForgetsWhatItTouched counts what is read again after a change of each
// kind and form of key, whether this process made it or another did.
func TestChangeForgetsWhatItTouched(t *testing.T) {
	t.Parallel()
	const awkward = "a/b 100%"
	post, apollo := authz.Node{Type: "post", ID: awkward}, authz.Node{Type: "project", ID: "apollo"}
	things := []string{"policy", "user alice", "user " + awkward, "user *", "node " + post.String(), "node " + apollo.String()}
	users, nodes := []string{"user alice", "user " + awkward, "user *"}, []string{"node " + post.String(), "node " + apollo.String()}
	all := append(append([]string{"policy"}, users...), nodes...)
	tests := []struct {
		kind, key string
		again     []string
	}{
		{store.KindMembership, "alice/editor", []string{"user alice"}},
		{store.KindMembership, "a%2Fb%20100%25/editor", []string{"user " + awkward}},
		{store.KindMembership, "%2A/editor", []string{"user *"}},
		{store.KindMembership, "scopes/project/apollo/members/alice/roles/editor", []string{"user alice"}},
		{store.KindMembership, "scopes/project/members/members/a%2Fb%20100%25/roles/editor", []string{"user " + awkward}},
		{store.KindMembership, "resources/post/7/members/alice/roles/editor", []string{"user alice"}},
		{store.KindMembership, "groups/writers/roles/editor", users},
		{store.KindMembership, "scopes/project/apollo/groups/writers/roles/editor", users},
		{store.KindMembership, "resources/members/alice/groups/members/roles/editor", users},
		{store.KindMembership, store.KeyAll, users},
		{store.KindMembership, "%zz/editor", users},
		{store.KindUser, "alice", []string{"user alice"}},
		{store.KindUser, "%2A", []string{"user *"}},
		{store.KindUser, store.KeyAll, users},
		{store.KindGroup, "writers", users},
		{store.KindGroup, "groups/writers/members/alice", users},
		{store.KindResource, "post/a%2Fb%20100%25", []string{"node " + post.String()}},
		{store.KindResource, "post/other", nil},
		{store.KindResource, store.KeyAll, nodes},
		{store.KindScope, "project/apollo", append(append([]string{}, users...), nodes...)},
		{store.KindRole, "editor", append([]string{"policy"}, users...)},
		{store.KindRole, "a%2Fb", append([]string{"policy"}, users...)},
		{store.KindRole, "%zz", append([]string{"policy"}, users...)},
		{store.KindRole, "a role that was not there", []string{"policy"}},
		{store.KindPermission, "editor/read", []string{"policy"}},
		{store.KindClientKey, "f1n6e2", nil},
		{store.KindTool, "wiki", nil},
		{store.KindSettings, store.KeyAll, nil},
		{"a kind of a later release", "x", all},
	}
	ask := func(t *testing.T, l *live.Live) {
		t.Helper()
		_, err := l.Ask(t.Context(), tenant, 0, func(v *live.View) error {
			if _, err := v.Policy(); err != nil {
				return err
			}
			for _, user := range []string{"alice", awkward, "*"} {
				if _, err := v.Subject(user); err != nil {
					return err
				}
			}
			for _, node := range []authz.Node{post, apollo} {
				if _, err := v.Node(node); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, here := range []bool{true, false} {
		for _, test := range tests {
			t.Run(fmt.Sprintf("here=%t/%s/%s", here, test.kind, test.key), func(t *testing.T) {
				bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
					s.write(tenant, func(next *state) {
						next.roles = map[string]authz.RoleSpec{"editor": {Name: "editor"}, "a/b": {Name: "a/b"}}
					})
					ask(t, l)
					before := map[string]int{}
					for _, thing := range things {
						before[thing] = s.count(thing)
					}
					changes := touched(test.kind, test.key)
					at := s.write(tenant, nil, changes...)
					if here {
						l.Wrote(t.Context(), tenant, at, changes)
					} else {
						l.Hint()
						synctest.Wait()
					}
					ask(t, l)
					again := map[string]bool{}
					for _, thing := range test.again {
						again[thing] = true
					}
					for _, thing := range things {
						if got := s.count(thing) - before[thing]; (got == 1) != again[thing] || got > 1 {
							t.Errorf("%s: got %d new readings, want it read again: %t", thing, got, again[thing])
						}
					}
				})
			})
		}
	}
}

// TestRoleThatIsMadeAgainBringsNothingBack has others make, give, delete and make
// again a role between two polls.
func TestRoleThatIsMadeAgainBringsNothingBack(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantPolicy := func() {
			t.Helper()
			if _, err := l.Ask(t.Context(), tenant, 0, func(v *live.View) error { _, err := v.Policy(); return err }); err != nil {
				t.Fatal(err)
			}
		}
		exist := func(roles map[string]authz.RoleSpec) int64 {
			return s.write(tenant, func(next *state) {
				next.roles, next.holdings["alice"] = roles, nil
			}, touched(store.KindRole, "editor")...)
		}
		editor := map[string]authz.RoleSpec{"editor": {Name: "editor"}}
		s.grantAll("read")
		for range 2 {
			wantPolicy()
			exist(editor)
			given := s.give("alice", "editor", authz.Root, "alice/editor")
			l.Hint()
			synctest.Wait()
			wantRoles(t, l, "alice", 1, given)
			wantPolicy()
			exist(nil)
			again := exist(editor)
			l.Hint()
			synctest.Wait()
			wantRoles(t, l, "alice", 0, again)
		}
	})
}

func TestManyChangesAtOnceForgetEverything(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		s.write(tenant, func(next *state) {
			next.holdings["alice"] = []authz.Holding{{Role: "editor", Node: authz.Root, ExpiresAtMicros: 1}}
		})
		var at int64
		for n := range 1500 {
			at = s.write(tenant, nil, touched(store.KindMembership, numbered("user", n)+"/editor")...)
		}
		l.Hint()
		synctest.Wait()
		wantRoles(t, l, "alice", 1, at)
	})
}
