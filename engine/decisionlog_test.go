package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// mayRead lets alice read, and nobody anything else.
func mayRead(t *testing.T, tenant *engine.Tenant) {
	t.Helper()
	for _, change := range []func() (authz.Written, error){
		func() (authz.Written, error) { return tenant.AddRole(t.Context(), "reader", authz.RoleOptions{}) },
		func() (authz.Written, error) {
			return tenant.PutGrant(t.Context(), "reader", authz.Grant{Permission: "read", Condition: `!has(context.n) || int(context.n) > 0`})
		},
		func() (authz.Written, error) {
			return tenant.AddMembership(t.Context(), "alice", "reader", authz.Window{})
		},
	} {
		if _, err := change(); err != nil {
			t.Fatal(err)
		}
	}
}

// decisionsOf lists what was logged, oldest first, without ids and times.
func decisionsOf(t *testing.T, tenant *engine.Tenant) []engine.LoggedDecision {
	t.Helper()
	var decisions []engine.LoggedDecision
	for d, err := range authz.All(func(page authz.Page) (authz.List[engine.LoggedDecision], error) {
		return tenant.LoggedDecisions(t.Context(), engine.DecisionFilter{}, page)
	}) {
		if err != nil {
			t.Fatal(err)
		}
		if d.ID == "" || d.Time.IsZero() {
			t.Errorf("got %+v, want an id and a time", d)
		}
		d.ID, d.Time = "", time.Time{}
		decisions = append([]engine.LoggedDecision{d}, decisions...)
	}
	return decisions
}

func check(t *testing.T, tenant *engine.Tenant, request authz.Request) authz.Decision {
	t.Helper()
	made, err := tenant.Check(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestDecisionLogHasWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		post := authz.Node{Type: "post", ID: "a/b"}
		want := map[string][]engine.LoggedDecision{engine.DecisionsOff: nil}
		logged := func(d engine.LoggedDecision) {
			d.Revision = 3
			want[engine.DecisionsAll] = append(want[engine.DecisionsAll], d)
			if !d.Allowed {
				want[engine.DecisionsDenied] = append(want[engine.DecisionsDenied], d)
			}
		}
		logged(engine.LoggedDecision{Actor: "system", User: "alice", Permission: "read", Resource: post, Allowed: true})
		logged(engine.LoggedDecision{Actor: "system", User: "alice", Permission: "write"})
		logged(engine.LoggedDecision{Actor: "system", User: "alice", Permission: "read", SubjectType: "service"})
		logged(engine.LoggedDecision{Actor: "fp", IP: "192.0.2.1", RequestID: "r1", User: "alice", Permission: "read", Allowed: true})
		logged(engine.LoggedDecision{Actor: "fp", IP: "192.0.2.1", RequestID: "r1", User: "bob", Permission: "read", Resource: post})
		logged(engine.LoggedDecision{Actor: "fp", IP: "192.0.2.1", RequestID: "r1", User: "bob", Permission: "run"})
		logged(engine.LoggedDecision{Actor: "system", User: "alice", Permission: "read", Reasons: []authz.Reason{
			{Outcome: authz.ConditionFailed, Role: "reader", At: authz.Root, Permission: "read"},
		}})
		for which, want := range want {
			e := openEngine(t, engine.Config{Database: database, AutoMigrate: true, AuditDecisions: which})
			tenant := e.Tenant("tenant-" + which)
			mayRead(t, tenant)
			check(t, tenant, authz.Request{User: "alice", Permission: "read", Resource: &authz.RequestedResource{Node: post}, Context: map[string]any{"secret": "context"}})
			check(t, tenant, authz.Request{User: "alice", Permission: "write"})
			if check(t, tenant, authz.Request{User: "alice", Permission: "read", SubjectType: "service"}).Allowed {
				t.Error("a subject that is no user was allowed something")
			}
			as := tenant.As(engine.Actor{Fingerprint: "fp", IP: "192.0.2.1", UserAgent: "curl", RequestID: "r1"})
			batch := []authz.Request{{User: "alice", Permission: "read"}, {User: "bob", Permission: "read", Resource: &authz.RequestedResource{Node: post}}}
			if _, err := as.CheckBatch(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			if _, err := as.UserCanRunWorkflow(t.Context(), "bob", "run"); err != nil {
				t.Fatal(err)
			}
			// The error of the condition quotes the context.
			check(t, tenant, authz.Request{User: "alice", Permission: "read", Explain: true, Context: map[string]any{"n": "planted secret"}})
			// What is refused is no decision.
			if _, err := tenant.Check(t.Context(), authz.Request{User: "alice", Permission: "*"}); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("a wildcard: got error %v, want ErrInvalid", err)
			}
			if got := decisionsOf(t, tenant); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got\n%+v\nwant\n%+v", which, got, want)
			}
			stats := engine.LogStats{DecisionsLogged: uint64(len(want))}
			if got := engine.LogStatsOf(e.Stats()); got != stats {
				t.Errorf("%s: got %+v, want %+v", which, got, stats)
			}
		}
	})
}

