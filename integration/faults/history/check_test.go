package history_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/integration/faults/history"
)

const (
	second = time.Second
	bound  = 3 * second
	alice  = "membership/alice/editor"
	bob    = "membership/bob/editor"
	carol  = "membership/carol/editor"
	visit  = "session/s1"
)

var actions = history.Actions{Gives: []string{"ADDED"}, Takes: []string{"REMOVED"}}

// request is one from a second to another.
func request(start, end int, outcome history.Outcome) history.Request {
	return history.Request{
		Server: "server-1", Name: "request", Outcome: outcome,
		Start: time.Duration(start) * second, End: time.Duration(end) * second,
		Answers: []history.Answer{{Status: 200}},
	}
}

func write(start, end int, outcome history.Outcome, granted bool, revision int64, registers ...string) history.Write {
	return history.Write{Request: request(start, end, outcome), Registers: registers, Granted: granted, Revision: revision}
}

func read(start, end int, register string, granted bool, revision int64) history.Reading {
	return history.Reading{Request: request(start, end, history.Done), Granted: map[string]bool{register: granted}, Revision: revision}
}

func step(start, end int, act history.SessionAct, s history.SessionStep) history.SessionStep {
	s.Request, s.Act, s.User, s.ID = request(start, end, history.Done), act, "carol", "s1"
	return s
}

// try is a write under a key. It is replayed where the answer says so.
func try(w history.Write, key string, replayed bool) history.Write {
	w.Key, w.Answers[0].Replayed = key, replayed
	return w
}

// story is a history, and what was kept of it.
type story struct {
	history.History
	history.Kept
}

// keep adds a change with its event.
func (s *story) keep(revision int64, action string, registers ...string) {
	for _, register := range registers {
		s.Changes = append(s.Changes, history.Change{Revision: revision, Register: register})
		s.Events = append(s.Events, history.Event{Revision: revision, Action: action, Resource: register})
	}
}

// good is a story with nothing wrong in it.
func good() *story {
	s := &story{}
	s.Writes = []history.Write{
		write(10, 11, history.Done, true, 2, alice),
		write(20, 21, history.Done, false, 3, alice),
		write(30, 31, history.Unknown, true, 0, alice), // kept
		write(32, 33, history.Done, false, 5, alice),
		write(40, 41, history.Unknown, true, 0, alice), // not kept
		write(42, 43, history.Done, false, 5, alice),   // nothing to do
		write(44, 45, history.Unknown, true, 0, alice), // perhaps kept
		write(46, 47, history.Done, true, 6, alice),
		write(50, 51, history.Done, true, 7, bob),
		write(60, 61, history.Refused, false, 0, bob),
		try(write(62, 63, history.Unknown, true, 0, carol), "k1", false), // kept
		try(write(63, 64, history.Refused, true, 0, carol), "k1", false),
		try(write(64, 65, history.Done, true, 8, carol), "k1", true),
		try(write(66, 67, history.Done, true, 8, carol), "k1", true),
		try(write(68, 69, history.Unknown, true, 0, carol), "k1", false),
	}
	s.keep(1, "ROLE_CREATED", "role/editor")
	s.keep(2, "ADDED", alice)
	s.keep(3, "REMOVED", alice)
	s.keep(4, "ADDED", alice)
	s.keep(5, "REMOVED", alice)
	s.keep(6, "ADDED", alice)
	s.keep(7, "ADDED", bob)
	s.keep(8, "ADDED", carol)
	s.Readings = []history.Reading{
		read(9, 10, alice, false, 1),
		read(10, 11, alice, true, 2), // before the write is answered
		read(23, 24, alice, true, 2), // stale within the bound
		read(25, 26, alice, false, 3),
		read(30, 32, alice, false, 3), // not yet
		read(30, 31, alice, true, 4),  // before anybody knows
		read(44, 45, alice, true, 6),
		read(70, 71, bob, true, 8),
	}
	s.Steps = []history.SessionStep{
		step(0, 1, history.CreateSession, history.SessionStep{}), // refused, and tried again
		step(1, 2, history.CreateSession, history.SessionStep{}), // not answered, and tried again
		step(1, 2, history.CreateSession, history.SessionStep{}),
		step(3, 4, history.RotateSession, history.SessionStep{Generation: 2, Rotated: true}),
		step(4, 5, history.RotateSession, history.SessionStep{Generation: 3}), // replayed: its answer was lost
		step(5, 6, history.VerifySession, history.SessionStep{Active: true}),
		step(7, 8, history.EndSession, history.SessionStep{}),
		step(9, 10, history.VerifySession, history.SessionStep{}),
		step(10, 11, history.RotateSession, history.SessionStep{Refusal: "session_ended"}),
	}
	s.Steps[0].ID, s.Steps[0].Outcome = "", history.Refused
	s.Steps[1].ID, s.Steps[1].Outcome = "", history.Unknown
	s.Steps[8].Answers = []history.Answer{{Status: 401}}
	s.Kept.Sessions = []history.Session{{ID: "s1", User: "carol"}}
	s.Events = append(s.Events, history.Event{Action: history.SessionCreated, Resource: visit})
	return s
}

