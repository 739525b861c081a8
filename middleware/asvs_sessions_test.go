package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

// TestTokenReachesTheBrowserInItsCookieAlone has handlers show all that they are given:
// none of it is a token that is still good, so no page can show one to a script.
func TestTokenReachesTheBrowserInItsCookieAlone(t *testing.T) {
	t.Parallel()
	gate := newGate(t, newService(t, engine.SessionConfig{}))
	show := func(w http.ResponseWriter, r *http.Request) {
		session, signedIn := middleware.CurrentSession(r.Context())
		if !signedIn {
			t.Error("nobody is signed in")
		}
		_, _ = fmt.Fprintf(w, "%+v\n%+v\n%+v\n", session, r, w.Header())
	}
	b := open(t, app(t, gate, map[string]http.HandlerFunc{
		"/show": show,
		"POST /enter": func(w http.ResponseWriter, r *http.Request) {
			if _, err := gate.SignIn(r.Context(), "alice"); err != nil {
				t.Error(err)
			}
			show(w, r)
		},
	}))
	for _, p := range []page{b.do(http.MethodPost, "/enter"), b.get("/show"), b.get("/show")} {
		cookies := p.sessionCookies()
		if len(cookies) != 1 || len(cookies[0].Value) < 100 {
			t.Fatalf("got the cookies %v, want one with a token", cookies)
		}
		p.header.Del("Set-Cookie")
		if told := fmt.Sprint(p.header, p.body); strings.Contains(told, cookies[0].Value) {
			t.Errorf("got the token %s beside its cookie:\n%s", cookies[0].Value, told)
		}
	}
}

func TestCookieOfTheLongestNamesIsKept(t *testing.T) {
	t.Parallel()
	tenant := openEngine(t, engine.SessionConfig{}).Tenant(strings.Repeat("t", authz.MaxID))
	s := &faulty{service: tenant}
	user := strings.Repeat("u", authz.MaxID)
	b := open(t, app(t, newGate(t, s), nil))
	p := b.do(http.MethodPost, "/signin/"+user)
	cookies := p.sessionCookies()
	if len(cookies) != 1 {
		t.Fatalf("got %d %s and the cookies %v, want one", p.status, p.body, cookies)
	}
	if got := len(cookies[0].Name) + len(cookies[0].Value); got > 4096 {
		t.Errorf("the cookie: got %d bytes, want no more than browsers keep, 4096", got)
	}
	b.is(user)
}

// TestOnlySigningInMakesASession shows that no request has one made for itself, and
// that no other site can have a browser's user signed in as somebody else.
func TestOnlySigningInMakesASession(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	a := app(t, newGate(t, s), nil)
	for name, test := range map[string]struct {
		method, path string
		headers      []string
		want         int
	}{
		"a page":                       {"GET", "/whoami", nil, 200},
		"a form":                       {"POST", "/whoami", nil, 200},
		"sign out":                     {"POST", "/signout", nil, 200},
		"a link to sign in":            {"GET", "/signin/mallory", nil, 405},
		"a token of nobody's":          {"GET", "/whoami", []string{"Cookie", middleware.CookieName + "=x"}, 200},
		"another site's form":          {"POST", "/signin/mallory", []string{"Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded"}, 403},
		"another site's plain text":    {"POST", "/signin/mallory", []string{"Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain"}, 403},
		"another site, an old browser": {"POST", "/signin/mallory", []string{"Origin", "https://evil.example.com"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, a).do(test.method, test.path, test.headers...)
			if p.status != test.want || p.cookie(t) != "left" {
				t.Errorf("got %d and the cookie %s, want %d and left", p.status, p.cookie(t), test.want)
			}
			if all, err := s.Sessions(t.Context(), "", true, authz.Page{}); err != nil || len(all.Items) != 0 {
				t.Errorf("sessions: got %+v and error %v, want none", all.Items, err)
			}
		})
	}
}

// TestCreatedAtIsWhenTheUserLastSignedIn is what an application asks before it lets a
// user do what wants them to have proved just now who they are.
func TestCreatedAtIsWhenTheUserLastSignedIn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *faulty) {
		var session authz.Session
		b := open(t, app(t, newGate(t, s), map[string]http.HandlerFunc{
			"/session": func(_ http.ResponseWriter, r *http.Request) { session, _ = middleware.CurrentSession(r.Context()) },
		}))
		current := func() authz.Session {
			t.Helper()
			b.get("/session")
			return session
		}
		before := time.Now().Add(-time.Second)
		b.signIn("alice")
		first, replaced := current(), b.token()
		if first.User != "alice" || first.CreatedAt.Before(before) {
			t.Errorf("got %+v, want alice's session of now", first)
		}
		if used := current(); !used.CreatedAt.Equal(first.CreatedAt) || !used.LastSeenAt.After(first.LastSeenAt) {
			t.Errorf("used: got %+v, want it made at %s and seen after %s", used, first.CreatedAt, first.LastSeenAt)
		}
		b.signIn("alice")
		if again := current(); again.ID == first.ID || !again.CreatedAt.After(first.CreatedAt) {
			t.Errorf("signed in again: got %+v, want another session than %s, made after %s", again, first.ID, first.CreatedAt)
		}
		b.hold(replaced)
		b.is("")
	})
}
