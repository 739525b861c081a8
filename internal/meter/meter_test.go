package meter_test

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/meter"
)

func TestTallyCountsByWord(t *testing.T) {
	t.Parallel()
	tally := meter.NewTally("seldom", "often")
	var done sync.WaitGroup
	for range 10 {
		done.Go(func() { tally.Add("often", 2) })
	}
	done.Wait()
	tally.Add("new", 1)
	if got, want := tally.Counts(), (map[string]uint64{"seldom": 0, "often": 20, "new": 1}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHistogramCountsUpToEachBound(t *testing.T) {
	t.Parallel()
	h := meter.NewHistogram(time.Millisecond, time.Second)
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Second, time.Minute} {
		h.Observe(d)
	}
	got := h.Distribution()
	if want := (map[float64]uint64{0.001: 2, 1: 4}); got.Count != 5 || !maps.Equal(got.Buckets, want) {
		t.Errorf("got %+v, want 5 in all and %v", got, want)
	}
	if want := 61.002; got.Seconds < want || got.Seconds > want+0.001 {
		t.Errorf("seconds: got %v, want %v", got.Seconds, want)
	}
}
