package workflow

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/jonboulle/clockwork"

	"github.com/gatehouse/gatehouse/authz"
)

// members is a Lister that gives one row a page, so that users span pages.
type members []authz.Member

func (m members) WorkflowUsers(_ context.Context, workflow string, page authz.Page) (authz.List[authz.Member], error) {
	if workflow != "report:run" {
		return authz.List[authz.Member]{}, errors.New("no such workflow")
	}
	at := len(page.Cursor)
	if at >= len(m) {
		return authz.List[authz.Member]{}, nil
	}
	list := authz.List[authz.Member]{Items: m[at : at+1]}
	if at+1 < len(m) {
		list.Next = page.Cursor + "."
	}
	return list, nil
}

// listerFunc is a Lister of one page.
type listerFunc func(ctx context.Context) ([]authz.Member, error)

func (f listerFunc) WorkflowUsers(ctx context.Context, _ string, _ authz.Page) (authz.List[authz.Member], error) {
	items, err := f(ctx)
	return authz.List[authz.Member]{Items: items}, err
}

var nobody = members{}

// call is what a callback was called with.
type call struct {
	job   string
	at    time.Time
	users []User
	err   error
}

// harness is a Scheduler on a clock that stands still.
type harness struct {
	*Scheduler
	t     *testing.T
	clock *clockwork.FakeClock
	calls chan call
}

// noon is a Sunday.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newHarness(t *testing.T, lister Lister, cfg Config) *harness {
	t.Helper()
	h := &harness{t: t, clock: clockwork.NewFakeClockAt(noon), calls: make(chan call, 16)}
	var err error
	if h.Scheduler, err = start(lister, cfg, gocron.WithClock(h.clock)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return h
}

// told is a callback that tells what it was called with.
func (h *harness) told(job string) Callback {
	return func(_ context.Context, users []User, err error) { h.calls <- call{job, h.clock.Now(), users, err} }
}

func (h *harness) add(job Job) {
	h.t.Helper()
	if job.Workflow == "" {
		job.Workflow = "report:run"
	}
	if err := h.Add(job); err != nil {
		h.t.Fatal(err)
	}
}

// advance moves the clock once a time is set for each of the given jobs. The calls
// of the time before must have come; advance waits for their end, and until gocron
// has put away that they came, which it does by the clock.
func (h *harness) advance(jobs int, d time.Duration) {
	h.t.Helper()
	h.running.Wait()
	h.cron.Jobs()
	if err := h.clock.BlockUntilContext(h.t.Context(), jobs); err != nil {
		h.t.Fatal(err)
	}
	h.clock.Advance(d)
}

func (h *harness) next() call {
	h.t.Helper()
	select {
	case c := <-h.calls:
		return c
	case <-h.t.Context().Done():
		h.t.Fatal("no call came")
		return call{}
	}
}

func TestUsersAreCalledBackOnceEachWithTheirRoles(t *testing.T) {
	t.Parallel()
	h := newHarness(t, members{{User: "alice", Role: "admin"}, {User: "alice", Role: "operator"}, {User: "bob", Role: "operator"}}, Config{})
	h.add(Job{Every: time.Minute, Do: h.told("")})
	h.advance(1, time.Minute)
	got := h.next()
	want := []User{{Name: "alice", Roles: []string{"admin", "operator"}}, {Name: "bob", Roles: []string{"operator"}}}
	if got.err != nil || !reflect.DeepEqual(got.users, want) {
		t.Errorf("got %+v and error %v, want %+v", got.users, got.err, want)
	}
}

func TestUsersAreListedAnewEachTime(t *testing.T) {
	t.Parallel()
	lists := [][]authz.Member{{{User: "alice", Role: "r"}}, nil, {{User: "bob", Role: "r"}}}
	var turn atomic.Int64
	h := newHarness(t, listerFunc(func(context.Context) ([]authz.Member, error) { return lists[turn.Add(1)-1], nil }), Config{})
	h.add(Job{Every: time.Minute, Do: h.told("")})
	for i, list := range lists {
		h.advance(1, time.Minute)
		if got := h.next(); got.err != nil || len(got.users) != len(list) || len(list) > 0 && got.users[0].Name != list[0].User {
			t.Errorf("call %d: got %+v and error %v, want %+v", i, got.users, got.err, list)
		}
	}
}

func TestIntervalsCountFromStartToStart(t *testing.T) {
	t.Parallel()
	h := newHarness(t, nobody, Config{})
	h.add(Job{Every: 90 * time.Second, Do: h.told("")})
	for i := range 3 {
		h.advance(1, 90*time.Second)
		if got, want := h.next().at, noon.Add(time.Duration(i+1)*90*time.Second); !got.Equal(want) {
			t.Errorf("call %d: got %v, want %v", i, got, want)
		}
	}
}

