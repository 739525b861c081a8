package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

func TestSignedInUntilSignedOut(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *faulty) {
		b := open(t, app(t, newGate(t, s), nil))
		b.is("")
		b.signIn("alice")
		for range 3 {
			b.is("alice")
		}
		last := b.token()
		if p := b.do(http.MethodPost, "/signout"); p.cookie(t) != "deleted" || b.token() != "" {
			t.Errorf("sign out: got the cookie %s, want it deleted", p.cookie(t))
		}
		b.is("")
		// Whoever kept the token, such as a page that the back button shows, has nothing.
		b.hold(last)
		if p := b.get("/whoami"); p.body != "" || p.cookie(t) != "deleted" {
			t.Errorf("a token from before: got %q and the cookie %s, want nobody and deleted", p.body, p.cookie(t))
		}
		if live, err := s.Sessions(t.Context(), "alice", false, authz.Page{}); err != nil || len(live.Items) != 0 {
			t.Errorf("live sessions: got %+v and error %v, want none", live.Items, err)
		}
	})
}

func TestCookieIsForThisHostAndForHTTPAlone(t *testing.T) {
	t.Parallel()
	b := open(t, app(t, newGate(t, newService(t, engine.SessionConfig{Idle: time.Hour})), nil))
	p := b.do(http.MethodPost, "/signin/alice")
	got := p.sessionCookies()[0]
	want := fmt.Sprintf("__Host-session=%s; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax", got.Value)
	if line := p.header.Get("Set-Cookie"); line != want {
		t.Errorf("Set-Cookie: got %q, want %q", line, want)
	}
	if deleted, want := b.do(http.MethodPost, "/signout").header.Get("Set-Cookie"), "__Host-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"; deleted != want {
		t.Errorf("Set-Cookie: got %q, want %q", deleted, want)
	}
}

func TestOneRotationAndOneRunPerRequest(t *testing.T) {
	t.Parallel()
	var runs atomic.Int64
	s := newService(t, engine.SessionConfig{})
	gate := newGate(t, s)
	b := open(t, app(t, gate, map[string]http.HandlerFunc{
		"/nested": func(w http.ResponseWriter, r *http.Request) {
			gate.Sessions(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				runs.Add(1)
				whoami(w, r)
			})).ServeHTTP(w, r)
		},
	}))
	b.signIn("alice")
	if p := b.get("/nested"); p.body != "alice" || p.cookie(t) != "set" {
		t.Errorf("got %q and the cookie %s, want alice and set", p.body, p.cookie(t))
	}
	if runs.Load() != 1 || s.rotated.Load() != 1 {
		t.Errorf("got %d runs and %d rotations, want 1 and 1", runs.Load(), s.rotated.Load())
	}
}

func TestParallelRequestsStaySignedIn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *faulty) {
		b := open(t, app(t, newGate(t, s), nil))
		b.signIn("alice")
		for range 4 {
			var requests sync.WaitGroup
			for range 20 {
				requests.Go(func() {
					if p, err := b.try(http.MethodGet, "/whoami"); err != nil || p.body != "alice" {
						t.Errorf("got %d %q and error %v, want alice", p.status, p.body, err)
					}
				})
			}
			requests.Wait()
		}
		b.is("alice")
	})
}

