package history

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"
)

// Rule is what must never be found in a history.
type Rule string

const (
	// Lost is a write that was acknowledged and is not in what was kept.
	Lost Rule = "acknowledged writes lost"
	// Duplicated is an effect that nobody asked for, or more than once.
	Duplicated Rule = "duplicated effects"
	// Torn is a transaction of which a part was kept.
	Torn Rule = "torn transactions"
	// WrongAllow is an allow though no state within the bound allowed it, or none at the
	// revision that it says; or a session that was taken after its end.
	WrongAllow Rule = "wrong allows"
	// WrongDeny is likewise a deny.
	WrongDeny Rule = "wrong denies"
	// TooOld is an answer from before the revision that was asked for, or one that says
	// itself that it is older than it may be.
	TooOld Rule = "answers too old"
	// SessionLost is an honest session that was ended or refused.
	SessionLost Rule = "sessions lost"
	// Forked is a generation of a session that was made twice.
	Forked Rule = "sessions forked"
	// BadStatus is a 5xx other than 503, a 503 that does not say when to come again, or a
	// refusal of an honest request.
	BadStatus Rule = "bad statuses"
)

// Rules are all rules.
var Rules = []Rule{Lost, Duplicated, Torn, WrongAllow, WrongDeny, TooOld, SessionLost, Forked, BadStatus}

// Kept is what the database holds in the end.
type Kept struct {
	// Changes are the change feed, in its order.
	Changes []Change
	// Events are the audit log.
	Events   []Event
	Sessions []Session
}

// Change is a record of the change feed. Register is its kind and key.
type Change struct {
	Revision int64
	Register string
}

// Event is a record of the audit log. Its revision is 0 where it changed no policy.
type Event struct {
	Revision         int64
	Action, Resource string
}

// Session is a session that the database knows.
type Session struct {
	ID, User string
	Live     bool
}

// Actions are what the audit log calls the changes of registers.
type Actions struct{ Gives, Takes []string }

// SessionCreated is what the audit log calls the beginning of a session, whose resource
// is sessionResource and its id.
const (
	SessionCreated  = "SESSION_CREATED"
	sessionResource = "session/"
)

// Verdict is what Check has found.
type Verdict struct {
	// Requests are all, Acknowledged the writes that were, and Unknown those of which that
	// is not known; of these UnknownKept had their effect.
	Requests, Acknowledged, Unknown, UnknownKept int
	// Unavailable are the answers 503, Unanswered the tries that were sent and got none, and
	// Stale the readings that said that they were.
	Unavailable, Unanswered, Stale int
	// Settled are the writes under a key that a later try has settled, after one whose
	// outcome was unknown; they are not among the Unknown. Replayed are the answers that
	// were given again.
	Settled, Replayed int
	// Slowest is how long a request took at most.
	Slowest time.Duration
	// Found are what broke a rule.
	Found map[Rule][]string
}

// Check holds a history against what was kept. An answer must rest on what was true at
// most bound before its request began.
func Check(h History, kept Kept, actions Actions, bound time.Duration) Verdict {
	c := checker{history: h, kept: kept, actions: actions, bound: bound, verdict: Verdict{Found: map[Rule][]string{}}}
	c.joinTries()
	c.readFeed()
	c.orderRevisions()
	c.findOwners()
	for i := range h.Readings {
		c.checkReading(&h.Readings[i])
	}
	c.checkSessions()
	refusals := map[*Request]bool{}
	for i := range h.Steps {
		refusals[&h.Steps[i].Request] = h.Steps[i].Refusal != ""
	}
	for q := range h.requests {
		c.checkAnswers(q, refusals[q])
	}
	return c.verdict
}

// String is one line of figures.
func (v Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests, %d writes acknowledged, %d unknown (%d kept), %d answers 503, %d unanswered, %d settled by asking again, %d replayed, %d stale, slowest %.1f s",
		v.Requests, v.Acknowledged, v.Unknown, v.UnknownKept, v.Unavailable, v.Unanswered, v.Settled, v.Replayed, v.Stale, v.Slowest.Seconds())
	for _, rule := range Rules {
		fmt.Fprintf(&b, ", %s %d", rule, len(v.Found[rule]))
	}
	return b.String()
}

