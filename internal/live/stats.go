package live

import (
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/gatehouse/gatehouse/internal/meter"
)

// counts is what a Live has done since New.
type counts struct {
	policies *stats.Counter
	// fills are how long readings of the database took, by what was read.
	fills map[string]*meter.Histogram

	polls, failedPolls, hints, revisions atomic.Uint64
	// behind is how many revisions the last poll found a tenant to be behind, at most.
	behind atomic.Int64
}

func newCounts() counts {
	fills := map[string]*meter.Histogram{}
	for _, kind := range []string{"policy", "user", "node"} {
		fills[kind] = meter.NewHistogram(
			time.Millisecond/4, time.Millisecond/2, time.Millisecond, 5*time.Millisecond/2, 5*time.Millisecond, 10*time.Millisecond,
			25*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond, 250*time.Millisecond, 500*time.Millisecond, time.Second, fillTimeout)
	}
	return counts{policies: stats.NewCounter(), fills: fills}
}

func (c *counts) polled(err error) {
	if err != nil {
		c.failedPolls.Add(1)
		return
	}
	c.polls.Add(1)
}

// filling counts a reading that began at a moment and ends now.
func (c *counts) filling(kind string, began time.Time) { c.fills[kind].Observe(time.Since(began)) }

// Stats is what a Live holds, and what it has done since New.
type Stats struct {
	Policies, Subjects, Nodes Cache
	// Fills are how long readings of the database took: "policy", "user" and "node".
	Fills map[string]meter.Distribution
	// Tenants are in use, and Away those of them for which the database did not answer
	// when it was asked last.
	Tenants, Away int
	// Unconfirmed is how long ago the database last said of a tenant in use that its
	// answers are from its newest revision: that of the tenant for which it is longest.
	Unconfirmed time.Duration
	// Polls have been answered, FailedPolls have not, and Hints have brought one forward.
	Polls, FailedPolls, Hints uint64
	// Revisions of other processes have been caught up on, and the last poll found a
	// tenant to be Behind by so many at most.
	Revisions uint64
	Behind    int64
}

// Cache is how a cache is used.
type Cache struct {
	Hits, Misses, Evictions uint64
	Entries                 int
	// Bytes are about what its entries take, and MaxBytes what they may; both 0 where the
	// number of entries is what is bounded.
	Bytes, MaxBytes uint64
}

// StatsOf tells how a cache is used that records it.
func StatsOf[K comparable, V any](cache *otter.Cache[K, V]) Cache {
	s := cache.Stats()
	c := Cache{Hits: s.Hits, Misses: s.Misses, Evictions: s.Evictions, Entries: cache.EstimatedSize()}
	if cache.IsWeighted() {
		c.Bytes, c.MaxBytes = cache.WeightedSize(), cache.GetMaximum()
	}
	return c
}

// Stats tells how things are now.
func (l *Live) Stats() Stats {
	policies := l.counts.policies.Snapshot()
	s := Stats{
		Policies: Cache{Hits: policies.Hits, Misses: policies.Misses},
		Subjects: StatsOf(l.subjects), Nodes: StatsOf(l.nodes),
		Fills: make(map[string]meter.Distribution, len(l.counts.fills)),
		Polls: l.counts.polls.Load(), FailedPolls: l.counts.failedPolls.Load(), Hints: l.counts.hints.Load(),
		Revisions: l.counts.revisions.Load(), Behind: l.counts.behind.Load(),
	}
	for kind, fills := range l.counts.fills {
		s.Fills[kind] = fills.Distribution()
	}
	for t := range l.tenants.Values() {
		if !t.loaded.Load() {
			continue
		}
		s.Tenants++
		if t.away.Load() {
			s.Away++
		}
		if t.policy.Load() != nil {
			s.Policies.Entries++
		}
		s.Unconfirmed = max(s.Unconfirmed, time.Since(*t.confirmed.Load()))
	}
	return s
}
