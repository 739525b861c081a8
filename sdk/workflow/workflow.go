// Package workflow runs work at its times on behalf of the users who may run it.
//
// A workflow is a permission's name. At each time of a [Job] a [Scheduler] asks
// who holds that permission, of the engine in process or of a server through the
// SDK, and calls back with them. It keeps nothing: who may run a workflow is known
// anew each time, and a time that passes while no Scheduler runs is not made up
// for. Start at [New].
package workflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
)

// Lister tells who may run a workflow, sorted by user. engine.Tenant and
// sdk.Client do.
type Lister interface {
	WorkflowUsers(ctx context.Context, workflow string, page authz.Page) (authz.List[authz.Member], error)
}

// User is one user who may run a workflow.
type User struct {
	Name string
	// Roles are those by which the user may, sorted; at least one.
	Roles []string
}

// Callback is called at each time of a job with the users who may run its
// workflow now, each once, sorted by name; there may be none. err says why they
// could not be listed; users is then nil, and nothing is known of who may. ctx ends
// when the Scheduler stops.
type Callback func(ctx context.Context, users []User, err error)

// minEvery is the shortest interval between runs.
const minEvery = time.Millisecond

// Job says what to run and when. Either Cron or Every is set.
type Job struct {
	// Name identifies the job: adding another of the same name replaces it. Empty
	// means Workflow.
	Name string
	// Workflow is the permission that the users are asked for.
	Workflow string
	// Cron is a crontab's five fields, or a descriptor such as "@daily".
	Cron string
	// TimeZone is where Cron is read, such as "Europe/Berlin"; empty means UTC. A
	// machine without a time zone database needs the package time/tzdata.
	TimeZone string
	// Every is the time from one run's start to the next's, at least 1 ms; the first
	// comes one Every after the job was added.
	Every time.Duration
	// Do is called at each time. A time that comes while an earlier call for the
	// same name is still going is left out.
	Do Callback
}

