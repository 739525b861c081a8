package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/server"
)

// The fuzz targets look for answers that no input may bring about: a 5xx, a
// redirect, one that openapi.yaml does not describe, and a change by a request
// that was refused. Where the database sees the input they run on both, for what
// one takes the other may refuse.

func TestMain(m *testing.M) { pgtest.Main(m) }

// fuzzServices are a server on SQLite and, but under -short, one on PostgreSQL.
func fuzzServices(f *testing.F) []*service {
	f.Helper()
	services := []*service{startService(f, quiet)}
	if !testing.Short() {
		services = append(services, startService(f, quiet, func(cfg *engine.Config, _ *server.Config) {
			cfg.Database, cfg.AutoMigrate = pgtest.URL(f), true
		}))
	}
	return services
}

// quiet keeps a log from growing for as long as a target runs.
func quiet(cfg *engine.Config, serverCfg *server.Config) {
	cfg.Logger, serverCfg.Logger = slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
}

// FuzzNames gives arbitrary names to every operation that takes one. The rules of
// authz say which must be accepted, and what was accepted must come back unchanged.
func FuzzNames(f *testing.F) {
	for _, seed := range [][3]string{
		{"alice@example.com", "editor", "post:edit"},
		{"Ünïcødé 名前 🙂", "A-Z_a.z-09", "a/b:c.d_e-f"},
		{"a/b", "..", "."},
		{"/", "@everyone", "/"},
		{"%2F", "@owner", "*"},
		{"a%00b", "a%", "post:*"},
		{"a\x00b", "editor\x00", "edit\x00"},
		{"\xff\xfe", "\xff", "\xc3"},
		{"\xed\xa0\x80", "e\u0301", "\u2028"},
		{"editor\n", "editor\n", "edit\r\n"},
		{" alice", "editor ", " "},
		{"", "", ""},
		{"alice?limit=0&x#y", "a;b", "a+b"},
		{strings.Repeat("u", 256), strings.Repeat("r", 64), strings.Repeat("p", 128)},
		{strings.Repeat("ü", 128) + "x", strings.Repeat("r", 65), strings.Repeat("p", 127) + ":*"},
		{"' OR 1=1 --", "';DROP TABLE roles", "\"],[\""},
		{"\u0085", "\u00a0", ":*"},
		{"..", "docs", "*:*"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	services := fuzzServices(f)
	f.Fuzz(func(t *testing.T, user, role, permission string) {
		for _, s := range services {
			fuzzNames(s.caller(t), user, role, permission)
		}
	})
}

func fuzzNames(c *caller, user, role, permission string) {
	c.t.Helper()
	u, r, p := segment(user), segment(role), segment(permission)
	isUser, isRole := authz.ValidateID(user) == nil, authz.ValidateRole(role) == nil
	isOwn := isRole && !authz.IsBuiltin(role)
	isGrant, isPermission := authz.ValidateGrant(permission) == nil, authz.ValidatePermission(permission) == nil
	if permission == "/" { // fit for the engine, but no path carries it
		isGrant, isPermission = false, false
	}

	wantAccepted(c, "POST", "/api/role"+r, isOwn)
	wantAccepted(c, "POST", "/api/permission"+r+p, isRole && isGrant)
	wantAccepted(c, "POST", "/api/membership"+u+r, isUser && isOwn)
	wantAccepted(c, "GET", "/api/permission"+r+p, isRole && isPermission)
	wantAccepted(c, "GET", "/api/membership"+u+r, isUser && isRole)
	decision := wantAccepted(c, "GET", "/api/has_permission"+u+p, isUser && isPermission)
	wantAccepted(c, "GET", "/api/workflow/user"+u+"/can_run"+p, isUser && isPermission)
	permissions := wantAccepted(c, "GET", "/api/role_permissions"+r, isRole)
	wantAccepted(c, "GET", "/api/user_permissions"+u, isUser)
	held := wantAccepted(c, "GET", "/api/user_roles"+u, isUser)
	members := wantAccepted(c, "GET", "/api/members"+r, isRole)
	wantAccepted(c, "GET", "/api/which_roles_can"+p, isPermission)
	wantAccepted(c, "GET", "/api/which_users_can"+p, isPermission)
	wantAccepted(c, "GET", "/api/workflow/users"+p, isPermission)
	if isRole && isGrant {
		wantJSON(c, permissions, []map[string]string{{"name": permission}})
	}
	if isUser && isOwn {
		wantJSON(c, held, []map[string]string{{"user": user, "role": role}})
		wantJSON(c, members, []map[string]string{{"user": user, "role": role}})
		if isPermission {
			wantJSON(c, decision, map[string]bool{"has_permission": true})
		}
	}
	wantAccepted(c, "DELETE", "/api/membership"+u+r, isUser && isOwn)
	wantAccepted(c, "DELETE", "/api/permission"+r+p, isRole && isGrant)
	wantAccepted(c, "DELETE", "/api/role"+r, isOwn)
	if a := c.get("/api/roles"); a.status != http.StatusOK || c.data(a) != "[]" {
		c.t.Errorf("roles at the end: got %d %s, want none", a.status, a.body)
	}
}

// segment escapes a name, dots too where they would mean another path.
func segment(name string) string {
	if name == "." || name == ".." {
		return "/" + strings.ReplaceAll(name, ".", "%2E")
	}
	return "/" + url.PathEscape(name)
}

// wantAccepted sends a request that must be answered with 200, or else be refused
// and change nothing.
func wantAccepted(c *caller, method, path string, accepted bool) answer {
	c.t.Helper()
	if accepted {
		a := c.do(method, path, "")
		if a.status != http.StatusOK {
			c.t.Errorf("%s %s: got %d %s, want 200", method, path, a.status, a.body)
		}
		return a
	}
	var a answer
	c.wantSame(func() { a = c.do(method, path, "") })
	if a.status != http.StatusBadRequest && a.status != http.StatusNotFound && a.status != http.StatusConflict && a.status != http.StatusMethodNotAllowed {
		c.t.Errorf("%s %s: got %d %s, want a refusal", method, path, a.status, a.body)
	}
	return a
}

func wantJSON(c *caller, a answer, want any) {
	c.t.Helper()
	var got any
	if err := json.Unmarshal([]byte(c.data(a)), &got); err != nil {
		c.t.Fatal(err)
	}
	wantEncoded, err := json.Marshal(want)
	if err != nil {
		c.t.Fatal(err)
	}
	gotEncoded, err := json.Marshal(got)
	if err != nil {
		c.t.Fatal(err)
	}
	// Both go through a map: the order of their keys is the same.
	if !bytes.Equal(gotEncoded, wantEncoded) {
		c.t.Errorf("data: got %s, want %s", gotEncoded, wantEncoded)
	}
}

// FuzzPath writes arbitrary methods and request targets to a connection, which no
// HTTP client would send.
func FuzzPath(f *testing.F) {
	for _, seed := range [][2]string{
		{"GET", "/api/roles"}, {"GET", "/api/roles/"}, {"GET", "//api/roles"}, {"GET", "/api/../api/roles"}, {"GET", "/api/./roles"},
		{"POST", "/api/role/%2e%2e"}, {"POST", "/api/role/a%2Fb"}, {"POST", "/api/role/%2F"}, {"POST", "/api/role/%2f/x"}, {"POST", "/api/role/%"},
		{"POST", "/api/role/%zz"}, {"POST", "/api/role/%00"}, {"POST", "/api/role/a\x00b"}, {"POST", "/api/role/\xff"}, {"DELETE", "/api/role/%252e"},
		{"GET", "/api/has_permission/%2e%2e/%2e"}, {"GET", "/api/has_permission//x"}, {"GET", "/api/has_permission/a/b/c"}, {"GET", "/api\\roles"},
		{"GET", "http://elsewhere.example/api/roles"}, {"GET", "http://elsewhere.example"}, {"CONNECT", "elsewhere.example:443"}, {"CONNECT", "/api/roles"},
		{"OPTIONS", "*"}, {"GET", "*"}, {"GET", "?"}, {"GET", "api/roles"}, {"GET", "/api/roles?limit=%zz"}, {"GET", "/api/roles?a;b"}, {"GET", "/api/roles#x"},
		{"HEAD", "/api/roles"}, {"get", "/api/roles"}, {"", "/"}, {"PATCH", "/docs/../docs"}, {"GET", "/docs"}, {"GET", "/docs/"}, {"GET", "/docs//"},
		{"GET", "/openapi.json/"}, {"GET", "/..%2fapi/roles"}, {"TRACE", "/ping"}, {"GET", "/api/roles HTTP/1.0"}, {"PRI", "*"}, {"GET", "/" + strings.Repeat("a/", 500)},
	} {
		f.Add(seed[0], seed[1])
	}
	s := startService(f, quiet)
	key := uuid.NewString()
	f.Fuzz(func(t *testing.T, method, target string) {
		if strings.ContainsAny(method+target, "\r\n") {
			t.Skip("another request line")
		}
		a, reached := raw(t, s, method, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: gatehouse\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", method, target, key))
		switch {
		case a.status >= 500 || a.status >= 300 && a.status < 400:
			t.Errorf("%q %q: got %d %s", method, target, a.status, a.body)
		case reached && a.status >= 400 && method != http.MethodHead:
			wantEnvelope(t, s, a)
		case !reached && a.status != http.StatusBadRequest && method != http.MethodOptions:
			t.Errorf("%q %q: net/http itself answered %d, want 400", method, target, a.status)
		}
	})
}

// raw sends bytes on a connection of their own. reached tells whether the server's
// handler made the answer, and not net/http before it.
func raw(t testing.TB, s *service, method, request string) (a answer, reached bool) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: no answer: %v", request, err)
	}
	defer func() { _ = response.Body.Close() }()
	a = answer{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return a, a.header.Get("X-Request-ID") != ""
}

func wantEnvelope(t *testing.T, s *service, a answer) {
	t.Helper()
	var envelope map[string]any
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		t.Fatalf("status %d, no JSON: %q", a.status, a.body)
	}
	if err := s.spec.Components.Schemas["Error"].Value.VisitJSON(envelope); err != nil || envelope["code"] != float64(a.status) {
		t.Errorf("status %d, no error envelope: %s", a.status, a.body)
	}
}

// FuzzBody sends arbitrary bytes of arbitrary types where a body is taken.
func FuzzBody(f *testing.F) {
	const plain = "application/json"
	for _, seed := range [][2]string{
		{plain, `{"description":"x"}`}, {plain, `{"expires_at":"2999-01-01T00:00:00Z"}`}, {plain, `{}`}, {plain, ``}, {plain, `null`}, {plain, `[]`},
		{plain, `{"description":"a\u0000b"}`}, {plain, `{"description":"\ud800"}`}, {plain, "{\"description\":\"\xff\"}"}, {plain, "\ufeff{}"}, {plain, "{}\x00"},
		{plain, `{"description":7}`}, {plain, `{"description":"a","description":"b"}`}, {plain, `{"description":7,"description":"b"}`}, {plain, `{"Description":"a"}`},
		{plain, `{"not_before":"2026-01-01T00:00:00Z","expires_at":"2025-01-01T00:00:00Z"}`}, {plain, `{"not_before":"0000-01-01T00:00:00Z"}`},
		{plain, `{"not_before":"9999-12-31T23:59:59.999999999-23:59"}`}, {plain, `{"expires_at":"2026-01-01T00:00:00.1234567Z"}`}, {plain, `{"expires_at":"2026-01-01t00:00:00z"}`},
		{plain, `{"expires_at":"2026-01-01T1:00:00Z"}`}, {plain, `{"expires_at":"2016-12-31T23:59:60Z"}`}, {plain, `{"expires_at":null}`}, {plain, `{"expires_at":""}`},
		{plain, strings.Repeat("[", 20000)}, {plain, `{"description":1e999}`}, {plain, `{"description":"` + strings.Repeat("é", 1024) + `"}`},
		{"application/json; charset=utf-8", `{"description":"x"}`}, {"application/json; charset=utf-16", `{}`}, {"APPLICATION/JSON", `{}`}, {"text/plain", `{}`},
		{"", `{}`}, {"application/json, text/plain", `{}`}, {"application/json;", `{}`}, {"application/x-www-form-urlencoded", `a=b`}, {"\xff", `{}`}, {"application/json\t", `{}`},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	services := fuzzServices(f)
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		if strings.ContainsFunc(contentType, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
			t.Skip("no header's value: net/http refuses the request, and reads no body")
		}
		for _, s := range services {
			c := s.caller(t)
			c.post("/api/role/editor")
			if described := fuzzBody(c, "/api/role/new", contentType, body); described {
				fields := decodeStrictly[struct{ Description string }](t, body)
				wantJSON(c, c.get("/api/roles"), []map[string]string{{"role": "editor", "description": ""}, {"role": "new", "description": fields.Description}})
			}
			if given := fuzzBody(c, "/api/membership/alice/editor", contentType, body); given {
				window := decodeStrictly[struct {
					NotBefore *time.Time `json:"not_before"`
					ExpiresAt *time.Time `json:"expires_at"`
				}](t, body)
				now := time.Now()
				holds := (window.NotBefore == nil || !window.NotBefore.After(now)) && (window.ExpiresAt == nil || window.ExpiresAt.After(now))
				wantJSON(c, c.get("/api/membership/alice/editor"), map[string]bool{"has_membership": holds, "has_permission": holds})
			}
		}
	})
}

