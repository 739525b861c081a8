package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/session"
)

// The walk is a world of browsers with several tabs, of thieves who copied a browser's
// cookie, and of servers that read a row and swap it a little later. Requests and answers
// take their time and get lost. The world keeps the exact time at which each token was
// superseded, and holds every verdict to it.
const (
	maxTransit = 1200 * time.Millisecond
	maxStagger = 4 * time.Second
	maxServing = 80 * time.Millisecond
)

type walk struct {
	*testing.T
	random *rand.Rand
	rules  session.Rules
	// overtaking lets a later answer of a browser arrive first.
	overtaking bool
	now        time.Time
	queue      []event // by time
	counts     map[string]int
}

type event struct {
	at time.Time
	do func()
}

// sitting is a session with all that is true of it.
type sitting struct {
	row          session.Row
	supersededAt map[int64]time.Time
	successors   map[int64]int
	stolen       bool
}

// browser holds the cookie of one session, be it its owner's or a thief's.
type browser struct {
	sitting *sitting
	client  session.Client
	thief   bool
	jar     int64
	// flying counts the requests whose answers may still come.
	flying int
	// answeredAt is when the latest answer so far arrives.
	answeredAt time.Time
	// setBack is true once an overtaken answer brought an older token.
	setBack bool
}

func TestWalk(t *testing.T) {
	t.Parallel()
	for _, rules := range []session.Rules{rules, lazy} {
		for _, overtaking := range []bool{false, true} {
			t.Run(fmt.Sprintf("rotate_after=%v/overtaking=%v", rules.RotateAfter, overtaking), func(t *testing.T) {
				t.Parallel()
				counts := map[string]int{}
				for seed := range uint64(4) {
					w := &walk{T: t, random: rand.New(rand.NewPCG(seed, 6)), rules: rules, overtaking: overtaking, now: start, counts: counts}
					w.run(20_000)
					if t.Failed() {
						t.Fatalf("seed %d", seed)
					}
				}
				t.Log(counts)
				want := []string{"rotated", "replayed", "recovered", "theft found", "revoked", "swap failed", "answer lost", "moved", "signed in"}
				if rules.RotateAfter > 0 {
					want = append(want, "current")
				}
				for _, seen := range want {
					if counts[seen] == 0 {
						t.Errorf("the walk has not seen: %s", seen)
					}
				}
			})
		}
	}
}

func (w *walk) run(steps int) {
	for range 16 {
		w.visit()
	}
	for range steps {
		next := w.queue[0]
		w.queue = w.queue[1:]
		w.now = next.at
		next.do()
		if w.Failed() {
			return
		}
	}
}

// after queues what is to happen in up to a while.
func (w *walk) after(atMost time.Duration, do func()) { w.at(w.now.Add(w.upTo(atMost)), do) }

func (w *walk) at(at time.Time, do func()) {
	i, _ := slices.BinarySearchFunc(w.queue, at, func(e event, at time.Time) int {
		if e.at.After(at) {
			return 1
		}
		return -1
	})
	w.queue = slices.Insert(w.queue, i, event{at: at, do: do})
}

func (w *walk) upTo(d time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(d) + 1))
}

func (w *walk) oneIn(n int) bool { return w.random.IntN(n) == 0 }

// visit signs a new browser in and, for some, lets a thief copy its cookie later.
func (w *walk) visit() {
	w.counts["signed in"]++
	asked := authz.NewSession{User: "ann", IP: home.IP, UserAgent: home.UserAgent, Binding: authz.BindingStandard}
	s := &sitting{row: session.New("s", asked, 0, w.rules, w.now), supersededAt: map[int64]time.Time{}, successors: map[int64]int{}}
	owner := &browser{sitting: s, client: home, jar: 1}
	w.after(time.Second, func() { w.browse(owner) })
	if w.oneIn(2) {
		w.after(time.Hour, func() { w.steal(owner) })
	}
	if w.oneIn(2) {
		w.after(2*time.Hour, func() { w.revoke(s) })
	}
}

