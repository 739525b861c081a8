package server_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/server"
)

// service is a real server on a real engine, with every answer held to openapi.yaml.
type service struct {
	*httptest.Server
	engine *engine.Engine
	log    *bytes.Buffer
	spec   *openapi3.T
	routes routers.Router
}

// caller sends requests with one client key.
type caller struct {
	t   testing.TB
	s   *service
	key string
}

// answer is an HTTP response, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func startService(t testing.TB, change ...func(*engine.Config, *server.Config)) *service {
	t.Helper()
	s := &service{log: &bytes.Buffer{}}
	logger := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), OpenRegistration: true, Logger: logger}
	serverCfg := server.Config{Logger: logger}
	for _, f := range change {
		f(&cfg, &serverCfg)
	}
	var err error
	if s.engine, err = engine.Open(t.Context(), cfg); err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	t.Cleanup(func() { _ = s.engine.Close() })
	serverCfg.Engine = s.engine
	handler, err := server.New(serverCfg)
	if err != nil {
		t.Fatalf("make the server: %v", err)
	}
	if s.spec, err = api.GetSpec(); err != nil {
		t.Fatal(err)
	}
	s.spec.Servers = nil
	if s.routes, err = gorillamux.NewRouter(s.spec); err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(handler)
	t.Cleanup(s.Server.Close)
	return s
}

// caller makes a caller with a new client key.
func (s *service) caller(t testing.TB) *caller {
	return &caller{t: t, s: s, key: uuid.NewString()}
}

func (c *caller) get(path string) answer    { c.t.Helper(); return c.do(http.MethodGet, path, "") }
func (c *caller) post(path string) answer   { c.t.Helper(); return c.do(http.MethodPost, path, "") }
func (c *caller) delete(path string) answer { c.t.Helper(); return c.do(http.MethodDelete, path, "") }

// put sends a PUT with a body, which may be empty.
func (c *caller) put(path, body string) answer { c.t.Helper(); return c.do(http.MethodPut, path, body) }

// do sends a request, with a JSON body where one is given, and checks that the
// answer is one that openapi.yaml describes.
func (c *caller) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.s.URL+path, reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return c.send(r)
}

func (c *caller) send(r *http.Request) answer {
	c.t.Helper()
	response, err := c.s.Client().Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		c.t.Fatal(err)
	}
	c.validate(r, a)
	return a
}

// validate holds an answer to the operation's description; one of no operation to
// the error envelope.
func (c *caller) validate(r *http.Request, a answer) {
	c.t.Helper()
	if a.header.Get("X-Request-ID") == "" {
		c.t.Errorf("%s %s: no X-Request-ID", r.Method, r.URL)
	}
	if r.Method == http.MethodHead || strings.HasPrefix(r.URL.Path, "/docs") || strings.HasPrefix(r.URL.Path, "/openapi") || r.Method == http.MethodOptions && a.status < 300 {
		return
	}
	if a.status >= 500 && a.status != http.StatusServiceUnavailable {
		c.t.Errorf("%s %s: status %d: %s\nlog: %s", r.Method, r.URL, a.status, a.body, c.s.log)
	}
	route, parameters, err := c.s.routes.FindRoute(r)
	if err != nil {
		var envelope map[string]any
		if err := json.Unmarshal(a.body, &envelope); err != nil {
			c.t.Fatalf("%s %s: status %d, no JSON: %q", r.Method, r.URL, a.status, a.body)
		}
		form := "Error"
		if strings.HasPrefix(r.URL.Path, "/api/token") {
			form = "TokenError"
		}
		if err := c.s.spec.Components.Schemas[form].Value.VisitJSON(envelope); err != nil {
			c.t.Errorf("%s %s: status %d, no error envelope: %s", r.Method, r.URL, a.status, a.body)
		}
		return
	}
	err = openapi3filter.ValidateResponse(c.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 a.status,
		Header:                 a.header,
		Body:                   io.NopCloser(bytes.NewReader(a.body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		c.t.Errorf("%s %s: the answer is not as openapi.yaml says: %v\n%s", r.Method, r.URL, err, a.body)
	}
}

var timestampForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

// data returns the envelope's data as compact JSON, after checking the envelope.
func (c *caller) data(a answer) string {
	c.t.Helper()
	var envelope struct {
		Success   bool
		Code      int
		Message   string
		Data      json.RawMessage
		Timestamp string
	}
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		c.t.Fatalf("no JSON: %q", a.body)
	}
	if !envelope.Success || envelope.Code != a.status || a.status != 200 || !timestampForm.MatchString(envelope.Timestamp) {
		c.t.Fatalf("status %d, want 200 and a success: %s", a.status, a.body)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, envelope.Data); err != nil {
		c.t.Fatal(err)
	}
	return compact.String()
}

// wantData checks what a request is answered with.
func (c *caller) wantData(a answer, want string) {
	c.t.Helper()
	if got := c.data(a); got != want {
		c.t.Errorf("data: got %s, want %s", got, want)
	}
}

// wantError checks an error's status, and that its words hold a part.
func (c *caller) wantError(a answer, status int, part string) {
	c.t.Helper()
	var envelope struct {
		Success *bool
		Code    int
		Error   string
	}
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		c.t.Fatalf("status %d, no JSON: %q", a.status, a.body)
	}
	if a.status != status || envelope.Code != status || envelope.Success == nil || *envelope.Success || !strings.Contains(envelope.Error, part) {
		c.t.Errorf("got %d %s, want %d and an error that says %q", a.status, a.body, status, part)
	}
}

// wantMessage is wantError for AuthZEN, whose errors are JSON strings.
func (c *caller) wantMessage(a answer, status int, part string) {
	c.t.Helper()
	var message string
	if err := json.Unmarshal(a.body, &message); err != nil || a.status != status || !strings.Contains(message, part) {
		c.t.Errorf("got %d %s, want %d and a string that says %q", a.status, a.body, status, part)
	}
}

// wantSame checks that nothing in the caller's tenant has changed around f.
func (c *caller) wantSame(f func()) {
	c.t.Helper()
	before := c.get("/api/roles").header.Get("Gatehouse-Revision")
	f()
	if after := c.get("/api/roles").header.Get("Gatehouse-Revision"); after != before {
		c.t.Errorf("revision: got %s, want %s as before", after, before)
	}
}

// at is a clock that always shows the same time.
func at(now time.Time) func() time.Time { return func() time.Time { return now } }
