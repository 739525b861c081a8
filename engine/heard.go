package engine

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// heard is what the database said lately of things that are revoked: it is asked
// again after heardFor. Memory is bounded.
type heard[K comparable, V any] struct {
	entries *otter.Cache[K, word[V]]
	// asked counts what was known lately enough, and what was not.
	asked *stats.Counter
	// maxStaleness is how long a word stands while the database is away.
	maxStaleness time.Duration
}

const (
	// heardFor bounds how long a server goes on to accept what another process has
	// revoked.
	heardFor = time.Second
	// heardPatience is what the database has to answer in where a word is known from
	// before.
	heardPatience = time.Second
	// heardEntry is about how many bytes one entry takes, or a verified token.
	heardEntry = 1 << 10
)

// word is a value as it was read, and when the database was last asked.
type word[V any] struct {
	value           V
	readAt, askedAt time.Time
}

func newHeard[K comparable, V any](most int, maxStaleness time.Duration) (*heard[K, V], error) {
	entries, err := otter.New(&otter.Options[K, word[V]]{
		MaximumSize:      most,
		ExpiryCalculator: otter.ExpiryWriting[K, word[V]](max(heardFor, maxStaleness)),
	})
	return &heard[K, V]{entries: entries, asked: stats.NewCounter(), maxStaleness: maxStaleness}, err
}

// ask returns what is known, or what read finds, and tells whether it knew already.
// While the database is away it goes on for as long as decisions do.
func (h *heard[K, V]) ask(ctx context.Context, key K, read func(context.Context) (V, error)) (value V, known bool, err error) {
	last, known := h.entries.GetIfPresent(key)
	if known && time.Since(last.askedAt) < heardFor {
		h.asked.RecordHits(1)
		return last.value, true, nil
	}
	h.asked.RecordMisses(1)
	asking := ctx
	if known {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, heardPatience)
		defer cancel()
	}
	now := time.Now()
	value, err = read(asking)
	switch {
	case err == nil:
		h.entries.Set(key, word[V]{value: value, readAt: now, askedAt: now})
		return value, false, nil
	case known && fault.CodeOf(err) == fault.CodeUnavailable && ctx.Err() == nil && time.Since(last.readAt) < h.maxStaleness:
		// Asked again after heardFor, so that not every request waits.
		last.askedAt = time.Now()
		h.entries.Set(key, last)
		return last.value, true, nil
	default:
		return value, false, err
	}
}

func (h *heard[K, V]) forget(key K) { h.entries.Invalidate(key) }

func (h *heard[K, V]) stats() Cache {
	asked := h.asked.Snapshot()
	return Cache{Hits: asked.Hits, Misses: asked.Misses, Entries: h.entries.EstimatedSize()}
}
