package server_test

import (
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// limited sets the limits of a server whose clock is in a test's hand.
func limited(perSecond, failures int, now func() time.Time) func(*engine.Config, *server.Config) {
	return func(_ *engine.Config, cfg *server.Config) {
		cfg.RateLimit, cfg.AuthFailureLimit, cfg.Now = perSecond, failures, now
	}
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// wantTooMany checks a 429 of the envelope, with what it says of the limit.
func (c *caller) wantTooMany(a answer, limit, policy string) {
	c.t.Helper()
	c.wantError(a, http.StatusTooManyRequests, "too many")
	c.wantLimit(a, limit, policy)
}

func (c *caller) wantLimit(a answer, limit, policy string) {
	c.t.Helper()
	wait := limit[strings.LastIndex(limit, "=")+1:]
	if got := a.header; got.Get("Retry-After") != wait || got.Get("RateLimit") != limit || got.Get("RateLimit-Policy") != policy {
		c.t.Errorf("got the header %v, want Retry-After %s, RateLimit %s and RateLimit-Policy %s", got, wait, limit, policy)
	}
}

func TestRequestsOfAKeyAreLimited(t *testing.T) {
	t.Parallel()
	const limit, policy = `"key";r=0;t=1`, `"key";q=1;w=1`
	var seconds atomic.Int64
	s := startService(t, limited(1, 0, func() time.Time { return noon.Add(time.Duration(seconds.Load()) * time.Second) }))
	const evaluation = `{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`
	for request, body := range map[string]string{
		"GET /api/roles":                     "",
		"GET /api/has_permission/alice/read": "",
		"POST /api/check":                    `{"user":"alice","permission":"read"}`,
		"POST /api/check/batch":              `{"checks":[{"user":"alice","permission":"read"},{"user":"bob","permission":"read"}]}`,
		"POST /api/batch":                    `{"mutations":[{"method":"POST","path":"/api/role/a"},{"method":"POST","path":"/api/role/b"},{"method":"POST","path":"/api/role/c"}]}`,
		"POST /api/role/editor":              "",
		"GET /api/changes":                   "",
	} {
		c := s.caller(t)
		method, path, _ := strings.Cut(request, " ")
		a := c.do(method, path, body)
		c.data(a)
		if got := a.header.Get("RateLimit") + a.header.Get("RateLimit-Policy"); got != "" {
			t.Errorf("%s: told %q of a limit that is kept", request, got)
		}
		c.wantTooMany(c.do(method, path, body), limit, policy)
		// Before what the request holds is looked at.
		c.wantTooMany(c.do(http.MethodPost, "/api/check", `{`), limit, policy)
		a = c.do(http.MethodPost, "/access/v1/evaluation", evaluation)
		c.wantMessage(a, http.StatusTooManyRequests, "too many")
		c.wantLimit(a, limit, policy)
		for _, probe := range []string{"/ping", "/health", "/livez", "/readyz", "/openapi.yaml", "/.well-known/jwks.json"} {
			if a := c.get(probe); a.status != http.StatusOK {
				t.Errorf("%s: got %d, want no limit", probe, a.status)
			}
		}
		seconds.Add(1)
		c.data(c.do(method, path, body))
	}
	c := s.caller(t)
	if a := c.do(http.MethodPost, "/access/v1/evaluation", evaluation); a.status != http.StatusOK {
		t.Errorf("another key: got %d %s", a.status, a.body)
	}
}

func TestARefusedCallChangesNothing(t *testing.T) {
	t.Parallel()
	var seconds atomic.Int64
	s := startService(t, limited(1, 0, func() time.Time { return noon.Add(time.Duration(seconds.Load()) * time.Second) }))
	c := s.caller(t)
	c.post("/api/role/editor")
	c.wantTooMany(c.delete("/api/role/editor"), `"key";r=0;t=1`, `"key";q=1;w=1`)
	seconds.Add(1)
	c.wantData(c.get("/api/roles"), `[{"description":"","role":"editor"}]`)
}

func TestFailedAuthenticationsOfAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	const limit, policy = `"auth-failures";r=0;t=20`, `"auth-failures";q=3;w=60`
	s := startService(t, limited(0, 3, at(noon)))
	good, late, bad, none := s.caller(t), s.caller(t), &caller{t: t, s: s, key: "wrong"}, &caller{t: t, s: s}
	good.data(good.get("/api/roles"))
	for range 5 { // who shows nothing guesses nothing
		none.wantError(none.get("/api/roles"), http.StatusUnauthorized, "required")
	}
	for range 3 {
		bad.wantError(bad.get("/api/roles"), http.StatusUnauthorized, "not a valid client key")
	}
	bad.wantTooMany(bad.get("/api/roles"), limit, policy)
	late.wantTooMany(late.get("/api/roles"), limit, policy)
	a := late.do(http.MethodPost, "/access/v1/evaluation", `{}`)
	late.wantMessage(a, http.StatusTooManyRequests, "too many failed")
	late.wantLimit(a, limit, policy)
	good.data(good.get("/api/roles"))
	none.wantError(none.get("/api/roles"), http.StatusUnauthorized, "required")
}

func TestFailuresCountForTheClientsAddress(t *testing.T) {
	t.Parallel()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, test := range map[string]struct {
		proxies []netip.Prefix
		// failing and other are X-Forwarded-For of who fails and of somebody else.
		failing, other string
		limited        bool
	}{
		"behind a trusted proxy":                {loopback, "192.0.2.1", "192.0.2.2", false},
		"the same":                              {loopback, "192.0.2.1", "192.0.2.1", true},
		"the same, with claims before it":       {loopback, "192.0.2.1", "192.0.2.2, 192.0.2.1", true},
		"claims of others":                      {loopback, "192.0.2.2, 192.0.2.1", "192.0.2.2", false},
		"of one /64":                            {loopback, "2001:db8::1", "2001:db8::2:3:4", true},
		"of two /64":                            {loopback, "2001:db8::1", "2001:db8:0:1::1", false},
		"no proxy is trusted, whatever it says": {nil, "192.0.2.1", "192.0.2.2", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startService(t, limited(0, 1, at(noon)), func(_ *engine.Config, cfg *server.Config) { cfg.TrustedProxies = test.proxies })
			bad, other := &caller{t: t, s: s, key: "wrong"}, s.caller(t)
			bad.wantError(bad.do(http.MethodGet, "/api/roles", "", "X-Forwarded-For", test.failing), http.StatusUnauthorized, "")
			want := http.StatusOK
			if test.limited {
				want = http.StatusTooManyRequests
			}
			if a := other.do(http.MethodGet, "/api/roles", "", "X-Forwarded-For", test.other); a.status != want {
				t.Errorf("got %d %s, want %d", a.status, a.body, want)
			}
		})
	}
}