// PanicError is a panic of a callback or of the Lister.
type PanicError struct {
	// Value is what the callback panicked with.
	Value any
	// Stack is where, as debug.Stack prints it.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("a workflow's run panicked: %v", e.Value) }

// Config says how a Scheduler works.
type Config struct {
	// OnPanic is told when a job's run panics; nil means an error in
	// slog.Default(). The job goes on at its next time.
	OnPanic func(job string, err *PanicError)
}

// ErrStopped is what Add returns after Stop.
var ErrStopped = errors.New("the scheduler is stopped")

// Scheduler runs jobs at their times. It is safe for use by many goroutines.
type Scheduler struct {
	lister  Lister
	onPanic func(string, *PanicError)
	cron    gocron.Scheduler

	// ctx is what callbacks get; stop ends it.
	ctx  context.Context
	stop context.CancelFunc
	// running counts the calls that are going.
	running sync.WaitGroup

	mu      sync.Mutex // guards what follows
	stopped bool
	jobs    map[string]uuid.UUID
	// going are the names that a call is going for, of a job that may have been
	// replaced or removed since.
	going map[string]bool
}

// New starts a Scheduler without jobs. Stop ends it.
func New(lister Lister, cfg Config) (*Scheduler, error) { return start(lister, cfg) }

// start is New with the options that tests need.
func start(lister Lister, cfg Config, options ...gocron.SchedulerOption) (*Scheduler, error) {
	cron, err := gocron.NewScheduler(append([]gocron.SchedulerOption{gocron.WithLocation(time.UTC)}, options...)...)
	if err != nil {
		return nil, fmt.Errorf("make the scheduler: %w", err)
	}
	s := &Scheduler{lister: lister, onPanic: cfg.OnPanic, cron: cron, jobs: map[string]uuid.UUID{}, going: map[string]bool{}}
	if s.onPanic == nil {
		s.onPanic = logPanic
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	cron.Start()
	return s, nil
}

// Add schedules a job, in place of the one that has its name. A call of the old
// one that is still going goes on.
func (s *Scheduler) Add(job Job) error {
	if job.Name == "" {
		job.Name = job.Workflow
	}
	times, err := job.times()
	if err != nil {
		return fmt.Errorf("add the job %q: %w", job.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return fmt.Errorf("add the job %q: %w", job.Name, ErrStopped)
	}
	// The new one is added before the old one is removed, so that a job whose times
	// cannot be read replaces nothing.
	added, err := s.cron.NewJob(times, gocron.NewTask(func() { s.run(job) }), gocron.WithName(job.Name))
	if err != nil {
		return fmt.Errorf("add the job %q: %w", job.Name, err)
	}
	old, replaces := s.jobs[job.Name]
	s.jobs[job.Name] = added.ID()
	if replaces {
		if err := s.cron.RemoveJob(old); err != nil {
			return fmt.Errorf("replace the job %q: %w", job.Name, err)
		}
	}
	return nil
}

// Remove takes a job out, and tells whether it was there. A call that is still
// going goes on.
func (s *Scheduler) Remove(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, ok := s.jobs[name]
	delete(s.jobs, name)
	return ok && s.cron.RemoveJob(id) == nil
}

// Stop begins no call any more, ends the context of those that are going, and
// waits until they have returned or ctx is done; the error is then ctx's. A
// callback must not call it. Stopping again waits again.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.mu.Lock()
	first := !s.stopped
	s.stopped = true
	s.mu.Unlock()
	s.stop()
	idle := make(chan error, 1)
	go func() {
		s.running.Wait()
		var err error
		if first {
			err = s.cron.Shutdown()
		}
		idle <- err
	}()
	select {
	case err := <-idle:
		if err != nil {
			return fmt.Errorf("stop the scheduler: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for callbacks: %w", ctx.Err())
	}
}

// run makes one call of a job, unless one for its name is still going.
func (s *Scheduler) run(job Job) {
	if !s.begin(job.Name) {
		return
	}
	defer s.end(job.Name)
	defer func() {
		if value := recover(); value != nil {
			s.onPanic(job.Name, &PanicError{Value: value, Stack: debug.Stack()})
		}
	}()
	users, err := usersOf(s.ctx, s.lister, job.Workflow)
	job.Do(s.ctx, users, err)
}

// begin tells whether a call may be made for a name, and counts it.
func (s *Scheduler) begin(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.going[name] {
		return false
	}
	s.going[name] = true
	s.running.Add(1)
	return true
}

func (s *Scheduler) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.going, name)
	s.running.Done()
}

// usersOf reads every page, and joins the rows of each user.
func usersOf(ctx context.Context, lister Lister, workflow string) ([]User, error) {
	var users []User
	for member, err := range authz.All(func(page authz.Page) (authz.List[authz.Member], error) {
		return lister.WorkflowUsers(ctx, workflow, page)
	}) {
		if err != nil {
			return nil, fmt.Errorf("list the users of the workflow %q: %w", workflow, err)
		}
		if last := len(users) - 1; last >= 0 && users[last].Name == member.User {
			users[last].Roles = append(users[last].Roles, member.Role)
			continue
		}
		users = append(users, User{Name: member.User, Roles: []string{member.Role}})
	}
	return users, nil
}

// times is when a job runs, in the scheduler's terms.
func (j Job) times() (gocron.JobDefinition, error) {
	if err := authz.ValidatePermission(j.Workflow); err != nil {
		return nil, fmt.Errorf("workflow: %w", err)
	}
	switch {
	case j.Do == nil:
		return nil, errors.New("do: must be set")
	case (j.Cron == "") == (j.Every == 0):
		return nil, errors.New("either cron or every must be set")
	case j.Cron == "" && j.TimeZone != "":
		return nil, errors.New("time zone: goes with cron only")
	case j.Cron == "" && j.Every < minEvery:
		return nil, fmt.Errorf("every: must be at least %s", minEvery)
	case j.Cron == "":
		return gocron.DurationJob(j.Every), nil
	}
	zone, err := time.LoadLocation(j.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("time zone: %w", err)
	}
	return gocron.CronJob("CRON_TZ="+zone.String()+" "+j.Cron, false), nil
}

func logPanic(job string, err *PanicError) {
	slog.Error("a workflow's run panicked", "job", job, "panic", err.Value, "stack", string(err.Stack))
}