// TestWhatBecomesOfATokenThatIsNotTaken shows when the cookie is deleted, and that the
// handler runs, for nobody, in any case.
func TestWhatBecomesOfATokenThatIsNotTaken(t *testing.T) {
	t.Parallel()
	strict := engine.SessionConfig{Overlap: -1, LostWindow: -1}
	for name, test := range map[string]struct {
		spoil  func(*testing.T, *browser, *faulty)
		cookie string
		asked  int64 // rotations of the last request
	}{
		"superseded": {func(_ *testing.T, b *browser, _ *faulty) {
			first := b.token()
			b.get("/whoami")
			b.hold(first)
		}, "deleted", 1},
		"from another browser": {func(_ *testing.T, b *browser, _ *faulty) { b.agent = "curl/8.5.0" }, "deleted", 1},
		"ended": {func(t *testing.T, b *browser, s *faulty) {
			if _, err := s.PutUser(t.Context(), authz.User{Name: "alice", Inactive: true}); err != nil {
				t.Fatal(err)
			}
		}, "deleted", 1},
		"no token":       {func(_ *testing.T, b *browser, _ *faulty) { b.hold("nonsense") }, "left", 1},
		"too long":       {func(_ *testing.T, b *browser, _ *faulty) { b.hold(strings.Repeat("a", 2049)) }, "left", 0},
		"long, but less": {func(_ *testing.T, b *browser, _ *faulty) { b.hold(strings.Repeat("a", 2048)) }, "left", 1},
		"empty":          {func(_ *testing.T, b *browser, _ *faulty) { b.hold("") }, "left", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, strict)
			b := open(t, app(t, newGate(t, s), nil))
			b.signIn("alice")
			test.spoil(t, b, s)
			before := s.rotated.Load()
			p := b.get("/whoami")
			if p.status != http.StatusOK || p.body != "" || p.cookie(t) != test.cookie {
				t.Errorf("got %d %q and the cookie %s, want 200, nobody and %s", p.status, p.body, p.cookie(t), test.cookie)
			}
			if asked := s.rotated.Load() - before; asked != test.asked {
				t.Errorf("rotations: got %d, want %d", asked, test.asked)
			}
		})
	}
}

func TestTwoCookiesAreNone(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	b := open(t, app(t, newGate(t, s), nil))
	b.signIn("alice")
	p := b.do(http.MethodGet, "/whoami", "Cookie", middleware.CookieName+"=planted")
	if p.body != "" || p.cookie(t) != "left" || s.rotated.Load() != 0 {
		t.Errorf("got %q, the cookie %s and %d rotations, want nobody, left and none", p.body, p.cookie(t), s.rotated.Load())
	}
	b.is("alice")
}

