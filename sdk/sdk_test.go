package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

const key = "0e8dd2f5-6a5c-4f0e-9f0c-2d0b9a5d7c11"

func TestNew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ baseURL, key, want string }{
		"no scheme":            {"gatehouse.example.com", key, "base URL"},
		"another scheme":       {"ftp://gatehouse.example.com", key, "base URL"},
		"no host":              {"http://", key, "base URL"},
		"a password":           {"http://user:hunter2@gatehouse.example.com", key, "base URL"},
		"a query":              {"http://gatehouse.example.com?a=b", key, "base URL"},
		"not a URL":            {"http://%zz", key, "base URL"},
		"no key":               {"http://gatehouse.example.com", "", "key"},
		"a key with a newline": {"http://gatehouse.example.com", key + "\n", "key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sdk.New(test.baseURL, test.key)
			if !errors.Is(err, sdk.ErrInvalid) || !strings.HasPrefix(err.Error(), test.want+":") {
				t.Errorf("got error %v, want one that is ErrInvalid and begins with %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

func TestBaseURLMayHaveAPath(t *testing.T) {
	t.Parallel()
	paths := make(chan string, 1)
	client, _ := fake(t, "/gate%20house", func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.EscapedPath()
		envelope(w, 200, `{"has_permission":true}`)
	})
	if _, err := client.UserHasPermission(t.Context(), "a/b c", "post:edit"); err != nil {
		t.Fatal(err)
	}
	if got, want := <-paths, "/gate%20house/api/has_permission/a%2Fb%20c/post:edit"; got != want {
		t.Errorf("path: got %q, want %q", got, want)
	}
}

func TestNamesThatNoURLCarriesAreNotSent(t *testing.T) {
	t.Parallel()
	client, requests := fake(t, "", func(w http.ResponseWriter, _ *http.Request) { envelope(w, 200, `{"result":true}`) })
	ctx := t.Context()
	for _, bad := range []string{"", ".", "..", "/"} {
		for field, call := range map[string]func() error{
			"role":       func() error { _, err := client.DeleteRole(ctx, bad); return err },
			"permission": func() error { _, err := client.DeletePermission(ctx, "editor", bad); return err },
			"user":       func() error { _, err := client.DeleteMembership(ctx, bad, "editor"); return err },
			"workflow":   func() error { _, err := client.WorkflowUsers(ctx, bad, authz.Page{}); return err },
		} {
			if err := call(); !errors.Is(err, sdk.ErrInvalid) || !strings.HasPrefix(err.Error(), field+":") {
				t.Errorf("%s %q: got error %v, want ErrInvalid that names the field", field, bad, err)
			}
		}
	}
	if got := requests.Load(); got != 0 {
		t.Errorf("requests: got %d, want none", got)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]error{
		400: sdk.ErrInvalid, 401: sdk.ErrUnauthenticated, 403: sdk.ErrForbidden, 404: sdk.ErrNotFound,
		409: sdk.ErrConflict, 413: sdk.ErrTooLarge, 429: sdk.ErrRateLimited, 503: sdk.ErrUnavailable,
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Request-ID", "req-1")
				w.Header().Set("Retry-After", "7")
				envelope(w, status, `null`)
			}, sdk.WithRetry(sdk.Retry{Tries: 1}))
			decision, err := client.UserHasPermission(t.Context(), "alice", "edit")
			if decision.Allowed || !errors.Is(err, want) {
				t.Errorf("got %v and error %v, want a denial and %v", decision.Allowed, err, want)
			}
			var e *sdk.Error
			if !errors.As(err, &e) {
				t.Fatalf("got error of type %T, want *sdk.Error", err)
			}
			if e.Status != status || e.Message != "in general" || e.Detail != "in detail" || e.RequestID != "req-1" || e.RetryAfter != 7*time.Second {
				t.Errorf("got %+v, want what the server said", *e)
			}
			if !strings.Contains(err.Error(), "in detail") || !strings.Contains(err.Error(), "req-1") {
				t.Errorf("got %q, want the detail and the request id", err)
			}
		})
	}
}

