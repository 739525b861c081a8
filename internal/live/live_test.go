package live_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// bubble runs a test on a clock that moves when everything waits.
func bubble(t *testing.T, cfg live.Config, test func(t *testing.T, s *source, l *live.Live)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		test(t, s, open(t, s, cfg))
	})
}

func TestSteadyStateReadsNothing(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		wantRoles(t, l, "alice", 1, at)
		before := s.count("views")
		for range 100 {
			wantRoles(t, l, "alice", 1, at)
		}
		if got := s.count("views"); got != before {
			t.Errorf("got %d readings in the steady state, want none", got-before)
		}
	})
}

func TestWhatIsNotThereIsRemembered(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		node := authz.Node{Type: "post", ID: "7"}
		for range 3 {
			wantRoles(t, l, "nobody", 0, 0)
			if got, err := nodeOf(l, node); err != nil || got.node != nil {
				t.Errorf("got %+v, %v, want no node", got, err)
			}
		}
		if users, nodes := s.count("user nobody"), s.count("node post:7"); users != 1 || nodes != 1 {
			t.Errorf("got %d readings of the user and %d of the node, want 1 of each", users, nodes)
		}
		at := s.write(tenant, func(next *state) { next.nodes[node] = store.NodeRecord{Node: node, Owner: "alice"} }, touched(store.KindResource, "post/7")...)
		l.Wrote(t.Context(), tenant, at, touched(store.KindResource, "post/7"))
		if got, err := nodeOf(l, node); err != nil || got.node == nil || got.node.Owner != "alice" {
			t.Errorf("once it is there: got %+v, %v, want it with its owner", got, err)
		}
	})
}

func TestWroteIsAppliedBeforeItReturns(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		first := s.give("alice", "r1", authz.Root, "alice/r1")
		l.Wrote(t.Context(), tenant, first, touched(store.KindMembership, "alice/r1"))
		wantRoles(t, l, "alice", 1, first)

		// Two writes may come in the other order; the later one brings both.
		second := s.give("alice", "r2", authz.Root, "alice/r2")
		third := s.give("alice", "r3", authz.Root, "alice/r3")
		l.Wrote(t.Context(), tenant, third, touched(store.KindMembership, "alice/r3"))
		wantRoles(t, l, "alice", 3, third)
		l.Wrote(t.Context(), tenant, second, touched(store.KindMembership, "alice/r2"))
		wantRoles(t, l, "alice", 3, third)
	})
}

func TestWroteIsAppliedWhereItsCallerHasGone(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		s.give("alice", "r1", authz.Root, "alice/r1")
		at := s.give("alice", "r2", authz.Root, "alice/r2")
		gone, leave := context.WithCancel(t.Context())
		leave()
		l.Wrote(gone, tenant, at, touched(store.KindMembership, "alice/r2"))
		wantRoles(t, l, "alice", 2, at)
	})
}

func TestPollFindsWhatOthersWrote(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		wantRoles(t, l, "alice", 0, 0)
		time.Sleep(pollEvery) // of the bubble
		synctest.Wait()
		wantRoles(t, l, "alice", 1, at)
	})
}

func TestHintBringsThePollForward(t *testing.T) {
	bubble(t, live.Config{PollEvery: time.Hour}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		for range 10 {
			l.Hint() // never blocks
		}
		synctest.Wait()
		wantRoles(t, l, "alice", 1, at)
	})
}

func TestPollBringsSeveralTenantsUpToDateAtOnce(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		const tenants, atOnce = 20, 8
		ask := func(id string) (int64, error) {
			basis, err := l.Ask(t.Context(), id, 0, func(*live.View) error { return nil })
			return basis.Revision, err
		}
		for n := range tenants {
			if _, err := ask(numbered("tenant", n)); err != nil {
				t.Fatal(err)
			}
			s.write(numbered("tenant", n), nil, touched(store.KindTool, "wiki")...)
		}
		before, hanging := s.count("views"), make(chan struct{})
		s.set(func(s *source) { s.inView = func() { <-hanging } })
		l.Hint()
		synctest.Wait()
		if got := s.count("views") - before; got != atOnce {
			t.Errorf("got %d tenants read at once, want %d", got, atOnce)
		}
		close(hanging)
		synctest.Wait()
		for n := range tenants {
			if got, err := ask(numbered("tenant", n)); err != nil || got != 1 {
				t.Errorf("tenant %d: got revision %d, %v, want 1", n, got, err)
			}
		}
	})
}