func TestCronIsReadInItsTimeZone(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cron, zone string
		want       time.Time
	}{
		"UTC":            {"30 14 * * *", "", noon.Add(150 * time.Minute)},
		"Berlin":         {"30 14 * * *", "Europe/Berlin", noon.Add(90 * time.Minute)},
		"New York":       {"30 14 * * 1", "America/New_York", noon.Add(31*time.Hour + 30*time.Minute)},
		"a descriptor":   {"@hourly", "", noon.Add(time.Hour)},
		"through summer": {"0 9 1 7 *", "Europe/Berlin", time.Date(2027, 7, 1, 7, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, nobody, Config{})
			h.add(Job{Cron: test.cron, TimeZone: test.zone, Do: h.told("")})
			h.advance(1, test.want.Sub(noon)-time.Second)
			h.advance(1, time.Second)
			if got := h.next().at; !got.Equal(test.want) {
				t.Errorf("got %v, want %v", got.UTC(), test.want)
			}
		})
	}
}

func TestJobReplacesTheOneOfItsName(t *testing.T) {
	t.Parallel()
	h := newHarness(t, nobody, Config{})
	h.add(Job{Name: "nightly", Every: time.Minute, Do: h.told("old")})
	h.add(Job{Name: "other", Every: time.Hour, Do: h.told("other")})
	h.add(Job{Name: "nightly", Every: time.Minute, Do: h.told("new")})
	h.add(Job{Every: 30 * time.Minute, Do: h.told("named by its workflow")})
	h.add(Job{Name: "report:run", Every: 30 * time.Minute, Do: h.told("named like a workflow")})
	seen := map[string]int{}
	for minute := 1; minute <= 60; minute++ {
		h.advance(3, time.Minute)
		seen[h.next().job]++
		for _, every := range []int{30, 60} {
			if minute%every == 0 {
				seen[h.next().job]++
			}
		}
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"new": 60, "other": 1, "named like a workflow": 2}
	if !reflect.DeepEqual(seen, want) || len(h.calls) != 0 {
		t.Errorf("calls: got %v and %d more, want %v", seen, len(h.calls), want)
	}
}

func TestJobThatCannotBeAddedReplacesNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t, nobody, Config{})
	do := h.told("bad")
	h.add(Job{Every: time.Minute, Do: h.told("good")})
	for name, job := range map[string]Job{
		"no workflow":              {Every: time.Minute, Do: do},
		"a wildcard":               {Workflow: "*", Every: time.Minute, Do: do},
		"no callback":              {Workflow: "report:run", Every: time.Minute},
		"no time":                  {Workflow: "report:run", Do: do},
		"two times":                {Workflow: "report:run", Every: time.Minute, Cron: "* * * * *", Do: do},
		"a negative time":          {Workflow: "report:run", Every: -time.Minute, Do: do},
		"a malformed crontab":      {Workflow: "report:run", Cron: "61 * * * *", Do: do},
		"a crontab with seconds":   {Workflow: "report:run", Cron: "* * * * * *", Do: do},
		"a day that never comes":   {Workflow: "report:run", Cron: "0 0 31 2 *", Do: do},
		"an unknown zone":          {Workflow: "report:run", Cron: "* * * * *", TimeZone: "Europe/Atlantis", Do: do},
		"a zone for nothing":       {Workflow: "report:run", Every: time.Minute, TimeZone: "Europe/Berlin", Do: do},
		"a zone with more in it":   {Workflow: "report:run", Cron: "* * * * *", TimeZone: "UTC * *", Do: do},
		"a zone out of its folder": {Workflow: "report:run", Cron: "* * * * *", TimeZone: "../UTC", Do: do},
	} {
		if err := h.Add(job); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	h.advance(1, time.Minute)
	if got := h.next().job; got != "good" {
		t.Errorf("call: got the %s job's, want the good one's", got)
	}
}

func TestRemovedJobIsNotCalled(t *testing.T) {
	t.Parallel()
	h := newHarness(t, nobody, Config{})
	h.add(Job{Name: "a", Every: time.Minute, Do: h.told("a")})
	h.add(Job{Name: "b", Every: time.Minute, Do: h.told("b")})
	if got := []bool{h.Remove("a"), h.Remove("a"), h.Remove("c")}; !reflect.DeepEqual(got, []bool{true, false, false}) {
		t.Errorf("removed: got %v, want only the first", got)
	}
	h.advance(1, time.Minute)
	if got := h.next().job; got != "b" {
		t.Errorf("call: got %s's, want b's", got)
	}
	if err := h.Stop(t.Context()); err != nil || len(h.calls) != 0 {
		t.Errorf("got error %v and %d more calls, want none", err, len(h.calls))
	}
}

