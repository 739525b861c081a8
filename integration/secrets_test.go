package integration_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	// planted is in every name and text that is to be sealed, plantedIP is every address.
	planted   = "xplantedx"
	plantedIP = "203.0.113.77"

	encryptionSecret = "the planted secret that seals the database"
	nextSecret       = "the planted secret that seals it afterwards"
	tokenSecret      = "the planted secret that signs the access tokens"
)

var plantedSettings = []string{
	"AUTH_CLIENT_REGISTRATION=closed", "AUTH_AUDIT_DECISIONS=all", "AUTH_TRUSTED_PROXIES=127.0.0.1", "AUTH_JWT_SECRET_KEY=" + tokenSecret,
}

// secrets are what must be nowhere, by what they are.
type secrets map[string]string

func newSecrets() secrets {
	return secrets{
		"a name": planted, "an address": plantedIP,
		"AUTH_ENCRYPTION_KEY": encryptionSecret, "the next AUTH_ENCRYPTION_KEY": nextSecret, "AUTH_JWT_SECRET_KEY": tokenSecret,
	}
}

// addKey has a client key found, and addToken a token by any of its parts that others
// could use.
func (s secrets) addKey(what, key string) {
	s[what] = key
	s[what+" without hyphens"] = strings.ReplaceAll(key, "-", "")
	if id, err := uuid.Parse(key); err == nil {
		s[what+" as bytes"] = string(id[:])
	}
}

func (s secrets) addToken(what, token string) {
	s[what] = token
	if parts := strings.Split(token, "."); len(parts) == 3 {
		s[what+"'s signature"] = parts[2]
	}
	if encoded, ok := strings.CutPrefix(token, "gthr_"); ok {
		raw, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			panic(err)
		}
		s[what+"'s handle"], s[what+"'s secret"] = string(raw[:16]), string(raw[16:])
	}
}

// wantNone fails where a text has a secret in one of the forms that it may be written in.
// Those that are allowed are left out.
func (s secrets) wantNone(t *testing.T, where string, text []byte, allowed ...string) {
	t.Helper()
	text = lower(text)
next:
	for what, secret := range s {
		if slices.Contains(allowed, what) {
			continue
		}
		for form, value := range formsOf(secret) {
			if at := bytes.Index(text, lower([]byte(value))); at >= 0 {
				t.Errorf("%s has %s, %s: %q", where, what, form, text[max(0, at-100):min(len(text), at+100)])
				continue next
			}
		}
	}
}

// lower is for bytes that need not be text: bytes.ToLower would change them.
func lower(text []byte) []byte {
	lowered := bytes.Clone(text)
	for i, b := range lowered {
		if 'A' <= b && b <= 'Z' {
			lowered[i] += 'a' - 'A'
		}
	}
	return lowered
}

func formsOf(secret string) map[string]string {
	forms := map[string]string{
		"as it is": secret, "percent-encoded": url.QueryEscape(secret), "as a path": url.PathEscape(secret), "in hexadecimal": hex.EncodeToString([]byte(secret)),
	}
	// What stands before it moves its bits. The first and last signs hold others' bits.
	for before := range 3 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))
			forms[fmt.Sprint(name, " behind ", before)] = encoded[(before*8+5)/6 : len(encoded)-1]
		}
	}
	return forms
}

// TestWantNone holds the search to what it has to find.
func TestWantNone(t *testing.T) {
	t.Parallel()
	key := uuid.New()
	looked := secrets{}
	looked.addKey("a key", key.String())
	for _, text := range []string{
		key.String(), strings.ToUpper(key.String()), string(key[:]), hex.EncodeToString(key[:]),
		base64.StdEncoding.EncodeToString([]byte("ab" + key.String() + "c")), base64.URLEncoding.EncodeToString(append([]byte("a"), key[:]...)),
	} {
		var fake testing.T
		looked.wantNone(&fake, "a text", []byte("before "+text+" behind"))
		if !fake.Failed() {
			t.Errorf("%q is not found", text)
		}
	}
	looked.wantNone(t, "another text", []byte(uuid.NewString()))
}

