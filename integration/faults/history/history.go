// Package history holds what clients were told against what a database has kept.
//
// Clients note each request in a [Recorder]: what they asked of which server, when, and
// what came of it. Each thing that is given and taken, a register, has one writer, so
// that its true history is known. [Check] finds what cannot be: see [Rule].
//
// It knows nothing of Gatehouse but its words, and asks nobody. A History is a value,
// which a test can make up.
package history

import (
	"maps"
	"sync"
	"time"
)

// Outcome is what is known of a request's effect when it has ended.
type Outcome int

const (
	// Done is answered.
	Done Outcome = iota + 1
	// Refused certainly had no effect.
	Refused
	// Unknown may have had its effect, or may have it yet.
	Unknown
)

// Request is what is noted of every request.
type Request struct {
	// Server is whom it was sent to.
	Server string
	// Name is what was asked, such as "AddMembership".
	Name string
	// Start and End are since the history began.
	Start, End time.Duration
	Outcome    Outcome
	// Failure says why it was not Done.
	Failure string
	// Answers are what came over HTTP: one for each try.
	Answers []Answer
}

// Answer is what came of one try.
type Answer struct {
	// Status is 0 where nothing came.
	Status int
	// RetryAfter tells whether it said when to ask again.
	RetryAfter bool
	// Unknown tells whether the change may have been made: the server said so, or said
	// nothing though it was asked.
	Unknown bool
	// Replayed tells that the server says it has given this answer before.
	Replayed bool
}

// Write gives or takes registers, all in one.
type Write struct {
	Request
	// Key is what the client calls the write, the same in each of its tries, which have
	// their effect once. They come one after the other, with nothing else of the same
	// registers between. Without a key there is one try.
	Key string
	// Registers are the changes that it makes, as the change feed and the audit log name
	// them, such as "membership/alice/editor".
	Registers []string
	// Granted is what they are to be.
	Granted bool
	// Revision is that of the answer.
	Revision int64
}

// Reading asks what registers are.
type Reading struct {
	Request
	// Granted is what the answer says of each register.
	Granted map[string]bool
	// Revision is that of the answer, and Least that which was asked for.
	Revision, Least int64
	// Stale is for how long, as the answer says, the database had been away.
	Stale time.Duration
}

// SessionAct is what is asked of a session.
type SessionAct int

const (
	CreateSession SessionAct = iota + 1
	RotateSession
	VerifySession
	EndSession
)

// SessionStep asks something of a session. Each has one owner, who does one thing at a
// time, and presents the newest token that they know.
type SessionStep struct {
	Request
	Act SessionAct
	// User is of one session alone.
	User string
	// ID is empty where it was not created, as far as its owner knows.
	ID string
	// Generation is that of the answer to RotateSession.
	Generation int64
	// Rotated tells whether RotateSession made that generation, or found it made.
	Rotated bool
	// Active is what VerifySession says.
	Active bool
	// Refusal is why a token was not taken, as the server says.
	Refusal string
}

// History is what was asked and answered. Writes to one register are in the order in
// which they began, and so are the steps of one session.
type History struct {
	Writes   []Write
	Readings []Reading
	Steps    []SessionStep
}

// requests yields what is noted of every request.
func (h *History) requests(yield func(*Request) bool) {
	for i := range h.Writes {
		if !yield(&h.Writes[i].Request) {
			return
		}
	}
	for i := range h.Readings {
		if !yield(&h.Readings[i].Request) {
			return
		}
	}
	for i := range h.Steps {
		if !yield(&h.Steps[i].Request) {
			return
		}
	}
}

// Recorder takes a History down. Its methods may be called by many goroutines.
type Recorder struct {
	began time.Time

	mu      sync.Mutex
	history History
	ended   int
	// streaks are what Streaks returns.
	streaks map[Asked]int
	failed  int
}

// Asked is a kind of request to a server.
type Asked struct{ Server, Name string }

// NewRecorder begins a History.
func NewRecorder() *Recorder { return &Recorder{began: time.Now(), streaks: map[Asked]int{}} }

// Now is the time since the history began.
func (r *Recorder) Now() time.Duration { return time.Since(r.began) }

// Write notes a write that has ended.
func (r *Recorder) Write(w Write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Writes = append(r.history.Writes, w)
	r.count(&w.Request)
}

// Reading notes a reading that has ended.
func (r *Recorder) Reading(g Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Readings = append(r.history.Readings, g)
	r.count(&g.Request)
}

// Session notes a session's step that has ended.
func (r *Recorder) Session(s SessionStep) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Steps = append(r.history.Steps, s)
	r.count(&s.Request)
}

func (r *Recorder) count(q *Request) {
	r.ended++
	kind := Asked{q.Server, q.Name}
	if q.Outcome == Done {
		r.streaks[kind] = max(r.streaks[kind], 0) + 1
		return
	}
	r.streaks[kind] = min(r.streaks[kind], 0) - 1
	r.failed++
}

// Ended is how many requests have ended, and how many of them were not Done.
func (r *Recorder) Ended() (all, failed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended, r.failed
}

// Streaks are, of each server and kind of request, how many were Done since the last that
// was not; below 0, how many were not since the last that was.
func (r *Recorder) Streaks() map[Asked]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.streaks)
}

// History is what has been noted. Nothing may be noted any more.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.history
}