// Recovery is how long after a moment the last request failed that ended after it.
func (h *History) Recovery(since time.Duration) time.Duration {
	var last time.Duration
	for q := range h.requests {
		if q.Outcome != Done {
			last = max(last, q.End-since)
		}
	}
	return last
}

type checker struct {
	history History
	// writes are the history's, the tries of each being one.
	writes  []*Write
	kept    Kept
	actions Actions
	bound   time.Duration
	verdict Verdict

	// records are those of each register, in the order of their revisions.
	records map[string][]*record
	// answered are the revisions that were answered, in their order.
	answered []revisionSeen
}

// record is a change of a register.
type record struct {
	revision int64
	granted  bool
	// owner asked for it; nil while nobody is known to have.
	owner *Write
	// earliest is when it may have been made.
	earliest time.Duration
}

// revisionSeen says by when a revision, or a later one, had been seen.
type revisionSeen struct {
	revision int64
	by       time.Duration
}

func (c *checker) found(rule Rule, format string, args ...any) {
	c.verdict.Found[rule] = append(c.verdict.Found[rule], fmt.Sprintf(format, args...))
}

// joinTries makes one write of the tries under one key. Those that are answered after the
// first must have got its answer.
func (c *checker) joinTries() {
	named := map[string]*Write{}
	for i := range c.history.Writes {
		try := &c.history.Writes[i]
		w := named[try.Key]
		if try.Key == "" || w == nil {
			joined := *try
			w = &joined
			c.writes = append(c.writes, w)
			if try.Key != "" {
				named[try.Key] = w
			}
			continue
		}
		switch {
		case try.Outcome != Done:
			if w.Outcome == Refused {
				w.Outcome = try.Outcome
			}
		case w.Outcome != Done:
			if w.Outcome == Unknown {
				c.verdict.Settled++
			}
			w.Outcome, w.End, w.Revision = Done, try.End, try.Revision
		case try.Revision != w.Revision || !try.Answers[len(try.Answers)-1].Replayed:
			c.found(Duplicated, "%s, and again %s", w, try)
		}
	}
}

// readFeed reads the change feed, and holds the audit log against it.
func (c *checker) readFeed() {
	c.records = map[string][]*record{}
	type at struct {
		revision int64
		resource string
	}
	events := map[at][]string{}
	for _, e := range c.kept.Events {
		if e.Revision > 0 {
			events[at{e.Revision, e.Resource}] = append(events[at{e.Revision, e.Resource}], e.Action)
		}
	}
	last := int64(0)
	for _, change := range c.kept.Changes {
		if change.Revision < last || change.Revision > last+1 {
			c.found(Lost, "the change feed goes from revision %d to %d", last, change.Revision)
		}
		last = change.Revision
		key := at{change.Revision, change.Register}
		actions := events[key]
		delete(events, key)
		switch len(actions) {
		case 0:
			c.found(Lost, "no audit event of %s at revision %d", change.Register, change.Revision)
			continue
		case 1:
		default:
			c.found(Duplicated, "%d audit events of %s at revision %d", len(actions), change.Register, change.Revision)
		}
		gives, takes := slices.Contains(c.actions.Gives, actions[0]), slices.Contains(c.actions.Takes, actions[0])
		if !gives && !takes {
			continue
		}
		records := c.records[change.Register]
		if n := len(records); n > 0 && records[n-1].granted == gives || n == 0 && takes {
			c.found(Duplicated, "%s of %s at revision %d changes nothing", actions[0], change.Register, change.Revision)
		}
		c.records[change.Register] = append(records, &record{revision: change.Revision, granted: gives})
	}
	for key := range events {
		c.found(Lost, "no change of %s at revision %d, which the audit log has", key.resource, key.revision)
	}
}