func TestDecisionLogRefusesWhatItIsNot(t *testing.T) {
	t.Parallel()
	for _, config := range []engine.Config{{AuditDecisions: "some"}, {AuditDecisions: "All"}, {AuditDecisionsRetention: -1}} {
		config.Database = filepath.Join(t.TempDir(), "gatehouse.sqlite3")
		if _, err := engine.Open(t.Context(), config); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%+v: got error %v, want ErrInvalid", config, err)
		}
	}
	tenant := openEngine(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")}).Tenant("tenant")
	for what, filter := range map[string]engine.DecisionFilter{
		"user: ": {User: "\x00"}, "permission: ": {Permission: "\xff"}, "request_id: ": {RequestID: strings.Repeat("a", 5000)},
		"resource: ": {Resource: authz.Node{Type: "post"}},
	} {
		_, err := tenant.LoggedDecisions(t.Context(), filter, authz.Page{})
		if !errors.Is(err, engine.ErrInvalid) || !strings.HasPrefix(err.Error(), what) {
			t.Errorf("%+v: got error %v, want one of %q", filter, err, what)
		}
	}
	if _, err := tenant.Actions(t.Context(), authz.Request{User: "alice", SubjectType: "service"}, authz.Page{}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a search for another subject: got error %v, want ErrInvalid", err)
	}
}

// TestDecisionLogNeverMakesACheckWait has decisions made while the log cannot be
// written at all.
func TestDecisionLogNeverMakesACheckWait(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var written atomic.Int64
	config := engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), AuditDecisions: engine.DecisionsAll}
	e := openEngine(t, config.WithDecisionWriter(func(_ context.Context, batch []store.TenantDecision) error {
		<-release
		written.Add(int64(len(batch)))
		return nil
	}))
	tenant := e.Tenant("tenant")
	const over = 123
	for range engine.DecisionBuffer + over {
		check(t, tenant, authz.Request{User: "alice", Permission: "read"})
	}
	want := engine.LogStats{DecisionsBuffered: engine.DecisionBuffer, DecisionsOverflowed: over}
	if got := engine.LogStatsOf(e.Stats()); got != want {
		t.Errorf("while it is blocked: got %+v, want %+v", got, want)
	}
	close(release)
	if _, err := tenant.LoggedDecisions(t.Context(), engine.DecisionFilter{}, authz.Page{}); err != nil {
		t.Fatal(err)
	}
	want = engine.LogStats{DecisionsLogged: engine.DecisionBuffer, DecisionsOverflowed: over}
	if got := engine.LogStatsOf(e.Stats()); got != want || written.Load() != engine.DecisionBuffer {
		t.Errorf("afterwards: got %+v and %d written, want %+v", got, written.Load(), want)
	}
}

func TestCloseWritesTheDecisionsThatWait(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		e, err := engine.Open(t.Context(), engine.Config{Database: database, AutoMigrate: true, AuditDecisions: engine.DecisionsAll})
		if err != nil {
			t.Fatal(err)
		}
		const made = 1200 // more than two batches
		for n := range made {
			check(t, e.Tenant("tenant"), authz.Request{User: fmt.Sprint("user", n), Permission: "read"})
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if got := engine.LogStatsOf(e.Stats()); got != (engine.LogStats{DecisionsLogged: made}) {
			t.Errorf("got %+v, want %d logged", got, made)
		}
		got := decisionsOf(t, openEngine(t, engine.Config{Database: database}).Tenant("tenant"))
		if len(got) != made {
			t.Fatalf("got %d decisions, want %d", len(got), made)
		}
		for n, d := range got {
			if d.User != fmt.Sprint("user", n) {
				t.Fatalf("decision %d: got %+v, want that on user%d", n, d, n)
			}
		}
	})
}

func TestDecisionsAreDeletedWhenTheyAreOld(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
		config := engine.Config{
			Database: database, AutoMigrate: true, AuditDecisions: engine.DecisionsAll, AuditDecisionsRetention: time.Hour, Now: clock.Now,
		}
		e := openEngine(t, config)
		const old = 1100 // more than two batches
		ask := func(n int) {
			for range n {
				check(t, e.Tenant("tenant"), authz.Request{User: "alice", Permission: "read"})
			}
			if got := len(decisionsOf(t, e.Tenant("tenant"))); got < n {
				t.Fatalf("got %d decisions, want %d", got, n)
			}
		}
		ask(old)
		clock.Advance(time.Hour)
		ask(1)
		for _, want := range []int{old + 1, 1} {
			if err := e.SweepDecisions(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := len(decisionsOf(t, e.Tenant("tenant"))); got != want {
				t.Errorf("got %d decisions, want %d", got, want)
			}
			clock.Advance(time.Microsecond)
		}
		clock.Advance(1000 * time.Hour)
		config.AuditDecisionsRetention = 0
		forever := openEngine(t, config)
		if err := forever.SweepDecisions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(decisionsOf(t, forever.Tenant("tenant"))); got != 1 {
			t.Errorf("kept for ever: got %d decisions, want 1", got)
		}
	})
}

