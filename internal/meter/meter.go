// Package meter counts what a process does, for whoever shows it. It knows of no
// monitoring system: package server puts what is counted into the form of one.
package meter

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Tally counts by word. It is for what happens seldom enough that a lock does not
// matter.
type Tally struct {
	mu     sync.Mutex
	counts map[string]uint64
}

// NewTally returns a Tally of words that nothing was counted under yet. Others may
// come.
func NewTally(words ...string) *Tally {
	t := &Tally{counts: make(map[string]uint64, len(words))}
	for _, word := range words {
		t.counts[word] = 0
	}
	return t
}

// Add counts n more under a word.
func (t *Tally) Add(word string, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[word] += n
}

// Counts returns what was counted, by word.
func (t *Tally) Counts() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// Histogram counts durations by how long they are. It takes no lock.
type Histogram struct {
	bounds []time.Duration
	// counts has one for each bound, of what is no longer and longer than the bound
	// before, and one for what is longer than all.
	counts []atomic.Uint64
	nanos  atomic.Int64
}

// NewHistogram returns a Histogram with upper bounds, shortest first.
func NewHistogram(bounds ...time.Duration) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	at, _ := slices.BinarySearch(h.bounds, d)
	h.counts[at].Add(1)
	h.nanos.Add(int64(d))
}

// Distribution is what a Histogram has counted.
type Distribution struct {
	Count   uint64
	Seconds float64
	// Buckets holds how many took at most so many seconds.
	Buckets map[float64]uint64
}

// Distribution returns what was counted. What is observed meanwhile may be in a part of
// it.
func (h *Histogram) Distribution() Distribution {
	d := Distribution{Seconds: time.Duration(h.nanos.Load()).Seconds(), Buckets: make(map[float64]uint64, len(h.bounds))}
	for i := range h.counts {
		d.Count += h.counts[i].Load()
		if i < len(h.bounds) {
			d.Buckets[h.bounds[i].Seconds()] = d.Count
		}
	}
	return d
}
