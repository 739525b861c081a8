package sqlstore

import (
	"math"
	"time"
)

// The bounds that stand for "none" in the tables, and for the zero time in Go.
const (
	noStart int64 = 0
	noEnd   int64 = math.MaxInt64
)

var lastTime = time.UnixMicro(noEnd - 1)

// micros gives t as the tables hold it: microseconds since 1970 in UTC, rounded
// down. A time before 1970 counts as 1970, which is also noStart, and a time past
// the last one that fits counts as that one: nothing wraps.
func micros(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, 0)):
		return noStart
	case t.After(lastTime):
		return noEnd - 1
	}
	return t.UnixMicro()
}

// endMicros is micros for the end of a window, where the zero time is none.
func endMicros(t time.Time) int64 {
	if t.IsZero() {
		return noEnd
	}
	return micros(t)
}

// timeOf turns a column back into a time; the bounds that mean none become zero.
func timeOf(micros int64) time.Time {
	if micros == noStart || micros == noEnd {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
