package server_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

const cookieName = "__Host-session"

// forward asks as a proxy does, with headers by name and value, and no client key.
func (s *service) forward(t testing.TB, query string, headers ...string) answer {
	t.Helper()
	c := &caller{t: t, s: s}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/auth/forward"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", firefox)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "User-Agent" {
			r.Header.Del("User-Agent")
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	a := c.send(r)
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
	for _, name := range []string{"X-Auth-Tenant", "X-Auth-User", "X-Auth-Session"} {
		if passes := a.status == http.StatusOK; passes != (a.header.Get(name) != "") {
			t.Errorf("status %d with the header %v", a.status, a.header)
		}
	}
	return a
}

// tenantOf returns the id of the tenant that a token is of.
func (s *service) tenantOf(t testing.TB, token string) string {
	t.Helper()
	tenant, err := s.engine.TenantOfSession(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	return tenant.ID()
}

// cookieOf returns the session cookie that an answer sets, after holding it to its
// attributes; nil where it sets none.
func cookieOf(t testing.TB, a answer) *http.Cookie {
	t.Helper()
	cookies := (&http.Response{Header: a.header}).Cookies()
	if len(cookies) == 0 {
		return nil
	}
	c := cookies[0]
	if len(cookies) != 1 || c.Name != cookieName || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("got %v, want one %s; Path=/; Secure; HttpOnly; SameSite=Lax", a.header["Set-Cookie"], cookieName)
	}
	return c
}

func cookie(token string) (name, value string) { return "Cookie", cookieName + "=" + token }

func TestForwardRotatesTheCookie(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	id, token := c.signIn("alice", "127.0.0.1", firefox)
	name, value := cookie(token)
	a := s.forward(t, "", name, "theme=dark; "+value+"; lang=en")
	if a.status != 200 || len(a.body) != 0 || a.header.Get("X-Auth-User") != "alice" || a.header.Get("X-Auth-Session") != id {
		t.Fatalf("got %d %q %v, want 200 for alice and nothing in the body", a.status, a.body, a.header)
	}
	next := cookieOf(t, a)
	if next == nil || next.Value == token || next.MaxAge != 12*60*60 {
		t.Fatalf("got the cookie %v, want another token for 12 hours", next)
	}
	// A parallel request with the old one is given the same.
	replayed := cookieOf(t, s.forward(t, "", name, value))
	if replayed == nil || replayed.Value != next.Value {
		t.Errorf("a parallel request: got %v, want %v", replayed, next)
	}
	if got := c.rotate(next.Value, "127.0.0.1", firefox).Data.Session.Generation; got != 3 {
		t.Errorf("generation: got %d, want 3", got)
	}
}

func TestForwardLeavesAYoungTokenAlone(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.Sessions.RotateAfter = time.Hour })
	_, token := s.caller(t).signIn("alice", "127.0.0.1", firefox)
	a := s.forward(t, "", "Cookie", cookieName+"="+token)
	if a.status != 200 || cookieOf(t, a) != nil {
		t.Errorf("got %d %v, want 200 and no cookie", a.status, a.header)
	}
}

func TestForwardOnlyVerifiesABearerToken(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	id, token := c.signIn("alice", "127.0.0.1", firefox)
	for range 3 {
		a := s.forward(t, "", "Authorization", "bearer "+token)
		if a.status != 200 || a.header.Get("X-Auth-Session") != id || cookieOf(t, a) != nil {
			t.Errorf("got %d %s %v, want 200 and no cookie", a.status, a.body, a.header)
		}
	}
	if got := c.data(c.get("/api/sessions/" + id)); !strings.Contains(got, `"generation":1,`) {
		t.Errorf("got %s, want the first generation still", got)
	}
	c.data(c.delete("/api/sessions/" + id))
	a := s.forward(t, "", "Authorization", "Bearer "+token)
	c.wantRefusal(a, authz.ErrInvalidToken)
	if cookieOf(t, a) != nil {
		t.Errorf("got %v, want no cookie", a.header)
	}
}

