package contract

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// SessionService is what a tenant shows of sessions, with the users whose they are and
// the audit log that tells of them.
type SessionService interface {
	CreateSession(ctx context.Context, request authz.NewSession) (authz.IssuedSession, error)
	RotateSession(ctx context.Context, presented authz.PresentedSession) (authz.RotatedSession, error)
	VerifySession(ctx context.Context, presented authz.PresentedSession) (authz.SessionStatus, error)
	Session(ctx context.Context, id string) (authz.Session, error)
	Sessions(ctx context.Context, user string, withEnded bool, page authz.Page) (authz.List[authz.Session], error)
	EndSession(ctx context.Context, id string) (bool, error)
	EndSessions(ctx context.Context, user, except string) (int64, error)

	PutUser(ctx context.Context, user authz.User) (authz.Written, error)
	DeleteUser(ctx context.Context, user string) (authz.Written, error)
	AuditEvents(ctx context.Context, filter audit.Filter, page authz.Page) (authz.List[audit.Event], error)
}

// RunSessions tests what services promise about sessions, with the usual times. Each
// call of open gives a new, empty tenant; all of them belong to one installation, and
// are used in parallel. WithClock needs a clock that sessions live by too.
func RunSessions(t *testing.T, open func(t *testing.T) SessionService, options ...Option) {
	var s suite
	for _, option := range options {
		option(&s)
	}
	if s.clock != nil {
		for name, test := range s.sessionTimes() {
			t.Run(name, func(t *testing.T) { test(t, device{open(t), t}) })
		}
	}
	for _, topic := range []map[string]func(*testing.T, device){s.sessions(), s.sessionEnds(open), s.sessionUsers(), s.sessionAudit()} {
		for name, test := range topic {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, device{open(t), t})
			})
		}
	}
}

// device is a SessionService whose failures end the test. What the test is to see fail
// it asks of the SessionService itself.
type device struct {
	SessionService
	t *testing.T
}

func (d device) ctx() context.Context { return d.t.Context() }

// Browsers, as they introduce themselves.
const (
	chrome     = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
	chromeNext = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	firefox    = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0"

	home, office = "192.0.2.1", "2001:db8::7"
)

// signIn opens a session for a user at home, with Chrome.
func (d device) signIn(user string) authz.IssuedSession {
	d.t.Helper()
	return d.signInWith(authz.NewSession{User: user, IP: home, UserAgent: chrome})
}

func (d device) signInWith(request authz.NewSession) authz.IssuedSession {
	d.t.Helper()
	issued, err := d.CreateSession(d.ctx(), request)
	if err != nil {
		d.t.Fatalf("create a session: %v", err)
	}
	return issued
}

// atHome is a token that is presented at home, with Chrome.
func atHome(token string) authz.PresentedSession {
	return authz.PresentedSession{Token: token, IP: home, UserAgent: chrome}
}

// takes rotates a token that must be taken, in one way.
func (d device) takes(want authz.SessionOutcome, presented authz.PresentedSession) authz.RotatedSession {
	d.t.Helper()
	rotated, err := d.RotateSession(d.ctx(), presented)
	if err != nil {
		d.t.Fatalf("rotate: got error %v, want %s", err, want)
	}
	same(d.t, "outcome", rotated.Outcome, want)
	return rotated
}

// refuses rotates a token that must be refused, and looks that verifying says so
// before and after.
func (d device) refuses(want authz.SessionRefusal, presented authz.PresentedSession) {
	d.t.Helper()
	d.verifies(false, presented)
	rotated, err := d.RotateSession(d.ctx(), presented)
	if !errors.Is(err, want) || !errors.Is(err, fault.CodeUnauthenticated) {
		d.t.Errorf("rotate: got %+v, error %v; want %q", rotated, err, want)
	}
	d.verifies(false, presented)
}

// verifies checks what verifying says of a token.
func (d device) verifies(want bool, presented authz.PresentedSession) authz.Session {
	d.t.Helper()
	status, err := d.VerifySession(d.ctx(), presented)
	if err != nil {
		d.t.Fatalf("verify: %v", err)
	}
	if status.Active != want || !want && status.Session != (authz.Session{}) {
		d.t.Errorf("verify: got %+v, want active %t", status, want)
	}
	return status.Session
}

// reads reads a session that is there.
func (d device) reads(id string) authz.Session {
	d.t.Helper()
	session, err := d.Session(d.ctx(), id)
	if err != nil {
		d.t.Fatalf("read a session: %v", err)
	}
	return session
}

