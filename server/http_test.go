package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := &caller{t: t, s: s}
	c.wantError(c.get("/api/role_permissions/%2F"), 401, "")
	c.wantError(c.get("/nothing/%2F"), 404, "")
	c.wantError(c.do("PUT", "/api/role/%2F", ""), 405, "")
	if a := c.get("/ping"); a.status != 200 || strings.TrimSpace(string(a.body)) != `{"message":"PONG"}` {
		t.Errorf("/ping: got %d %s", a.status, a.body)
	}
	for path, want := range map[string]string{"/health": `"status":"healthy"`, "/livez": `"status":"ok"`, "/readyz": `"status":"ok"`} {
		if a := c.get(path); a.status != 200 || !strings.Contains(string(a.body), want) {
			t.Errorf("%s: got %d %s, want 200 and %s", path, a.status, a.body, want)
		}
	}
	if err := s.engine.Close(); err != nil {
		t.Fatal(err)
	}
	if a := c.get("/health"); a.status != 503 || !strings.Contains(string(a.body), `"unhealthy"`) || a.header.Get("Retry-After") == "" {
		t.Errorf("/health without a database: got %d %s", a.status, a.body)
	}
	c.wantError(c.get("/readyz"), 503, "database")
	if a := c.get("/livez"); a.status != 200 {
		t.Errorf("/livez without a database: got %d", a.status)
	}
	c.key = uuid.NewString()
	a := c.get("/api/has_permission/alice/edit")
	c.wantError(a, 503, "database")
	if a.header.Get("Retry-After") == "" {
		t.Error("a 503 has no Retry-After")
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.OpenRegistration = false })
	key, _, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, s: s, key: strings.ToUpper(key)}
	c.wantData(c.post("/api/role/editor"), `{"result":true}`)
	c.key = key
	c.wantData(c.get("/api/roles"), `[{"description":"","role":"editor"}]`)
	for _, header := range []string{"bearer " + key, "BEARER " + key} {
		c.wantData(c.do(http.MethodGet, "/api/members/editor", "", "Authorization", header), `[]`)
	}
	for _, header := range []string{
		"", "Bearer", "Bearer ", key, "Basic " + key, "Bearer " + uuid.NewString(), "Bearer {" + key + "}", "Bearer urn:uuid:" + key,
		"Bearer " + strings.ReplaceAll(key, "-", ""), "Bearer " + key + "x", "Bearer " + key + " " + key,
		"Bearer " + uuid.Must(uuid.NewV7()).String(), "Bearer " + uuid.Must(uuid.NewUUID()).String(),
		"Bearer " + key[:19] + "c" + key[20:], "Bearer " + uuid.Nil.String(), "Bearer eyJhbGciOiJub25lIn0.e30.",
	} {
		// The limit is malformed, which an unknown caller is not told.
		a := c.do(http.MethodGet, "/api/roles?limit=x", "", "Authorization", header)
		challenge := "Bearer"
		if strings.Contains(header, ".") {
			challenge = `Bearer error="invalid_token"`
		}
		if a.status != 401 || a.header.Get("WWW-Authenticate") != challenge {
			t.Errorf("Authorization %q: got %d %s, want 401", header, a.status, a.body)
		}
		if strings.Contains(string(a.body), key) {
			t.Errorf("Authorization %q: the answer holds the key: %s", header, a.body)
		}
	}
	if strings.Contains(s.log.String(), key) || strings.Contains(s.log.String(), strings.ToUpper(key)) {
		t.Error("the log holds the key")
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.post("/api/role/editor")
	large := `{"description":"` + strings.Repeat("x", 1<<20) + `"}`
	padded := `{"description":"x"}` + strings.Repeat(" ", 1<<20-len(`{"description":"x"}`))
	c.wantSame(func() {
		const path = "/api/role/editor"
		c.wantError(c.do("POST", path, large), 413, "1048576")
		c.wantError(c.do("POST", path, padded+" "), 413, "1048576")
		c.wantError(c.do("POST", path, large, "Content-Type", "text/plain"), 413, "1048576")
		c.wantError(c.do("DELETE", path, large), 413, "1048576")
		c.wantError(c.do("GET", "/api/roles", large), 413, "1048576")
		for _, contentType := range []string{"", "text/plain", "application/xml", "application/json; charset=latin1", "application/json;;", "multipart/form-data"} {
			c.wantError(c.do("POST", path, `{"description":"x"}`, "Content-Type", contentType), 415, "Content-Type")
		}
		c.wantError(c.do("POST", path, `{"description":"x"}`, "Content-Encoding", "gzip"), 415, "Content-Encoding")
		for body, part := range map[string]string{
			`{`: "body: malformed JSON", `{"description":"x"`: "body: malformed JSON", `{"description":x}`: "body: malformed JSON",
			`{"description":"x"}{}`: "bytes after", `{"description":"x"} x`: "bytes after", `{"description":1e400}`: "number", `nul`: "body: malformed JSON", " ": "body: malformed JSON",
			`null`: "body: ", `[]`: "body: ", `"x"`: "body: ", `{"description":7}`: "description: ", `{"description":null}`: "description: ",
			`{"descripton":"x"}`: "descripton", `{"Description":"x"}`: "Description", `{"description":"a\u0000b"}`: "description: ",
			"{\"description\":\"\xff\"}": "UTF-8", `{"description":"` + strings.Repeat("x", 1025) + `"}`: "description: ",
		} {
			c.wantError(c.do("POST", path, body), 400, part)
			c.wantError(c.do("POST", "/api/role/other", body), 400, part)
		}
		// Where no body is taken, a well-formed one is ignored, and only that.
		c.wantError(c.do("DELETE", "/api/permission/editor/edit", `{`), 400, "body: malformed JSON")
		c.wantData(c.do("DELETE", "/api/permission/editor/edit", `{"any":1}`), `{"result":false}`)
	})
	c.wantData(c.do("POST", "/api/role/editor", padded), `{"result":true}`)
	c.wantData(c.do("POST", "/api/role/editor", `{"description":"`+strings.Repeat("é", 1024)+`"}`, "Content-Type", "application/json; charset=UTF-8"), `{"result":true}`)
	c.wantData(c.do("POST", "/api/role/empty", "", "Content-Type", "application/json"), `{"result":true}`)
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	for _, path := range []string{
		"/", "/api", "/api/", "/api/nothing", "/api/roles/", "//api/roles", "/api//roles", "/api/./roles", "/api/x/../roles", "/api/role/", "/api/role/a/b",
		"/API/roles", "/api/role/editor/..", "/favicon.ico", "/docs/nothing", "/docs/../api/roles", "/api/membership//editor",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "BREW"} {
			c.wantError(c.do(method, path, ""), 404, "no such path")
		}
	}
	for request, allow := range map[string]string{
		"PUT /api/role/editor": "POST, DELETE", "GET /api/role/editor": "POST, DELETE", "POST /api/roles": "GET, HEAD",
		"PATCH /api/permission/a/b": "GET, HEAD, POST, DELETE", "BREW /ping": "GET, HEAD", "OPTIONS /api/roles": "GET, HEAD", "DELETE /openapi.yaml": "GET, HEAD",
	} {
		method, path, _ := strings.Cut(request, " ")
		a := c.do(method, path, "")
		c.wantError(a, 405, method)
		if got := a.header.Get("Allow"); got != allow {
			t.Errorf("%s: Allow: got %q, want %q", request, got, allow)
		}
	}
	if a := c.do("HEAD", "/api/roles", ""); a.status != 200 || len(a.body) != 0 {
		t.Errorf("HEAD /api/roles: got %d %q", a.status, a.body)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	if got := c.do("POST", "/api/role/editor", "", "X-Request-ID", "abc-123").header.Get("X-Request-ID"); got != "abc-123" {
		t.Errorf("X-Request-ID: got %q, want it echoed", got)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", 129), "\xff", "é"} {
		if got := c.do("GET", "/api/roles", "", "X-Request-ID", bad).header.Get("X-Request-ID"); got == bad || uuid.Validate(got) != nil {
			t.Errorf("X-Request-ID for %q: got %q, want a new one", bad, got)
		}
	}
	if got := c.get("/api/audit?request_id=abc-123"); !strings.Contains(string(got.body), "ROLE_CREATED") {
		t.Errorf("audit by request id: got %s", got.body)
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := startService(t, func(_ *engine.Config, cfg *server.Config) {
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	})
	c := s.caller(t)
	c.do("POST", "/api/role/editor", "", "X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.2.3", "User-Agent", strings.Repeat("\xff", 3000))
	c.post("/api/membership/alice@example.com/editor")
	type event struct {
		Actor, Action, Resource, User, Outcome, IP, Request_ID, User_Agent string
		Revision                                                           int64
	}
	events := func(query string) []event {
		var list struct{ Data []event }
		if err := json.Unmarshal(c.get("/api/audit"+query).body, &list); err != nil {
			t.Fatal(err)
		}
		return list.Data
	}
	all := events("")
	var actions []string
	for _, e := range all {
		actions = append(actions, fmt.Sprint(e.Action, " ", e.Resource, " ", e.Revision))
	}
	fingerprint := all[0].Actor
	want := fmt.Sprintf("[MEMBERSHIP_ADDED membership/alice@example.com/editor 2 ROLE_CREATED role/editor 1 CLIENT_KEY_CREATED client_key/%s 1]", fingerprint)
	if fmt.Sprint(actions) != want {
		t.Errorf("events: got %v, want %s", actions, want)
	}
	if all[1].IP != "203.0.113.9" || len(all[1].User_Agent) > 1536 || all[0].IP != "127.0.0.1" {
		t.Errorf("origin: got %+v", all[:2])
	}
	for query, want := range map[string]int{
		"?user=alice@example.com": 1, "?user=bob": 0, "?action=ROLE_CREATED": 1, "?resource=role/editor": 1, "?outcome=success": 3, "?outcome=refused": 0,
		"?since=2020-01-01T00:00:00Z": 3, "?until=2020-01-01T00:00:00Z": 0, "?since=9999-01-01T00:00:00Z": 0,
	} {
		if got := len(events(query)); got != want {
			t.Errorf("%s: got %d events, want %d", query, got, want)
		}
	}
	for query, part := range map[string]string{
		"?user=nobody%zz": "query: ", "?user=nobody;x": "query: ", "?until=0001-01-01T00:00:00Z": "until: ",
		"?outcome=maybe": "outcome: ", "?since=yesterday": "since: ", "?until=1": "until: ", "?user=%00": "user: ", "?action=%FF": "action: ",
	} {
		c.wantError(c.get("/api/audit"+query), 400, part)
	}
}

func TestAuditDisabled(t *testing.T) {
	t.Parallel()
	c := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.DisableAudit = true }).caller(t)
	c.wantData(c.post("/api/role/editor"), `{"result":true}`)
	c.wantData(c.get("/api/audit"), `[]`)
}

