package server_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// wantReplay checks that a request is answered as another was, to the byte, and says so.
func (c *caller) wantReplay(again, first answer) {
	c.t.Helper()
	if again.status != first.status || string(again.body) != string(first.body) || again.header.Get("Idempotent-Replayed") != "true" ||
		again.header.Get("Gatehouse-Revision") != first.header.Get("Gatehouse-Revision") || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
		c.t.Errorf("got %d %s %v, want it as before: %d %s %v", again.status, again.body, again.header, first.status, first.body, first.header)
	}
	if first.header.Get("Idempotent-Replayed") != "" {
		c.t.Errorf("the first answer says that it is a replay: %s", first.body)
	}
}

func TestIdempotencyKeyReplaysTheAnswer(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	c.data(c.post("/api/role/there"))
	for name, test := range map[string]struct{ method, path, body string }{
		"a creation":         {"POST", "/api/role/editor", `{"description":"Edits"}`},
		"no body":            {"POST", "/api/role/author", ""},
		"a PUT":              {"PUT", "/api/users/alice", `{"properties":{"level":3}}`},
		"settings":           {"PUT", "/api/settings", `{"strict_users":false,"strict_permissions":false}`},
		"a deletion":         {"DELETE", "/api/role/none", ""},
		"no change":          {"POST", "/api/role/there", ""},
		"a batch":            {"POST", "/api/batch", `{"mutations":[{"method":"POST","path":"/api/role/one"},{"method":"POST","path":"/api/permission/one/edit"}]}`},
		"a new session":      {"POST", "/api/sessions", `{"user":"bob","ip":"192.0.2.1","user_agent":"browser"}`},
		"an end of none":     {"DELETE", "/api/sessions/none", ""},
		"an end of sessions": {"DELETE", "/api/sessions?user=carol", ""},
	} {
		first := c.do(test.method, test.path, test.body, "Idempotency-Key", name)
		if first.status/100 != 2 {
			t.Errorf("%s: got %d %s", name, first.status, first.body)
		}
		c.wantSame(func() { c.wantReplay(c.do(test.method, test.path, test.body, "Idempotency-Key", `"`+name+`"`), first) })
	}
	if page := c.get("/metrics"); !strings.Contains(string(page.body), "\ngatehouse_idempotent_replays_total 10\n") {
		t.Errorf("the metrics do not count 10 replays:\n%s", page.body)
	}
	if strings.Contains(s.log.String(), `"level":"ERROR"`) {
		t.Errorf("something was logged as an error: %s", s.log)
	}
}

// TestIdempotencyKeyOpensTheTenant has the first write of a key be one with a name.
func TestIdempotencyKeyOpensTheTenant(t *testing.T) {
	t.Parallel()
	s := startService(t)
	for name, test := range map[string]struct{ path, body string }{
		"policy":   {"/api/role/editor", ""},
		"sessions": {"/api/sessions", `{"user":"bob","ip":"192.0.2.1","user_agent":"browser"}`},
	} {
		c := s.caller(t)
		first := c.do("POST", test.path, test.body, "Idempotency-Key", "first")
		c.wantReplay(c.do("POST", test.path, test.body, "Idempotency-Key", "first"), first)
		if got := c.get("/api/roles").header.Get("Gatehouse-Revision"); got != "1" {
			t.Errorf("%s: got revision %s, want 1", name, got)
		}
	}
	c := s.caller(t)
	c.wantError(c.do("POST", "/api/sessions", `{"user":" bob","ip":"192.0.2.1","user_agent":"browser"}`, "Idempotency-Key", "first"), 400, "user")
	if got := c.get("/api/roles").header.Get("Gatehouse-Revision"); got != "0" {
		t.Errorf("after a refusal: got revision %s, want 0", got)
	}
}

func TestIdempotencyKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	first := c.do("POST", "/api/role/editor", `{"description":"Edits"}`, "Idempotency-Key", "key")
	c.data(first)
	c.wantSame(func() {
		for _, other := range []struct{ method, path, body string }{
			{"DELETE", "/api/role/editor", ""},
			{"POST", "/api/role/author", `{"description":"Edits"}`},
			{"POST", "/api/role/editor?again=1", `{"description":"Edits"}`},
			{"POST", "/api/role/editor", `{"description": "Edits"}`},
			{"POST", "/api/role/editor", ""},
		} {
			c.wantError(c.do(other.method, other.path, other.body, "Idempotency-Key", "key"), 409, "Idempotency-Key")
		}
	})
	c.wantReplay(c.do("POST", "/api/role/editor", `{"description":"Edits"}`, "Idempotency-Key", "key"), first)
	upper := *c
	upper.key = strings.ToUpper(c.key)
	upper.wantReplay(upper.do("POST", "/api/role/editor", `{"description":"Edits"}`, "Idempotency-Key", "key"), first)
	// What another tenant calls its requests is its own affair.
	s.caller(t).data(s.caller(t).do("POST", "/api/role/author", "", "Idempotency-Key", "key"))
}

