package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
)

// TestEveryKindOfAnswerCarriesTheSecurityHeaders is for what an application answers
// beside its pages: refusals, failures, redirects, streams, and nothing.
func TestEveryKindOfAnswerCarriesTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	permit(t, s)
	gate := newGate(t, s)
	a := app(t, gate, map[string]http.HandlerFunc{
		"/note/{id}": gate.Require("note:read", note)(http.HandlerFunc(whoami)).ServeHTTP,
		"/empty":     func(http.ResponseWriter, *http.Request) {},
		"/elsewhere": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/whoami", http.StatusSeeOther) },
		"/broken":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusInternalServerError) },
		"/data":      func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "application/json") },
		"/stream": func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
		},
	})
	nobody, alice, bob := open(t, a), open(t, a), open(t, a)
	alice.signIn("alice")
	bob.signIn("bob")
	const origin = "https://evil.example.com"
	for name, test := range map[string]struct {
		page   page
		status int
	}{
		"a page":                 {alice.get("/note/plan"), 200},
		"for nobody":             {nobody.get("/whoami"), 200},
		"empty":                  {nobody.get("/empty"), 200},
		"a stream":               {nobody.get("/stream"), 200},
		"data":                   {nobody.get("/data"), 200},
		"no body":                {alice.do("HEAD", "/note/plan"), 200},
		"asked by another site":  {alice.do("GET", "/note/plan", "Sec-Fetch-Site", "cross-site", "Origin", origin), 200},
		"a preflight":            {nobody.do("OPTIONS", "/whoami", "Origin", origin, "Access-Control-Request-Method", "PUT"), 200},
		"a redirect":             {nobody.get("/elsewhere"), 303},
		"nobody is signed in":    {nobody.get("/note/plan"), 401},
		"not permitted":          {bob.get("/note/plan"), 403},
		"of another site":        {alice.do("POST", "/whoami", "Sec-Fetch-Site", "cross-site", "Origin", origin), 403},
		"no such page":           {alice.get("/nowhere"), 404},
		"no such note":           {alice.get("/note/missing"), 404},
		"another method":         {alice.do("PUT", "/signout"), 405},
		"broken":                 {nobody.get("/broken"), 500},
		"it cannot be said":      {alice.get("/note/broken"), 503},
		"a session that is over": {ended(t, a), 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.page.status != test.status {
				t.Errorf("status: got %d, want %d", test.page.status, test.status)
			}
			for header, want := range map[string]string{
				"Content-Security-Policy":      "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
				"Cross-Origin-Opener-Policy":   "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
				"Referrer-Policy":              "strict-origin-when-cross-origin",
				"Strict-Transport-Security":    "max-age=63072000; includeSubDomains",
				"X-Content-Type-Options":       "nosniff",
			} {
				if got := test.page.header.Values(header); len(got) != 1 || got[0] != want {
					t.Errorf("%s: got %q, want %q once", header, got, want)
				}
			}
			for header := range test.page.header {
				if strings.HasPrefix(header, "Access-Control-") {
					t.Errorf("got %s, which lets another site read the answer", header)
				}
			}
		})
	}
}

// ended is a page that is asked for with the token of a session that is over.
func ended(t testing.TB, a *httptest.Server) page {
	t.Helper()
	b := open(t, a)
	b.signIn("carol")
	last := b.token()
	b.do(http.MethodPost, "/signout")
	b.hold(last)
	p := b.get("/whoami")
	if p.cookie(t) != "deleted" {
		t.Errorf("a session that is over: got the cookie %s, want deleted", p.cookie(t))
	}
	return p
}