func TestCORS(t *testing.T) {
	t.Parallel()
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type"}
	for _, test := range []struct {
		origins []string
		want    string
	}{{nil, ""}, {[]string{"*"}, "*"}, {[]string{"https://app.example"}, "https://app.example"}, {[]string{"https://other.example"}, ""}} {
		c := startService(t, func(_ *engine.Config, cfg *server.Config) { cfg.CORSOrigins = test.origins }).caller(t)
		a := c.do("OPTIONS", "/api/role/editor", "", append(preflight, "Authorization", "")...)
		if got := a.header.Get("Access-Control-Allow-Origin"); got != test.want {
			t.Errorf("preflight with %v: got %q, want %q", test.origins, got, test.want)
		}
		a = c.do("GET", "/api/roles", "", "Origin", "https://app.example")
		if got := a.header.Get("Access-Control-Allow-Origin"); got != test.want {
			t.Errorf("request with %v: got %q, want %q", test.origins, got, test.want)
		}
		if got := a.header.Get("Access-Control-Allow-Credentials"); got != "" {
			t.Errorf("credentials are allowed: %q", got)
		}
	}
}

// TestDescriptionIsValid keeps every generator able to read openapi.yaml.
func TestDescriptionIsValid(t *testing.T) {
	t.Parallel()
	spec, err := openapi3.NewLoader().LoadFromData(gatehouse.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.Validate(t.Context(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation()); err != nil {
		t.Error(err)
	}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s has no operationId, summary or tag", method, path)
			}
		}
	}
}

