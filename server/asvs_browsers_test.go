package server_test

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// everyRequest is a request of every operation that a key must open.
func everyRequest() []string {
	return slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(requests))...)))
}

// TestNothingThatABrowserSendsByItselfOpensTheAPI has another site's page send forms
// with all that a browser adds on its own. The API knows no cookie, and a header of
// the page's own would be preceded by a preflight, which TestCORS is about.
func TestNothingThatABrowserSendsByItselfOpensTheAPI(t *testing.T) {
	t.Parallel()
	s := startService(t)
	known := s.caller(t)
	_, token := known.signIn("alice", "127.0.0.1", firefox)
	page := &caller{t: t, s: s}
	known.wantSame(func() {
		for _, request := range everyRequest() {
			method, path, body := parts(request)
			for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded"} {
				a := page.do(method, path, body, "Content-Type", contentType, "Origin", "https://evil.example.com", "Sec-Fetch-Site", "cross-site",
					"User-Agent", firefox, "Cookie", cookieName+"="+token+"; key="+known.key)
				if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s: got %d %s, want 401", request, a.status, a.body)
				}
			}
		}
	})
}

// TestSafeMethodsChangeNothing is with a key that may do everything. Of all requests
// with GET the one that changes something is /auth/forward, which rotates the token
// that it is sent, for the same browser.
func TestSafeMethodsChangeNothing(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	for _, path := range kept {
		c.data(c.put(path, ""))
	}
	id, token := c.signIn("alice", "127.0.0.1", firefox)
	session := strings.NewReplacer("$session", id, "$token", token)
	// The log's own work is done, so that nothing but a request can change it.
	if err := s.engine.SequenceAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	audit, shown := c.data(c.get("/api/audit")), c.data(c.get("/api/sessions/"+id))
	c.wantSame(func() {
		for _, request := range everyRequest() {
			method, path, _ := parts(session.Replace(request))
			if method != http.MethodGet {
				continue
			}
			for _, safe := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
				if a := c.do(safe, path, ""); a.status >= 500 || safe == http.MethodGet && a.status != http.StatusOK {
					t.Errorf("%s %s: got %d %s", safe, path, a.status, a.body)
				}
			}
		}
	})
	if got := c.data(c.get("/api/audit")); got != audit {
		t.Errorf("audit log: got %s, want %s as before", got, audit)
	}
	if got := c.data(c.get("/api/sessions/" + id)); got != shown {
		t.Errorf("session: got %s, want %s as before", got, shown)
	}
}

// TestNoAnswerRunsAsAScript shows that what a key opens is never of a type that a page
// of another site could load as a script, whatever the query asks for.
func TestNoAnswerRunsAsAScript(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	for _, path := range kept {
		c.data(c.put(path, ""))
	}
	id, token := c.signIn("alice", "127.0.0.1", firefox)
	session := strings.NewReplacer("$session", id, "$token", token)
	for _, request := range everyRequest() {
		method, path, body := parts(session.Replace(request))
		if method != http.MethodGet {
			continue
		}
		for _, query := range []string{"", "?callback=show", "?jsonp=show"} {
			a := c.do(method, path+query, body)
			if got, _, err := mime.ParseMediaType(a.header.Get("Content-Type")); err != nil || got != "application/json" {
				t.Errorf("%s%s: got %d with the type %q, want application/json", request, query, a.status, a.header.Get("Content-Type"))
			}
			if !strings.HasPrefix(string(a.body), "{") {
				t.Errorf("%s%s: got %s, want an object", request, query, a.body)
			}
		}
	}
}

// TestEveryAnswerKeepsItsType is of answers with and without a key, and of those that
// no operation gives.
func TestEveryAnswerKeepsItsType(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	nobody := &caller{t: t, s: s}
	for _, request := range append(everyRequest(),
		"GET /ping", "GET /health", "GET /livez", "GET /readyz", "GET /docs", "GET /docs/swagger-ui-bundle.js", "GET /docs/swagger-ui.css",
		"GET /openapi.yaml", "GET /openapi.json", "GET /.well-known/authzen-configuration", "GET /.well-known/jwks.json", "GET /auth/forward",
		"GET /", "GET /nowhere", "GET //api/roles", "PATCH /api/roles", "OPTIONS /api/roles",
	) {
		method, path, body := parts(request)
		for of, a := range map[string]answer{"with a key": c.do(method, path, body), "without": nobody.do(method, path, body)} {
			if got := a.header.Values("X-Content-Type-Options"); len(got) != 1 || got[0] != "nosniff" {
				t.Errorf("%s %s: got %d with X-Content-Type-Options %q, want nosniff", request, of, a.status, got)
			}
		}
	}
}

// TestForwardTellsTheTokenInItsCookieAlone is for proxies that pass more of the answer
// on than they should.
func TestForwardTellsTheTokenInItsCookieAlone(t *testing.T) {
	t.Parallel()
	s := startService(t)
	_, token := s.caller(t).signIn("alice", "127.0.0.1", firefox)
	for range 3 {
		a := s.forward(t, "", "Cookie", cookieName+"="+token)
		next := cookieOf(t, a)
		if next == nil {
			t.Fatalf("got %d %v, want a cookie", a.status, a.header)
		}
		a.header.Del("Set-Cookie")
		if told := fmt.Sprint(a.header, string(a.body)); strings.Contains(told, next.Value) || strings.Contains(told, token) {
			t.Errorf("got a token beside the cookie: %s", told)
		}
		token = next.Value
	}
}
