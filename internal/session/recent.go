package session

import (
	"slices"
	"time"
)

// slots is into how many stretches of equal length the overlap is divided.
const slots = 32

// supersededAt says when a former generation was superseded, or a little later. It
// is the zero time for one that was superseded too long ago to be in Recent.
func (r Row) supersededAt(generation int64) time.Time {
	for _, s := range r.Recent {
		if generation <= s.UpTo {
			return s.At
		}
	}
	if generation == r.Generation-1 {
		return r.RotatedAt
	}
	return time.Time{}
}

// former returns Recent with the generation that the current one superseded, where
// Recent does not have it already.
func (r Row) former() []Superseded {
	recent := slices.Clone(r.Recent)
	if last := r.Generation - 1; last > 0 && (len(recent) == 0 || recent[len(recent)-1].UpTo < last) {
		recent = append(recent, Superseded{UpTo: last, At: r.RotatedAt})
	}
	return recent
}

// thinned returns what must be kept of recent, so that it stays short however fast
// a session rotates: of the generations superseded in one slot of the overlap only the
// latest, which stands for the others; and of those superseded before the overlap only
// the latest, with no time, so that no clock brings them back. What clocks have put into
// the future was superseded now. It may change recent.
func thinned(recent []Superseded, overlap time.Duration, now time.Time) []Superseded {
	slot := overlap/slots + 1
	kept := recent[:0]
	for _, s := range recent {
		if s.At.After(now) {
			s.At = now
		}
		if !within(s.At, overlap, now) {
			s.At = time.Time{}
		}
		if last := len(kept) - 1; last >= 0 && kept[last].At.Truncate(slot).Equal(s.At.Truncate(slot)) {
			kept[last] = s
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// within tells whether at is no longer than a window ago, as a time in the future is; a
// window of zero or less has no such times.
func within(at time.Time, window time.Duration, now time.Time) bool {
	return window > 0 && now.Sub(at) <= window
}