// ids lists the sessions of a user.
func (d device) ids(user string, withEnded bool) []string {
	d.t.Helper()
	var ids []string
	for session, err := range authz.All(func(page authz.Page) (authz.List[authz.Session], error) {
		page.Limit = 2
		return d.Sessions(d.ctx(), user, withEnded, page)
	}) {
		if err != nil {
			d.t.Fatalf("list the sessions: %v", err)
		}
		ids = append(ids, session.ID)
	}
	return ids
}

// told lists the audit log from its beginning, without what tells of client keys.
func (d device) told(filter audit.Filter) []audit.Event {
	d.t.Helper()
	var events []audit.Event
	for event, err := range authz.All(func(page authz.Page) (authz.List[audit.Event], error) {
		return d.AuditEvents(d.ctx(), filter, page)
	}) {
		if err != nil {
			d.t.Fatalf("list the audit log: %v", err)
		}
		if event.Action != audit.ClientKeyCreated {
			events = append([]audit.Event{event}, events...)
		}
	}
	return events
}

func (s *suite) sessions() map[string]func(*testing.T, device) {
	return map[string]func(*testing.T, device){
		"a_session_is_read_as_it_was_made": func(t *testing.T, d device) {
			issued := d.signInWith(authz.NewSession{User: "a/b@c", IP: office, UserAgent: firefox, Binding: authz.BindingStrict})
			got := issued.Session
			if got.ID == "" || got.CreatedAt.IsZero() || !got.IdleExpiresAt.After(got.CreatedAt) || got.ExpiresAt.Before(got.IdleExpiresAt) {
				t.Errorf("times: got %+v, want them in order", got)
			}
			same(t, "session", got, authz.Session{
				ID: got.ID, User: "a/b@c", Generation: 1, IP: office, UserAgent: firefox, Binding: authz.BindingStrict,
				CreatedAt: got.CreatedAt, LastSeenAt: got.CreatedAt, IdleExpiresAt: got.IdleExpiresAt, ExpiresAt: got.ExpiresAt,
			})
			same(t, "session as it is read", d.reads(got.ID), got)
			same(t, "binding unless asked", d.signIn("bob").Session.Binding, authz.BindingStandard)
		},

		"each_sign_in_makes_another_session": func(t *testing.T, d device) {
			first, second := d.signIn("alice"), d.signIn("alice")
			if first.Session.ID == second.Session.ID || first.Token == second.Token {
				t.Errorf("got %+v twice, want two sessions", first)
			}
			d.takes(authz.SessionRotated, atHome(first.Token))
			d.takes(authz.SessionRotated, atHome(second.Token))
		},

		"each_use_makes_the_next_token": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			token := issued.Token
			for generation := int64(2); generation <= 5; generation++ {
				rotated := d.takes(authz.SessionRotated, atHome(token))
				if rotated.Token == token {
					t.Errorf("generation %d: got the token that was presented, want another", generation)
				}
				token = rotated.Token
				same(t, "generation", rotated.Session.Generation, generation)
				same(t, "session as it is read", d.reads(issued.Session.ID), rotated.Session)
			}
		},

		"a_token_that_has_just_been_superseded_gets_the_current_one": func(t *testing.T, d device) {
			first := d.signIn("alice").Token
			second := d.takes(authz.SessionRotated, atHome(first))
			replayed := d.takes(authz.SessionReplayed, atHome(first))
			same(t, "session", replayed.Session, second.Session)
			third := d.takes(authz.SessionRotated, atHome(replayed.Token))
			same(t, "generation", third.Session.Generation, 3)
			same(t, "generation for the oldest token", d.takes(authz.SessionReplayed, atHome(first)).Session.Generation, 3)
		},

		"verifying_changes_nothing": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			for range 3 {
				same(t, "session", d.verifies(true, atHome(issued.Token)), issued.Session)
			}
			same(t, "session as it is read", d.reads(issued.Session.ID), issued.Session)
			rotated := d.takes(authz.SessionRotated, atHome(issued.Token))
			same(t, "session of a superseded token", d.verifies(true, atHome(issued.Token)), rotated.Session)
			// It would end the session, and does not.
			d.verifies(false, authz.PresentedSession{Token: rotated.Token, IP: home, UserAgent: firefox})
			d.takes(authz.SessionRotated, atHome(rotated.Token))
		},

		"what_is_no_token_is_refused_and_changes_nothing": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			head, rest, _ := strings.Cut(issued.Token, ".")
			claims, signature, _ := strings.Cut(rest, ".")
			for _, token := range []string{
				"", ".", "..", "x", head, head + "." + claims, head + "." + claims + ".", "." + claims + "." + signature,
				head + "." + signature + "." + claims, issued.Token + ".", issued.Token + "=", " " + issued.Token, issued.Token + "\n",
				head + "." + claims + "." + strings.ToUpper(signature), strings.Repeat("x", 1<<16), "\x00", "\xff",
			} {
				d.refuses(authz.ErrInvalidToken, atHome(token))
			}
			same(t, "session", d.reads(issued.Session.ID), issued.Session)
			d.takes(authz.SessionRotated, atHome(issued.Token))
		},

		"a_malformed_question_is_refused": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			for what, request := range map[string]authz.NewSession{
				"no user":         {IP: home, UserAgent: chrome},
				"malformed user":  {User: " ", IP: home, UserAgent: chrome},
				"no address":      {User: "alice", UserAgent: chrome},
				"no IP address":   {User: "alice", IP: "localhost", UserAgent: chrome},
				"unknown binding": {User: "alice", IP: home, UserAgent: chrome, Binding: "loose"},
			} {
				_, err := d.CreateSession(d.ctx(), request)
				fails(t, "create, "+what, err, fault.CodeInvalid)
			}
			for _, ip := range []string{"", "localhost", "192.0.2.1:80", "192.0.2.1, 192.0.2.2"} {
				_, err := d.RotateSession(d.ctx(), authz.PresentedSession{Token: issued.Token, IP: ip, UserAgent: chrome})
				fails(t, "rotate at "+ip, err, fault.CodeInvalid)
				_, err = d.VerifySession(d.ctx(), authz.PresentedSession{Token: issued.Token, IP: ip, UserAgent: chrome})
				fails(t, "verify at "+ip, err, fault.CodeInvalid)
			}
			_, err := d.Sessions(d.ctx(), " ", false, authz.Page{})
			fails(t, "list the sessions of a malformed user", err, fault.CodeInvalid)
			_, err = d.Sessions(d.ctx(), "alice", false, authz.Page{Limit: -1})
			fails(t, "list with a negative limit", err, fault.CodeInvalid)
			_, err = d.EndSessions(d.ctx(), "", "")
			fails(t, "end the sessions of nobody", err, fault.CodeInvalid)
			same(t, "session", d.reads(issued.Session.ID), issued.Session)
		},

		"sessions_are_listed_by_user_and_in_pages": func(t *testing.T, d device) {
			wanted := map[string][]string{}
			for range 3 {
				for _, user := range []string{"alice", "bob"} {
					id := d.signIn(user).Session.ID
					wanted[user], wanted[""] = append(wanted[user], id), append(wanted[""], id)
				}
			}
			for user, ids := range wanted {
				equal(t, "sessions of "+user, d.ids(user, false), sorted(ids...))
			}
			equal(t, "sessions of nobody", d.ids("nobody", true), nil)

			page, err := d.Sessions(d.ctx(), "alice", false, authz.Page{Limit: 1})
			if err != nil || page.Next == "" {
				t.Fatalf("first page: got %+v, %v, want one with a next page", page, err)
			}
			same(t, "first session", page.Items, []authz.Session{d.reads(sorted(wanted["alice"]...)[0])})
			_, err = d.Sessions(d.ctx(), "bob", false, authz.Page{Cursor: page.Next})
			fails(t, "the cursor of another user", err, fault.CodeInvalid)
			_, err = d.Sessions(d.ctx(), "alice", true, authz.Page{Cursor: page.Next})
			fails(t, "the cursor of another list", err, fault.CodeInvalid)
		},

		"of_parallel_uses_of_one_token_one_makes_the_next": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			taken := rotateAtOnce(d, atHome(issued.Token))
			rotated := 0
			for _, r := range taken {
				same(t, "generation", r.Session.Generation, 2)
				if r.Outcome == authz.SessionRotated {
					rotated++
				}
			}
			same(t, "how many rotated", rotated, 1)
			for _, r := range taken {
				d.verifies(true, atHome(r.Token))
			}
		},
	}
}