// orderRevisions finds by when each revision had been seen.
func (c *checker) orderRevisions() {
	see := func(q *Request, revision int64) {
		if q.Outcome == Done && revision > 0 {
			c.answered = append(c.answered, revisionSeen{revision, q.End})
		}
	}
	for _, w := range c.writes {
		see(&w.Request, w.Revision)
	}
	for i := range c.history.Readings {
		see(&c.history.Readings[i].Request, c.history.Readings[i].Revision)
	}
	slices.SortFunc(c.answered, func(a, b revisionSeen) int { return cmp.Compare(a.revision, b.revision) })
	for i := len(c.answered) - 2; i >= 0; i-- {
		c.answered[i].by = min(c.answered[i].by, c.answered[i+1].by)
	}
}

const never = time.Duration(math.MaxInt64)

// seenBy is by when a revision had certainly been committed.
func (c *checker) seenBy(revision int64) time.Duration {
	i := sort.Search(len(c.answered), func(i int) bool { return c.answered[i].revision >= revision })
	if i == len(c.answered) {
		return never
	}
	return c.answered[i].by
}

// findOwners finds for each record the one write that asked for it.
func (c *checker) findOwners() {
	writes := map[string][]*Write{}
	for _, w := range c.writes {
		for _, register := range w.Registers {
			writes[register] = append(writes[register], w)
		}
		switch w.Outcome {
		case Done:
			c.verdict.Acknowledged++
		case Unknown:
			c.verdict.Unknown++
		}
	}
	// owned are the revisions of each write's records.
	owned := map[*Write]map[int64]int{}
	own := func(r *record, w *Write) {
		r.owner, r.earliest = w, w.Start
		if owned[w] == nil {
			owned[w] = map[int64]int{}
		}
		owned[w][r.revision]++
	}
	for register, writes := range writes {
		c.ownAcknowledged(register, writes, own)
		c.ownUnknown(register, writes, own)
	}
	for _, w := range c.writes {
		revisions := owned[w]
		if len(revisions) > 0 && w.Outcome == Unknown {
			c.verdict.UnknownKept++
		}
		for revision, records := range revisions {
			if records != len(w.Registers) {
				c.found(Torn, "%s: %d of its %d changes are at revision %d", w, records, len(w.Registers), revision)
			}
		}
	}
}

// ownAcknowledged finds what was acknowledged: at its revision the register is what the
// write made it.
func (c *checker) ownAcknowledged(register string, writes []*Write, own func(*record, *Write)) {
	last := int64(0)
	var unknown []*Write // since the last that was acknowledged
	for _, w := range writes {
		switch w.Outcome {
		case Unknown:
			unknown = append(unknown, w)
			continue
		case Refused:
			continue
		}
		if w.Revision < last {
			c.found(Lost, "%s: answered with revision %d after %d", w, w.Revision, last)
		}
		last = max(last, w.Revision)
		r := c.at(register, w.Revision)
		switch {
		case r == nil && w.Granted, r != nil && r.granted != w.Granted:
			c.found(Lost, "%s: %s is not so at revision %d", w, register, w.Revision)
		case r == nil || r.revision < w.Revision:
			// It was so already. Whether it may have been, the records between tell: each of
			// them has an owner.
		case r.owner == nil:
			own(r, w)
			// Where a write before has made it so, this one was told the same.
			for _, u := range unknown {
				if u.Granted == w.Granted {
					r.earliest = min(r.earliest, u.Start)
				}
			}
		case len(unknown) == 0:
			c.found(Lost, "%s and %s were told the same revision", r.owner, w)
		}
		unknown = nil
	}
}