func check(s *story) history.Verdict { return history.Check(s.History, s.Kept, actions, bound) }

func TestCheckAcceptsWhatCanBe(t *testing.T) {
	t.Parallel()
	got := check(good())
	if len(got.Found) != 0 {
		t.Errorf("found %v", got.Found)
	}
	if got.Requests != 32 || got.Acknowledged != 7 || got.Unknown != 3 || got.UnknownKept != 1 || got.Settled != 1 || got.Replayed != 2 {
		t.Errorf("got %v", got)
	}
}

// Each case tells one lie. Check must find it, and nothing else.
func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lie  func(*story)
		want history.Rule
	}{
		"an acknowledged grant that was not kept": {
			func(s *story) {
				s.Writes = append(s.Writes, write(80, 81, history.Done, true, 9, "membership/dave/editor"))
			}, history.Lost,
		},
		"an acknowledged revocation that was not kept": {
			func(s *story) { s.Writes = append(s.Writes, write(80, 81, history.Done, false, 8, bob)) }, history.Lost,
		},
		"two writes that were told one revision": {
			func(s *story) {
				s.keep(9, "REMOVED", bob)
				s.Writes = append(s.Writes, write(80, 81, history.Done, false, 9, bob), write(82, 83, history.Done, false, 9, bob))
			}, history.Lost,
		},
		"a revision that was given again": {
			func(s *story) { s.Writes = append(s.Writes, write(80, 81, history.Done, true, 5, bob)) }, history.Lost,
		},
		"a gap in the change feed": {
			func(s *story) { s.keep(10, "ROLE_CREATED", "role/other") }, history.Lost,
		},
		"a change without its event": {
			func(s *story) { s.Changes = append(s.Changes, history.Change{Revision: 9, Register: "role/other"}) }, history.Lost,
		},
		"an event without its change": {
			func(s *story) {
				s.Events = append(s.Events, history.Event{Revision: 7, Action: "ROLE_CREATED", Resource: "role/other"})
			}, history.Lost,
		},
		"an event that is there twice": {
			func(s *story) { s.Events = append(s.Events, s.Events[2]) }, history.Duplicated,
		},
		"a change that nobody asked for": {
			func(s *story) {
				s.keep(9, "ADDED", "membership/alice/owner")
				s.Writes[9].Registers = []string{"membership/alice/owner"}
			}, history.Duplicated,
		},
		"a refused write that was kept": {
			func(s *story) { s.keep(9, "REMOVED", bob) }, history.Duplicated,
		},
		"an unknown write that was kept twice": {
			func(s *story) {
				s.Writes = append(s.Writes, write(80, 81, history.Unknown, false, 0, bob), write(82, 83, history.Done, true, 10, bob))
				s.keep(9, "REMOVED", bob)
				s.keep(10, "ADDED", bob)
				s.keep(11, "REMOVED", bob)
			}, history.Duplicated,
		},
		"an unknown write that was kept before it began": {
			func(s *story) {
				s.keep(9, "REMOVED", bob)
				s.Readings = append(s.Readings, read(80, 81, bob, false, 9))
				s.Writes = append(s.Writes, write(82, 83, history.Unknown, false, 0, bob))
			}, history.Duplicated,
		},
		"a change that changes nothing": {
			func(s *story) {
				s.keep(9, "ADDED", bob)
				s.Writes = append(s.Writes, write(80, 81, history.Done, true, 9, bob))
			}, history.Duplicated,
		},
		"a change that was made by each of two tries": {
			func(s *story) {
				s.keep(9, "REMOVED", carol)
				s.keep(10, "ADDED", carol)
				s.Writes = append(s.Writes, write(80, 81, history.Done, false, 9, carol))
			}, history.Duplicated,
		},
		"another answer to a second try": {
			func(s *story) { s.Writes[13].Revision = 9 }, history.Duplicated,
		},
		"an answer to a second try that is not the first's": {
			func(s *story) { s.Writes[13].Answers[0].Replayed = false }, history.Duplicated,
		},
		"a write that was lost between its tries": {
			func(s *story) {
				s.Writes = append(s.Writes,
					try(write(80, 81, history.Unknown, false, 0, carol), "k2", false),
					try(write(82, 83, history.Done, false, 8, carol), "k2", false))
			}, history.Lost,
		},
		"half a batch": {
			func(s *story) {
				s.keep(9, "ADDED", "membership/eve/left")
				s.Writes = append(s.Writes, write(80, 81, history.Unknown, true, 0, "membership/eve/left", "membership/eve/right"))
			}, history.Torn,
		},
		"an allow of what was revoked longer ago than the bound": {
			func(s *story) { s.Readings = append(s.Readings, read(25, 26, alice, true, 2)) }, history.WrongAllow,
		},
		"an allow at a revision that did not allow it": {
			func(s *story) { s.Readings = append(s.Readings, read(22, 23, alice, true, 3)) }, history.WrongAllow,
		},
		"an allow before anybody asked for it": {
			func(s *story) { s.Readings = append(s.Readings, read(7, 8, alice, true, 2)) }, history.WrongAllow,
		},
		"an allow of what was never granted": {
			func(s *story) { s.Readings = append(s.Readings, read(70, 71, "membership/dave/editor", true, 7)) }, history.WrongAllow,
		},
		"a deny of what was granted longer ago than the bound": {
			func(s *story) { s.Readings = append(s.Readings, read(55, 56, bob, false, 6)) }, history.WrongDeny,
		},
		"a deny at a revision that allowed it": {
			func(s *story) { s.Readings = append(s.Readings, read(51, 52, bob, false, 7)) }, history.WrongDeny,
		},
		"an answer from before the revision that was asked for": {
			func(s *story) {
				s.Readings[2].Least = 3
			}, history.TooOld,
		},
		"an answer that says that it is too old": {
			func(s *story) { s.Readings[0].Stale = bound + second }, history.TooOld,
		},
		"an acknowledged session that was not kept": {
			func(s *story) { s.Kept.Sessions[0].ID, s.Events[len(s.Events)-1].Resource = "s2", "session/s2" }, history.Lost,
		},
		"a session without its event": {
			func(s *story) { s.Events = s.Events[:len(s.Events)-1] }, history.Lost,
		},
		"a session that was made twice": {
			func(s *story) {
				s.Kept.Sessions = append([]history.Session{{ID: "s2", User: "carol"}}, s.Kept.Sessions...)
				s.Events = append(s.Events, history.Event{Action: history.SessionCreated, Resource: "session/s2"})
			}, history.Duplicated,
		},
		"a session whose making was refused": {
			func(s *story) {
				s.Steps = s.Steps[:1]
			}, history.Duplicated,
		},
		"a generation that was made twice": {
			func(s *story) { s.Steps[4].Generation, s.Steps[4].Rotated = 2, true }, history.Forked,
		},
		"a generation from before the last": {
			func(s *story) { s.Steps[4].Generation = 1 }, history.Forked,
		},
		"a token of an honest owner that was refused": {
			func(s *story) {
				s.Steps[3].Refusal, s.Steps[3].Answers = "token_reused", []history.Answer{{Status: 401}}
			}, history.SessionLost,
		},
		"an honest session that is not active": {
			func(s *story) { s.Steps[5].Active = false }, history.SessionLost,
		},
		"an honest session that has ended in the end": {
			func(s *story) { s.Steps = s.Steps[:6] }, history.SessionLost,
		},
		"a session that is active after its end": {
			func(s *story) { s.Steps[7].Active = true }, history.WrongAllow,
		},
		"a session that is taken after its end": {
			func(s *story) {
				s.Steps[8] = step(10, 11, history.RotateSession, history.SessionStep{Generation: 4, Rotated: true})
			}, history.WrongAllow,
		},
		"a session that lives on after its end": {
			func(s *story) { s.Kept.Sessions[0].Live = true }, history.WrongAllow,
		},
		"a 500": {
			func(s *story) { s.Readings[0].Answers[0].Status = 500 }, history.BadStatus,
		},
		"a 503 that does not say when to come again": {
			func(s *story) { s.Writes[9].Answers = []history.Answer{{Status: 503}} }, history.BadStatus,
		},
		"a key that is not taken": {
			func(s *story) { s.Writes[9].Answers = []history.Answer{{Status: 401}} }, history.BadStatus,
		},
		"a bad status that a second try has mended": {
			func(s *story) { s.Readings[0].Answers = []history.Answer{{Status: 502}, {Status: 200}} }, history.BadStatus,
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			s := good()
			c.lie(s)
			got := check(s)
			if rules := slices.Collect(maps.Keys(got.Found)); len(rules) != 1 || rules[0] != c.want {
				t.Errorf("got %v, want %q alone", got.Found, c.want)
			}
		})
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	h := history.History{Writes: []history.Write{
		write(1, 2, history.Refused, true, 0, alice),
		write(3, 9, history.Unknown, true, 0, alice),
		write(10, 20, history.Done, true, 2, alice),
	}}
	for since, want := range map[time.Duration]time.Duration{4 * second: 5 * second, 9 * second: 0, 30 * second: 0} {
		if got := h.Recovery(since); got != want {
			t.Errorf("since %v: got %v, want %v", since, got, want)
		}
	}
}

func TestRecorderCountsWhatIsDoneInARow(t *testing.T) {
	t.Parallel()
	r := history.NewRecorder()
	for _, outcome := range []history.Outcome{history.Done, history.Refused, history.Done, history.Done} {
		r.Reading(history.Reading{Request: request(1, 2, outcome)})
	}
	r.Write(write(1, 2, history.Unknown, true, 0, alice))
	if all, failed := r.Ended(); all != 5 || failed != 2 {
		t.Errorf("got %d requests and %d failed, want 5 and 2", all, failed)
	}
	asked := history.Asked{Server: "server-1", Name: "request"}
	if got := fmt.Sprint(r.Streaks()); got != fmt.Sprint(map[history.Asked]int{asked: -1}) {
		t.Errorf("got streaks %v", got)
	}
	r.Session(step(3, 4, history.VerifySession, history.SessionStep{}))
	if got := r.Streaks()[asked]; got != 1 {
		t.Errorf("got a streak of %d, want 1", got)
	}
	if h := r.History(); len(h.Readings) != 4 || len(h.Writes) != 1 || len(h.Steps) != 1 {
		t.Errorf("got %+v", h)
	}
}
