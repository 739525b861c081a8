package middleware_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
	"github.com/gatehouse/gatehouse/sdk"
	"github.com/gatehouse/gatehouse/server"
)

// service is what the engine's Tenant and the SDK's Client both are.
type service interface {
	middleware.Sessioner
	authz.Checker
	PutRole(ctx context.Context, role authz.RoleDetail) (authz.Written, error)
	PutGrant(ctx context.Context, role string, grant authz.Grant) (authz.Written, error)
	PutMembership(ctx context.Context, membership authz.Membership) (authz.Written, error)
	PutResource(ctx context.Context, resource authz.Resource) (authz.Written, error)
	PutUser(ctx context.Context, user authz.User) (authz.Written, error)
	Sessions(ctx context.Context, user string, withEnded bool, page authz.Page) (authz.List[authz.Session], error)
}

// faulty is a service that counts what it is asked, and fails while it is told to.
type faulty struct {
	service
	rotated, verified atomic.Int64
	failing           atomic.Bool
}

var errAway = errors.New("the database is away")

func (f *faulty) RotateSession(ctx context.Context, p authz.PresentedSession) (authz.RotatedSession, error) {
	f.rotated.Add(1)
	if f.failing.Load() {
		return authz.RotatedSession{}, errAway
	}
	return f.service.RotateSession(ctx, p)
}

func (f *faulty) VerifySession(ctx context.Context, p authz.PresentedSession) (authz.SessionStatus, error) {
	f.verified.Add(1)
	if f.failing.Load() {
		return authz.SessionStatus{}, errAway
	}
	return f.service.VerifySession(ctx, p)
}

func (f *faulty) EndSession(ctx context.Context, id string) (bool, error) {
	if f.failing.Load() {
		return false, errAway
	}
	return f.service.EndSession(ctx, id)
}

func (f *faulty) Check(ctx context.Context, request authz.Request) (authz.Decision, error) {
	if f.failing.Load() {
		return authz.Decision{}, errAway
	}
	return f.service.Check(ctx, request)
}

// newService is a tenant on an engine of its own.
func newService(t testing.TB, sessions engine.SessionConfig) *faulty {
	t.Helper()
	return &faulty{service: openEngine(t, sessions).Tenant(uuid.NewString())}
}

func openEngine(t testing.TB, sessions engine.SessionConfig) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{
		Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), OpenRegistration: true, Sessions: sessions,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	return e
}

// onBoth runs a test with the engine in process and with the SDK over HTTP.
func onBoth(t *testing.T, test func(*testing.T, *faulty)) {
	t.Run("engine", func(t *testing.T) {
		t.Parallel()
		test(t, newService(t, engine.SessionConfig{}))
	})
	t.Run("sdk", func(t *testing.T) {
		t.Parallel()
		handler, err := server.New(server.Config{Engine: openEngine(t, engine.SessionConfig{}), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		client, err := sdk.New(s.URL, uuid.NewString())
		if err != nil {
			t.Fatal(err)
		}
		test(t, &faulty{service: client})
	})
}

// newGate makes a Gate whose failures are not logged.
func newGate(t testing.TB, s service, change ...func(*middleware.Config)) *middleware.Gate {
	t.Helper()
	cfg := middleware.Config{Sessions: s, Checker: s, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	gate, err := middleware.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// app serves routes beside those that every application here has: sign in, sign out,
// and who one is.
func app(t testing.TB, gate *middleware.Gate, routes map[string]http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /signin/{user}", func(w http.ResponseWriter, r *http.Request) {
		if _, err := gate.SignIn(r.Context(), r.PathValue("user")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /signout", func(w http.ResponseWriter, r *http.Request) {
		if err := gate.SignOut(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/whoami", whoami)
	for pattern, handler := range routes {
		mux.HandleFunc(pattern, handler)
	}
	s := httptest.NewUnstartedServer(gate.Handler(mux))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func whoami(w http.ResponseWriter, r *http.Request) {
	user, _ := middleware.CurrentUser(r.Context())
	_, _ = io.WriteString(w, user)
}

// browser keeps cookies as a browser does.
type browser struct {
	t      testing.TB
	app    *httptest.Server
	client *http.Client
	jar    *cookiejar.Jar
	agent  string
}

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func open(t testing.TB, s *httptest.Server) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := *s.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{t: t, app: s, client: &client, jar: jar, agent: firefox}
}

// page is an answer, read to its end.
type page struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(method, path string, headers ...string) page {
	b.t.Helper()
	p, err := b.try(method, path, headers...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return p
}

func (b *browser) try(method, path string, headers ...string) (page, error) {
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.app.URL+path, nil)
	if err != nil {
		return page{}, err
	}
	r.Header.Set("User-Agent", b.agent)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rsp, err := b.client.Do(r)
	if err != nil {
		return page{}, err
	}
	defer rsp.Body.Close()
	body, err := io.ReadAll(rsp.Body)
	return page{rsp.StatusCode, rsp.Header, string(body)}, err
}

func (b *browser) get(path string) page { b.t.Helper(); return b.do(http.MethodGet, path) }

func (b *browser) signIn(user string) {
	b.t.Helper()
	if p := b.do(http.MethodPost, "/signin/"+user); p.status != http.StatusOK {
		b.t.Fatalf("sign in: got %d %s", p.status, p.body)
	}
}

// is checks who the application takes the browser's user for; "" for nobody.
func (b *browser) is(user string) {
	b.t.Helper()
	if p := b.get("/whoami"); p.status != http.StatusOK || p.body != user {
		b.t.Errorf("who am I: got %d %q, want %q", p.status, p.body, user)
	}
}

// token is what the browser holds; "" where it has no cookie.
func (b *browser) token() string {
	b.t.Helper()
	for _, c := range b.jar.Cookies(b.url()) {
		if c.Name == middleware.CookieName {
			return c.Value
		}
	}
	return ""
}

// hold puts a token into the browser.
func (b *browser) hold(token string) {
	b.t.Helper()
	b.jar.SetCookies(b.url(), []*http.Cookie{{Name: middleware.CookieName, Value: token, Path: "/", Secure: true}})
}

func (b *browser) url() *url.URL {
	b.t.Helper()
	u, err := url.Parse(b.app.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	return u
}

// sessionCookies are the answer's lines about the session's cookie.
func (p page) sessionCookies() []*http.Cookie {
	var found []*http.Cookie
	for _, c := range (&http.Response{Header: p.header}).Cookies() {
		if c.Name == middleware.CookieName {
			found = append(found, c)
		}
	}
	return found
}

// cookie says what an answer does to the cookie: "set", "deleted" or "left".
func (p page) cookie(t testing.TB) string {
	t.Helper()
	cookies := p.sessionCookies()
	switch {
	case len(cookies) == 0:
		return "left"
	case len(cookies) > 1:
		t.Errorf("Set-Cookie: got %d lines for the session, want one", len(cookies))
	case p.header.Get("Cache-Control") != "no-store":
		t.Errorf("Cache-Control beside a session cookie: got %q, want no-store", p.header.Get("Cache-Control"))
	}
	if cookies[0].MaxAge < 0 {
		return "deleted"
	}
	return "set"
}

// clock is moved by tests.
type clock struct{ offset atomic.Int64 }

func (c *clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }
