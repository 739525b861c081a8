package engine

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// LoggedDecision is an entry of a tenant's decision log.
type LoggedDecision = authz.LoggedDecision

// DecisionFilter selects logged decisions. A zero field selects all.
type DecisionFilter = authz.DecisionFilter

// The values of Config.AuditDecisions.
const (
	DecisionsOff    = "off"
	DecisionsDenied = "denied"
	DecisionsAll    = "all"
)

const (
	// decisionBuffer is how many decisions wait to be written at most. One takes about
	// 1 KiB, and up to 4 KiB where it has reasons.
	decisionBuffer = 10_000
	// decisionBatch is how many decisions one transaction writes, and decisionWait how
	// long one waits for others.
	decisionBatch = 500
	decisionWait  = 250 * time.Millisecond
	// decisionPatience is how long a batch that cannot be written is tried again.
	decisionPatience = 10 * time.Second
	// decisionDrain bounds how long Close goes on writing.
	decisionDrain = 5 * time.Second
	// decisionFlush bounds how long a list waits for what was decided before it.
	decisionFlush = time.Second

	maxLoggedReasons = 10
)

// writeDecisions is store.Decisions.AppendDecisions.
type writeDecisions func(context.Context, []store.TenantDecision) error

// decisionLog takes decisions from those who make them and writes them a little later,
// in batches. It never makes one wait: what it has no room for, and what cannot be
// written, is dropped and counted. So is what was not written when the process is killed.
// Nil takes nothing.
type decisionLog struct {
	deniedOnly bool
	write      writeDecisions
	log        *slog.Logger

	// due is signalled when a batch is full, or somebody waits for what there is.
	due chan struct{}

	mu sync.Mutex
	// waiting is a ring: count decisions from first on are not written yet.
	waiting      []loggedDecision
	first, count int
	closed       bool
	// taken counts what was put into the ring, and settled what has left it; moved is
	// closed when settled changes.
	taken, settled     uint64
	moved              chan struct{}
	logged             uint64
	overflowed, failed uint64
}

// loggedDecision is a decision as it is taken: with as little work as can be.
type loggedDecision struct {
	tenant, actor, ip, requestID string
	// names holds user, permission, and the resource's type and id, one behind the
	// other; ends says where the first three end.
	names       string
	ends        [3]int
	subjectType string
	reasons     []authz.Reason
	revision    int64
	atMicros    int64
	allowed     bool
}

// newDecisionLog returns nil where nothing is to be logged.
func newDecisionLog(which string, log *slog.Logger, write writeDecisions) (*decisionLog, error) {
	switch which {
	case "", DecisionsOff:
		return nil, nil
	case DecisionsDenied, DecisionsAll:
		return &decisionLog{
			deniedOnly: which == DecisionsDenied, write: write, log: log,
			due: make(chan struct{}, 1), waiting: make([]loggedDecision, decisionBuffer), moved: make(chan struct{}),
		}, nil
	default:
		return nil, fault.Invalid("audit decisions: must be %s, %s or %s", DecisionsOff, DecisionsDenied, DecisionsAll)
	}
}

// offer takes a decision that a tenant has made, if it is to be logged. It does not
// block.
func (l *decisionLog) offer(t *Tenant, request *authz.Request, made *authz.Decision, atMicros int64) {
	if l == nil || l.deniedOnly && made.Allowed {
		return
	}
	d := loggedDecision{
		tenant: t.id, actor: t.actor.Fingerprint, ip: t.actor.IP, requestID: t.actor.RequestID,
		revision: made.Revision, atMicros: atMicros, allowed: made.Allowed,
	}
	var resource authz.Node
	if request.Resource != nil {
		resource = request.Resource.Node
	}
	// A copy, for a name may be a small part of a large request.
	d.names = request.User + request.Permission + resource.Type + resource.ID
	d.ends[0] = len(request.User)
	d.ends[1] = d.ends[0] + len(request.Permission)
	d.ends[2] = d.ends[1] + len(resource.Type)
	if request.SubjectType != "" {
		d.subjectType = string([]byte(shorten(request.SubjectType)))
	}
	if len(made.Reasons) > 0 {
		d.reasons = slices.Clone(made.Reasons[:min(len(made.Reasons), maxLoggedReasons)])
		for i := range d.reasons {
			// What may quote what was sent.
			d.reasons[i].Condition, d.reasons[i].Error = "", ""
		}
	}
	l.put(&d)
}

func (l *decisionLog) put(d *loggedDecision) {
	l.mu.Lock()
	switch {
	case l.closed:
		l.failed++
		l.mu.Unlock()
		return
	case l.count == len(l.waiting):
		l.overflowed++
		l.mu.Unlock()
		return
	}
	l.waiting[(l.first+l.count)%len(l.waiting)] = *d
	l.count++
	l.taken++
	full := l.count >= decisionBatch
	l.mu.Unlock()
	if full {
		l.hurry()
	}
}

// hurry has the batch written that there is.
func (l *decisionLog) hurry() {
	select {
	case l.due <- struct{}{}:
	default:
	}
}

