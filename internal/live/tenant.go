package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// tenant is what is in memory of one tenant.
type tenant struct {
	live *Live
	id   string

	loaded atomic.Bool
	// applied is the revision that everything cached is at. It is raised under mu.
	applied atomic.Int64
	// confirmed is when the database last said that applied was the newest, on the
	// monotonic clock; away is whether it has failed to answer since.
	confirmed atomic.Pointer[time.Time]
	away      atomic.Bool

	// mu orders changes of what is cached, and of moved.
	mu    sync.Mutex
	moved chan struct{} // closed when applied is raised
	// policy is nil where it must be read again.
	policy atomic.Pointer[authz.Policy]
	// former is the policy that was read last, whose conditions the next one takes over;
	// nil before the first.
	former atomic.Pointer[authz.Policy]
	// roles are the names of policy's, and nil with it. Guarded by mu.
	roles map[string]bool
	// The generations are part of every key: raising one forgets all of its kind.
	subjectGeneration, nodeGeneration atomic.Uint64

	// When, as revisions, what is cached was last changed: the policy, all users, all
	// nodes, and single ones of late. What was read before is good still where its own
	// part has not changed since. Guarded by mu.
	policyAt, subjectsAt, nodesAt int64
	touched                       map[any]int64
	// touchedBytes is the weight of touched. Guarded by mu.
	touchedBytes int
	// forgottenAt is when touched last began anew: before, anything may have changed.
	forgottenAt int64

	// bytes is about how much memory the tenant takes, without its users and nodes.
	bytes atomic.Int64

	flights singleflight.Group
	// waiting and reading are the tenant's share of Live's.
	waiting atomic.Int64
	reading chan struct{}
}

// maxTouched bounds touched, which matters to what is being read meanwhile alone.
const maxTouched = 512

// touch notes that a user (its name) or a node (an authz.Node) has changed. t.mu is
// held.
func (t *tenant) touch(what any, revision int64) {
	if len(t.touched) >= maxTouched {
		t.touched, t.touchedBytes, t.forgottenAt = nil, 0, revision
	}
	if t.touched == nil {
		t.touched = map[any]int64{}
	}
	before := len(t.touched)
	t.touched[what] = revision
	if n := len(t.touched); n > before {
		t.touchedBytes += weighTouched(what)
		if n&(n-1) == 0 { // where the map may have grown
			t.weigh()
		}
	}
}

// touchedAt is when something was last touched, as far as is known. t.mu is held.
func (t *tenant) touchedAt(what any) int64 { return max(t.touched[what], t.forgottenAt) }

// maxApply is how many changes are applied one by one; with more to catch up on,
// everything is forgotten.
const maxApply = 1000

// fresh says for how long the database has been away, and fails where that is too
// long. A tenant that nothing has confirmed for a while is brought up to date.
// While the database is away the poll alone looks for it, so that no answer from
// memory waits for it.
func (t *tenant) fresh(ctx context.Context) (time.Duration, error) {
	age, away := time.Since(*t.confirmed.Load()), t.away.Load()
	switch {
	case away && age <= t.live.maxStaleness:
		return age, nil
	case !away && age < min(5*t.live.pollEvery, max(t.live.maxStaleness, 2*t.live.pollEvery+minPollTimeout)):
		return 0, nil
	}
	err := t.wait(func() error { return t.catchUp(ctx) })
	if err == nil {
		return 0, nil
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if age = time.Since(*t.confirmed.Load()); age > t.live.maxStaleness {
		if errors.Is(err, ErrBusy) {
			return 0, err
		}
		return 0, unavailable(errors.Join(errAway, err))
	}
	return age, nil
}

// await waits until the tenant has reached a revision. It is not one of those who wait
// for the database: the revision may never come.
func (t *tenant) await(ctx context.Context, least int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, leastTimeout,
		fault.Unavailable(nil, "revision %d has not been reached here", least))
	defer cancel()
	ticker := time.NewTicker(leastPoll)
	defer ticker.Stop()
	for {
		moved := t.nextMove()
		if t.applied.Load() >= least {
			return nil
		}
		if err := t.load(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, ErrBusy) {
			return err
		}
		if t.applied.Load() >= least {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-moved:
		case <-ticker.C:
		}
	}
}

// catchUp reads what has changed since the applied revision and applies it.
func (t *tenant) catchUp(ctx context.Context) error {
	return t.fly(ctx, "catch up", t.look)
}

// load is catchUp in turn with the questions.
func (t *tenant) load(ctx context.Context) error {
	return t.fly(ctx, "load", func(ctx context.Context) error {
		return t.inTurn(ctx, func() error { return t.look(ctx) })
	})
}

