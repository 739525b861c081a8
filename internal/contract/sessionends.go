package contract

import (
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) sessionEnds(open func(*testing.T) SessionService) map[string]func(*testing.T, device) {
	return map[string]func(*testing.T, device){
		"an_ended_session_is_over": func(t *testing.T, d device) {
			issued, other := d.signIn("alice"), d.signIn("alice")
			rotated := d.takes(authz.SessionRotated, atHome(issued.Token))
			d.ends(true, issued.Session.ID)
			d.ends(false, issued.Session.ID)
			d.refuses(authz.ErrSessionEnded, atHome(rotated.Token))
			d.refuses(authz.ErrSessionEnded, atHome(issued.Token))
			got := d.reads(issued.Session.ID)
			if got.EndReason != authz.EndRevoked || got.EndedAt.IsZero() {
				t.Errorf("session: got %+v, want an end by %s", got, authz.EndRevoked)
			}
			equal(t, "live sessions", d.ids("alice", false), []string{other.Session.ID})
			equal(t, "sessions", d.ids("alice", true), sorted(issued.Session.ID, other.Session.ID))
			d.takes(authz.SessionRotated, atHome(other.Token))
		},

		"all_sessions_of_a_user_end_but_one": func(t *testing.T, d device) {
			bob := d.signIn("bob")
			kept := d.signIn("alice")
			var others []authz.IssuedSession
			for range 3 {
				others = append(others, d.signIn("alice"))
			}
			d.endsAll(3, "alice", kept.Session.ID)
			d.endsAll(0, "alice", kept.Session.ID)
			for _, other := range others {
				d.refuses(authz.ErrSessionEnded, atHome(other.Token))
			}
			equal(t, "live sessions", d.ids("alice", false), []string{kept.Session.ID})
			d.takes(authz.SessionRotated, atHome(kept.Token))
			// One that is not alice's keeps nothing.
			d.endsAll(1, "alice", bob.Session.ID)
			d.endsAll(0, "nobody", "")
			d.takes(authz.SessionRotated, atHome(bob.Token))
			d.endsAll(1, "bob", "")
			d.refuses(authz.ErrSessionEnded, atHome(bob.Token))
		},

		"a_session_that_is_not_there_is_not_found": func(t *testing.T, d device) {
			d.signIn("alice")
			for _, id := range []string{"nobody", "00000000-0000-4000-8000-000000000000", "a/b"} {
				_, err := d.Session(d.ctx(), id)
				fails(t, "read "+id, err, fault.CodeNotFound)
				d.ends(false, id)
			}
		},

		"nothing_of_another_tenants_sessions_can_be_seen_or_done": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			other := device{open(t), t}
			other.signIn("alice")
			_, err := other.Session(t.Context(), issued.Session.ID)
			fails(t, "read", err, fault.CodeNotFound)
			other.ends(false, issued.Session.ID)
			other.endsAll(1, "alice", "")
			other.refuses(authz.ErrInvalidToken, atHome(issued.Token))
			equal(t, "sessions", other.ids("", false), nil)
			same(t, "session", d.reads(issued.Session.ID), issued.Session)
			d.takes(authz.SessionRotated, atHome(issued.Token))
		},

		"another_browser_ends_a_session": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			d.refuses(authz.ErrBindingMismatch, authz.PresentedSession{Token: issued.Token, IP: office, UserAgent: firefox})
			d.refuses(authz.ErrSessionEnded, atHome(issued.Token))
			same(t, "reason", d.reads(issued.Session.ID).EndReason, authz.EndBindingMismatch)
			events := d.told(audit.Filter{Action: audit.SessionBindingMismatch})
			if len(events) != 1 {
				t.Fatalf("events: got %+v, want one", events)
			}
			for key, want := range map[string]any{
				"presented_generation": 1.0, "generation": 1.0, "presented_ip": office, "presented_user_agent": firefox,
				"session_ip": home, "session_user_agent": chrome,
			} {
				same(t, "detail "+key, events[0].Details[key], want)
			}
		},

		"a_session_goes_along_with_its_browser": func(t *testing.T, d device) {
			issued := d.signIn("alice")
			moved := d.takes(authz.SessionRotated, authz.PresentedSession{Token: issued.Token, IP: office, UserAgent: chromeNext})
			same(t, "address", moved.Session.IP, office)
			same(t, "browser", moved.Session.UserAgent, chromeNext)
			same(t, "session as it is read", d.reads(issued.Session.ID), moved.Session)
			events := d.told(audit.Filter{Action: audit.SessionAddressChanged})
			if len(events) != 1 {
				t.Fatalf("events: got %+v, want one", events)
			}
			for key, want := range map[string]any{"ip": office, "user_agent": chromeNext, "former_ip": home, "former_user_agent": chrome} {
				same(t, "detail "+key, events[0].Details[key], want)
			}
		},

		"a_session_is_bound_as_it_asked": func(t *testing.T, d device) {
			for what, test := range map[string]struct {
				binding       authz.SessionBinding
				ip, userAgent string
				want          authz.SessionRefusal
			}{
				"strict, another address":                 {authz.BindingStrict, office, chrome, authz.ErrBindingMismatch},
				"strict, another version":                 {authz.BindingStrict, home, chromeNext, authz.ErrBindingMismatch},
				"strict, the same written in another way": {authz.BindingStrict, "::ffff:" + home, chrome, ""},
				"standard, another version":               {authz.BindingStandard, home, chromeNext, ""},
				"standard, another browser":               {authz.BindingStandard, home, firefox, authz.ErrBindingMismatch},
				"standard, none":                          {authz.BindingStandard, home, "", authz.ErrBindingMismatch},
				"off, all is another":                     {authz.BindingOff, office, firefox, ""},
			} {
				issued := d.signInWith(authz.NewSession{User: "alice", IP: home, UserAgent: chrome, Binding: test.binding})
				presented := authz.PresentedSession{Token: issued.Token, IP: test.ip, UserAgent: test.userAgent}
				t.Log(what)
				if test.want != "" {
					d.refuses(test.want, presented)
					continue
				}
				d.takes(authz.SessionRotated, presented)
			}
		},

		"what_a_browser_says_of_itself_is_kept_as_far_as_it_can_be": func(t *testing.T, d device) {
			long := chrome + " " + longText
			for _, userAgent := range []string{"", long, "caf\xe9", "nul\x00", longText} {
				issued := d.signInWith(authz.NewSession{User: "alice", IP: home, UserAgent: userAgent, Binding: authz.BindingStrict})
				if got := issued.Session.UserAgent; len(got) > 512 {
					t.Errorf("user agent: got %d bytes, want at most 512", len(got))
				}
				d.takes(authz.SessionRotated, authz.PresentedSession{Token: issued.Token, IP: home, UserAgent: userAgent})
			}
		},
	}
}

// longText is longer than what is kept of a User-Agent, and ends no rune where it is
// cut.
var longText = "é" + string(slices.Repeat([]rune{'€'}, 1000))

// ends ends a session, and checks whether it was live.
func (d device) ends(want bool, id string) {
	d.t.Helper()
	ended, err := d.EndSession(d.ctx(), id)
	if err != nil || ended != want {
		d.t.Errorf("end session %s: got %t, %v, want %t", id, ended, err, want)
	}
}

// endsAll ends a user's sessions but for one, and checks how many were live.
func (d device) endsAll(want int64, user, except string) {
	d.t.Helper()
	ended, err := d.EndSessions(d.ctx(), user, except)
	if err != nil || ended != want {
		d.t.Errorf("end the sessions of %s: got %d, %v, want %d", user, ended, err, want)
	}
}

func sorted(s ...string) []string { return slices.Sorted(slices.Values(s)) }
