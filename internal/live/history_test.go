package live_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

func TestReadingThatBeganBeforeAChangeIsReadAgain(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "bob", 0, 0)
		inView, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		s.set(func(s *source) {
			s.inView = func() { once.Do(func() { close(inView); <-goOn }) }
		})
		var asked sync.WaitGroup
		asked.Go(func() { wantRoles(t, l, "alice", 1, 1) })
		<-inView // the snapshot is of revision 0
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		l.Wrote(t.Context(), tenant, at, touched(store.KindMembership, "alice/editor"))
		// Whoever asks now joins the reading that began before the write.
		asked.Go(func() { wantRoles(t, l, "alice", 1, 1) })
		synctest.Wait()
		close(goOn)
		asked.Wait()
		wantRoles(t, l, "alice", 1, 1)
	})
}

func TestChangeBetweenThePartsGathersThemAgain(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		first := s.grantAll("read")
		var times int
		var got []int
		basis, err := l.Ask(t.Context(), tenant, 0, func(v *live.View) error {
			times++
			got = nil
			for _, user := range []string{"alice", "bob"} {
				subject, err := v.Subject(user)
				if err != nil {
					return err
				}
				got = append(got, subject.Len())
				if times == 1 {
					at := s.give(user, "editor", authz.Root, user+"/editor")
					l.Wrote(t.Context(), tenant, at, touched(store.KindMembership, user+"/editor"))
				}
			}
			return nil
		})
		if err != nil || basis.Revision != first+2 || fmt.Sprint(got) != "[1 1]" || times != 2 {
			t.Errorf("got %v at %+v, %v after %d times, want one role each at revision %d after 2", got, basis, err, times, first+2)
		}
	})
}

func TestAnswerThatChangesKeepOvertakingIsReadFromOneSnapshot(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		s.grantAll("read")
		var got []int
		basis, err := l.Ask(t.Context(), tenant, 0, func(v *live.View) error {
			got = nil
			for _, user := range []string{"alice", "bob"} {
				subject, err := v.Subject(user)
				if err != nil {
					return err
				}
				got = append(got, subject.Len())
				if user == "alice" {
					// Both get a role in each change.
					at := s.write(tenant, func(next *state) {
						for _, u := range []string{"alice", "bob"} {
							next.holdings[u] = append(next.holdings[u], authz.Holding{Role: "editor", Node: authz.Root, ExpiresAtMicros: math.MaxInt64})
						}
					}, touched(store.KindGroup, "writers")...)
					l.Wrote(t.Context(), tenant, at, touched(store.KindGroup, "writers"))
				}
			}
			_, err := v.Policy()
			return err
		})
		if err != nil || len(got) != 2 || got[0] != got[1] || basis.Revision != int64(got[0])+1 {
			t.Errorf("got %v at %+v, %v, want as many roles each as the revision says", got, basis, err)
		}
	})
}

func TestReadingThatForeignChangesKeepOvertakingEnds(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "bob", 0, 0)
		// Another process writes whenever this one has read.
		var changes atomic.Int64
		s.set(func(s *source) {
			s.hasRead = func() {
				s.write(tenant, nil, touched(store.KindMembership, numbered("user", int(changes.Add(1)))+"/editor")...)
			}
		})
		if _, err := rolesOf(l, "alice"); err != nil {
			t.Error(err)
		}
		if got := s.count("user alice"); got != 1 {
			t.Errorf("got %d readings of the user, want 1", got)
		}
	})
}

func TestTenantsDoNotMixAndMayBeForgotten(t *testing.T) {
	t.Parallel()
	s := newSource()
	const tenants, most = 200, 10
	l := open(t, s, live.Config{MaxTenants: most})
	for n := range tenants {
		s.write(numbered("tenant", n), func(next *state) {
			for range n {
				next.holdings["alice"] = append(next.holdings["alice"], authz.Holding{Role: "editor", Node: authz.Root, ExpiresAtMicros: 1})
			}
		}, touched(store.KindMembership, "alice/editor")...)
	}
	var asked sync.WaitGroup
	for worker := range 4 {
		asked.Go(func() {
			for n := range tenants {
				n = (n + worker*50) % tenants
				id := numbered("tenant", n)
				if worker == 0 {
					changes := touched(store.KindMembership, "bob/editor")
					l.Wrote(t.Context(), id, s.write(id, nil, changes...), changes)
				}
				var held int
				_, err := l.Ask(t.Context(), id, 0, func(v *live.View) error {
					subject, err := v.Subject("alice")
					if err == nil {
						held = subject.Len()
					}
					return err
				})
				if err != nil || held != n {
					t.Errorf("%s: got %d, %v, want %d", id, held, err, n)
				}
			}
		})
	}
	asked.Wait()
}