func TestIdempotencyKeyOfAnotherToken(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	tokens := make([]*caller, 2)
	for i := range tokens {
		tokens[i] = &caller{t: t, s: s, key: c.tokens(`{}`).AccessToken}
	}
	first := tokens[0].do("POST", "/api/role/editor", "", "Idempotency-Key", "key")
	tokens[0].wantReplay(tokens[0].do("POST", "/api/role/editor", "", "Idempotency-Key", "key"), first)
	tokens[1].wantError(tokens[1].do("POST", "/api/role/editor", "", "Idempotency-Key", "key"), 409, "another bearer token")
}

func TestIdempotencyKeyForms(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantSame(func() {
		for _, bad := range []string{
			`""`, `"`, `"open`, `"in"side"`, `"\x"`, `"\`, `"key";a=1`, "é", strings.Repeat("k", 256), "tab\there",
		} {
			c.wantError(c.do("POST", "/api/role/editor", "", "Idempotency-Key", bad), 400, "Idempotency-Key")
		}
	})
	for i, same := range [][2]string{{"bare", `"bare"`}, {strings.Repeat("k", 255), strings.Repeat("k", 255)}, {`a\b"c`, `"a\\b\"c"`}} {
		path := "/api/role/role" + string(rune('a'+i))
		first := c.do("POST", path, "", "Idempotency-Key", same[0])
		c.wantReplay(c.do("POST", path, "", "Idempotency-Key", same[1]), first)
	}
	twice, err := http.NewRequestWithContext(t.Context(), "POST", c.s.URL+"/api/role/editor", nil)
	if err != nil {
		t.Fatal(err)
	}
	twice.Header = http.Header{"Authorization": {"Bearer " + c.key}, "Idempotency-Key": {"a", "b"}}
	c.wantError(c.send(twice), 400, "Idempotency-Key")
}

// TestIdempotencyKeyWhereItIsNotTaken: not where a repeat is another thing.
func TestIdempotencyKeyWhereItIsNotTaken(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.data(c.post("/api/role/editor"))
	presented := `{"token":"t","ip":"192.0.2.1","user_agent":"browser"}`
	for _, path := range []string{"/api/sessions/rotate", "/api/sessions/verify"} {
		c.wantError(c.do("POST", path, presented, "Idempotency-Key", "key"), 400, "Idempotency-Key")
	}
	for path, body := range map[string]string{"/api/token": `{}`, "/api/token/refresh": `{"refresh_token":"t"}`, "/api/token/revoke": `{"token":"t"}`} {
		if a := c.do("POST", path, body, "Idempotency-Key", "key"); a.status != 400 || !strings.Contains(string(a.body), "Idempotency-Key") {
			t.Errorf("%s: got %d %s, want 400 that names the header", path, a.status, a.body)
		}
	}
	for range 2 { // a read leaves it unread
		if a := c.do("POST", "/api/check", `{"user":"alice","permission":"edit"}`, "Idempotency-Key", "key"); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("a check: got %d %s", a.status, a.body)
		}
		if a := c.do("GET", "/api/roles", "", "Idempotency-Key", `"`); a.status != 200 {
			t.Errorf("a list: got %d %s", a.status, a.body)
		}
	}
}

// TestIdempotencyKeyNeedsTheAbility has the caller judged before the request's name is
// looked at, and a batch's refusal audited.
func TestIdempotencyKeyNeedsTheAbility(t *testing.T) {
	t.Parallel()
	s := startService(t)
	key, info, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	admin := &caller{t: t, s: s, key: key}
	with := func(ability engine.Ability) *caller {
		key, _, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{Tenant: info.Tenant, Abilities: []engine.Ability{ability}})
		if err != nil {
			t.Fatal(err)
		}
		return &caller{t: t, s: s, key: key}
	}
	reader, writer := with(engine.AbilityRead), with(engine.AbilityWrite)
	reader.wantError(reader.do("POST", "/api/role/author", "", "Idempotency-Key", `"`), 403, "write")
	batch := `{"mutations":[{"method":"POST","path":"/api/role/author"},{"method":"PUT","path":"/api/settings","body":{"strict_users":true}}]}`
	writer.wantError(writer.do("POST", "/api/batch", batch, "Idempotency-Key", "batch"), 403, "mutations.1: ")
	events := admin.get("/api/audit?outcome=refused")
	if !strings.Contains(string(events.body), "operation/PutSettings") {
		t.Errorf("the refusal is not audited: %s", events.body)
	}
	admin.wantData(admin.get("/api/roles"), `[]`)
}

// TestKeptAnswersAreSealed looks for what an answer holds in the database's file.
func TestKeptAnswersAreSealed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.sqlite3")
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.Database = path })
	c := s.caller(t)
	a := c.do("POST", "/api/sessions", `{"user":"bob","ip":"192.0.2.1","user_agent":"browser"}`, "Idempotency-Key", "name-of-the-request")
	if a.status != 201 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	_, token, _ := strings.Cut(string(a.body), `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("got files %v, error %v; want the database and its log", files, err)
	}
	for _, file := range files {
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{token, token[strings.LastIndex(token, "."):], "name-of-the-request", c.key} {
			if bytes.Contains(stored, []byte(secret)) {
				t.Errorf("%s holds %.20q", file, secret)
			}
		}
	}
}
