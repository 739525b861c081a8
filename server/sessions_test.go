package server_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// signIn opens a session and returns its id and first token.
func (c *caller) signIn(user, ip, userAgent string) (id, token string) {
	c.t.Helper()
	a := c.do("POST", "/api/sessions", jsonOf(c.t, map[string]string{"user": user, "ip": ip, "user_agent": userAgent}))
	if a.status != http.StatusCreated {
		c.t.Fatalf("sign in: got %d %s, want 201", a.status, a.body)
	}
	var issued sessionAnswer
	if err := json.Unmarshal(a.body, &issued); err != nil {
		c.t.Fatal(err)
	}
	return issued.Data.Session.ID, issued.Data.Token
}

// present sends a token to an operation: "rotate" or "verify".
func (c *caller) present(operation, token, ip, userAgent string) answer {
	c.t.Helper()
	return c.do("POST", "/api/sessions/"+operation, jsonOf(c.t, map[string]string{"token": token, "ip": ip, "user_agent": userAgent}))
}

// rotate presents a token that must be taken.
func (c *caller) rotate(token, ip, userAgent string) sessionAnswer {
	c.t.Helper()
	a := c.present("rotate", token, ip, userAgent)
	var rotated sessionAnswer
	if err := json.Unmarshal(a.body, &rotated); err != nil || a.status != http.StatusOK {
		c.t.Fatalf("rotate: got %d %s, want 200", a.status, a.body)
	}
	return rotated
}

// sessionAnswer is what every answer about one session holds, or part of it.
type sessionAnswer struct {
	Data struct {
		Outcome string
		Active  *bool
		Token   string
		Session struct {
			ID, User, IP, Binding string
			Generation            int64
			EndReason             string     `json:"end_reason"`
			EndedAt               *time.Time `json:"ended_at"`
		}
	}
}

// wantRefusal checks that a session token was refused with exactly this word.
func (c *caller) wantRefusal(a answer, word authz.SessionRefusal) {
	c.t.Helper()
	var refusal struct{ Error string }
	if err := json.Unmarshal(a.body, &refusal); err != nil || a.status != http.StatusUnauthorized || refusal.Error != string(word) {
		c.t.Errorf("got %d %s, want 401 %s", a.status, a.body, word)
	}
}

