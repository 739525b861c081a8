package gatehousegin_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
	gatehousegin "github.com/gatehouse/gatehouse/middleware/gin"
)

// start serves a Gin application on a real engine, where alice may read.
func start(t *testing.T) (*httptest.Server, *http.Client) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{
		Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	tenant := e.Tenant("notes")
	if _, err := tenant.AddRole(t.Context(), "reader", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.AddPermission(t.Context(), "reader", "note:read"); err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.AddMembership(t.Context(), "alice", "reader", authz.Window{}); err != nil {
		t.Fatal(err)
	}
	gate, err := middleware.New(middleware.Config{Sessions: tenant, Checker: tenant})
	if err != nil {
		t.Fatal(err)
	}

	gin.SetMode(gin.ReleaseMode)
	app := gin.New()
	app.Use(gin.RecoveryWithWriter(io.Discard), gatehousegin.Handler(gate))
	whoami := func(c *gin.Context) {
		user, _ := gatehousegin.CurrentUser(c)
		if kept := c.GetString(gatehousegin.UserKey); kept != user {
			t.Errorf("c.GetString: got %q, want %q", kept, user)
		}
		c.String(http.StatusOK, user)
	}
	note := func(c *gin.Context) (*authz.RequestedResource, error) {
		switch id := c.Param("id"); id {
		case "missing":
			return nil, middleware.ErrNotFound
		case "broken":
			return nil, errors.New("the notes are away")
		default:
			return &authz.RequestedResource{Node: authz.Node{Type: "note", ID: id}}, nil
		}
	}
	// The status is only noted before the user signs in.
	signIn := func(c *gin.Context) {
		c.Status(http.StatusOK)
		if _, err := gate.SignIn(c.Request.Context(), c.Param("user")); err != nil {
			t.Error(err)
		}
	}
	app.GET("/whoami", whoami)
	app.GET("/nothing", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	app.GET("/fails", func(*gin.Context) { panic("broken") })
	app.GET("/flush", func(c *gin.Context) { c.Writer.Flush() })
	app.GET("/now", func(c *gin.Context) { c.Writer.WriteHeaderNow() })
	app.GET("/string", func(c *gin.Context) { _, _ = c.Writer.WriteString("body") })
	app.GET("/hijack", func(c *gin.Context) {
		conn, rw, err := c.Writer.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n")
		_ = rw.Flush()
	})
	app.GET("/read/:id", gatehousegin.Require(gate, "note:read", note), whoami)
	app.GET("/all/:id", gatehousegin.RequireAll(gate, []string{"note:read", "note:edit"}, note), whoami)
	app.GET("/any/:id", gatehousegin.RequireAny(gate, []string{"note:edit", "note:read"}, note), whoami)
	app.POST("/signin/:user", signIn)
	app.POST("/signout", func(c *gin.Context) {
		if err := gate.SignOut(c.Request.Context()); err != nil {
			t.Error(err)
		}
	})

	s := httptest.NewTLSServer(app)
	t.Cleanup(s.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := s.Client()
	client.Jar = jar
	return s, client
}

// ask sends a request and returns the answer with its body.
func ask(t *testing.T, client *http.Client, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rsp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	body, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rsp, string(body)
}

func TestSignedInUntilSignedOut(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	who := func(want string) {
		t.Helper()
		if rsp, body := ask(t, client, "GET", s.URL+"/whoami"); rsp.StatusCode != 200 || body != want || rsp.Header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("got %d %q and headers %v, want %q", rsp.StatusCode, body, rsp.Header, want)
		}
	}
	who("")
	ask(t, client, "POST", s.URL+"/signin/alice")
	who("alice")
	who("alice")
	var requests sync.WaitGroup
	for range 20 {
		requests.Go(func() { who("alice") })
	}
	requests.Wait()
	ask(t, client, "POST", s.URL+"/signout")
	who("")
}

// TestEveryKindOfAnswerTakesTheCookieAlong includes those that Gin writes after all
// middleware, for a status alone or a panic.
func TestEveryKindOfAnswerTakesTheCookieAlong(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	ask(t, client, "POST", s.URL+"/signin/alice")
	for path, status := range map[string]int{"/whoami": 200, "/nothing": 204, "/fails": 500, "/flush": 200, "/now": 200, "/string": 200, "/all/plan": 403, "/nowhere": 404} {
		rsp, _ := ask(t, client, "GET", s.URL+path)
		if cookies := rsp.Cookies(); rsp.StatusCode != status || len(cookies) != 1 || rsp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: got %d, cookies %v and Cache-Control %q, want %d, one and no-store", path, rsp.StatusCode, cookies, rsp.Header.Get("Cache-Control"), status)
		}
	}
}

func TestRequire(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	if rsp, _ := ask(t, client, "GET", s.URL+"/read/plan"); rsp.StatusCode != 401 {
		t.Errorf("nobody: got %d, want 401", rsp.StatusCode)
	}
	ask(t, client, "POST", s.URL+"/signin/alice")
	for path, status := range map[string]int{
		"/read/plan": 200, "/any/plan": 200, "/all/plan": 403, "/read/missing": 404, "/read/broken": 503,
	} {
		rsp, _ := ask(t, client, "GET", s.URL+path)
		if rsp.StatusCode != status || (rsp.Header.Get("Retry-After") != "") != (status == 503) {
			t.Errorf("%s: got %d with headers %v, want %d", path, rsp.StatusCode, rsp.Header, status)
		}
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	if rsp, _ := ask(t, client, "POST", s.URL+"/signin/alice", "Sec-Fetch-Site", "cross-site"); rsp.StatusCode != 403 || len(rsp.Cookies()) != 0 {
		t.Errorf("got %d and cookies %v, want 403 and none", rsp.StatusCode, rsp.Cookies())
	}
}

func TestSwitchingProtocolsDoesNotRotate(t *testing.T) {
	t.Parallel()
	s, client := start(t)
	ask(t, client, "POST", s.URL+"/signin/alice")
	rsp, _ := ask(t, client, "GET", s.URL+"/hijack", "Connection", "Upgrade", "Upgrade", "chat")
	if rsp.StatusCode != 101 || len(rsp.Cookies()) != 0 {
		t.Errorf("got %d and cookies %v, want 101 and none", rsp.StatusCode, rsp.Cookies())
	}
	if _, body := ask(t, client, "GET", s.URL+"/whoami"); body != "alice" {
		t.Errorf("afterwards: got %q, want alice", body)
	}
}
