package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
}

// tokens asks for tokens with a body.
func (c *caller) tokens(body string) tokens {
	c.t.Helper()
	return c.gotTokens(c.do(http.MethodPost, "/api/token", body))
}

func (c *caller) gotTokens(a answer) tokens {
	c.t.Helper()
	var got tokens
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 || got.TokenType != "Bearer" || a.header.Get("Cache-Control") != "no-store" {
		c.t.Fatalf("got %d %v %s, want tokens that are not stored", a.status, a.header, a.body)
	}
	return got
}

// form sends a form.
func (c *caller) form(path string, values url.Values) answer {
	c.t.Helper()
	return c.do(http.MethodPost, path, values.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// wantTokenError wants an error in OAuth's form.
func (c *caller) wantTokenError(a answer, status int, word, part string) {
	c.t.Helper()
	var got struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != status || got.Error != word || !strings.Contains(got.Description, part) ||
		a.header.Get("Cache-Control") != "no-store" {
		c.t.Errorf("got %d %v %s, want %d, %s and words that hold %q", a.status, a.header, a.body, status, word, part)
	}
	if strings.ContainsFunc(got.Description, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		c.t.Errorf("the description %q has a character that RFC 6749 does not allow", got.Description)
	}
}

func TestTokensOverHTTP(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	first := c.tokens(`{"abilities":["write","read"],"subject":"alice@example.com"}`)
	if first.Scope != "read write" || first.ExpiresIn > 24*3600 || first.ExpiresIn < 24*3600-5 {
		t.Errorf("got %+v, want read and write for a day", first)
	}
	// A body is not needed.
	if all := c.gotTokens(c.post("/api/token")); all.Scope != "admin" {
		t.Errorf("without a body: got %+v, want all that the key has", all)
	}
	byToken := &caller{t: t, s: c.s, key: first.AccessToken}
	byToken.wantData(byToken.post("/api/role/editor"), `{"result":true}`)
	c.wantData(c.get("/api/roles"), `[{"description":"","role":"editor"}]`)

	second := c.gotTokens(c.form("/api/token/refresh", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}, "scope": {"read"}, "client_id": {""},
	}))
	if second.Scope != "read" || second.RefreshToken == first.RefreshToken {
		t.Errorf("got %+v, want a new one for reading", second)
	}
	byToken.key = second.AccessToken
	byToken.wantError(byToken.post("/api/role/writer"), 403, `this access token lacks the ability "write"`)
	third := c.gotTokens(c.do(http.MethodPost, "/api/token/refresh", `{"refresh_token":"`+second.RefreshToken+`","extension":1}`))

	var info struct {
		Active                                    bool
		Scope, Sub, Aud, Iss, Jti, Tenant, Family string
		ClientID                                  string `json:"client_id"`
		TokenUse                                  string `json:"token_use"`
		TokenType                                 string `json:"token_type"`
		Exp, Iat, Nbf                             int64
	}
	a := c.form("/api/token/introspect", url.Values{"token": {third.AccessToken}, "token_type_hint": {"refresh_token"}})
	if err := json.Unmarshal(a.body, &info); err != nil || !info.Active || info.Scope != "read write" || info.Sub != "alice@example.com" || info.Aud != "gatehouse" ||
		info.Iss != "gatehouse" || info.Jti == "" || info.Tenant == "" || info.Family == "" || info.ClientID == "" || info.TokenUse != "access_token" ||
		info.TokenType != "Bearer" || info.Exp-info.Iat != 24*3600 || info.Nbf != info.Iat {
		t.Errorf("got %s", a.body)
	}
	a = c.do(http.MethodPost, "/api/token/introspect", `{"token":"`+third.RefreshToken+`"}`)
	if err := json.Unmarshal(a.body, &info); err != nil || info.TokenUse != "refresh_token" || info.Exp-info.Iat != 7*24*3600 {
		t.Errorf("got %s", a.body)
	}
	other := c.s.caller(t)
	for _, a := range []answer{
		c.form("/api/token/introspect", url.Values{"token": {first.RefreshToken}}), c.form("/api/token/introspect", url.Values{"token": {"unknown"}}),
		other.form("/api/token/introspect", url.Values{"token": {third.RefreshToken}}), other.form("/api/token/introspect", url.Values{"token": {third.AccessToken}}),
	} {
		if strings.TrimSpace(string(a.body)) != `{"active":false}` {
			t.Errorf("got %s, want nothing but that it is not active", a.body)
		}
	}
	for _, a := range []answer{
		c.form("/api/token/revoke", url.Values{"token": {"unknown"}}), other.form("/api/token/revoke", url.Values{"token": {third.RefreshToken}}),
	} {
		if a.status != 200 || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
	}
	byToken.key = third.AccessToken
	byToken.wantData(byToken.get("/api/roles"), `[{"description":"","role":"editor"}]`)
	for range 2 {
		if a := c.form("/api/token/revoke", url.Values{"token": {third.RefreshToken}, "token_type_hint": {"access_token"}}); a.status != 200 {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
	}
	a = byToken.get("/api/roles")
	byToken.wantError(a, 401, "not good any more")
	if got := a.header.Get("WWW-Authenticate"); got != `Bearer error="invalid_token"` {
		t.Errorf("WWW-Authenticate: got %q", got)
	}
	c.wantTokenError(c.form("/api/token/refresh", url.Values{"refresh_token": {third.RefreshToken}}), 400, "invalid_grant", "refresh token")
	for _, secret := range []string{first.AccessToken, first.RefreshToken, third.AccessToken, third.RefreshToken, c.key, "alice@example.com"} {
		if strings.Contains(c.s.log.String(), secret) {
			t.Errorf("the log holds %.20s…", secret)
		}
		if audit := c.get("/api/audit?limit=1000").body; secret != "alice@example.com" && strings.Contains(string(audit), secret) {
			t.Errorf("the audit log holds %.20s…", secret)
		}
	}
}

func TestTokenErrorsAreOAuths(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.OpenRegistration = false })
	key, info, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{Abilities: []engine.Ability{engine.AbilityCheck}})
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, s: s, key: key}
	for body, word := range map[string]string{
		`{"abilities":["write"]}`:                "invalid_scope",
		`{"abilities":["fly"]}`:                  "invalid_scope",
		`{"abilities":["\"\\é\u0001"]}`:          "invalid_scope",
		`{"abilities":[]}`:                       "invalid_request",
		`{"abilities":"check"}`:                  "invalid_request",
		`{"ability":["check"]}`:                  "invalid_request",
		`{"subject":""}`:                         "invalid_request",
		`{"subject":"a\u0000"}`:                  "invalid_request",
		`{"subject":"` + info.Fingerprint + `"}`: "invalid_request",
		`[]`:                                     "invalid_request",
		`{`:                                      "invalid_request",
		`{} {}`:                                  "invalid_request",
	} {
		c.wantTokenError(c.do(http.MethodPost, "/api/token", body), 400, word, "")
	}
	good := c.tokens(`{}`)
	for _, path := range []string{"/api/token/refresh", "/api/token/revoke", "/api/token/introspect"} {
		for _, a := range []answer{
			c.post(path), c.do(http.MethodPost, path, `{}`), c.do(http.MethodPost, path, `{"token":7,"refresh_token":7}`), c.do(http.MethodPost, path, `{"token":"","refresh_token":""}`),
			c.form(path, url.Values{"x": {"y"}}), c.form(path, url.Values{"token": {""}, "refresh_token": {""}}),
			c.form(path, url.Values{"token": {"a", "b"}, "refresh_token": {"a", "b"}}), c.form(path, url.Values{"token": {"\xff"}, "refresh_token": {"\xff"}}),
			c.do(http.MethodPost, path, "token=%zz&refresh_token=%zz", "Content-Type", "application/x-www-form-urlencoded"),
			c.do(http.MethodPost, path, "token=a;refresh_token=b", "Content-Type", "application/x-www-form-urlencoded"),
		} {
			c.wantTokenError(a, 400, "invalid_request", "")
		}
		c.wantTokenError(c.do(http.MethodPost, path, "x", "Content-Type", "text/plain"), 415, "invalid_request", "application/x-www-form-urlencoded")
		c.wantTokenError(c.do(http.MethodPost, path, `{"token":"`+strings.Repeat("a", 1<<20)+`"}`), 413, "invalid_request", "1048576")
	}
	c.wantTokenError(c.do(http.MethodPost, "/api/token", "subject=alice", "Content-Type", "application/x-www-form-urlencoded"), 415, "invalid_request", "application/json")
	// The media type's letters may be of either case.
	c.gotTokens(c.do(http.MethodPost, "/api/token/refresh", `{"refresh_token":"`+good.RefreshToken+`"}`, "Content-Type", "APPLICATION/JSON; charset=UTF-8"))
	c.wantTokenError(c.do(http.MethodPost, "/api/token/refresh?x=%zz", `{"refresh_token":"x"}`), 400, "invalid_request", "query")

	for _, path := range []string{"/api/token", "/api/token/refresh", "/api/token/revoke", "/api/token/introspect"} {
		a := c.get(path)
		c.wantTokenError(a, 405, "invalid_request", "GET")
		if got := a.header.Get("Allow"); got != "POST" {
			t.Errorf("%s: Allow: got %q, want POST", path, got)
		}
		// 401 comes before 400.
		for _, bearer := range []string{"", uuid.NewString(), "x", good.RefreshToken, good.AccessToken} {
			a := c.do(http.MethodPost, path, "{", "Authorization", "Bearer "+bearer)
			c.wantTokenError(a, 401, "invalid_client", "")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", path)
			}
		}
	}
}

func TestTokensWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	tokens := c.tokens(`{}`)
	if err := c.s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	a := c.form("/api/token/refresh", url.Values{"refresh_token": {tokens.RefreshToken}})
	c.wantTokenError(a, 503, "temporarily_unavailable", "")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestBatchHoldsNoTokens(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	for _, path := range []string{"/api/token", "/api/token/revoke"} {
		c.wantError(c.do(http.MethodPost, "/api/batch", `{"mutations":[{"method":"POST","path":"`+path+`","body":{}}]}`), 400, "about tokens")
	}
	// A batch is what its caller may do, by a token as well.
	narrow := &caller{t: t, s: c.s, key: c.tokens(`{"abilities":["write"]}`).AccessToken}
	narrow.data(narrow.do(http.MethodPost, "/api/batch", `{"mutations":[{"method":"POST","path":"/api/role/editor"}]}`))
	narrow.wantError(narrow.do(http.MethodPost, "/api/batch", `{"mutations":[{"method":"PUT","path":"/api/settings","body":{}}]}`), 403, "admin")
}