func TestDecisionLogTriesAgainForAWhile(t *testing.T) {
	t.Parallel()
	away := fault.Unavailable(errors.New("no connection"), "the database does not answer")
	for name, test := range map[string]struct {
		// write answers the nth try.
		write func(ctx context.Context, try int) error
		want  engine.LogStats
		took  time.Duration
	}{
		"it comes back": {
			write: func(_ context.Context, try int) error {
				if try < 3 {
					return away
				}
				return nil
			},
			want: engine.LogStats{DecisionsLogged: 1}, took: 5 * time.Second,
		},
		"it stays away": {
			write: func(context.Context, int) error { return away },
			want:  engine.LogStats{DecisionsUnwritten: 1}, took: 11 * time.Second,
		},
		"it hangs": {
			write: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() },
			want:  engine.LogStats{DecisionsUnwritten: 1}, took: 11 * time.Second,
		},
		"it cannot be": {
			write: func(context.Context, int) error { return errors.New("no such table") },
			want:  engine.LogStats{DecisionsUnwritten: 1}, took: time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				try := 0
				l := engine.NewDecisionLog(func(ctx context.Context, batch []store.TenantDecision) error {
					try++
					return test.write(ctx, try)
				})
				stop := l.Run()
				l.Offer("alice")
				time.Sleep(test.took)
				synctest.Wait()
				if got := l.Stats(); !reflect.DeepEqual(got, test.want) {
					t.Errorf("after %v: got %+v, want %+v", test.took, got, test.want)
				}
				stop()
			})
		})
	}
}

// A batch whose COMMIT was not confirmed is written again under the ids that it has, so that
// a store that knows them keeps each decision once.
func TestDecisionLogWritesTheSameAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := map[string]string{}
		tries := 0
		l := engine.NewDecisionLog(func(_ context.Context, batch []store.TenantDecision) error {
			for i := range batch {
				d := &batch[i]
				if d.ID == "" {
					d.ID = fmt.Sprint(tries, "-", i)
				}
				kept[d.ID] = d.User
			}
			if tries++; tries < 3 {
				return &fault.Error{Code: fault.CodeUnavailable, Unknown: true}
			}
			return nil
		})
		stop := l.Run()
		l.Offer("alice")
		l.Offer("bob")
		time.Sleep(5 * time.Second)
		l.Offer("carol")
		time.Sleep(time.Second)
		synctest.Wait()
		if want := map[string]string{"0-0": "alice", "0-1": "bob", "3-0": "carol"}; !reflect.DeepEqual(kept, want) {
			t.Errorf("got %v, want %v", kept, want)
		}
		if got, want := l.Stats(), (engine.LogStats{DecisionsLogged: 3}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		stop()
	})
}

func TestDecisionLogEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := engine.NewDecisionLog(func(ctx context.Context, _ []store.TenantDecision) error { <-ctx.Done(); return ctx.Err() })
		stop := l.Run()
		for range 600 {
			l.Offer("alice")
		}
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v, want 5 s at most", took)
		}
		l.Offer("alice")
		if got, want := l.Stats(), (engine.LogStats{DecisionsUnwritten: 601}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// BenchmarkDecisionLog measures what a check costs with and without the log, which is
// written nowhere.
func BenchmarkDecisionLog(b *testing.B) {
	for _, which := range []string{engine.DecisionsOff, engine.DecisionsDenied, engine.DecisionsAll} {
		b.Run(which, func(b *testing.B) {
			config := engine.Config{Database: filepath.Join(b.TempDir(), "gatehouse.sqlite3"), AuditDecisions: which, Logger: slog.New(slog.DiscardHandler)}
			e, err := engine.Open(b.Context(), config.WithDecisionWriter(func(context.Context, []store.TenantDecision) error { return nil }))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = e.Close() })
			tenant := e.Tenant("bench")
			fill(b, tenant)
			request := authz.Request{User: "alice", Permission: "read"}
			b.Run("one", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if got, err := tenant.Check(b.Context(), request); err != nil || !got.Allowed {
						b.Fatalf("got %+v, %v", got, err)
					}
				}
			})
			b.Run("parallel", func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if got, err := tenant.Check(b.Context(), request); err != nil || !got.Allowed {
							b.Errorf("got %+v, %v", got, err)
							return
						}
					}
				})
			})
		})
	}
}