func TestFailedListingIsHandedToTheCallback(t *testing.T) {
	t.Parallel()
	unavailable := errors.New("the server does not answer")
	h := newHarness(t, listerFunc(func(context.Context) ([]authz.Member, error) { return nil, unavailable }), Config{})
	h.add(Job{Every: time.Minute, Do: h.told("")})
	for range 2 {
		h.advance(1, time.Minute)
		if got := h.next(); !errors.Is(got.err, unavailable) || !strings.Contains(got.err.Error(), "report:run") || got.users != nil {
			t.Errorf("got %+v and error %v, want no users and %v", got.users, got.err, unavailable)
		}
	}
}

func TestPanicIsReportedAndTheJobGoesOn(t *testing.T) {
	t.Parallel()
	type report struct {
		job string
		err *PanicError
	}
	reports := make(chan report, 4)
	h := newHarness(t, nobody, Config{OnPanic: func(job string, err *PanicError) { reports <- report{job, err} }})
	h.add(Job{Name: "fragile", Every: time.Minute, Do: func(context.Context, []User, error) { panic("boom") }})
	for range 2 {
		h.advance(1, time.Minute)
		select {
		case got := <-reports:
			if got.job != "fragile" || got.err.Value != "boom" || !strings.Contains(string(got.err.Stack), "workflow_test.go") || !strings.Contains(got.err.Error(), "boom") {
				t.Errorf("got %q: %v\n%s\nwant fragile's boom and where", got.job, got.err, got.err.Stack)
			}
		case <-t.Context().Done():
			t.Fatal("no report came")
		}
	}
}

func TestRunThatIsStillGoingIsNotStartedAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, nobody, Config{})
	entered, leave := make(chan struct{}), make(chan struct{})
	job := Job{Name: "slow", Workflow: "report:run", Every: time.Minute, Do: func(context.Context, []User, error) {
		entered <- struct{}{}
		<-leave
	}}
	h.add(job)
	h.advance(1, time.Minute)
	<-entered
	h.run(job) // its next time comes: this returns at once
	replacement := job
	replacement.Do = h.told("replacement")
	h.add(replacement)
	h.run(replacement)
	h.Remove("slow")
	h.run(replacement)
	h.run(Job{Name: "other", Workflow: "report:run", Do: h.told("other")})
	if got := h.next().job; got != "other" || len(h.calls) != 0 {
		t.Errorf("while the first goes on: got a call of %s and %d more, want other's alone", got, len(h.calls))
	}
	leave <- struct{}{}
	h.add(replacement)
	h.advance(1, time.Minute)
	if got := h.next().job; got != "replacement" {
		t.Errorf("afterwards: got a call of %s, want the replacement's", got)
	}
}

func TestStopEndsTheContextAndWaits(t *testing.T) {
	t.Parallel()
	h := newHarness(t, nobody, Config{})
	entered, leave := make(chan context.Context), make(chan struct{})
	var returned atomic.Bool
	h.add(Job{Every: time.Minute, Do: func(ctx context.Context, _ []User, _ error) {
		entered <- ctx
		<-ctx.Done()
		<-leave
		returned.Store(true)
	}})
	h.advance(1, time.Minute)
	ctx := <-entered
	if err := ctx.Err(); err != nil {
		t.Errorf("context before Stop: got error %v", err)
	}

	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Stop(impatient); !errors.Is(err, context.Canceled) {
		t.Errorf("stop without time: got error %v, want %v", err, context.Canceled)
	}
	<-ctx.Done()
	stopped := make(chan error)
	go func() { stopped <- h.Stop(t.Context()) }()
	leave <- struct{}{}
	if err := <-stopped; err != nil || !returned.Load() {
		t.Errorf("stop: got error %v before the callback returned (%v), want none after", err, returned.Load())
	}
	if err := h.Add(Job{Workflow: "report:run", Every: time.Minute, Do: h.told("")}); !errors.Is(err, ErrStopped) {
		t.Errorf("add afterwards: got error %v, want %v", err, ErrStopped)
	}
	h.run(Job{Name: "late", Workflow: "report:run", Do: h.told("late")})
	if len(h.calls) != 0 {
		t.Error("a call was made after Stop")
	}
}

// TestStopWaitsAsLongAsItTakes runs in a bubble of its own time, on New's clock.
func TestStopWaitsAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(nobody, Config{})
		if err != nil {
			t.Fatal(err)
		}
		entered := make(chan time.Time)
		var returned atomic.Bool
		added := time.Now()
		if err := s.Add(Job{Workflow: "report:run", Every: time.Minute, Do: func(ctx context.Context, _ []User, _ error) {
			entered <- time.Now()
			<-ctx.Done()
			time.Sleep(time.Hour)
			returned.Store(true)
		}}); err != nil {
			t.Fatal(err)
		}
		if got := (<-entered).Sub(added); got != time.Minute {
			t.Errorf("first call: got it after %v, want after a minute", got)
		}
		if err := s.Stop(context.Background()); err != nil || !returned.Load() {
			t.Errorf("stop: got error %v before the callback returned (%v), want none after", err, returned.Load())
		}
	})
}