// fuzzBody posts a body, and checks that a refusal changes nothing.
func fuzzBody(c *caller, path, contentType string, body []byte) (accepted bool) {
	c.t.Helper()
	before := revision(c)
	request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gatehouse\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		path, c.key, contentType, len(body), body)
	a, reached := raw(c.t, c.s, http.MethodPost, request)
	if !reached {
		c.t.Fatalf("net/http itself answered %d %s", a.status, a.body)
	}
	r, err := http.NewRequest(http.MethodPost, c.s.URL+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.validate(r, a)
	if a.status == http.StatusOK {
		return true
	}
	if after := revision(c); after != before {
		c.t.Errorf("%s refused with %d: got revision %s, want %s as before", path, a.status, after, before)
	}
	return false
}

func revision(c *caller) string {
	c.t.Helper()
	return c.get("/api/roles").header.Get("Gatehouse-Revision")
}

// decodeStrictly decodes what the server has accepted: nothing, or one object of
// known fields.
func decodeStrictly[T any](t *testing.T, body []byte) (fields T) {
	t.Helper()
	if len(body) == 0 {
		return fields
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fields); err != nil {
		t.Errorf("accepted %q: %v", body, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("accepted %q, which goes on after its value", body)
	}
	return fields
}

// FuzzQuery gives arbitrary parameters to every list. Both databases must answer
// the same.
func FuzzQuery(f *testing.F) {
	services := fuzzServices(f)
	key := uuid.NewString()
	var cursors []string
	for _, s := range services {
		c := &caller{t: f, s: s, key: key}
		for _, role := range []string{"a", "b", "c"} {
			c.post("/api/role/" + role)
			c.post("/api/permission/" + role + "/edit")
			c.post("/api/membership/alice/" + role)
		}
		for _, path := range []string{"/api/roles", "/api/which_users_can/edit", "/api/audit"} {
			link, err := url.Parse(strings.Trim(strings.Split(c.get(path+"?limit=1").header.Get("Link"), ";")[0], "<>"))
			if err != nil || link.Query().Get("cursor") == "" {
				f.Fatalf("%s has no next page: %v", path, err)
			}
			cursors = append(cursors, link.Query().Get("cursor"))
		}
	}
	for _, cursor := range cursors {
		f.Add("1", cursor, "", "", "")
		f.Add("10000", cursor+"A", "success", "alice", "2020-01-01T00:00:00Z")
	}
	for _, seed := range [][5]string{
		{"0", "", "", "", ""}, {"-1", "", "", "", ""}, {"10001", "", "", "", ""}, {"+5", "", "", "", ""}, {"1e3", "", "", "", ""}, {"99999999999999999999", "", "", "", ""},
		{"", "x", "refused", "ROLE_CREATED", "yesterday"}, {"5", "\x00", "\x00", "\x00", "\x00"}, {"5", "\xff", "\xff", "\xff", "\xff"}, {"0x10", "====", "maybe", "' OR 1=1", "0000-01-01T00:00:00Z"},
		{"٣", "AAAAAAAAAAA", "Success", strings.Repeat("x", 5000), "9999-12-31T23:59:59.999999999Z"}, {"5,6", "a,b", "a,b", "a,b", "2026-01-01T00:00:00+23:59"},
		{" 5", "+", "%", "&limit=1", "2026-01-01T00:00:00 01:00"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], seed[4])
	}
	f.Fuzz(func(t *testing.T, limit, cursor, outcome, text, at string) {
		page := url.Values{"limit": {limit}, "cursor": {cursor}}.Encode()
		filters := url.Values{"outcome": {outcome}, "since": {at}, "until": {at}, "user": {text}, "action": {text}, "resource": {text}, "request_id": {text}}
		requests := []string{"/api/audit?" + page, "/api/audit?" + filters.Encode(), "/api/audit?" + filters.Encode() + "&" + page}
		for name, values := range filters {
			requests = append(requests, "/api/audit?"+url.Values{name: values}.Encode())
		}
		for _, path := range []string{
			"/api/roles", "/api/user_permissions/alice", "/api/role_permissions/a", "/api/user_roles/alice", "/api/members/a",
			"/api/which_roles_can/edit", "/api/which_users_can/edit", "/api/workflow/users/edit",
		} {
			requests = append(requests, path+"?"+page)
		}
		for _, request := range requests {
			statuses := map[int]bool{}
			for _, s := range services {
				c := &caller{t: t, s: s, key: key}
				a := c.get(request)
				if a.status != http.StatusOK && a.status != http.StatusBadRequest {
					t.Errorf("%s: got %d %s, want 200 or 400", request, a.status, a.body)
				}
				if n, err := strconv.Atoi(limit); a.status == http.StatusOK && strings.Contains(request, "limit=") && limit != "" && (err != nil || n < 1 || n > engine.MaxPage) {
					t.Errorf("%s: got 200, want the limit refused", request)
				}
				statuses[a.status] = true
			}
			// A cursor holds an event's id, which the databases give out differently.
			if len(statuses) != 1 {
				t.Errorf("%s: got %v, want the same of both databases", request, statuses)
			}
		}
	})
}