// TestOneWellFormedCookieAlone gives the application a good token in what is no
// cookie of the name, or not the only one. GET /auth/forward refuses the same.
func TestOneWellFormedCookieAlone(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	application := app(t, newGate(t, s), nil)
	b := open(t, application)
	b.signIn("alice")
	cookie := middleware.CookieName + "=" + b.token()
	for name, lines := range map[string][]string{
		"quoted":                 {middleware.CookieName + `="` + b.token() + `"`},
		"a malformed one before": {middleware.CookieName + `="a b; ` + cookie},
		"a malformed one behind": {cookie + "; " + middleware.CookieName + `="a b`},
		"an empty one before":    {middleware.CookieName + "; " + cookie},
		"one in another line":    {cookie, middleware.CookieName + `=\`},
		"a space in the name":    {middleware.CookieName + " =" + b.token()},
		"a space of Unicode":     {"\u00a0" + cookie},
	} {
		var headers []string
		for _, line := range lines {
			headers = append(headers, "Cookie", line)
		}
		if p := open(t, application).do(http.MethodGet, "/whoami", headers...); p.status != http.StatusOK || p.body != "" || p.cookie(t) != "left" {
			t.Errorf("%s: got %d %q and the cookie %s, want nobody and left", name, p.status, p.body, p.cookie(t))
		}
	}
	if p := open(t, application).do(http.MethodGet, "/whoami", "Cookie", "theme=dark;\t"+cookie+" "); p.body != "alice" || p.cookie(t) != "set" {
		t.Errorf("a good one: got %q and the cookie %s, want alice and set", p.body, p.cookie(t))
	}
}

func TestFailureLeavesTheCookieAndAnswers503(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *faulty) {
		gate := newGate(t, s)
		b := open(t, app(t, gate, map[string]http.HandlerFunc{
			"/private": gate.Require("read", nil)(http.HandlerFunc(whoami)).ServeHTTP,
		}))
		b.signIn("alice")
		s.failing.Store(true)
		if p := b.get("/whoami"); p.status != http.StatusOK || p.body != "" || p.cookie(t) != "left" {
			t.Errorf("an open page: got %d %q and the cookie %s, want 200, nobody and left", p.status, p.body, p.cookie(t))
		}
		if p := b.get("/private"); p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" || p.cookie(t) != "left" {
			t.Errorf("a private page: got %d, Retry-After %q and the cookie %s, want 503, a time and left", p.status, p.header.Get("Retry-After"), p.cookie(t))
		}
		if p := b.do(http.MethodPost, "/signout"); p.status != http.StatusInternalServerError || p.cookie(t) != "left" {
			t.Errorf("sign out: got %d and the cookie %s, want 500 and left", p.status, p.cookie(t))
		}
		if p := b.do(http.MethodPost, "/signin/bob"); p.status != http.StatusInternalServerError || p.cookie(t) != "left" {
			t.Errorf("sign in: got %d and the cookie %s, want 500 and left", p.status, p.cookie(t))
		}
		s.failing.Store(false)
		b.is("alice")
	})
}

func TestSignOutFindsASessionThatCouldNotBeJudgedBefore(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	gate := newGate(t, s)
	b := open(t, app(t, gate, map[string]http.HandlerFunc{
		"POST /later": func(w http.ResponseWriter, r *http.Request) {
			s.failing.Store(false)
			if err := gate.SignOut(r.Context()); err != nil {
				t.Error(err)
			}
		},
	}))
	b.signIn("alice")
	s.failing.Store(true)
	if p := b.do(http.MethodPost, "/later"); p.cookie(t) != "deleted" {
		t.Errorf("got the cookie %s, want it deleted", p.cookie(t))
	}
	if live, err := s.Sessions(t.Context(), "alice", false, authz.Page{}); err != nil || len(live.Items) != 0 {
		t.Errorf("live sessions: got %+v and error %v, want none", live.Items, err)
	}
}

// TestSignInMakesANewSession shows that a session that somebody planted in a browser
// is not the one that its user signs in to.
func TestSignInMakesANewSession(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *faulty) {
		a := app(t, newGate(t, s), nil)
		thief, victim := open(t, a), open(t, a)
		thief.signIn("mallory")
		planted := thief.token()
		victim.hold(planted)
		victim.signIn("alice")
		victim.is("alice")
		if victim.token() == planted {
			t.Error("the planted token is still in use")
		}
		thief.is("")
		if live, err := s.Sessions(t.Context(), "", false, authz.Page{}); err != nil || len(live.Items) != 1 || live.Items[0].User != "alice" {
			t.Errorf("live sessions: got %+v and error %v, want alice's alone", live.Items, err)
		}
	})
}

func TestSignInOfAnInactiveUserLeavesNobody(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	if _, err := s.PutUser(t.Context(), authz.User{Name: "bob", Inactive: true}); err != nil {
		t.Fatal(err)
	}
	b := open(t, app(t, newGate(t, s), nil))
	b.signIn("alice")
	if p := b.do(http.MethodPost, "/signin/bob"); p.status != http.StatusInternalServerError || p.cookie(t) != "deleted" {
		t.Errorf("got %d and the cookie %s, want 500 and deleted", p.status, p.cookie(t))
	}
	b.is("")
}

func TestSignInComesTooLateForAnAnswerThatHasBegun(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	gate := newGate(t, s)
	b := open(t, app(t, gate, map[string]http.HandlerFunc{
		"POST /late": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			if _, err := gate.SignIn(r.Context(), "alice"); err == nil {
				t.Error("got no error, want one")
			}
		},
	}))
	b.do(http.MethodPost, "/late")
	if live, err := s.Sessions(t.Context(), "", false, authz.Page{}); err != nil || len(live.Items) != 0 {
		t.Errorf("live sessions: got %+v and error %v, want none", live.Items, err)
	}
}

func TestOutsideOfSessionsNobodyIsSignedIn(t *testing.T) {
	t.Parallel()
	gate := newGate(t, newService(t, engine.SessionConfig{}))
	if user, ok := middleware.CurrentUser(t.Context()); ok {
		t.Errorf("got %q, want nobody", user)
	}
	within := middleware.WithSession(t.Context(), authz.Session{ID: "s", User: "alice"})
	if user, ok := middleware.CurrentUser(within); !ok || user != "alice" {
		t.Errorf("WithSession: got %q, want alice", user)
	}
	if _, err := gate.SignIn(t.Context(), "alice"); err == nil {
		t.Error("sign in: got no error, want one")
	}
	if _, err := gate.SignIn(within, "alice"); err == nil {
		t.Error("sign in WithSession: got no error, want one")
	}
	if gate.SignOut(t.Context()) == nil || gate.SignOut(within) == nil {
		t.Error("sign out: got no error, want one")
	}
}

// TestLateAnswers shows that an answer which comes late does not take a browser back to
// an older token, or sign it out, but delivers what is still the latest.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		late      time.Duration
		meanwhile func(b *browser)
		cookie    string
	}{
		// The first request gets the token of the slow one's rotation, the second uses it.
		"quick, and superseded": {0, func(b *browser) { b.get("/whoami"); b.get("/whoami") }, "set"},
		"late, and superseded":  {time.Second, func(b *browser) { b.get("/whoami"); b.get("/whoami") }, "left"},
		"late, and the latest":  {time.Second, func(*browser) {}, "set"},
		"late, and signed out":  {time.Second, func(b *browser) { b.do(http.MethodPost, "/signout") }, "left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			gate := newGate(t, newService(t, engine.SessionConfig{}))
			gate.SetClock(c.Now)
			var second *browser
			b := open(t, app(t, gate, map[string]http.HandlerFunc{
				"/slow": func(w http.ResponseWriter, r *http.Request) {
					session, _ := middleware.CurrentSession(r.Context())
					test.meanwhile(second)
					c.advance(test.late)
					_, _ = fmt.Fprint(w, session.Generation)
				},
			}))
			b.signIn("alice")
			second = open(t, b.app)
			second.hold(b.token())
			p := b.get("/slow")
			if p.body != "2" || p.cookie(t) != test.cookie {
				t.Errorf("got generation %s and the cookie %s, want 2 and %s", p.body, p.cookie(t), test.cookie)
			}
		})
	}
}

func TestLateAnswerForAnEndedSessionSignsNobodyOut(t *testing.T) {
	t.Parallel()
	var c clock
	s := newService(t, engine.SessionConfig{})
	gate := newGate(t, s)
	gate.SetClock(c.Now)
	b := open(t, app(t, gate, map[string]http.HandlerFunc{
		"/slow": func(w http.ResponseWriter, r *http.Request) { c.advance(time.Second) },
	}))
	b.signIn("alice")
	ended := b.token()
	b.do(http.MethodPost, "/signout")
	b.hold(ended)
	if p := b.get("/slow"); p.cookie(t) != "left" {
		t.Errorf("got the cookie %s, want it left: the user may have signed in meanwhile", p.cookie(t))
	}
}

func TestCachesKeepNoAnswerOfASession(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sessions engine.SessionConfig
		signedIn bool
		set      http.Header
		want     string
	}{
		"a new token overrides the handler": {engine.SessionConfig{}, true, http.Header{"Cache-Control": {"public, max-age=3600"}}, "no-store"},
		"the same token":                    {engine.SessionConfig{RotateAfter: time.Hour}, true, nil, "no-store"},
		"the same token, by the handler":    {engine.SessionConfig{RotateAfter: time.Hour}, true, http.Header{"Cache-Control": {"private, max-age=60"}}, "private, max-age=60"},
		"nobody, by the handler":            {engine.SessionConfig{}, false, http.Header{"Cache-Control": {"public, max-age=3600"}}, "public, max-age=3600"},
		"nobody":                            {engine.SessionConfig{}, false, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, app(t, newGate(t, newService(t, test.sessions)), map[string]http.HandlerFunc{
				"/page": func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Vary", "Accept")
					w.Header().Set("CDN-Cache-Control", "max-age=60")
					w.Header().Set("Expires", "Thu, 01 Dec 2044 16:00:00 GMT")
					for name, values := range test.set {
						w.Header()[name] = values
					}
				},
			}))
			if test.signedIn {
				b.signIn("alice")
			}
			p := b.get("/page")
			if got := p.header.Get("Cache-Control"); got != test.want {
				t.Errorf("Cache-Control: got %q, want %q", got, test.want)
			}
			if got := strings.Join(p.header.Values("Vary"), ", "); got != "Accept, Cookie" {
				t.Errorf("Vary: got %q, want Accept, Cookie", got)
			}
			if kept := p.header.Get("CDN-Cache-Control") + p.header.Get("Expires"); (kept == "") != (test.want == "no-store") {
				t.Errorf("other caches' headers: got %q beside %q", kept, test.want)
			}
		})
	}
}