// rotateAtOnce presents a token from all callers, who start together and are all to be
// answered.
func rotateAtOnce(d device, presented authz.PresentedSession) []authz.RotatedSession {
	d.t.Helper()
	taken := make([]authz.RotatedSession, callers)
	for i, r := range atOnce(d.ctx(), func(ctx context.Context, i int) (_ authz.Written, err error) {
		taken[i], err = d.RotateSession(ctx, presented)
		return authz.Written{}, err
	}) {
		if r.err != nil {
			d.t.Fatalf("caller %d: %v", i, r.err)
		}
	}
	return taken
}

func (s *suite) sessionTimes() map[string]func(*testing.T, device) {
	const (
		overlap  = 10 * time.Second
		window   = 5 * time.Minute
		idle     = 12 * time.Hour
		absolute = 30 * 24 * time.Hour
	)
	return map[string]func(*testing.T, device){
		"a_superseded_token_beyond_the_windows_ends_the_session": func(t *testing.T, d device) {
			first := d.signIn("alice").Token
			second := d.takes(authz.SessionRotated, atHome(first))
			third := d.takes(authz.SessionRotated, atHome(second.Token))
			s.clock.Advance(overlap)
			d.takes(authz.SessionReplayed, atHome(second.Token))
			s.clock.Advance(time.Microsecond)
			d.verifies(true, atHome(third.Token))
			thief := authz.PresentedSession{Token: first, IP: office, UserAgent: chrome}
			d.refuses(authz.ErrTokenReused, thief)
			d.refuses(authz.ErrSessionEnded, thief)
			d.refuses(authz.ErrSessionEnded, atHome(third.Token))
			got := d.reads(third.Session.ID)
			if got.EndReason != authz.EndTokenReused || got.EndedAt.IsZero() {
				t.Errorf("session: got %+v, want an end by %s", got, authz.EndTokenReused)
			}

			events := d.told(audit.Filter{Action: audit.SessionTokenReused})
			if len(events) != 1 {
				t.Fatalf("events: got %+v, want one", events)
			}
			e := events[0]
			same(t, "event", []string{e.Resource, e.User, e.Outcome}, []string{"session/" + got.ID, "alice", audit.Refused})
			for key, want := range map[string]any{
				"presented_generation": 1.0, "generation": 3.0, "presented_ip": office, "presented_user_agent": chrome,
				"session_ip": home, "session_user_agent": chrome, "last_seen_at": third.Session.LastSeenAt.Format(time.RFC3339Nano),
			} {
				same(t, "detail "+key, e.Details[key], want)
			}
		},

		"a_lost_answer_is_given_again_once": func(t *testing.T, d device) {
			first := d.signIn("alice").Token
			second := d.takes(authz.SessionRotated, atHome(first))
			s.clock.Advance(window)
			for what, elsewhere := range map[string]authz.PresentedSession{
				"another address": {Token: first, IP: office, UserAgent: chrome},
				"another version": {Token: first, IP: home, UserAgent: chromeNext},
			} {
				if got := d.verifies(false, elsewhere); got != (authz.Session{}) {
					t.Errorf("%s: got %+v, want none", what, got)
				}
			}
			again := d.takes(authz.SessionReplayed, atHome(first))
			same(t, "session", again.Session, second.Session)
			same(t, "events", len(d.told(audit.Filter{Action: audit.SessionAnswerRecovered})), 1)
			// What else the browser sends with the old token is excused too, for a while.
			s.clock.Advance(overlap)
			d.takes(authz.SessionReplayed, atHome(first))
			d.takes(authz.SessionRotated, atHome(again.Token))
			same(t, "events", len(d.told(audit.Filter{Action: audit.SessionAnswerRecovered})), 1)

			late := d.signIn("alice").Token
			d.takes(authz.SessionRotated, atHome(late))
			s.clock.Advance(window + time.Microsecond)
			d.refuses(authz.ErrTokenReused, atHome(late))
		},

		"a_session_that_is_not_used_ends": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			same(t, "idle expiry", issued.Session.IdleExpiresAt.Sub(issued.Session.CreatedAt), idle)
			same(t, "expiry", issued.Session.ExpiresAt.Sub(issued.Session.CreatedAt), absolute)
			s.clock.Advance(idle - time.Microsecond)
			rotated := d.takes(authz.SessionRotated, atHome(issued.Token))
			same(t, "idle expiry", rotated.Session.IdleExpiresAt.Sub(rotated.Session.LastSeenAt), idle)
			s.clock.Advance(idle)
			equal(t, "live sessions", d.ids("alice", false), nil)
			equal(t, "sessions", d.ids("alice", true), []string{issued.Session.ID})
			d.refuses(authz.ErrSessionEnded, atHome(rotated.Token))
		},

		"no_use_keeps_a_session_beyond_its_absolute_limit": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			token := issued.Token
			for age := idle / 2; age < absolute; age += idle / 2 {
				s.clock.Advance(idle / 2)
				rotated := d.takes(authz.SessionRotated, atHome(token))
				if rotated.Session.IdleExpiresAt.After(issued.Session.ExpiresAt) {
					t.Errorf("after %s: got an idle expiry at %s, want none after %s", age, rotated.Session.IdleExpiresAt, issued.Session.ExpiresAt)
				}
				token = rotated.Token
			}
			s.clock.Advance(idle / 2)
			d.refuses(authz.ErrSessionEnded, atHome(token))
		},
	}
}
