package engine

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/meter"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// Stats is how an Engine is, and what it has done since Open.
type Stats struct {
	// DecisionsLogged were written to the decision log, and DecisionsBuffered wait to be.
	DecisionsLogged   uint64
	DecisionsBuffered int
	// DecisionsOverflowed were not logged, for too many waited already;
	// DecisionsUnwritten could not be written.
	DecisionsOverflowed, DecisionsUnwritten uint64

	// Allowed and Denied are decisions that were made, Failed are those that could not be,
	// and Stale were made while the database was away.
	Allowed, Denied, Failed, Stale uint64

	// Live is how fresh decisions are, and what is in memory for them.
	Live LiveStats
	// ClientKeys, Families and AccessTokens are what is known of callers.
	ClientKeys, Families, AccessTokens Cache

	// SessionsCreated were opened; SessionTokens were presented to be rotated, by what came
	// of it: the outcome, the refusal, or "error". SessionsEnded are by reason.
	SessionsCreated uint64
	SessionTokens   map[string]uint64
	SessionsEnded   map[string]uint64
	// Tokens are the access and refresh tokens that were asked for: "issued",
	// "refreshed", "reused" and "refused".
	Tokens map[string]uint64

	// ReplicaReads are the reads that replicas were asked for.
	ReplicaReads ReplicaReads
	// KeepsHouse tells whether this process, of all that share the database, is the one
	// that sweeps.
	KeepsHouse bool
	// Databases are those that there are connections to; none for SQLite.
	Databases []DatabaseStats

	// Audit is how the audit log is.
	Audit AuditStats
	// Unopened are sealed rows that did not open: they were changed, or put where they do
	// not belong.
	Unopened uint64
}

// LiveStats is how fresh decisions are; see the fields' own comments.
type LiveStats = live.Stats

// Cache is how a cache is used.
type Cache = live.Cache

// Distribution is how durations are distributed.
type Distribution = meter.Distribution

// ReplicaReads counts reads by who answered them.
type ReplicaReads = sqlstore.ReplicaReads

// DatabaseStats are facts about the connections to one database.
type DatabaseStats = sqlstore.DatabaseStats

// AuditStats is how the audit log is, as far as this process knows.
type AuditStats struct {
	// Events were appended by this process, and Sequenced put into the trees.
	Events, Sequenced uint64
	// Leading tells that this process sequences for all.
	Leading bool
	// Unsequenced is how long ago this process last knew that all events were in the
	// trees, or that another process was at it; Unsigned is that of checkpoints.
	Unsequenced, Unsigned time.Duration
}

// counts is what an Engine has done.
type counts struct {
	allowed, denied, failed, stale atomic.Uint64

	sessions              atomic.Uint64
	sessionTokens, tokens *meter.Tally
}

func newCounts() counts {
	return counts{
		sessionTokens: meter.NewTally(
			string(authz.SessionRotated), string(authz.SessionCurrent), string(authz.SessionReplayed), string(authz.ErrInvalidToken),
			string(authz.ErrSessionEnded), string(authz.ErrBindingMismatch), string(authz.ErrTokenReused), failedWord),
		tokens: meter.NewTally(issuedWord, refreshedWord, reusedWord, refusedWord),
	}
}

// The words that Stats counts by, beside those of package authz.
const (
	failedWord    = "error"
	issuedWord    = "issued"
	refreshedWord = "refreshed"
	reusedWord    = "reused"
	refusedWord   = "refused"
)

// decided counts a decision.
func (c *counts) decided(d *authz.Decision) {
	if d.Allowed {
		c.allowed.Add(1)
	} else {
		c.denied.Add(1)
	}
	if d.Stale > 0 {
		c.stale.Add(1)
	}
}

// presented counts a session token by what came of it.
func (c *counts) presented(outcome authz.SessionOutcome, err error) {
	word := string(outcome)
	if err != nil {
		refused, _ := errors.AsType[authz.SessionRefusal](err)
		word = cmp.Or(string(refused), failedWord)
	}
	c.sessionTokens.Add(word, 1)
}

// Stats tells how things are now. It does not ask the database.
func (e *Engine) Stats() Stats {
	stored := e.store.Stats()
	s := Stats{
		Allowed: e.counts.allowed.Load(), Denied: e.counts.denied.Load(), Failed: e.counts.failed.Load(), Stale: e.counts.stale.Load(),
		Live:       e.live.Stats(),
		ClientKeys: e.keys.stats(), Families: e.families.stats(), AccessTokens: live.StatsOf(e.verified),
		SessionsCreated: e.counts.sessions.Load(), SessionTokens: e.counts.sessionTokens.Counts(), SessionsEnded: stored.SessionsEnded,
		Tokens:       e.counts.tokens.Counts(),
		ReplicaReads: e.store.ReplicaReads(), KeepsHouse: e.house.held.Load(), Databases: e.store.Databases(),
		Audit: e.sequencer.stats(stored.Events), Unopened: stored.Unopened,
	}
	e.decisions.tell(&s)
	return s
}