func TestWaitingForAChangeReadsNothing(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		if err := l.AwaitBeyond(t.Context(), tenant, at-1); err != nil {
			t.Errorf("a change that was there: %v", err)
		}
		before := s.count("views")
		waited := make(chan error, 1)
		go func() { waited <- l.AwaitBeyond(t.Context(), tenant, at) }()
		time.Sleep(time.Hour) // of the bubble
		if got := s.count("views") - before; got != 0 {
			t.Errorf("got %d readings in an hour without a change, want none", got)
		}
		select {
		case err := <-waited:
			t.Fatalf("got %v, want it to wait for a change", err)
		default:
		}
		s.give("alice", "r2", authz.Root, "alice/r2") // by another process
		time.Sleep(pollEvery)
		synctest.Wait()
		select {
		case err := <-waited:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the change of another process did not end the wait")
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.AwaitBeyond(ctx, tenant, 99); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a revision that does not come: got %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestWaitingForAChangeOutlivesItsTenantsPlaceInMemory(t *testing.T) {
	bubble(t, live.Config{MaxTenants: 1}, func(t *testing.T, s *source, l *live.Live) {
		waited := make(chan error, 1)
		go func() { waited <- l.AwaitBeyond(t.Context(), tenant, 0) }()
		for n := range 50 {
			if _, err := l.Ask(t.Context(), numbered("tenant", n), 0, func(*live.View) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		s.give("alice", "editor", authz.Root, "alice/editor")
		time.Sleep(3 * pollEvery) // of the bubble
		synctest.Wait()
		select {
		case err := <-waited:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the change did not end the wait")
		}
	})
}

func TestTenantThatThePollHasNotReachedIsBroughtUpToDate(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		l.Close() // no poll comes
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		time.Sleep(5 * pollEvery) // of the bubble
		wantRoles(t, l, "alice", 1, at)
	})
}

func TestLeastRevisionIsReadThrough(t *testing.T) {
	bubble(t, live.Config{PollEvery: time.Hour}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		began := time.Now()
		got, err := rolesAtLeast(l, at, "alice")
		if err != nil || got.roles != 1 || got.basis.Revision != at || time.Since(began) != 0 {
			t.Errorf("got %+v, %v after %s, want 1 role at revision %d at once", got, err, time.Since(began), at)
		}
	})
}

func TestLeastRevisionIsWaitedFor(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		var asked sync.WaitGroup
		asked.Go(func() {
			got, err := rolesAtLeast(l, 1, "alice")
			if err != nil || got.roles != 1 || got.basis.Revision != 1 {
				t.Errorf("got %+v, %v, want 1 role at revision 1", got, err)
			}
		})
		time.Sleep(3 * time.Second) // of the bubble
		s.give("alice", "editor", authz.Root, "alice/editor")
		asked.Wait()
	})
}

func TestLeastRevisionThatDoesNotComeIsUnavailableAfterTenSeconds(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		began := time.Now()
		_, err := rolesAtLeast(l, 5, "alice")
		if took := time.Since(began); !errors.Is(err, fault.CodeUnavailable) || took != 10*time.Second {
			t.Errorf("got %v after %s, want it unavailable after 10s", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		_, err = l.Ask(ctx, tenant, 5, func(*live.View) error { return nil })
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("with less time: got %v after %s, want the caller's deadline after 1s", err, took)
		}
	})
}

func TestCachedAnswersGoOnWhileTheDatabaseIsAway(t *testing.T) {
	bubble(t, live.Config{MaxStaleness: 30 * time.Second}, func(t *testing.T, s *source, l *live.Live) {
		at := s.give("alice", "editor", authz.Root, "alice/editor")
		wantRoles(t, l, "alice", 1, at)
		s.set(func(s *source) { s.failing = errDown })
		time.Sleep(20 * time.Second) // of the bubble
		got, err := rolesOf(l, "alice")
		if err != nil || got.roles != 1 || got.basis.Stale < 19*time.Second || got.basis.Stale > 21*time.Second {
			t.Errorf("after 20s: got %+v, %v, want 1 role, stale for about 20s", got, err)
		}
		if _, err := rolesOf(l, "stranger"); !errors.Is(err, fault.CodeUnavailable) {
			t.Errorf("who is not cached: got %v, want %v", err, fault.CodeUnavailable)
		}
		time.Sleep(11 * time.Second)
		if got, err := rolesOf(l, "alice"); !errors.Is(err, fault.CodeUnavailable) {
			t.Errorf("after 31s: got %+v, %v, want %v", got, err, fault.CodeUnavailable)
		}
		s.set(func(s *source) { s.failing = nil })
		if got, err := rolesOf(l, "alice"); err != nil || got.roles != 1 || got.basis.Stale != 0 {
			t.Errorf("once it is back: got %+v, %v, want a fresh answer at once", got, err)
		}
	})
}

func TestPollThatSucceedsAgainEndsStaleness(t *testing.T) {
	bubble(t, live.Config{MaxStaleness: 30 * time.Second}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		s.set(func(s *source) { s.failing = errDown })
		time.Sleep(3 * pollEvery) // of the bubble
		s.set(func(s *source) { s.failing = nil })
		time.Sleep(2 * pollEvery)
		if got, err := rolesOf(l, "alice"); err != nil || got.basis.Stale != 0 {
			t.Errorf("got %+v, %v, want a fresh answer", got, err)
		}
	})
}