// run writes what is taken until stop ends, then what is left, for a bounded time.
func (l *decisionLog) run(stop context.Context) {
	ctx, end := context.WithCancel(context.WithoutCancel(stop))
	defer end()
	context.AfterFunc(stop, func() { time.AfterFunc(decisionDrain, end) })
	ticker := time.NewTicker(decisionWait)
	defer ticker.Stop()
	for stop.Err() == nil {
		select {
		case <-stop.Done():
		case <-ticker.C:
		case <-l.due:
		}
		l.writeAll(ctx)
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.writeAll(ctx)
}

// writeAll writes, or drops, what has been taken up to now.
func (l *decisionLog) writeAll(ctx context.Context) {
	for left := l.buffered(); left > 0; {
		batch := l.batch()
		err := l.writeBatch(ctx, batch)
		if err != nil {
			l.log.Warn("decisions were not logged", "decisions", len(batch), "error", err)
		}
		l.settle(len(batch), err == nil)
		left -= len(batch)
	}
}

// writeBatch tries again for a while where the database is away. It does so as well where a
// try may have been committed: the store has given the decisions of batch their ids by then.
func (l *decisionLog) writeBatch(ctx context.Context, batch []store.TenantDecision) error {
	ctx, cancel := context.WithTimeout(ctx, decisionPatience)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := l.write(ctx, batch)
		if err != nil && !errors.Is(err, ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	})
	return err
}

// batch returns the decisions that have waited longest. They stay where they are.
func (l *decisionLog) batch() []store.TenantDecision {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := make([]store.TenantDecision, min(l.count, decisionBatch))
	for i := range batch {
		batch[i] = l.waiting[(l.first+i)%len(l.waiting)].record()
	}
	return batch
}

func (l *decisionLog) buffered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// settle lets go of the n decisions that have waited longest.
func (l *decisionLog) settle(n int, written bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		l.waiting[(l.first+i)%len(l.waiting)] = loggedDecision{}
	}
	l.first, l.count = (l.first+n)%len(l.waiting), l.count-n
	if written {
		l.logged += uint64(n)
	} else {
		l.failed += uint64(n)
	}
	l.settled += uint64(n)
	close(l.moved)
	l.moved = make(chan struct{})
}

// flush waits until what was taken before it is written or dropped, or ctx ends.
func (l *decisionLog) flush(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for upTo := l.taken; l.settled < upTo && !l.closed && ctx.Err() == nil; {
		moved := l.moved
		l.mu.Unlock()
		l.hurry()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		l.mu.Lock()
	}
}

func (d *loggedDecision) record() store.TenantDecision {
	return store.TenantDecision{Tenant: d.tenant, LoggedDecision: LoggedDecision{
		Time:        time.UnixMicro(d.atMicros).UTC(),
		Actor:       cmp.Or(d.actor, audit.System),
		User:        d.names[:d.ends[0]],
		SubjectType: d.subjectType,
		Permission:  d.names[d.ends[0]:d.ends[1]],
		Resource:    authz.Node{Type: d.names[d.ends[1]:d.ends[2]], ID: d.names[d.ends[2]:]},
		Allowed:     d.allowed,
		Revision:    d.revision,
		Reasons:     d.reasons,
		RequestID:   shorten(d.requestID),
		IP:          shorten(d.ip),
	}}
}

// tell says in s how the log is.
func (l *decisionLog) tell(s *Stats) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.DecisionsLogged, s.DecisionsBuffered, s.DecisionsOverflowed, s.DecisionsUnwritten = l.logged, l.count, l.overflowed, l.failed
}

// LoggedDecisions lists the tenant's decisions that were logged, newest first: those of
// this process up to now, where they can be written within a second, and those of others
// a little later.
func (t *Tenant) LoggedDecisions(ctx context.Context, filter DecisionFilter, page authz.Page) (authz.List[LoggedDecision], error) {
	if err := validateDecisionFilter(filter); err != nil {
		return authz.List[LoggedDecision]{}, err
	}
	if l := t.engine.decisions; l != nil {
		flushing, cancel := context.WithTimeout(ctx, decisionFlush)
		l.flush(flushing)
		cancel()
	}
	asked := question("decisions", filter.User, filter.Permission, filter.Resource.Type, filter.Resource.ID, answerAsked(filter.Allowed),
		filter.RequestID, filter.Since.UTC().String(), filter.Until.UTC().String())
	return list(ctx, t, page, asked, lister[LoggedDecision]{
		read: func(r store.Reader, after []string, limit int) ([]LoggedDecision, error) {
			return r.LoggedDecisions(ctx, filter, after[0], limit)
		},
		position: func(d LoggedDecision) []string { return []string{d.ID} },
		wanted:   store.WantAll,
	})
}

func answerAsked(allowed *bool) string {
	if allowed == nil {
		return ""
	}
	return strconv.FormatBool(*allowed)
}

func validateDecisionFilter(filter DecisionFilter) error {
	for _, f := range []struct{ name, value string }{
		{"user", filter.User}, {"permission", filter.Permission}, {"resource", filter.Resource.Type}, {"resource", filter.Resource.ID},
		{"request_id", filter.RequestID},
	} {
		if err := validateText(f.name, f.value, maxFilter); err != nil {
			return err
		}
	}
	if (filter.Resource.Type == "") != (filter.Resource.ID == "") {
		return fault.Invalid("resource: must be a type and an id")
	}
	return nil
}