func (w *walk) steal(owner *browser) {
	if owner.jar == 0 {
		return
	}
	owner.sitting.stolen = true
	thief := &browser{sitting: owner.sitting, client: owner.client, thief: true, jar: owner.jar}
	if w.oneIn(2) {
		thief.client.IP = "203.0.113.66"
	}
	w.after(10*time.Minute, func() { w.browse(thief) })
	w.after(48*time.Hour, func() { w.settle(owner, thief) })
}

func (w *walk) revoke(s *sitting) {
	if s.row.EndedAt.IsZero() {
		w.counts["revoked"]++
		w.end(s, authz.EndRevoked)
	}
}

func (w *walk) end(s *sitting, reason authz.SessionEnd) {
	s.row.EndedAt, s.row.EndReason = w.now, reason
}

// browse loads a page, with requests in parallel, and goes on to the next.
func (w *walk) browse(b *browser) {
	if b.jar == 0 {
		return
	}
	row := b.sitting.row
	behind := b.jar < row.Generation
	// The rule can not tell a browser from a thief that holds a token whose answer was
	// lost while the overlap runs out. This browser comes back before that or after.
	if out := b.sitting.supersededAt[b.jar].Add(w.rules.Overlap); behind && !w.now.After(out) && out.Sub(w.now) < maxStagger+2*maxTransit {
		w.at(out.Add(time.Millisecond), func() { w.browse(b) })
		return
	}
	if !b.thief && !behind && b.flying == 0 && w.oneIn(8) {
		b.client = session.Client{
			IP:        []string{home.IP, train.IP, "2001:db8::1"}[w.random.IntN(3)],
			UserAgent: []string{firefox, newerFirefox}[w.random.IntN(2)],
		}
	}
	for range 1 + w.random.IntN(12) {
		b.flying++
		w.after(maxStagger, func() { w.send(b) })
	}
	w.after(2*maxStagger, func() { w.rest(b) })
}

// rest goes on after a pause: a short one while an answer may be missing, so that the
// lost window is not missed.
func (w *walk) rest(b *browser) {
	pause := 20 * time.Second
	if b.thief || b.flying == 0 && b.jar >= b.sitting.row.Generation {
		pause = []time.Duration{time.Second, 20 * time.Second, 10 * time.Minute, 2 * time.Hour}[w.random.IntN(4)]
	}
	w.after(pause, func() { w.browse(b) })
}

func (w *walk) send(b *browser) {
	if b.jar == 0 || w.oneIn(40) {
		b.flying--
		return
	}
	presented, client := b.jar, b.client
	w.after(maxTransit, func() { w.serve(b, presented, client) })
}

// serve reads the row, and swaps it a little later.
func (w *walk) serve(b *browser, presented int64, client session.Client) {
	read := b.sitting.row
	verdict := session.Next(read, session.User{}, presented, client, w.rules, w.now)
	w.judge(b, read, presented, client, verdict)
	decidedAt := w.now
	w.after(maxServing, func() {
		if !w.swap(b.sitting, read, verdict, decidedAt) {
			w.counts["swap failed"]++
			w.serve(b, presented, client)
			return
		}
		w.answer(b, verdict)
	})
}

// swap carries a verdict out, as the statements of the store do, unless the row has
// moved on.
func (w *walk) swap(s *sitting, read session.Row, verdict session.Verdict, decidedAt time.Time) bool {
	switch {
	case verdict.End == "" && verdict.Refusal != "":
		return true
	case !s.row.EndedAt.IsZero() || s.row.Generation != read.Generation:
		return false
	case verdict.End != "":
		w.end(s, verdict.End)
	case verdict.Outcome == authz.SessionRotated:
		s.successors[read.Generation]++
		if got := s.successors[read.Generation]; got != 1 {
			w.Errorf("generation %d has %d successors", read.Generation, got)
		}
		s.supersededAt[read.Generation] = decidedAt
		s.row = verdict.Row
	case verdict.Outcome == authz.SessionCurrent:
		s.row.Confirmed, s.row.IP, s.row.UserAgent = verdict.Row.Confirmed, verdict.Row.IP, verdict.Row.UserAgent
	case verdict.Recovered:
		if s.row.Confirmed >= s.row.Generation || s.row.Recovered >= s.row.Generation {
			return false
		}
		s.row.Replays++
		s.row.Recovered, s.row.Recent = verdict.Row.Recovered, verdict.Row.Recent
		s.supersededAt[read.Generation-1] = decidedAt
	default:
		if s.row.Replays >= session.MaxReplays {
			return false
		}
		s.row.Replays++
	}
	return true
}