func TestAnswersFromMemoryDoNotWaitForADatabaseThatHangs(t *testing.T) {
	bubble(t, live.Config{MaxStaleness: 30 * time.Second}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		s.set(func(s *source) { s.hanging = make(chan struct{}) })
		time.Sleep(10 * time.Second) // of the bubble
		for range 15 {
			began := time.Now()
			if got, err := rolesOf(l, "alice"); err != nil || got.basis.Stale == 0 || time.Since(began) != 0 {
				t.Fatalf("got %+v, %v after %s, want a stale answer at once", got, err, time.Since(began))
			}
			time.Sleep(time.Second)
		}
	})
}

func TestQuestionsBeyondThoseThatMayWaitFailAtOnce(t *testing.T) {
	bubble(t, live.Config{MaxWaiting: 2}, func(t *testing.T, s *source, l *live.Live) {
		of := func(tenant string) error {
			_, err := l.Ask(t.Context(), tenant, 0, func(*live.View) error { return nil })
			return err
		}
		wantRoles(t, l, "alice", 0, 0)
		mended := make(chan struct{})
		s.set(func(s *source) { s.hanging = mended })
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := rolesOf(l, "bob"); err != nil {
				t.Errorf("bob: %v", err)
			}
		})
		waiting.Go(func() {
			if err := of("another"); err != nil {
				t.Errorf("another tenant: %v", err)
			}
		})
		synctest.Wait()
		for name, ask := range map[string]func() error{
			"a second user":  func() error { _, err := rolesOf(l, "dave"); return err },
			"a third tenant": func() error { return of("third") },
		} {
			if err := ask(); !errors.Is(err, live.ErrBusy) || fault.CodeOf(err) != fault.CodeUnavailable {
				t.Errorf("%s: got %v, want ErrBusy", name, err)
			}
		}
		wantRoles(t, l, "alice", 0, 0)
		if got := l.Stats().Away; got != 0 {
			t.Errorf("the database is away for %d tenants, which it never said", got)
		}
		close(mended)
		waiting.Wait()
		wantRoles(t, l, "dave", 0, 0)
	})
}