// TestForeignAnswers shows answers that are not Gatehouse's: none allows anything,
// none passes for a word of Gatehouse's, and none shows its body.
func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status            int
		contentType, body string
		want              error
	}{
		"a page":                          {200, "text/html", "<p>Bearer " + key, nil},
		"a page that says not found":      {404, "text/html; charset=utf-8", "<p>Bearer " + key, nil},
		"a gateway's page":                {502, "text/html", "<p>Bearer " + key, sdk.ErrUnavailable},
		"nothing":                         {200, "", "", nil},
		"JSON of another kind":            {200, "application/json", `{"has_permission":true}`, nil},
		"JSON of another kind, an error":  {404, "application/json", `{"error":"` + key + `"}`, nil},
		"an envelope of another status":   {200, "application/json", `{"success":true,"code":201,"data":{"has_permission":true}}`, nil},
		"an envelope without data":        {200, "application/json", `{"success":true,"code":200}`, nil},
		"an envelope that contradicts":    {200, "application/json", `{"success":false,"code":200,"data":{"has_permission":true}}`, nil},
		"an envelope with bytes after it": {200, "application/json", `{"success":true,"code":200,"data":{"has_permission":true}}x`, nil},
		"an envelope of another type":     {200, "text/plain", `{"success":true,"code":200,"data":{"has_permission":true}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{test.contentType}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			}, sdk.WithRetry(sdk.Retry{Tries: 1}))
			decision, err := client.UserHasPermission(t.Context(), "alice", "edit")
			var e *sdk.Error
			if decision.Allowed || !errors.As(err, &e) || e.Status != test.status {
				t.Fatalf("got %v and error %v, want a denial and an *sdk.Error with status %d", decision.Allowed, err, test.status)
			}
			if errors.Is(err, sdk.ErrNotFound) || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got error of kind %v, want %v", e.Code, test.want)
			}
			if !strings.HasPrefix(err.Error(), fmt.Sprint(test.status)) || strings.Contains(err.Error(), key) {
				t.Errorf("got %q, want the status and not the body", err)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	t.Cleanup(elsewhere.Close)
	client, _ := fake(t, "", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}, sdk.WithHTTPClient(&http.Client{}))
	_, err := client.AddRole(t.Context(), "editor", authz.RoleOptions{})
	var e *sdk.Error
	if !errors.As(err, &e) || e.Status != http.StatusTemporaryRedirect || !strings.Contains(err.Error(), "redirects are not followed") {
		t.Errorf("got error %v, want one that tells of the redirect", err)
	}
	if err := client.Ping(t.Context()); err == nil {
		t.Error("ping: got no error, want one")
	}
	if got := followed.Load(); got != 0 {
		t.Errorf("requests that followed: got %d, want none", got)
	}
}

func TestNoConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client, err := sdk.New(address, key, sdk.WithRetry(sdk.Retry{Wait: time.Nanosecond}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Roles(t.Context(), authz.Page{})
	var cause *net.OpError
	if !errors.Is(err, sdk.ErrUnavailable) || !errors.As(err, &cause) || strings.Contains(err.Error(), key) {
		t.Errorf("got error %v, want ErrUnavailable with its cause and without the key", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Roles(ctx, authz.Page{})
	if !errors.Is(err, context.Canceled) || errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("with a context that is over: got error %v, want its own", err)
	}
}

func TestAnswerThatBreaksOffIsUnavailable(t *testing.T) {
	t.Parallel()
	client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"success":true`)
	})
	_, err := client.Roles(t.Context(), authz.Page{})
	if !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
}

func TestNextPageWithoutCursorIsAnError(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		`<http://x/api/roles?cursor=abc&limit=1>; rel="next"`:                   "abc",
		`</api/roles?limit=1&cursor=a%2Bb>; rel="next"`:                         "a+b",
		`</api/roles?cursor=first>; rel="prev", </api/roles?cursor=c>;rel=next`: "c",
		`</api/roles?cursor=first>; rel="nextish"`:                              "",
		`</api/roles>; rel="next"`:                                              "error",
		`<http://%zz>; rel="next"`:                                              "error",
	} {
		t.Run(link, func(t *testing.T) {
			t.Parallel()
			client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", link)
				envelope(w, 200, `[]`)
			})
			list, err := client.Roles(t.Context(), authz.Page{})
			if want == "error" && err == nil || want != "error" && (err != nil || list.Next != want) {
				t.Errorf("got next %q and error %v, want %q", list.Next, err, want)
			}
		})
	}
}