// judge holds a verdict to what is true.
func (w *walk) judge(b *browser, row session.Row, presented int64, client session.Client, verdict session.Verdict) {
	w.counts[string(verdict.Outcome)+string(verdict.Refusal)]++
	if verdict.Recovered {
		w.counts["recovered"]++
	}
	if verdict.Moved {
		w.counts["moved"]++
	}
	if verdict.End == authz.EndTokenReused {
		w.counts["theft found"]++
	}
	if len(verdict.Row.Recent) > 34 {
		w.Errorf("Recent has %d entries", len(verdict.Row.Recent))
	}
	if !row.EndedAt.IsZero() {
		if verdict.Refusal != authz.ErrSessionEnded || verdict.End != "" {
			w.Errorf("a session that ended by %s: got %+v", row.EndReason, verdict)
		}
		return
	}
	if verdict.End != "" && !b.sitting.stolen {
		if !b.setBack {
			w.Errorf("generation %d from an honest browser at %v: got %+v of %+v", presented, w.now, verdict, row)
		}
		w.counts["set back and ended"]++
	}
	if presented >= row.Generation {
		return
	}
	age := w.now.Sub(b.sitting.supersededAt[presented])
	lost := presented == row.Generation-1 && row.Confirmed < row.Generation && row.Recovered < row.Generation &&
		w.now.Sub(row.RotatedAt) <= w.rules.LostWindow && row.IP == client.IP && row.UserAgent == client.UserAgent
	switch theft := verdict.End == authz.EndTokenReused; {
	case theft && age <= w.rules.Overlap && row.Replays < session.MaxReplays:
		w.Errorf("generation %d, superseded %v ago: got %+v of %+v", presented, age, verdict, row)
	case !theft && age > w.rules.Overlap+w.rules.Overlap/32+1 && !lost:
		w.Errorf("generation %d, superseded %v ago and not lost: got %+v of %+v", presented, age, verdict, row)
	}
}

// answer brings the browser its token, or loses it on the way.
func (w *walk) answer(b *browser, verdict session.Verdict) {
	b.flying--
	// A browser whose answer gets lost twice, the overlap apart, is taken for a thief.
	if !verdict.Recovered && w.oneIn(12) {
		w.counts["answer lost"]++
		return
	}
	arrives := w.now.Add(w.upTo(maxTransit))
	if !w.overtaking && arrives.Before(b.answeredAt) {
		arrives = b.answeredAt
	}
	b.answeredAt = arrives
	b.flying++
	w.at(arrives, func() {
		b.flying--
		if verdict.Refusal != "" {
			w.signOut(b)
			return
		}
		if b.jar == 0 {
			return
		}
		b.setBack = b.setBack || verdict.Row.Generation < b.jar
		b.jar = verdict.Row.Generation
	})
}

// signOut deletes the cookie of a session that has ended; its owner signs in again.
func (w *walk) signOut(b *browser) {
	if b.jar != 0 && !b.thief {
		w.after(time.Minute, w.visit)
	}
	b.jar = 0
}

// settle lets owner and thief use what each of them has, beyond all windows: the session
// must not outlive it.
func (w *walk) settle(owner, thief *browser) {
	if owner.jar == 0 || thief.jar == 0 {
		return
	}
	s := owner.sitting
	for _, b := range []*browser{owner, thief} {
		w.now = w.now.Add(w.rules.LostWindow + time.Second)
		verdict := session.Next(s.row, session.User{}, b.jar, b.client, w.rules, w.now)
		if s.row.Over(session.User{}, w.now) {
			break
		}
		if !w.swap(s, s.row, verdict, w.now) {
			w.Fatalf("nothing else is going on, but %+v was not carried out on %+v", verdict, s.row)
		}
	}
	if !s.row.Over(session.User{}, w.now) {
		w.Errorf("owner and thief both used the session, and it lives: %+v", s.row)
	}
	owner.jar, thief.jar = 0, 0
	w.visit()
}