func TestForwardTakesOneTokenAlone(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	id, token := c.signIn("alice", "127.0.0.1", firefox)
	_, other := c.signIn("bob", "127.0.0.1", firefox)
	_, with := cookie(token)
	for name, headers := range map[string][]string{
		"two cookies":                    {"Cookie", with + "; " + with},
		"two cookies in two headers":     {"Cookie", with, "Cookie", with},
		"a second cookie is malformed":   {"Cookie", with + `; __Host-session="a b`},
		"a second cookie is empty":       {"Cookie", with + "; __Host-session"},
		"a second cookie, no space":      {"Cookie", with + ";" + with},
		"a malformed cookie before":      {"Cookie", `__Host-session="a b; ` + with},
		"cookies joined by a comma":      {"Cookie", with + "," + with},
		"a bad bearer before the cookie": {"Cookie", with, "Authorization", "Bearer x"},
		"an empty bearer":                {"Cookie", with, "Authorization", "Bearer"},
		"two authorizations":             {"Authorization", "Bearer " + token, "Authorization", "Bearer " + token},
		"a basic one and a bearer":       {"Authorization", "Basic eDp5", "Authorization", "Bearer " + token},
		"a client key":                   {"Authorization", "Bearer " + c.key},
		"a quoted cookie":                {"Cookie", `__Host-session="` + token + `"`},
		"a long cookie":                  {"Cookie", with + strings.Repeat("A", 16<<10)},
	} {
		a := s.forward(t, "", headers...)
		c.wantRefusal(a, authz.ErrInvalidToken)
		if cookieOf(t, a) != nil || a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: got %v, want no cookie and a challenge", name, a.header)
		}
	}
	for name, headers := range map[string][]string{
		"nothing":                  {},
		"another cookie":           {"Cookie", "session=" + token},
		"another case":             {"Cookie", "__host-session=" + token},
		"a space in the name":      {"Cookie", "__Host-session =" + token},
		"a space of Unicode":       {"Cookie", "\u00a0" + with},
		"a longer name":            {"Cookie", "__Host-session2=" + token},
		"another scheme":           {"Authorization", "Basic eDp5"},
		"the token as a parameter": {"Cookie", "a=" + url.QueryEscape(with)},
	} {
		if a := s.forward(t, "", headers...); a.status != 401 || cookieOf(t, a) != nil {
			t.Errorf("%s: got %d %v, want 401 and no cookie", name, a.status, a.header)
		}
	}
	if got := c.data(c.get("/api/sessions/" + id)); !strings.Contains(got, `"generation":1,`) {
		t.Errorf("got %s, want the first generation still", got)
	}
	// The bearer token counts, not the cookie.
	a := s.forward(t, "", "Cookie", with, "Authorization", "Bearer "+other)
	if a.status != 200 || a.header.Get("X-Auth-User") != "bob" || cookieOf(t, a) != nil {
		t.Errorf("got %d %v, want bob and no cookie", a.status, a.header)
	}
	// Another scheme is the application's own.
	a = s.forward(t, "", "Cookie", with, "Authorization", "Basic eDp5")
	if a.status != 200 || a.header.Get("X-Auth-User") != "alice" || cookieOf(t, a) == nil {
		t.Errorf("got %d %v, want alice with a cookie", a.status, a.header)
	}
}

func TestForwardDeletesTheCookieOfAnEndedSessionAlone(t *testing.T) {
	t.Parallel()
	s := startService(t, noOverlap)
	c := s.caller(t)
	for name, test := range map[string]struct {
		spoil   func(id, token string) []string
		want    authz.SessionRefusal
		deletes bool
	}{
		"ended": {func(id, token string) []string {
			c.data(c.delete("/api/sessions/" + id))
			return nil
		}, authz.ErrSessionEnded, true},
		"reused": {func(_, token string) []string {
			c.rotate(token, "127.0.0.1", firefox)
			return nil
		}, authz.ErrTokenReused, true},
		"another browser": {func(_, token string) []string { return []string{"User-Agent", chrome} }, authz.ErrBindingMismatch, true},
		"not ours":        {func(_, token string) []string { return []string{"Cookie", "__Host-session=x"} }, authz.ErrInvalidToken, false},
	} {
		id, token := c.signIn("alice", "127.0.0.1", firefox)
		headers := test.spoil(id, token)
		a := s.forward(t, "", append(headers, "Cookie", cookieName+"="+token)...)
		c.wantRefusal(a, test.want)
		deleted := cookieOf(t, a)
		if (deleted != nil) != test.deletes || deleted != nil && (deleted.MaxAge >= 0 || deleted.Value != "") {
			t.Errorf("%s: got the cookie %v, deleted: want %v", name, deleted, test.deletes)
		}
	}
}