// TestNoSecretIsKept uses everything while encryption is on, and looks for what was said
// meanwhile in all that an installation leaves.
func TestNoSecretIsKept(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		spans := startCollector(t)
		i = i.With(plantedSettings...).With(shortWindows...).With("AUTH_ENABLE_ENCRYPTION=true", "AUTH_DEBUG_MODE=true", "OTEL_EXPORTER_OTLP_ENDPOINT="+spans.url)
		looked := newSecrets()
		before := i.With("AUTH_ENCRYPTION_KEY=" + encryptionSecret)
		during := i.With("AUTH_ENCRYPTION_KEY="+nextSecret, "AUTH_ENCRYPTION_PREVIOUS_KEYS="+encryptionSecret)
		key := strings.TrimSpace(before.Must("client", "create"))
		looked.addKey("the client key", key)

		first := before.Serve()
		useAsPlanted(t, looked, first, key)
		looked.stop(t, first)
		looked.wantNoneStored(t, i)

		second := during.Serve()
		for _, args := range [][]string{{"encryption", "rotate"}, {"encryption", "status"}, {"client", "list"}, {"keys", "list"}} {
			got := during.Run(args...)
			if got.Code != 0 {
				t.Errorf("%q: got %+v, want code 0", args, got)
			}
			looked.wantNone(t, fmt.Sprintf("what %q prints", args), []byte(got.Stdout+got.Stderr))
		}
		useAsPlanted(t, looked, second, key)
		looked.stop(t, second)
		looked.wantNoneStored(t, i)
		before.Fails("its secret", "serve")
		exported := spans.exported()
		for _, want := range []string{"PUT /api/users/{user}", "POST /api/sessions/rotate"} {
			if !bytes.Contains(exported, []byte(want)) {
				t.Errorf("no span is called %q: the search is blind", want)
			}
		}
		looked.wantNone(t, "the traces", exported)
	})
}

// collector keeps the spans that servers export, as they are sent.
type collector struct {
	url   string
	mu    sync.Mutex
	spans bytes.Buffer // guarded by mu
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, _ = io.Copy(&c.spans, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *collector) exported() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.spans.Bytes())
}

// TestNothingPlainIsLeft fills a plain database, deletes part of it, seals it under a
// server, and looks for what was plain.
func TestNothingPlainIsLeft(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		i = i.With(plantedSettings...).With(shortWindows...).With("AUTH_ENCRYPTION_KEY=" + encryptionSecret)
		looked, key := newSecrets(), strings.TrimSpace(i.Must("client", "create"))
		looked.addKey("the client key", key)
		server := i.Serve()
		c := plantedClient(t, server.URL, key)
		for n := range 300 {
			user := fmt.Sprintf("%s-%d", planted, n)
			_, err := c.PutUser(t.Context(), authz.User{Name: user, Properties: map[string]any{"title": planted + " words"}})
			if err == nil && n%2 == 0 {
				_, err = c.DeleteUser(t.Context(), user)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		useAsPlanted(t, looked, server, key)
		if found := looked.stored(t, i); !bytes.Contains(found, []byte(planted)) {
			t.Error("a plain database has no plain names: the search is blind")
		}
		if got := i.Must("encryption", "enable"); !strings.HasPrefix(got, "sealed: ") {
			t.Errorf("got %q, want it sealed", got)
		}
		looked.wantNoneStored(t, i)
		useAsPlanted(t, looked, server, key)
		looked.wantNoneStored(t, i)
	})
}