func TestForwardCountsForgedTokensAlone(t *testing.T) {
	t.Parallel()
	s := startService(t, limited(0, 2, at(noon)))
	c := s.caller(t)
	id, token := c.signIn("alice", "127.0.0.1", firefox)
	ended, old := c.signIn("alice", "127.0.0.1", firefox)
	c.data(c.delete("/api/sessions/" + ended))
	for range 5 {
		c.wantRefusal(s.forward(t, "", "Cookie", cookieName+"="+old), authz.ErrSessionEnded)
		c.wantRefusal(s.forward(t, "", "Authorization", "Bearer "+old), authz.ErrInvalidToken)
		c.wantRefusal(s.forward(t, "?tenant=another", "Cookie", cookieName+"="+token), authz.ErrInvalidToken)
		c.wantError(s.forward(t, ""), http.StatusUnauthorized, "no session token")
	}
	forged := token[:strings.LastIndex(token, ".")+1] + "AAAA"
	c.wantRefusal(s.forward(t, "", "Cookie", cookieName+"="+forged), authz.ErrInvalidToken)
	c.wantRefusal(s.forward(t, "?tenant="+s.tenantOf(t, token), "Authorization", "Bearer nonsense"), authz.ErrInvalidToken)
	c.wantTooMany(s.forward(t, "", "Cookie", cookieName+"="+forged), `"auth-failures";r=0;t=30`, `"auth-failures";q=2;w=60`)
	stranger := s.caller(t)
	stranger.wantTooMany(stranger.get("/api/roles"), `"auth-failures";r=0;t=30`, `"auth-failures";q=2;w=60`)
	// Whoever is signed in goes on, each time with another token.
	for range 3 {
		a := s.forward(t, "", "Cookie", cookieName+"="+token)
		next := cookieOf(t, a)
		if a.status != http.StatusOK || a.header.Get("X-Auth-Session") != id || next == nil {
			t.Fatalf("got %d %s %v, want 200", a.status, a.body, a.header)
		}
		token = next.Value
	}
}
