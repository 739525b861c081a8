// Package live keeps what decisions are made of in memory, and fresh: of each
// tenant in use the compiled policy, and of its users and nodes those that were
// asked about.
//
// The database is the truth. A tenant here stands at one revision, its applied
// one, and everything cached of it is as it was at that revision: a change is
// applied by forgetting what it touched and moving on to its revision, under the
// tenant's lock, and what is read from a snapshot of another revision is never
// kept. A question is answered at one revision: where the tenant moves on while
// the parts of an answer are gathered, they are gathered again, and in the end from
// one snapshot.
//
// Changes of this process are applied as they are made (Wrote); those of others
// are found by a poll of the revisions of the tenants in use, which a hint from
// the database may bring forward (Hint). Start at [Live.Ask].
package live

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
	"golang.org/x/sync/errgroup"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Source is what a Live reads from; a store.Store is one.
type Source interface {
	View(ctx context.Context, tenant string, fn func(store.Reader) error) error
	// Revisions reads the revisions of tenants; one that is not there has none.
	Revisions(ctx context.Context, tenants []string) (map[string]int64, error)
}

// Config says how a Live works. The zero value of each field is its default.
type Config struct {
	// MaxStaleness is how long answers go on while the database is away; 0 means
	// that they do not.
	MaxStaleness time.Duration
	// CacheBytes is about how much memory users, nodes, policies and what else is kept of
	// tenants may take; default 256 MiB. A policy that is larger than the share of policies
	// is kept all the same.
	CacheBytes uint64
	// MaxTenants is how many tenants may be in use at once; default 10,000, or fewer where
	// their policies are large.
	MaxTenants int
	// MaxWaiting is how many questions may wait for the database at once, and three
	// quarters of them of one tenant; 0: as many as there are.
	MaxWaiting int
	// MaxReading is how many reads of what is not in memory may be under way at once, and
	// three quarters of them for one tenant; default 8. To look for changes comes on top.
	MaxReading int
	// PollEvery is the time between polls; default 1 s.
	PollEvery time.Duration
	// Logger takes what goes wrong in the background; default slog.Default().
	Logger *slog.Logger
}

const (
	defaultCacheBytes = 256 << 20
	defaultMaxTenants = 10_000
	defaultMaxReading = 8
	defaultPollEvery  = time.Second

	// fillTimeout bounds one read of the database.
	fillTimeout = 5 * time.Second
	// minPollTimeout is the least that one poll of the database may take.
	minPollTimeout = 500 * time.Millisecond
	// leastTimeout bounds how long a question waits for a revision.
	leastTimeout = 10 * time.Second
	// maxGatherings is how often an answer is gathered from memory while changes keep
	// coming between; then it is read through, from one snapshot of the database.
	maxGatherings = 8
	// leastPoll is how often the database is looked at meanwhile.
	leastPoll = 100 * time.Millisecond
	// maxCatchUps is how many tenants one poll brings up to date at once.
	maxCatchUps = 8
)

// Live answers questions about tenants from memory. It is safe for use by many
// goroutines.
type Live struct {
	source       Source
	maxStaleness time.Duration
	pollEvery    time.Duration
	log          *slog.Logger

	tenants  *otter.Cache[string, *tenant]
	subjects *otter.Cache[subjectKey, *authz.Subject]
	nodes    *otter.Cache[nodeKey, *store.NodeRecord]

	// waiting is how many questions wait for the database, and reading has an element for
	// each that reads it.
	waiting    atomic.Int64
	maxWaiting int64
	reading    chan struct{}

	// sealed is why the database's values cannot be read; nil where they can.
	sealed atomic.Pointer[error]

	hints chan struct{}
	stop  context.CancelFunc
	done  sync.WaitGroup

	counts counts
}

// New starts a Live on a source. Close ends it.
func New(source Source, cfg Config) (*Live, error) {
	l := &Live{
		source: source, maxStaleness: cfg.MaxStaleness, pollEvery: cfg.PollEvery, log: cfg.Logger,
		maxWaiting: int64(cmp.Or(cfg.MaxWaiting, math.MaxInt)), reading: make(chan struct{}, cmp.Or(cfg.MaxReading, defaultMaxReading)),
		hints: make(chan struct{}, 1), counts: newCounts(),
	}
	if l.pollEvery <= 0 {
		l.pollEvery = defaultPollEvery
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = defaultCacheBytes
	}
	if cfg.MaxTenants == 0 {
		cfg.MaxTenants = defaultMaxTenants
	}
	var err, errSubjects, errNodes error
	l.tenants, err = otter.New(&otter.Options[string, *tenant]{
		MaximumWeight: cfg.CacheBytes / 4, Weigher: tenantWeigher(cfg.CacheBytes/4, cfg.MaxTenants),
	})
	l.subjects, errSubjects = otter.New(&otter.Options[subjectKey, *authz.Subject]{
		MaximumWeight: cfg.CacheBytes / 2, Weigher: weighSubject, StatsRecorder: stats.NewCounter(),
	})
	l.nodes, errNodes = otter.New(&otter.Options[nodeKey, *store.NodeRecord]{
		MaximumWeight: cfg.CacheBytes / 4, Weigher: weighNode, StatsRecorder: stats.NewCounter(),
	})
	if err := errors.Join(err, errSubjects, errNodes); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.done.Go(func() { l.poll(ctx) })
	return l, nil
}

// Close ends the polling and waits for it.
func (l *Live) Close() {
	l.stop()
	l.done.Wait()
}

// Basis is what an answer rests on.
type Basis struct {
	// Revision is the tenant's revision that the answer was made at.
	Revision int64
	// Stale is for how long the database has been away; 0 where it is not.
	Stale time.Duration
}

// Ask lets ask gather the parts of an answer about a tenant, all at one revision,
// which is least or later. It may call ask again, so ask must begin anew each time.
// Where least is not reached within 10 s, or the database has been away for longer
// than MaxStaleness, the error is fault.CodeUnavailable; at once where the database is
// sealed against this process, which is also store.ErrSealed, and soon where too many
// others wait for it, which is also ErrBusy.
func (l *Live) Ask(ctx context.Context, id string, least int64, ask func(*View) error) (Basis, error) {
	if sealed := l.sealed.Load(); sealed != nil {
		return Basis{}, *sealed
	}
	t, err := l.tenant(ctx, id)
	if err != nil {
		return Basis{}, err
	}
	if least > t.applied.Load() {
		if err := t.await(ctx, least); err != nil {
			return Basis{}, err
		}
	}
	for range maxGatherings {
		stale, err := t.fresh(ctx)
		if err != nil {
			return Basis{}, err
		}
		view := View{ctx: ctx, tenant: t, revision: t.applied.Load()}
		err = ask(&view)
		if errors.Is(err, errMoved) {
			break
		}
		if errors.Is(err, ErrBusy) {
			return Basis{}, err
		}
		if t.applied.Load() == view.revision {
			return Basis{Revision: view.revision, Stale: stale}, err
		}
		if ctx.Err() != nil {
			return Basis{}, ctx.Err()
		}
	}
	var basis Basis
	err = t.wait(func() error {
		return t.inTurn(ctx, func() (err error) {
			basis, err = t.askThrough(ctx, least, ask)
			return err
		})
	})
	return basis, err
}

// AwaitBeyond waits until a tenant is beyond a revision, as far as is known here. While
// nothing changes it reads nothing: it goes by what Wrote and the poll apply.
func (l *Live) AwaitBeyond(ctx context.Context, id string, revision int64) error {
	again := time.NewTicker(l.pollEvery)
	defer again.Stop()
	for {
		// Anew each time: one that the cache has let go of is polled no more.
		t, err := l.tenant(ctx, id)
		if err != nil {
			return err
		}
		moved := t.nextMove()
		if t.applied.Load() > revision {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-again.C:
		}
	}
}

// tenant returns a tenant that has been loaded.
func (l *Live) tenant(ctx context.Context, id string) (*tenant, error) {
	t, known := l.tenants.GetIfPresent(id)
	if !known {
		t, _ = l.tenants.SetIfAbsent(id, &tenant{
			live: l, id: id, moved: make(chan struct{}), reading: make(chan struct{}, share(cap(l.reading))),
		})
	}
	if t.loaded.Load() {
		return t, nil
	}
	return t, t.wait(func() error { return t.load(ctx) })
}

// Wrote applies a change that this process has made, before it returns.
func (l *Live) Wrote(ctx context.Context, id string, revision int64, changes []authz.Change) {
	t, known := l.tenants.GetIfPresent(id)
	if !known || t.loaded.Load() && t.applyNext(revision, changes) {
		return
	}
	// The change is there, whether its caller still waits or not. Twice, for the
	// first may join a reading that began before it.
	ctx = context.WithoutCancel(ctx)
	for range 2 {
		if err := t.catchUp(ctx); err != nil {
			l.log.WarnContext(ctx, "a change is not applied yet", "tenant", id, "revision", revision, "error", err)
			return
		}
		if t.applied.Load() >= revision {
			return
		}
	}
}

// Hint makes the next poll happen now. It never blocks.
func (l *Live) Hint() {
	l.counts.hints.Add(1)
	select {
	case l.hints <- struct{}{}:
	default:
	}
}

// poll brings the tenants in use up to date, again and again.
func (l *Live) poll(ctx context.Context) {
	ticker := time.NewTicker(l.pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.hints:
		}
		l.pollOnce(ctx)
	}
}

func (l *Live) pollOnce(ctx context.Context) {
	var loaded []*tenant
	var ids []string
	var applied []int64
	for id, t := range l.tenants.All() {
		if t.loaded.Load() {
			loaded, ids, applied = append(loaded, t), append(ids, id), append(applied, t.applied.Load())
		}
	}
	if len(ids) == 0 {
		return
	}
	began := time.Now()
	readCtx, cancel := context.WithTimeout(ctx, min(fillTimeout, max(l.pollEvery, minPollTimeout)))
	defer cancel()
	revisions, err := l.source.Revisions(readCtx, ids)
	switch {
	case err == nil:
		l.sealed.Store(nil)
	case errors.Is(err, store.ErrSealed):
		l.sealed.Store(&err)
	}
	l.counts.polled(err)
	var behind errgroup.Group
	behind.SetLimit(maxCatchUps)
	var most int64
	for i, t := range loaded {
		switch revision := revisions[t.id]; {
		case err != nil:
			t.away.Store(true)
		// Between the two are changes of this process; below both is a restore.
		case applied[i] <= revision && revision <= t.applied.Load():
			t.confirm(began)
		default:
			most = max(most, revision-applied[i])
			behind.Go(func() error {
				_ = t.catchUp(ctx) // it says itself that the database is away
				return nil
			})
		}
	}
	_ = behind.Wait()
	if err == nil {
		l.counts.behind.Store(most)
	}
	if err != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, "the database cannot be polled", "error", err)
	}
}

var errAway = errors.New("the database has been away for too long")

func unavailable(cause error) error {
	return fault.Unavailable(cause, "the database does not answer")
}