func jsonOf(t testing.TB, value any) string {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// noOverlap makes a superseded token a theft at once.
func noOverlap(cfg *engine.Config, _ *server.Config) {
	cfg.Sessions.Overlap, cfg.Sessions.LostWindow = -1, -1
}

func TestSessions(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	id, first := c.signIn("alice", "203.0.113.7", firefox)
	rotated := c.rotate(first, "203.0.113.7", firefox)
	if got := rotated.Data; got.Outcome != "rotated" || got.Session.ID != id || got.Session.Generation != 2 || got.Token == first {
		t.Errorf("rotated: got %+v, want generation 2 of %s with another token", got, id)
	}
	if got := c.rotate(first, "203.0.113.7", firefox).Data; got.Outcome != "replayed" || got.Session.Generation != 2 {
		t.Errorf("a parallel request: got %+v, want generation 2 replayed", got)
	}
	verified := c.data(c.present("verify", rotated.Data.Token, "203.0.113.7", firefox))
	if !strings.HasPrefix(verified, `{"active":true,"session":{`) {
		t.Errorf("verify: got %s, want it active with its session", verified)
	}
	c.wantData(c.present("verify", "x", "203.0.113.7", firefox), `{"active":false}`)

	var shown sessionAnswer
	if err := json.Unmarshal(c.get("/api/sessions/"+id).body, &struct{ Data any }{&shown.Data.Session}); err != nil {
		t.Fatal(err)
	}
	if got := shown.Data.Session; got.User != "alice" || got.IP != "203.0.113.7" || got.Binding != "standard" || got.EndedAt != nil {
		t.Errorf("got %+v, want alice's live session", got)
	}
	c.wantData(c.delete("/api/sessions/"+id), `{"result":true}`)
	c.wantData(c.delete("/api/sessions/"+id), `{"result":false}`)
	c.wantData(c.delete("/api/sessions/none"), `{"result":false}`)
	c.wantError(c.get("/api/sessions/none"), 404, "none")
	c.wantRefusal(c.present("rotate", rotated.Data.Token, "203.0.113.7", firefox), authz.ErrSessionEnded)
	if err := json.Unmarshal(c.get("/api/sessions/"+id).body, &struct{ Data any }{&shown.Data.Session}); err != nil {
		t.Fatal(err)
	}
	if got := shown.Data.Session; got.EndedAt == nil || got.EndReason != "revoked" {
		t.Errorf("got %+v, want it revoked", got)
	}
}

func TestSessionLists(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	var alices []string
	for range 3 {
		id, _ := c.signIn("alice", "::1", "")
		alices = append(alices, id)
	}
	bobs, _ := c.signIn("bob", "::1", "")
	listed := func(query string) []string {
		t.Helper()
		var list []struct{ ID string }
		if err := json.Unmarshal([]byte(c.data(c.get("/api/sessions"+query))), &list); err != nil {
			t.Fatal(err)
		}
		ids := make([]string, len(list))
		for i, s := range list {
			ids[i] = s.ID
		}
		return ids
	}
	want := func(query string, ids ...string) {
		t.Helper()
		slices.Sort(ids)
		if got := listed(query); !slices.Equal(got, ids) {
			t.Errorf("%s: got %v, want %v", query, got, ids)
		}
	}
	want("", append(alices[:3:3], bobs)...)
	want("?user=alice", alices...)
	want("?user=nobody")
	link := c.get("/api/sessions?user=alice&limit=2").header.Get("Link")
	_, query, found := strings.Cut(strings.Trim(strings.Split(link, ";")[0], "<>"), "?")
	if rest := listed("?" + query); !found || len(rest) != 1 || slices.Contains(listed("?user=alice&limit=2"), rest[0]) {
		t.Errorf("the second page: got %v of %q, want the third session", rest, link)
	}
	c.wantData(c.delete("/api/sessions?user=alice&except="+alices[1]), `{"count":2,"result":true}`)
	want("?user=alice", alices[1])
	want("?user=alice&ended=true", alices...)
	c.wantData(c.delete("/api/sessions?user=alice"), `{"count":1,"result":true}`)
	c.wantData(c.delete("/api/sessions?user=alice"), `{"count":0,"result":false}`)
	want("", bobs)
}

func TestSessionRefusals(t *testing.T) {
	t.Parallel()
	s := startService(t, noOverlap)
	c := s.caller(t)
	for name, test := range map[string]struct {
		spoil func(token string) answer
		want  authz.SessionRefusal
	}{
		"a superseded token": {func(token string) answer {
			c.rotate(token, "::1", firefox)
			return c.present("rotate", token, "::1", firefox)
		}, authz.ErrTokenReused},
		"another browser": {func(token string) answer { return c.present("rotate", token, "::1", chrome) }, authz.ErrBindingMismatch},
		"an ended session": {func(token string) answer {
			c.data(c.delete("/api/sessions?user=alice"))
			return c.present("rotate", token, "::1", firefox)
		}, authz.ErrSessionEnded},
		"another tenant": {func(token string) answer { return s.caller(t).present("rotate", token, "::1", firefox) }, authz.ErrInvalidToken},
		"no token":       {func(string) answer { return c.present("rotate", "", "::1", firefox) }, authz.ErrInvalidToken},
		"a client key":   {func(string) answer { return c.present("rotate", c.key, "::1", firefox) }, authz.ErrInvalidToken},
		"a large token": {func(token string) answer {
			return c.present("rotate", token+strings.Repeat("A", 1<<17), "::1", firefox)
		}, authz.ErrInvalidToken},
	} {
		_, token := c.signIn("alice", "::1", firefox)
		a := test.spoil(token)
		c.wantRefusal(a, test.want)
		if a.header.Get("WWW-Authenticate") != "Bearer" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got the header %v", name, a.header)
		}
	}
	// A session token opens no tenant.
	_, token := c.signIn("alice", "::1", firefox)
	c.wantError(c.do("GET", "/api/roles", "", "Authorization", "Bearer "+token), 401, "client key")
}