func TestForwardChecksThePermission(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	for _, request := range []string{
		"PUT /api/roles/reader", "PUT /api/roles/reader/grants/document:read", "PUT /api/scopes/organization/acme",
		`PUT /api/resources/document/urn%3Ax%3Ay {"parent":{"kind":"organization","id":"acme"}}`,
		"PUT /api/scopes/organization/acme/members/alice/roles/reader",
	} {
		c.data(c.request(request))
	}
	_, token := c.signIn("alice", "127.0.0.1", firefox)
	ask := func(query string) answer {
		t.Helper()
		a := s.forward(t, query, "Cookie", cookieName+"="+token)
		if next := cookieOf(t, a); next != nil {
			token = next.Value
		} else if a.status != 400 {
			t.Errorf("%s: got %d and no cookie", query, a.status)
		}
		return a
	}
	if a := ask("?permission=document:read&resource=document:urn:x:y"); a.status != 200 {
		t.Errorf("on the resource: got %d %s, want 200", a.status, a.body)
	}
	if a := ask("?permission=document%3Aread&resource=organization%3Aacme"); a.status != 200 {
		t.Errorf("on the organization: got %d %s, want 200", a.status, a.body)
	}
	c.wantError(ask("?permission=document:read"), 403, `"document:read"`)
	c.wantError(ask("?permission=document:write&resource=document:urn:x:y"), 403, `"document:write"`)
	c.wantError(ask("?permission=document:read&resource=document:urn"), 403, "permission")
	// A check that is not understood is never left out.
	for query, part := range map[string]string{
		"?permission=": "permission: ", "?permission": "permission: ", "?permision=x": "permision: ", "?permission=a&permission=b": "permission: ",
		"?permission=a*": "permission: ", "?permission=%zz": "query", "?permission=a;b": "query", "?resource=document:x": "resource: ",
		"?permission=a&resource=": "resource: ", "?permission=a&resource=document": "resource: ", "?permission=a&resource=:x": "resource: ",
		"?permission=a&resource=document:": "resource: ", "?permission=a&resource=document:x&resource=document:y": "resource: ", "?permission=a&x=": "x: ",
		"?" + strings.Repeat("x", 9000) + "=": strings.Repeat("x", 64) + ": is",
	} {
		c.wantError(ask(query), 400, part)
	}
}

// TestForwardHoldsToOneTenant has a second tenant sign in a user of the same name,
// who may do everything there.
func TestForwardHoldsToOneTenant(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c, stranger := s.caller(t), s.caller(t)
	_, token := c.signIn("alice", "127.0.0.1", firefox)
	foreignID, foreign := stranger.signIn("alice", "127.0.0.1", firefox)
	for _, request := range []string{"POST /api/role/admin", "POST /api/permission/admin/admin:open", "POST /api/membership/alice/admin"} {
		stranger.data(stranger.request(request))
	}
	if a := s.forward(t, "?permission=admin:open", "Authorization", "Bearer "+foreign); a.status != 200 {
		t.Fatalf("held to no tenant: got %d %s, want 200", a.status, a.body)
	}
	id := s.tenantOf(t, token)
	for what, headers := range map[string][]string{
		"cookie": {"Cookie", cookieName + "=" + foreign}, "bearer": {"Authorization", "Bearer " + foreign},
	} {
		for _, query := range []string{"?tenant=" + id, "?permission=admin:open&tenant=" + id, "?tenant=nobody"} {
			a := s.forward(t, query, headers...)
			c.wantRefusal(a, authz.ErrInvalidToken)
			if cookieOf(t, a) != nil {
				t.Errorf("%s, %s: got %v, want the cookie left", what, query, a.header)
			}
		}
	}
	if got := stranger.data(stranger.get("/api/sessions/" + foreignID)); !strings.Contains(got, `"generation":1,`) {
		t.Errorf("got %s, want the first generation still", got)
	}
	a := s.forward(t, "?tenant="+id, "Cookie", cookieName+"="+token)
	if a.status != 200 || a.header.Get("X-Auth-Tenant") != id || a.header.Get("X-Auth-User") != "alice" {
		t.Errorf("got %d %v, want alice of %s", a.status, a.header, id)
	}
	for query, part := range map[string]string{
		"?tenant=": "tenant: ", "?tenant": "tenant: ", "?tenant=a&tenant=a": "tenant: ", "?tenant=..": "tenant: ", "?tenant=a%00": "tenant: ", "?Tenant=a": "Tenant: ",
	} {
		c.wantError(s.forward(t, query, "Authorization", "Bearer "+foreign), 400, part)
	}
}

func TestForwardOfAServerForOneTenant(t *testing.T) {
	t.Parallel()
	const id = "Zoë & co"
	s := startService(t, func(_ *engine.Config, cfg *server.Config) { cfg.ForwardTenant = id })
	c := s.caller(t)
	_, foreign := c.signIn("alice", "127.0.0.1", firefox)
	issued, err := s.engine.Tenant(id).CreateSession(t.Context(), authz.NewSession{User: "alice", IP: "127.0.0.1", UserAgent: firefox})
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?tenant=" + url.QueryEscape(id)} {
		c.wantRefusal(s.forward(t, query, "Authorization", "Bearer "+foreign), authz.ErrInvalidToken)
		a := s.forward(t, query, "Authorization", "Bearer "+issued.Token)
		if got := a.header.Get("X-Auth-Tenant"); a.status != 200 || got != "Zo%C3%AB%20&%20co" {
			t.Errorf("%q: got %d and the tenant %q, want 200 and %q, encoded", query, a.status, got, id)
		}
	}
	// A proxy cannot get around the setting, whoever the token is of.
	for _, token := range []string{issued.Token, foreign} {
		c.wantError(s.forward(t, "?tenant="+s.tenantOf(t, foreign), "Authorization", "Bearer "+token), 400, "tenant: ")
	}
}