// look reads what has changed since the applied revision and applies it; on a tenant
// that is not loaded it finds the revision to begin at.
func (t *tenant) look(ctx context.Context) error {
	_, err := t.sync(ctx, func(store.Reader) error { return nil })
	if err == nil {
		t.loaded.Store(true)
	}
	return err
}

// fly does something once for all who ask for it at the same time. It goes on for
// the others where one of them gives up.
func (t *tenant) fly(ctx context.Context, what string, do func(context.Context) error) error {
	flight := t.flights.DoChan(what, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillTimeout)
		defer cancel()
		err := do(ctx)
		if err != nil && ctx.Err() != nil {
			err = unavailable(err)
		}
		if fault.CodeOf(err) == fault.CodeUnavailable && !errors.Is(err, ErrBusy) {
			t.away.Store(true)
		}
		return nil, err
	})
	select {
	case landed := <-flight:
		return landed.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sync moves the tenant on to the revision of a snapshot, and lets get read from
// the same one. It returns the revision.
func (t *tenant) sync(ctx context.Context, get func(store.Reader) error) (int64, error) {
	began := time.Now()
	applied := t.applied.Load()
	var revision int64
	var changes []authz.Change
	err := t.live.source.View(ctx, t.id, func(r store.Reader) (err error) {
		if revision, err = r.Revision(ctx); err != nil {
			return err
		}
		if revision > applied && t.loaded.Load() {
			if changes, err = r.Changes(ctx, applied, maxApply); err != nil {
				return err
			}
		}
		return get(r)
	})
	if err != nil {
		return 0, err
	}
	if t.loaded.Load() && revision > applied {
		t.live.counts.revisions.Add(uint64(revision - applied))
	}
	t.apply(applied, revision, changes)
	t.confirm(began)
	return revision, nil
}

// confirm notes that the database answered, after a moment, that applied is the
// newest revision.
func (t *tenant) confirm(at time.Time) {
	t.confirmed.Store(&at)
	t.away.Store(false)
}

// applyNext applies the changes of the revision that follows the applied one, and
// reports whether that, or a later one, is applied now.
func (t *tenant) applyNext(revision int64, changes []authz.Change) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch applied := t.applied.Load(); {
	case revision <= applied:
		return true
	case revision > applied+1:
		return false
	}
	t.forget(changes, revision)
	t.raise(revision)
	return true
}

// apply applies the changes between two revisions, unless others have meanwhile.
func (t *tenant) apply(from, to int64, changes []authz.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	applied := t.applied.Load()
	switch {
	case to < applied:
		if from == applied { // the database is an older one than it was: a restore
			t.forgetAll(to)
			t.raise(to)
		}
		return
	case to == applied:
		return
	case len(changes) >= maxApply:
		t.forgetAll(to)
	default:
		t.forget(changes, to)
	}
	t.raise(to)
}

// nextMove returns what is closed when applied is raised next.
func (t *tenant) nextMove() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moved
}

func (t *tenant) raise(revision int64) {
	t.applied.Store(revision)
	close(t.moved)
	t.moved = make(chan struct{})
}

// maxReadings is how often something is read until it can be kept.
const maxReadings = 3

// errMoved is the error of what changes faster than it can be read.
var errMoved = errors.New("it changes faster than it can be read")

// read fills in one thing from a snapshot, for all who ask for it at once. get
// reads it; put keeps it, unless it has changed since, by what changedAt says.
func (t *tenant) read(ctx context.Context, what string, get func(context.Context, store.Reader) error, changedAt func() int64, put func()) error {
	kind, _, _ := strings.Cut(what, " ") // behind it is a name, which is none of the log's
	once := func(ctx context.Context) error {
		defer t.live.counts.filling(kind, time.Now())
		for range maxReadings {
			revision, err := t.sync(ctx, func(r store.Reader) error { return get(ctx, r) })
			if err != nil {
				return fmt.Errorf("read the %s: %w", kind, err)
			}
			if t.keep(revision, changedAt, put) {
				return nil
			}
		}
		return errMoved
	}
	return t.wait(func() error {
		return t.fly(ctx, what, func(ctx context.Context) error {
			return t.inTurn(ctx, func() error { return once(ctx) })
		})
	})
}

// keep runs put if what was read at a revision is as it is now, and reports
// whether it is.
func (t *tenant) keep(revision int64, changedAt func() int64, put func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.applied.Load() < revision || changedAt() > revision {
		return false
	}
	put()
	return true
}