func TestKeyIsSentAndNeverPrinted(t *testing.T) {
	t.Parallel()
	headers := make(chan http.Header, 1)
	client, _ := fake(t, "", func(w http.ResponseWriter, r *http.Request) {
		headers <- r.Header
		if r.URL.Path == "/ping" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"message":"PONG"}`)
			return
		}
		envelope(w, 200, `[]`)
	}, sdk.WithUserAgent("robot/1"))
	if _, err := client.Roles(t.Context(), authz.Page{}); err != nil {
		t.Fatal(err)
	}
	header := <-headers
	if got, want := header.Get("Authorization"), "Bearer "+key; got != want {
		t.Errorf("Authorization: got %q, want %q", got, want)
	}
	if got, want := header.Get("User-Agent"), "robot/1"; got != want {
		t.Errorf("User-Agent: got %q, want %q", got, want)
	}
	if err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := (<-headers).Get("Authorization"); got != "" {
		t.Errorf("Authorization of a probe: got %q, want none", got)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb+verb, client, *client); strings.Contains(got, key) || strings.Contains(got, fmt.Sprintf("%x", key)) {
			t.Errorf("%s prints the key", verb)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		want   sdk.Health
	}{
		"healthy": {
			200, `{"status":"healthy","database":{"type":"sqlite","status":"up","latency_ms":0.25}}`,
			sdk.Health{Status: "healthy", Database: "sqlite", DatabaseUp: true, Latency: 250 * time.Microsecond},
		},
		"unhealthy": {
			503, `{"status":"unhealthy","database":{"type":"postgresql","status":"down"}}`,
			sdk.Health{Status: "unhealthy", Database: "postgresql"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, requests := fake(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			got, err := client.Health(t.Context())
			if err != nil || got != test.want {
				t.Errorf("got %+v and error %v, want %+v", got, err, test.want)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("requests: got %d, want 1", n)
			}
		})
	}
}

func TestHealthOfARealServer(t *testing.T) {
	t.Parallel()
	client := newClient(t, startServer(t, nil))
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	health, err := client.Health(t.Context())
	if err != nil || health.Status != "healthy" || health.Database != "sqlite" || !health.DatabaseUp || health.Latency <= 0 {
		t.Errorf("health: got %+v and error %v, want a healthy SQLite", health, err)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/bob") {
			envelope(w, 404, "null")
			return
		}
		envelope(w, 200, `{"has_permission":true}`)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	client, err := sdk.New(s.URL, key)
	if err != nil {
		t.Fatal(err)
	}
	const callers, calls = 8, 20
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for range calls {
				if _, err := client.UserHasPermission(t.Context(), "alice", "edit"); err != nil {
					t.Error(err)
				}
				if _, err := client.UserRoles(t.Context(), "bob", authz.Page{}); !errors.Is(err, sdk.ErrNotFound) {
					t.Errorf("got error %v, want ErrNotFound", err)
				}
			}
		})
	}
	running.Wait()
	// A caller may find no idle connection while another's is on its way back.
	if got := opened.Load(); got > 2*callers {
		t.Errorf("connections for %d requests of %d callers: got %d, want at most %d", 2*callers*calls, callers, got, 2*callers)
	}
}

// TestDependencies keeps a client service light.
func TestDependencies(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	dependencies := strings.Fields(string(out))
	const module = "github.com/gatehouse/gatehouse/"
	for _, heavy := range []string{
		"github.com/jackc/", "modernc.org/", "github.com/getkin/", "github.com/go-co-op/", "github.com/maypok86/",
		module + "engine", module + "server", module + "gen", module + "schema", module + "internal/store",
	} {
		for _, dependency := range dependencies {
			if strings.HasPrefix(dependency, heavy) || dependency == "database/sql" {
				t.Errorf("sdk depends on %s", dependency)
			}
		}
	}
	if !slices.Contains(dependencies, module+"sdk") {
		t.Errorf("go list: got %d packages without sdk itself", len(dependencies))
	}
}

// fake returns a client of a server that answers as it is told, and the number of
// requests that the server got.
func fake(t *testing.T, path string, answer http.HandlerFunc, opts ...sdk.Option) (*sdk.Client, *atomic.Int64) {
	t.Helper()
	var requests atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	client, err := sdk.New(s.URL+path, key, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client, &requests
}

// envelope answers in the API's form.
func envelope(w http.ResponseWriter, status int, data string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status == http.StatusOK {
		_, _ = fmt.Fprintf(w, `{"success":true,"code":200,"message":"OK","data":%s,"timestamp":"2026-11-22T12:00:00.000000Z"}`, data)
		return
	}
	_, _ = fmt.Fprintf(w, `{"success":false,"code":%d,"message":"in general","error":"in detail","timestamp":"2026-11-22T12:00:00.000000Z"}`, status)
}