func TestForwardEncodesTheUser(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	for _, user := range []string{"alice@example.com", "a b", "100%", "Ünï 名", "a,b;c\"d", "\u00a0x", "%41"} {
		_, token := c.signIn(user, "127.0.0.1", firefox)
		got := s.forward(t, "", "Cookie", cookieName+"="+token).header.Get("X-Auth-User")
		if decoded, err := url.PathUnescape(got); err != nil || decoded != user || strings.ContainsFunc(got, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("user %q: got %q, want visible ASCII that stands for it", user, got)
		}
	}
}

func TestForwardBelievesTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	const user = "203.0.113.7"
	for name, test := range map[string]struct {
		proxies []netip.Prefix
		header  string
		want    authz.SessionRefusal
	}{
		"trusted":             {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, user, ""},
		"trusted, with hops":  {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}, "198.51.100.1, " + user + ", 10.1.2.3", ""},
		"claimed by the user": {[]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, user + ", 198.51.100.1", authz.ErrBindingMismatch},
		"not trusted":         {nil, user, authz.ErrBindingMismatch},
	} {
		s := startService(t, func(cfg *engine.Config, serverCfg *server.Config) {
			cfg.Sessions.Binding, serverCfg.TrustedProxies = authz.BindingStrict, test.proxies
		})
		c := s.caller(t)
		_, token := c.signIn("alice", user, firefox)
		a := s.forward(t, "", "Cookie", cookieName+"="+token, "X-Forwarded-For", test.header)
		if test.want != "" {
			c.wantRefusal(a, test.want)
		} else if a.status != 200 {
			t.Errorf("%s: got %d %s, want 200", name, a.status, a.body)
		}
	}
}

func TestForwardSaysWhenItCannotKnow(t *testing.T) {
	t.Parallel()
	s := startService(t)
	_, token := s.caller(t).signIn("alice", "127.0.0.1", firefox)
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	a := s.forward(t, "", "Cookie", cookieName+"="+token)
	if a.status != 503 || cookieOf(t, a) != nil || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s %v, want 503 and no cookie", a.status, a.body, a.header)
	}
}

// FuzzForward sends arbitrary cookies, authorizations and queries beside a good
// token. Only alice is ever let through, and never with a cookie that is not hers.
func FuzzForward(f *testing.F) {
	for _, seed := range [][3]string{
		{"", "", ""}, {"__Host-session=", "Bearer ", "permission="}, {"; __Host-session", "Bearer", "permission=edit"},
		{";;;=;=__Host-session=x", "bearer  x", "permission=edit&resource=a:b:c"}, {"__Host-session=eyJhbGciOiJub25lIn0.e30.", "Basic x", "resource=a"},
		{"a=\"__Host-session=b\"", "Bearer a b", "permission=%00"}, {"\t__Host-session\t=\tx", "BEARER\tx", "permission=edit&permission=edit"},
		{"\xff", "\xff", "\xff"}, {"$Version=1; __Host-session=x; $Path=/", "Negotiate", "&&&"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	s := startService(f, quiet)
	_, token := s.caller(f).signIn("alice", "127.0.0.1", "")
	f.Fuzz(func(t *testing.T, cookies, authorization, query string) {
		if strings.ContainsFunc(cookies+authorization, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			t.Skip("no header's value: net/http refuses the request")
		}
		if strings.ContainsFunc(query, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			t.Skip("no request target: net/http refuses the request")
		}
		request := fmt.Sprintf("GET /auth/forward?%s HTTP/1.1\r\nHost: gatehouse\r\nCookie: %s=%s%s\r\nConnection: close\r\n", query, cookieName, token, cookies)
		if authorization != "" {
			request += "Authorization: " + authorization + "\r\n"
		}
		a, reached := raw(t, s, http.MethodGet, request+"\r\n")
		switch {
		case !reached:
			t.Errorf("net/http itself answered %d", a.status)
		case a.status == 200 && (a.header.Get("X-Auth-User") != "alice" || len(a.body) > 0):
			t.Errorf("got %v %s, want alice", a.header, a.body)
		case a.status != 200 && a.status != 400 && a.status != 401 && a.status != 403:
			t.Errorf("got %d %s", a.status, a.body)
		case a.status != 200:
			wantEnvelope(t, s, a)
		}
		if next := cookieOf(t, a); next != nil {
			if next.MaxAge < 0 {
				t.Fatalf("got %d and the cookie deleted: %s", a.status, a.body)
			}
			token = next.Value
		}
	})
}