func TestToWaitForARevisionStopsNobody(t *testing.T) {
	bubble(t, live.Config{MaxWaiting: 2}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		var waiting sync.WaitGroup
		for range 5 {
			waiting.Go(func() {
				_, err := l.Ask(t.Context(), "another", 1<<40, func(*live.View) error { return nil })
				if errors.Is(err, live.ErrBusy) || fault.CodeOf(err) != fault.CodeUnavailable {
					t.Errorf("got %v, want that the revision has not been reached", err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(5 * time.Second) // of the bubble
		wantRoles(t, l, "bob", 0, 0)
		waiting.Wait()
	})
}

func TestOneTenantLeavesTurnsToOthers(t *testing.T) {
	bubble(t, live.Config{MaxWaiting: 40, MaxReading: 4, PollEvery: time.Hour}, func(t *testing.T, s *source, l *live.Live) {
		ask := func(tenant, user string) error {
			_, err := l.Ask(t.Context(), tenant, 0, func(v *live.View) error {
				_, err := v.Subject(user)
				return err
			})
			return err
		}
		for _, id := range []string{tenant, "another"} {
			if err := ask(id, "alice"); err != nil {
				t.Fatal(err)
			}
		}
		hanging := make(chan struct{})
		s.set(func(s *source) { s.inView = func() { <-hanging } })
		var crowd sync.WaitGroup
		for n := range 60 {
			crowd.Go(func() {
				if err := ask(tenant, numbered("user", n)); err != nil && !errors.Is(err, live.ErrBusy) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := l.Reading(); got != 3 {
			t.Errorf("got %d readings for one tenant, want 3", got)
		}
		s.set(func(s *source) { s.inView = nil })
		if err := ask("another", "bob"); err != nil {
			t.Errorf("another tenant's question: %v", err)
		}
		close(hanging)
		crowd.Wait()
	})
}

func TestQuestionsReadTheDatabaseInTurn(t *testing.T) {
	bubble(t, live.Config{MaxReading: 3, PollEvery: time.Hour}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		before, hanging := s.count("views"), make(chan struct{})
		s.set(func(s *source) { s.inView = func() { <-hanging } })
		var waiting sync.WaitGroup
		var busy atomic.Int64
		for n := range 5 {
			waiting.Go(func() {
				if _, err := rolesOf(l, numbered("user", n)); errors.Is(err, live.ErrBusy) {
					busy.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := s.count("views") - before; got != 2 {
			t.Errorf("got %d readings at once, want 2", got)
		}
		time.Sleep(3 * time.Second) // of the bubble, which is longer than a turn is waited for
		close(hanging)
		waiting.Wait()
		if got := busy.Load(); got != 3 {
			t.Errorf("got %d questions that were told to come later, want 3", got)
		}
		s.set(func(s *source) { s.inView = nil })
		wantRoles(t, l, numbered("user", 4), 0, 0)
	})
}

func TestACrowdAtATenantReadsItOnce(t *testing.T) {
	bubble(t, live.Config{MaxReading: 2}, func(t *testing.T, s *source, l *live.Live) {
		hanging := make(chan struct{})
		s.set(func(s *source) { s.inView = func() { <-hanging } })
		var waiting sync.WaitGroup
		for range 20 {
			waiting.Go(func() {
				if _, err := l.Ask(t.Context(), tenant, 0, func(*live.View) error { return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(hanging)
		waiting.Wait()
		if got := s.count("views"); got != 1 {
			t.Errorf("got %d readings, want 1", got)
		}
	})
}

func TestNoStalenessAllowedMeansNoAnswerWhileTheDatabaseIsAway(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "alice", 0, 0)
		s.set(func(s *source) { s.failing = errDown })
		time.Sleep(2 * pollEvery) // of the bubble
		if got, err := rolesOf(l, "alice"); !errors.Is(err, fault.CodeUnavailable) {
			t.Errorf("got %+v, %v, want %v", got, err, fault.CodeUnavailable)
		}
		s.set(func(s *source) { s.failing = nil })
		wantRoles(t, l, "alice", 0, 0)
	})
}

func TestTenantThatCannotBeLoadedIsUnavailable(t *testing.T) {
	bubble(t, live.Config{MaxStaleness: time.Hour}, func(t *testing.T, s *source, l *live.Live) {
		s.set(func(s *source) { s.failing = errDown })
		if got, err := rolesOf(l, "alice"); !errors.Is(err, fault.CodeUnavailable) {
			t.Errorf("got %+v, %v, want %v", got, err, fault.CodeUnavailable)
		}
		s.set(func(s *source) { s.failing, s.hanging = nil, make(chan struct{}) })
		began := time.Now()
		if got, err := rolesOf(l, "alice"); !errors.Is(err, fault.CodeUnavailable) || time.Since(began) != 5*time.Second {
			t.Errorf("a database that hangs: got %+v, %v after %s, want %v after 5s", got, err, time.Since(began), fault.CodeUnavailable)
		}
		s.set(func(s *source) { s.hanging = nil })
		wantRoles(t, l, "alice", 0, 0)
	})
}

func TestRestoreToAnOlderRevisionIsNoticed(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		s.grantAll("read")
		restore := s.save(tenant)
		s.give("alice", "r1", authz.Root, "alice/r1")
		last := s.give("alice", "r2", authz.Root, "alice/r2")
		wantRoles(t, l, "alice", 2, last)
		restore()
		// What is not in memory is read from the older database, and takes the rest along.
		wantRoles(t, l, "bob", 0, 1)
		wantRoles(t, l, "alice", 0, 1)

		last = s.give("alice", "r3", authz.Root, "alice/r3")
		l.Hint()
		synctest.Wait()
		wantRoles(t, l, "alice", 1, last)
		restore()
		time.Sleep(2 * pollEvery) // of the bubble
		wantRoles(t, l, "alice", 0, 1)
	})
}

func TestCallerThatGivesUpDoesNotWaitForTheReading(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		wantRoles(t, l, "bob", 0, 0)
		hanging := make(chan struct{})
		s.set(func(s *source) { s.hanging = hanging })
		ctx, giveUp := context.WithCancel(t.Context())
		var asked sync.WaitGroup
		asked.Go(func() {
			_, err := l.Ask(ctx, tenant, 0, func(v *live.View) error {
				_, err := v.Subject("alice")
				return err
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up: got %v, want %v", err, context.Canceled)
			}
		})
		synctest.Wait()
		var stays sync.WaitGroup
		stays.Go(func() { wantRoles(t, l, "alice", 0, 0) })
		synctest.Wait()
		giveUp()
		asked.Wait() // while the database still hangs
		s.set(func(s *source) { s.hanging = nil })
		close(hanging)
		stays.Wait()
		if got := s.count("user alice"); got != 1 {
			t.Errorf("got %d readings, want the one that both asked for", got)
		}
	})
}

func TestAskGoesOnAfterClose(t *testing.T) {
	bubble(t, live.Config{}, func(t *testing.T, s *source, l *live.Live) {
		var asked sync.WaitGroup
		for n := range 10 {
			asked.Go(func() {
				if _, err := rolesOf(l, numbered("user", n)); err != nil {
					t.Error(err)
				}
			})
		}
		l.Close()
		l.Close()
		asked.Wait()
	})
}