func TestDocumentation(t *testing.T) {
	t.Parallel()
	c := &caller{t: t, s: startService(t)}
	if a := c.get("/openapi.yaml"); a.status != 200 || !strings.HasPrefix(string(a.body), "openapi: 3.0.3") {
		t.Errorf("/openapi.yaml: got %d %.40s", a.status, a.body)
	}
	if a := c.get("/openapi.json"); a.status != 200 || !json.Valid(a.body) {
		t.Errorf("/openapi.json: got %d %.40s", a.status, a.body)
	}
	page := c.get("/docs")
	if page.status != 200 || !strings.Contains(page.header.Get("Content-Type"), "text/html") {
		t.Fatalf("/docs: got %d %.40s", page.status, page.body)
	}
	for _, elsewhere := range []string{`src="http`, `href="http`, `src="//`, `href="//`} {
		if strings.Contains(string(page.body), elsewhere) {
			t.Errorf("/docs loads something from another host: %s", elsewhere)
		}
	}
	for _, asset := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"} {
		if a := c.get("/docs/" + asset); a.status != 200 || len(a.body) < 1000 {
			t.Errorf("/docs/%s: got %d, %d bytes", asset, a.status, len(a.body))
		}
	}
}

// TestShortcut holds the hand-written answer to the generated one.
func TestShortcut(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.post("/api/role/editor")
	c.post("/api/permission/editor/edit")
	c.post("/api/membership/alice/editor")
	for _, user := range []string{"alice", "bob"} {
		a := c.get("/api/has_permission/" + user + "/edit")
		var decoded, again map[string]any
		if err := json.Unmarshal(a.body, &decoded); err != nil {
			t.Fatal(err)
		}
		generated, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(generated, &again); err != nil {
			t.Fatal(err)
		}
		// Keys in the generated order, one line, a line feed: as the encoder writes it.
		if got, want := string(a.body), string(generated)+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := a.header.Get("Gatehouse-Revision"); got != "3" {
			t.Errorf("Gatehouse-Revision: got %q, want 3", got)
		}
		if got := a.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type: got %q", got)
		}
	}
	c.wantError(c.get("/api/has_permission/alice/edit*"), 400, "permission: ")
}

func TestExpiredAndRevokedKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	s := startService(t, func(cfg *engine.Config, _ *server.Config) {
		cfg.OpenRegistration = true
		cfg.Now = func() time.Time { return now }
	})
	key, info, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, s: s, key: key}
	c.wantData(c.get("/api/roles"), `[]`)
	now = now.Add(time.Hour)
	c.wantError(c.get("/api/roles"), 401, "expired")
	now = now.Add(-time.Minute)
	next, rotated, err := s.engine.RotateClientKey(t.Context(), info.Fingerprint, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if rotated.Tenant != info.Tenant || rotated.ExpiresAt.Sub(rotated.CreatedAt) != time.Hour {
		t.Errorf("rotated key: got %+v, want tenant and lifetime of %+v", rotated, info)
	}
	c.wantData(c.get("/api/roles"), `[]`)
	// Rotated again, or with an overlap past its end, a key's successor lives as long.
	_, again, err := s.engine.RotateClientKey(t.Context(), info.Fingerprint, 24*time.Hour)
	if err != nil || again.ExpiresAt.Sub(again.CreatedAt) != time.Hour {
		t.Errorf("rotated again: got %+v, %v, want the lifetime of %+v", again, err, info)
	}
	now = now.Add(time.Second)
	c.wantError(c.get("/api/roles"), 401, "expired")
	c.key = next
	c.wantData(c.post("/api/role/editor"), `{"result":true}`)
	if _, err := s.engine.RevokeClientKey(t.Context(), rotated.Fingerprint); err != nil {
		t.Fatal(err)
	}
	// Open registration does not open a revoked key again.
	c.wantError(c.get("/api/roles"), 401, "revoked")
	c.wantError(c.post("/api/role/editor"), 401, "revoked")
	events, err := s.engine.Tenant(info.Tenant).AuditEvents(t.Context(), engine.AuditFilter{Action: "AUTHENTICATION_FAILED"}, authz.Page{})
	// Each key is looked up once a second at most, and only then audited.
	if err != nil || len(events.Items) == 0 {
		t.Errorf("failed authentications in the audit log: got none, %v", err)
	}
}

// TestParallelWrites is for the answers: the same write by many at once is
// answered as it would be to each alone.
func TestParallelWrites(t *testing.T) {
	t.Parallel()
	s := startService(t)
	key := uuid.NewString()
	for _, step := range []string{
		"POST /api/role/editor", "POST /api/permission/editor/edit", "POST /api/membership/alice/editor",
		"DELETE /api/membership/alice/editor", "DELETE /api/permission/editor/edit", "DELETE /api/role/editor",
	} {
		method, path, _ := strings.Cut(step, " ")
		const callers = 16
		answers := make(chan string, callers)
		for range callers {
			go func() {
				r, err := http.NewRequest(method, s.URL+path, nil)
				if err != nil {
					answers <- err.Error()
					return
				}
				r.Header.Set("Authorization", "Bearer "+key)
				response, err := s.Client().Do(r)
				if err != nil {
					answers <- err.Error()
					return
				}
				defer response.Body.Close()
				body, _ := io.ReadAll(response.Body)
				body = body[bytes.Index(body, []byte(`"data"`)):bytes.LastIndex(body, []byte(`,"message"`))]
				answers <- fmt.Sprint(response.StatusCode, " ", string(body))
			}()
		}
		got := map[string]int{}
		for range callers {
			got[<-answers]++
		}
		want := map[string]int{`200 "data":{"result":true}`: callers}
		if method == "DELETE" {
			want = map[string]int{`200 "data":{"result":true}`: 1, `200 "data":{"result":false}`: callers - 1}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", step, got, want)
		}
	}
}
