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

// nowMicros is micros of this process's clock.
func nowMicros() int64 { return micros(time.Now()) }

// endMicros is micros for the end of a window, where the zero time is none. An end
// before 1970 counts as the moment after it began, for it must not read as none.
func endMicros(t time.Time) int64 {
	if t.IsZero() {
		return noEnd
	}
	return max(micros(t), noStart+1)
}

// endedMicros is micros for when something ended, such as a session or a key, which is
// never one of the bounds that mean "none", whatever a caller's clock says.
func endedMicros(at time.Time) int64 { return max(micros(at), noStart+1) }

// timeOf turns the column of a start, or of what has happened, back into a time; the
// bound that means none becomes zero.
func timeOf(micros int64) time.Time {
	if micros == noStart {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// endOf is timeOf for the column of an end.
func endOf(micros int64) time.Time {
	if micros == noEnd {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