func TestTenantForgottenWhileInUseStillAnswersAtItsRevision(t *testing.T) {
	t.Parallel()
	s := newSource()
	l := open(t, s, live.Config{MaxTenants: 1})
	at := s.give("alice", "editor", authz.Root, "alice/editor")
	var held int
	basis, err := l.Ask(t.Context(), tenant, 0, func(v *live.View) error {
		for n := range 50 {
			if _, err := l.Ask(t.Context(), numbered("tenant", n), 0, func(*live.View) error { return nil }); err != nil {
				return err
			}
		}
		subject, err := v.Subject("alice")
		if err == nil {
			held = subject.Len()
		}
		return err
	})
	if err != nil || basis.Revision != at || held != 1 {
		t.Errorf("got %d at %+v, %v, want 1 at revision %d", held, basis, err, at)
	}
}

// TestEveryAnswerIsTheStateAtItsRevision writes from this process and from another,
// and asks meanwhile: revision n gives every user n roles, so any mix of two
// revisions shows. An answer is no older than a write that was done when it was
// asked for here, nor than the revision that it asked for.
func TestEveryAnswerIsTheStateAtItsRevision(t *testing.T) {
	t.Parallel()
	s := newSource()
	l := open(t, s, live.Config{PollEvery: time.Millisecond})
	users := []string{"u0", "u1", "u2", "u3", "u4", "u5"}
	node := authz.Node{Type: "post", ID: "1"}
	const writes, readers = 400, 4
	kinds := [][]authz.Change{
		append(touched(store.KindGroup, "everybody"), authz.Change{Kind: store.KindResource, Key: "post/1"}, authz.Change{Kind: store.KindPermission, Key: "@everyone/read"}),
		append(touched(store.KindMembership, store.KeyAll), authz.Change{Kind: store.KindResource, Key: store.KeyAll}, authz.Change{Kind: store.KindRole, Key: "r"}),
		append(touched(store.KindScope, "project/apollo"), authz.Change{Kind: store.KindRole, Key: "r"}),
		func() (each []authz.Change) {
			for _, user := range users {
				each = append(each, authz.Change{Kind: store.KindMembership, Key: user + "/editor"})
			}
			return append(each, authz.Change{Kind: store.KindResource, Key: "post/1"}, authz.Change{Kind: store.KindPermission, Key: "r/read"})
		}(),
	}
	change := func(next *state) {
		for _, user := range users {
			next.users[user] = authz.User{Name: user, Properties: map[string]any{"revision": next.revision}}
		}
		next.nodes[node] = store.NodeRecord{Node: node, Name: numbered("", int(next.revision))}
		next.roles = map[string]authz.RoleSpec{"r": {Name: "r", Grants: []authz.Grant{{Permission: numbered("p", int(next.revision))}}}}
	}
	var acknowledged atomic.Int64 // the newest revision that a write here was answered with
	var working, writing sync.WaitGroup
	done := make(chan struct{})
	for writer := range 2 {
		writing.Go(func() {
			for n := range writes {
				changes := kinds[n%len(kinds)]
				at := s.write(tenant, change, changes...)
				if writer == 0 {
					l.Wrote(t.Context(), tenant, at, changes)
					raise(&acknowledged, at)
				}
			}
		})
	}
	working.Go(func() {
		writing.Wait()
		close(done)
	})
	for reader := range readers {
		working.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				least := acknowledged.Load()
				var asked int64
				if n%3 == 0 {
					s.mu.Lock()
					asked = s.tenant(tenant).revision // written somewhere
					s.mu.Unlock()
					least = max(least, asked)
				}
				checkState(t, l, asked, least, users[(reader+n)%len(users):], node)
			}
		})
	}
	working.Wait()
	if last := int64(2 * writes); !t.Failed() {
		checkState(t, l, last, last, users, node)
	}
}

// checkState asks for everything, and wants it all to be of the answer's revision,
// which must be least or later.
func checkState(t *testing.T, l *live.Live, asked, least int64, users []string, node authz.Node) {
	t.Helper()
	found := map[string]string{}
	basis, err := l.Ask(context.Background(), tenant, asked, func(v *live.View) error {
		clear(found)
		for _, user := range users {
			subject, err := v.Subject(user)
			if err != nil {
				return err
			}
			found[user] = fmt.Sprint(subject.Properties["revision"])
		}
		record, err := v.Node(node)
		if err != nil {
			return err
		}
		found["node"] = "<nil>"
		if record != nil {
			found["node"] = record.Name
		}
		policy, err := v.Policy()
		if err != nil {
			return err
		}
		found["policy"] = "<nil>"
		if permissions := policy.RolePermissions("r"); len(permissions) == 1 {
			found["policy"] = permissions[0][len("p"):]
		}
		return nil
	})
	if err != nil || basis.Revision < least {
		t.Errorf("got revision %d, %v, want %d or later", basis.Revision, err, least)
		return
	}
	want := fmt.Sprint(basis.Revision)
	if basis.Revision == 0 {
		want = "<nil>"
	}
	for what, got := range found {
		if got != want {
			t.Errorf("%s: got the state at revision %s in an answer at revision %d", what, got, basis.Revision)
		}
	}
}

func raise(to *atomic.Int64, revision int64) {
	for {
		was := to.Load()
		if was >= revision || to.CompareAndSwap(was, revision) {
			return
		}
	}
}