// stop stops a server, and looks at what it has said.
func (s secrets) stop(t *testing.T, server *process) {
	t.Helper()
	server.Terminate()
	server.WantSuccess()
	said, err := io.ReadAll(server.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	s.wantNone(t, "standard output", said)
	wantLogLines(t, server.Stderr.Bytes())
	// The log is to tell where a request came from.
	s.wantNone(t, "the log", server.Stderr.Bytes(), "an address")
}

// wantLogLines checks that each line of a log is an object with a time, a level and a
// message, and that those of requests have their request's id.
func wantLogLines(t *testing.T, log []byte) {
	t.Helper()
	requests := 0
	for line := range bytes.Lines(log) {
		var entry struct {
			Time      time.Time
			Level     slog.Level
			Msg       string
			Request   string `json:"request_id"`
			Trace     string `json:"trace_id"`
			Operation string
		}
		if err := json.Unmarshal(line, &entry); err != nil || entry.Time.IsZero() || entry.Msg == "" {
			t.Errorf("not a line of the log: %q: %v", line, err)
		}
		if entry.Msg == "request" {
			requests++
			if entry.Request == "" || entry.Trace == "" && entry.Operation == "RotateSession" {
				t.Errorf("a request without its id, or its trace: %s", line)
			}
		}
	}
	if requests == 0 {
		t.Error("no request is logged in debug mode")
	}
}

func (s secrets) wantNoneStored(t *testing.T, i installation) {
	t.Helper()
	s.wantNone(t, "the database", s.stored(t, i))
}

// stored is every byte of SQLite's files, and on PostgreSQL every row of every table.
func (s secrets) stored(t *testing.T, i installation) []byte {
	t.Helper()
	var all bytes.Buffer
	if path, ok := strings.CutPrefix(i.Database, "sqlite:"); ok {
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) == 0 {
			t.Fatalf("got files %q, %v", files, err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.Bytes()
	}
	db, err := sql.Open("pgx", i.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, table := range column(t, db, "SELECT quote_ident(table_schema) || '.' || quote_ident(table_name) FROM information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')") {
		for _, row := range column(t, db, "SELECT row_to_json(r)::text FROM "+table+" r") {
			all.WriteString(table + row + "\n")
		}
	}
	return all.Bytes()
}

// column is the only column of a query's rows.
func column(t *testing.T, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// plantedHeaders sends every request from plantedIP.
type plantedHeaders struct{}

func (plantedHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", plantedIP)
	return http.DefaultTransport.RoundTrip(r)
}

func plantedClient(t *testing.T, server, key string) *sdk.Client {
	t.Helper()
	c, err := sdk.New(server, key, sdk.WithRetry(sdk.Retry{Tries: 1, Idempotent: true}), sdk.WithUserAgent(planted+" browser/1.0"), sdk.WithHTTPClient(&http.Client{Transport: plantedHeaders{}}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// useAsPlanted writes, asks and fails with planted values in every place for one.
func useAsPlanted(t *testing.T, looked secrets, server *process, key string) {
	t.Helper()
	c := plantedClient(t, server.URL, key)
	writePlanted(t, c)
	askPlanted(t, c)
	presentSessions(t, looked, c)
	presentTokens(t, looked, server.URL, c)
	failPlanted(t, looked, server.URL, key)
	// Decisions are written a little later.
	servertest.Eventually(t, servertest.CommandTimeout, "the decisions are logged", func() bool {
		for user, allowed := range map[string]bool{"-ann": true, "-bob": false} {
			logged, err := c.LoggedDecisions(t.Context(), authz.DecisionFilter{User: planted + user, Permission: planted + ":edit", Allowed: &allowed}, authz.Page{})
			if err != nil {
				t.Fatal(err)
			}
			if len(logged.Items) == 0 {
				return false
			}
			if d := logged.Items[0]; d.IP != plantedIP {
				t.Fatalf("got a decision from %s, want %s", d.IP, plantedIP)
			}
		}
		return true
	})
	answer, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.Contains(metrics, []byte("gatehouse_")) {
		t.Errorf("metrics: got %q, %v", metrics, err)
	}
	looked.wantNone(t, "/metrics", metrics)
}

// writePlanted leaves a policy in which ann may edit, and bob by a group.
func writePlanted(t *testing.T, c *sdk.Client) {
	t.Helper()
	ctx := t.Context()
	post := authz.Node{Type: "post", ID: "7"}
	ann, staff := authz.SubjectRef{Type: authz.UserType, Name: planted + "-ann"}, authz.SubjectRef{Type: authz.GroupType, Name: planted + "-staff"}
	for n, write := range []func() (authz.Written, error){
		func() (authz.Written, error) {
			return c.PutRole(ctx, authz.RoleDetail{Name: "editor", Description: planted + " edits"})
		},
		func() (authz.Written, error) {
			return c.PutGrant(ctx, "editor", authz.Grant{Permission: planted + ":*", Condition: `subject.properties.title != "` + planted + ` boss"`})
		},
		func() (authz.Written, error) {
			return c.PutUser(ctx, authz.User{Name: ann.Name, Properties: map[string]any{"title": planted + " clerk"}})
		},
		func() (authz.Written, error) {
			return c.PutUser(ctx, authz.User{Name: planted + "-bob", Properties: map[string]any{"title": "clerk"}})
		},
		func() (authz.Written, error) {
			return c.PutGroup(ctx, authz.Group{Name: staff.Name, Description: planted + " workers"})
		},
		func() (authz.Written, error) {
			return c.AddToGroup(ctx, staff.Name, authz.SubjectRef{Type: authz.UserType, Name: planted + "-bob"})
		},
		func() (authz.Written, error) {
			return c.PutResource(ctx, authz.Resource{Node: post, Owner: ann.Name, Properties: map[string]any{"title": planted + " title"}})
		},
		func() (authz.Written, error) {
			return c.PutTool(ctx, authz.Tool{Name: "wiki", Description: planted + " pages", Permissions: []authz.DefinedPermission{{Name: planted + ":edit", Description: planted + " edits"}}})
		},
		func() (authz.Written, error) { return c.AddMembership(ctx, ann.Name, "editor", authz.Window{}) },
		func() (authz.Written, error) {
			return c.PutMembership(ctx, authz.Membership{Subject: staff, Role: "editor", Node: post})
		},
		func() (authz.Written, error) { return c.AddMembership(ctx, planted+"-eve", "editor", authz.Window{}) },
		func() (authz.Written, error) { return c.DeleteUser(ctx, planted+"-eve") },
	} {
		if _, err := write(); err != nil {
			t.Fatalf("write %d: %v", n, err)
		}
	}
}

func askPlanted(t *testing.T, c *sdk.Client) {
	t.Helper()
	ctx := t.Context()
	post := &authz.RequestedResource{Node: authz.Node{Type: "post", ID: "7"}}
	for _, test := range []struct {
		request authz.Request
		want    bool
	}{
		{authz.Request{User: planted + "-ann", Permission: planted + ":edit", Resource: post, Explain: true}, true},
		{authz.Request{User: planted + "-bob", Permission: planted + ":edit", Resource: post, Explain: true}, true},
		{authz.Request{User: planted + "-bob", Permission: planted + ":edit", Explain: true}, false},
		{authz.Request{User: planted + "-nobody", Permission: planted + "-none"}, false},
	} {
		if got, err := c.Check(ctx, test.request); err != nil || got.Allowed != test.want {
			t.Errorf("%+v: got %+v, %v, want %t", test.request, got, err, test.want)
		}
	}
	if users, err := c.WhichUsersCan(ctx, planted+":edit", authz.Page{}); err != nil || len(users.Items) != 1 {
		t.Errorf("who can edit: got %+v, %v, want one", users.Items, err)
	}
	if events, err := c.AuditEvents(ctx, sdk.AuditFilter{User: planted + "-ann"}, authz.Page{}); err != nil || len(events.Items) == 0 || events.Items[0].IP != plantedIP {
		t.Errorf("audit: got %+v, %v, want events from %s", events.Items, err, plantedIP)
	}
}

// presentSessions rotates a session until its token is stolen, and ends another.
func presentSessions(t *testing.T, looked secrets, c *sdk.Client) {
	t.Helper()
	ctx := t.Context()
	shown := func(token string) authz.PresentedSession {
		return authz.PresentedSession{Token: token, IP: plantedIP, UserAgent: planted + " browser/1.0"}
	}
	for n := range 2 {
		issued, err := c.CreateSession(ctx, authz.NewSession{User: planted + "-ann", IP: plantedIP, UserAgent: planted + " browser/1.0"})
		if err != nil {
			t.Fatal(err)
		}
		rotated := rotateOnce(t, c, shown(issued.Token))
		looked.addToken(fmt.Sprint("session token ", n), issued.Token)
		looked.addToken(fmt.Sprint("the next session token ", n), rotated.Token)
		if n == 0 {
			waitUntilStale(t, c, shown(issued.Token))
			if _, err := c.RotateSession(ctx, shown(issued.Token)); !errors.Is(err, authz.ErrTokenReused) {
				t.Errorf("a stolen token: got %v, want %v", err, authz.ErrTokenReused)
			}
		}
	}
	if ended, err := c.EndSessions(ctx, planted+"-ann", ""); err != nil || ended != 1 {
		t.Errorf("sign out: ended %d, %v, want 1", ended, err)
	}
	_, _ = c.RotateSession(ctx, shown(planted+".not.a.token"))
}

// presentTokens uses access and refresh tokens, and one refresh token twice.
func presentTokens(t *testing.T, looked secrets, server string, c *sdk.Client) {
	t.Helper()
	ctx := t.Context()
	issued, err := c.IssueTokens(ctx, authz.TokenRequest{Subject: planted + "-ann"})
	if err != nil {
		t.Fatal(err)
	}
	refreshed, err := c.RefreshTokens(ctx, issued.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := c.IssueTokens(ctx, authz.TokenRequest{Subject: planted + "-bob"})
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"access token": issued.AccessToken, "refresh token": issued.RefreshToken, "the next access token": refreshed.AccessToken,
		"the next refresh token": refreshed.RefreshToken, "another access token": kept.AccessToken, "another refresh token": kept.RefreshToken,
	} {
		looked.addToken(what, token)
		if info, err := c.IntrospectToken(ctx, token); err != nil || (token != issued.RefreshToken) != info.Active {
			t.Errorf("introspect the %s: got %+v, %v", what, info, err)
		}
	}
	if _, err := plantedClient(t, server, refreshed.AccessToken).Roles(ctx, authz.Page{}); err != nil {
		t.Errorf("an access token: %v", err)
	}
	if _, err := c.RefreshTokens(ctx, issued.RefreshToken); !errors.Is(err, authz.ErrInvalidGrant) {
		t.Errorf("a used refresh token: got %v, want %v", err, authz.ErrInvalidGrant)
	}
	_, _ = c.RefreshTokens(ctx, planted+"-no-token")
	_ = c.RevokeToken(ctx, planted+"-no-token")
}

// failPlanted sends what is refused.
func failPlanted(t *testing.T, looked secrets, server, key string) {
	t.Helper()
	unknown := uuid.NewString()
	looked.addKey("a key that there is not", unknown)
	for _, test := range []struct{ bearer, method, path, body string }{
		{"Bearer " + unknown, "GET", "/api/membership/" + planted + "/editor", ""},
		{"Bearer " + planted + "-no-key", "GET", "/api/users/" + planted, ""},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte(planted+":"+unknown)), "GET", "/api/users/" + planted, ""},
		{"Bearer " + key + planted, "GET", "/api/roles", ""},
		{"Bearer " + key, "GET", "/api/users/" + planted + "%20and%00more", ""},
		{"Bearer " + key, "GET", "/api/users/" + planted + "-unknown", ""},
		{"Bearer " + key, "GET", "/no/" + planted, ""},
		{"Bearer " + key, "PATCH", "/api/users/" + planted, ""},
		{"Bearer " + key, "GET", "/api//users/" + planted, ""},
		{"Bearer " + key, "GET", "/api/audit?user=" + planted + "&limit=" + planted, ""},
		{"Bearer " + key, "PUT", "/api/users/" + planted, `{"properties":` + planted},
		{"Bearer " + key, "PUT", "/api/users/" + planted, `{"` + planted + `":1}`},
		{"Bearer " + key, "POST", "/api/check", `{"user":7,"permission":"` + planted + `"}`},
		{"Bearer " + key, "PUT", "/api/role/editor", `{"description":7,"x":"` + planted + `"}`},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, server+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", test.bearer)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("User-Agent", planted)
		answer, err := plantedHeaders{}.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode < 400 {
			t.Errorf("%s %s: got %s, want a refusal", test.method, test.path, answer.Status)
		}
	}
}