// ownUnknown finds for each record that nobody was told of a write that was not answered.
func (c *checker) ownUnknown(register string, writes []*Write, own func(*record, *Write)) {
	for _, r := range c.records[register] {
		if r.owner != nil {
			continue
		}
		i := slices.IndexFunc(writes, func(w *Write) bool {
			return w.Outcome == Unknown && w.Granted == r.granted && w.Start < c.seenBy(r.revision) && !c.owns(register, w)
		})
		if i < 0 {
			c.found(Duplicated, "nobody asked for %s to become %t at revision %d, or not twice", register, r.granted, r.revision)
			continue
		}
		own(r, writes[i])
	}
}

func (c *checker) owns(register string, w *Write) bool {
	return slices.ContainsFunc(c.records[register], func(r *record) bool { return r.owner == w })
}

// at is the last record of a register at a revision; nil where there is none yet.
func (c *checker) at(register string, revision int64) *record {
	records := c.records[register]
	i := sort.Search(len(records), func(i int) bool { return records[i].revision > revision })
	if i == 0 {
		return nil
	}
	return records[i-1]
}

// checkReading checks that an answer is what was true at its revision, and at a moment
// that it may rest on.
func (c *checker) checkReading(r *Reading) {
	if r.Outcome != Done {
		return
	}
	if r.Stale > 0 {
		c.verdict.Stale++
	}
	if r.Revision < r.Least || r.Stale > c.bound {
		c.found(TooOld, "%s: revision %d, %v stale; want revision %d and at most %v", &r.Request, r.Revision, r.Stale, r.Least, c.bound)
	}
	for register, granted := range r.Granted {
		rule := WrongDeny
		if granted {
			rule = WrongAllow
		}
		at := c.at(register, r.Revision)
		if (at != nil && at.granted) != granted {
			c.found(rule, "%s: %s is %t at revision %d", &r.Request, register, granted, r.Revision)
		} else if !c.was(register, granted, r.Start-c.bound, r.End) {
			c.found(rule, "%s: %s is %t, and was not from %v on", &r.Request, register, granted, r.Start-c.bound)
		}
	}
}

// was tells whether a register may have been granted, or not, at a moment of a time.
func (c *checker) was(register string, granted bool, from, to time.Duration) bool {
	records := c.records[register]
	for i := -1; i < len(records); i++ {
		value, earliest, latest := false, time.Duration(math.MinInt64), never
		if i >= 0 {
			value, earliest = records[i].granted, records[i].earliest
		}
		if i+1 < len(records) {
			latest = c.seenBy(records[i+1].revision)
		}
		if value == granted && earliest <= to && latest >= from {
			return true
		}
	}
	return false
}

// checkAnswers checks what came over HTTP. A token that was refused is judged elsewhere.
func (c *checker) checkAnswers(q *Request, tokenRefused bool) {
	c.verdict.Requests++
	c.verdict.Slowest = max(c.verdict.Slowest, q.End-q.Start)
	for _, a := range q.Answers {
		if a.Replayed {
			c.verdict.Replayed++
		}
		switch {
		case a.Status == 0 && a.Unknown:
			c.verdict.Unanswered++
		case a.Status == http.StatusServiceUnavailable && !a.RetryAfter:
			c.found(BadStatus, "%s: 503 without Retry-After", q)
		case a.Status == http.StatusServiceUnavailable:
			c.verdict.Unavailable++
		case a.Status >= http.StatusBadRequest && !(a.Status == http.StatusUnauthorized && tokenRefused):
			c.found(BadStatus, "%s: %d", q, a.Status)
		}
	}
}

// String says what was asked, for whoever looks for a fault.
func (q *Request) String() string {
	outcome := map[Outcome]string{Done: "done", Refused: "refused", Unknown: "unknown"}[q.Outcome]
	s := fmt.Sprintf("%s on %s, %.3f to %.3f s, %s", q.Name, q.Server, q.Start.Seconds(), q.End.Seconds(), outcome)
	if q.Failure != "" {
		s += " (" + q.Failure + ")"
	}
	return s
}

// String adds to the request what it was to make.
func (w *Write) String() string {
	return fmt.Sprintf("%s of %s = %t at revision %d", &w.Request, strings.Join(w.Registers, ", "), w.Granted, w.Revision)
}