func TestSessionRequests(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.data(c.put("/api/users/gone", `{"active":false}`))
	const valid = `{"user":"alice","ip":"::1","user_agent":""`
	for body, part := range map[string]string{
		`{}`: "missing", `{"user":"alice","ip":"::1"}`: "user_agent", `{"user":"alice","user_agent":""}`: "ip", `{"ip":"::1","user_agent":""}`: "user",
		`{"user":"","ip":"::1","user_agent":""}`: "user", `{"user":" alice","ip":"::1","user_agent":""}`: "user: ",
		`{"user":"alice","ip":"","user_agent":""}`: "ip: ", `{"user":"alice","ip":"localhost","user_agent":""}`: "ip: ",
		valid + `,"binding":"loose"}`: "binding", valid + `,"binding":""}`: "binding", valid + `,"bindings":"off"}`: "bindings",
		valid + `,"token":"x"}`: "token", `{"user":7,"ip":"::1","user_agent":""}`: "user: ", `{"user":"alice","ip":"::1","user_agent":null}`: "user_agent: ",
	} {
		c.wantError(c.do("POST", "/api/sessions", body), 400, part)
	}
	c.wantError(c.do("POST", "/api/sessions", ""), 400, "body: ")
	c.wantError(c.do("POST", "/api/sessions", `{"user":"gone","ip":"::1","user_agent":""}`), 409, "active")
	for _, operation := range []string{"rotate", "verify"} {
		for body, part := range map[string]string{
			`{"token":"x","ip":"::1"}`: "user_agent", `{"ip":"::1","user_agent":""}`: "token", `{"token":"x","ip":"x","user_agent":""}`: "ip: ",
			`{"token":"x","ip":"::1","user_agent":"","user":"alice"}`: "user",
		} {
			c.wantError(c.do("POST", "/api/sessions/"+operation, body), 400, part)
		}
	}
	// What is left empty by mistake must not stand for everybody, or for all sessions.
	c.wantError(c.get("/api/sessions?user="), 400, "user: ")
	c.wantError(c.get("/api/sessions?ended=yes"), 400, "ended: must be true or false")
	c.wantError(c.get("/api/sessions?limit=yes"), 400, "limit: must be a whole number")
	c.wantError(c.delete("/api/sessions"), 400, "user: is required")
	c.wantError(c.delete("/api/sessions?user="), 400, "user: ")
	id, _ := c.signIn("alice", "::1", "")
	for query, part := range map[string]string{
		"&except=": "except: ", "&except": "except: ", "&exept=" + id: "exept: ", "&Except=" + id: "Except: ", "&except=" + id + "&except=x": "except: ",
		"&user=bob": "user: ", ";except=" + id: "query: ", "&exc%zzept=" + id: "query: ",
	} {
		c.wantError(c.delete("/api/sessions?user=alice"+query), 400, part)
	}
	c.wantData(c.delete("/api/sessions?user=alice&except="+id), `{"count":0,"result":false}`)
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := &caller{t: t, s: s}
	if a := c.get("/.well-known/jwks.json"); a.status != 200 || strings.TrimSpace(string(a.body)) != `{"keys":[]}` || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("with HS256: got %d %v %s, want no key, and that not stored", a.status, a.header, a.body)
	}
	s = startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.TokenAlgorithm = "EdDSA" })
	_, token := s.caller(t).signIn("alice", "::1", "")
	a := (&caller{t: t, s: s}).get("/.well-known/jwks.json")
	if got := a.header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Errorf("Cache-Control: got %q", got)
	}
	var set struct {
		Keys []struct{ Kty, Crv, Kid, X string }
	}
	if err := json.Unmarshal(a.body, &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("got %s, want a key for session tokens and one for access tokens", a.body)
	}
	signed, encoded, _ := cutLast(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	verify := 0
	for _, key := range set.Keys {
		public, err := base64.RawURLEncoding.DecodeString(key.X)
		if err != nil {
			t.Fatal(err)
		}
		if ed25519.Verify(public, []byte(signed), signature) {
			verify++
		}
	}
	if verify != 1 {
		t.Errorf("got %d keys that verify a session token, want 1", verify)
	}
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// FuzzSessions signs arbitrary users in from arbitrary places. What is accepted must
// come back, and its token be taken; both databases must accept the same.
func FuzzSessions(f *testing.F) {
	for _, seed := range [][4]string{
		{"alice", "203.0.113.7", firefox, "standard"}, {"Ünïcødé 名前", "::ffff:203.0.113.7", "", "off"}, {"a/b", "fe80::1%eth0", "\x00\x1f\x7f", "strict"},
		{"", "", "", ""}, {" ", "1.2.3", strings.Repeat("é", 300), "STRICT"}, {"a\x00b", "::1\x00", "\ufeff", "off"},
		{strings.Repeat("u", 257), "256.0.0.1", strings.Repeat("x", 5000), "standard"}, {"'; --", "010.0.0.1", "' OR 1=1", "off"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	services := fuzzServices(f)
	f.Fuzz(func(t *testing.T, user, ip, userAgent, binding string) {
		body := jsonOf(t, map[string]string{"user": user, "ip": ip, "user_agent": userAgent, "binding": binding})
		var statuses []int
		for _, s := range services {
			c := s.caller(t)
			a := c.do("POST", "/api/sessions", body)
			statuses = append(statuses, a.status)
			if a.status != http.StatusCreated {
				if a.status != http.StatusBadRequest {
					t.Errorf("%s: got %d %s, want 201 or 400", body, a.status, a.body)
				}
				c.wantData(c.get("/api/sessions"), `[]`)
				continue
			}
			var issued sessionAnswer
			if err := json.Unmarshal(a.body, &issued); err != nil {
				t.Fatal(err)
			}
			if got := issued.Data.Session; authz.ValidateID(got.User) != nil || got.Binding != binding {
				t.Errorf("%s: got %+v", body, got)
			}
			if got := c.rotate(issued.Data.Token, ip, userAgent).Data.Session; got.ID != issued.Data.Session.ID || got.Generation != 2 {
				t.Errorf("%s: rotated to %+v", body, got)
			}
			if got := c.data(c.get("/api/sessions?" + url.Values{"user": {issued.Data.Session.User}}.Encode())); strings.Count(got, `"id"`) != 1 {
				t.Errorf("%s: listed %s", body, got)
			}
		}
		if len(slices.Compact(statuses)) != 1 {
			t.Errorf("%s: got %v, want the same of both databases", body, statuses)
		}
	})
}
