package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// WithPollEvery sets the time between polls of the database.
func (c Config) WithPollEvery(every time.Duration) Config {
	c.pollEvery = every
	return c
}

// WithSessionTime has sessions judged at another time than the database or Now says.
func (c Config) WithSessionTime(change func(time.Time) time.Time) Config {
	c.sessionTime = change
	return c
}

// WithDecisionWriter has the decision log written by write.
func (c Config) WithDecisionWriter(write func(context.Context, []store.TenantDecision) error) Config {
	c.writeDecisions = write
	return c
}

// DecisionBuffer is how many decisions wait to be written at most.
const DecisionBuffer = decisionBuffer

// DecisionLog is a log of all decisions without an engine.
type DecisionLog struct{ log *decisionLog }

// NewDecisionLog makes a log that is written by write.
func NewDecisionLog(write func(context.Context, []store.TenantDecision) error) DecisionLog {
	log, err := newDecisionLog(DecisionsAll, slog.New(slog.DiscardHandler), write)
	if err != nil {
		panic(err)
	}
	return DecisionLog{log}
}

// Run starts the log. What it returns ends it, and waits for that.
func (l DecisionLog) Run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { l.log.run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// Offer offers a decision about a user.
func (l DecisionLog) Offer(user string) {
	l.log.offer(&Tenant{id: "tenant"}, &authz.Request{User: user, Permission: "read"}, &authz.Decision{}, 1)
}

// Stats are those of an engine with this log.
func (l DecisionLog) Stats() LogStats {
	var s Stats
	l.log.tell(&s)
	return LogStatsOf(s)
}

// LogStats is the decision log's part of Stats: logged, buffered, overflowed and unwritten.
type LogStats struct {
	DecisionsLogged                         uint64
	DecisionsBuffered                       int
	DecisionsOverflowed, DecisionsUnwritten uint64
}

// LogStatsOf returns the decision log's part.
func LogStatsOf(s Stats) LogStats {
	return LogStats{s.DecisionsLogged, s.DecisionsBuffered, s.DecisionsOverflowed, s.DecisionsUnwritten}
}

// SweepDecisions does now what is done every minute.
func (e *Engine) SweepDecisions(ctx context.Context) error { return e.sweepDecisions(ctx) }

// WithCheckpointEvery sets how often the checkpoint file is written.
func (c Config) WithCheckpointEvery(every time.Duration) Config {
	c.checkpointEvery = every
	return c
}

// ReplicasAnswer tells whether replicas answer.
func (e *Engine) ReplicasAnswer(ctx context.Context, tenant string) (bool, error) {
	before := e.store.ReplicaReads().Answered
	err := e.store.ViewAnywhere(ctx, tenant, store.WantRevision, func(store.Reader) error { return nil })
	return e.store.ReplicaReads().Answered > before, err
}

// HoldHouse asks for the lease of housekeeping as this engine would, had it just begun.
func (e *Engine) HoldHouse(ctx context.Context) (bool, error) {
	return e.HoldLease(ctx, houseLease, e.house.holder, houseTerm)
}

// HoldLease takes or keeps a lease of the database for a holder, and reports whether that
// has it.
func (e *Engine) HoldLease(ctx context.Context, name, holder string, term time.Duration) (bool, error) {
	l := e.newLease(name, term)
	l.holder = holder
	return l.hold(ctx)
}

// Sweep does now what is done every minute.
func (e *Engine) Sweep(ctx context.Context) error { return e.sweep(ctx) }
