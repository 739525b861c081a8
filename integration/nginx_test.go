package integration_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	// device is where the browser is, and nginx another address of this machine.
	device    = "127.0.0.2"
	userAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
)

// site is an application that knows nothing of sessions, behind an nginx with the
// configuration of docs/proxies.md, which asks a Gatehouse.
type site struct {
	t *testing.T
	// url is nginx's.
	url string
	// tenant is the application's, and sdk its client.
	tenant string
	sdk    *sdk.Client
	// stranger is the client of another tenant, whose key anybody can make.
	stranger *sdk.Client
	seen     chan http.Header
}

func startSite(t *testing.T) *site {
	t.Helper()
	program := servertest.FindProgram(t, "nginx-light", "nginx", "/usr/sbin/nginx")
	s := &site{t: t, seen: make(chan http.Header, 1)}
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.seen <- r.Header.Clone()
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		w.Header().Set("Cache-Control", "public, max-age=60")
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(application.Close)
	// Strict, so that the address counts.
	i := servertest.InstallSQLite(t, "AUTH_TRUSTED_PROXIES=127.0.0.1", "AUTH_SESSION_BINDING=strict")
	key := strings.TrimSpace(i.Must("client", "create", "--name", "site"))
	s.tenant = keysByName(i)["site"].tenant
	server := i.Serve()
	s.sdk, s.stranger = client(t, server, key), newClient(t, server)
	s.url = startNginx(t, program, server.URL, s.tenant, application.URL)
	return s
}

var nginxBlock = regexp.MustCompile("(?s)```nginx\n(.*?)```")

// startNginx runs nginx with the configuration of the documentation and returns its
// URL.
func startNginx(t *testing.T, program, gatehouse, tenant, application string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/proxies.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := nginxBlock.FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/proxies.md has %d blocks for nginx, want one for http and one for server", len(blocks))
	}
	return "http://" + runNginx(t, program, t.TempDir(), func(address string) string {
		configuration := fmt.Sprintf(`
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_body_temp_path client; proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;
    %s
    server {
        listen %s;
        %s
    }
}`, blocks[0][1], address, blocks[1][1])
		configuration = strings.ReplaceAll(configuration, "http://127.0.0.1:8000", gatehouse)
		configuration = strings.ReplaceAll(configuration, "8d969eef6ecad3c29a3a629280e686cf", tenant)
		configuration = strings.ReplaceAll(configuration, "http://127.0.0.1:3000", application)
		return configuration
	})
}

// runNginx runs nginx in a folder and returns its address, which configure is given. It
// is given a socket that listens already, as at its own upgrade, so that it needs no port
// of its own choice and is ready at once.
func runNginx(t *testing.T, program, folder string, configure func(address string) string) string {
	t.Helper()
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	socket, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	if err := os.WriteFile(filepath.Join(folder, "nginx.conf"), []byte(configure(listener.Addr().String())), 0o600); err != nil {
		t.Fatal(err)
	}
	// The user is for where the tests run as root; else it is ignored.
	nginx := exec.Command(program, "-p", folder, "-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; user root;")
	var said bytes.Buffer
	nginx.Stderr, nginx.ExtraFiles, nginx.Env = &said, []*os.File{socket}, append(os.Environ(), "NGINX=3;")
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(syscall.SIGTERM) // it may have ended; its worker ends with it
		_ = nginx.Wait()
		if t.Failed() {
			t.Logf("nginx said %s", &said)
		}
	})
	return listener.Addr().String()
}

// signIn opens a session as the application would, and returns its cookie.
func (s *site) signIn(user string) (cookie string, session authz.Session) {
	s.t.Helper()
	return s.signInBy(s.sdk, user)
}

// signInBy opens a session with some tenant's client.
func (s *site) signInBy(client *sdk.Client, user string) (cookie string, session authz.Session) {
	s.t.Helper()
	issued, err := client.CreateSession(s.t.Context(), authz.NewSession{User: user, IP: device, UserAgent: userAgent})
	if err != nil {
		s.t.Fatal(err)
	}
	return "__Host-session=" + issued.Token, issued.Session
}

// visit asks for a page as the browser does.
func (s *site) visit(path, cookie string, headers ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader("a form"))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("User-Agent", userAgent)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	browser := http.Client{Transport: &http.Transport{
		DialContext:       (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(device + ":0"))}).DialContext,
		DisableKeepAlives: true,
	}}
	response, err := browser.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// wantPassed checks that the application saw a request, of a user, and returns the
// cookie that came with the answer; empty for none.
func (s *site) wantPassed(response *http.Response, user, session string) (cookie string) {
	s.t.Helper()
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("got %s %v, want 200", response.Status, response.Header)
	}
	seen := <-s.seen
	if !slices.Equal(seen["X-Auth-Tenant"], []string{s.tenant}) {
		s.t.Errorf("the application saw the tenant %v, want %s", seen["X-Auth-Tenant"], s.tenant)
	}
	if !slices.Equal(seen["X-Auth-User"], []string{user}) || !slices.Equal(seen["X-Auth-Session"], []string{session}) {
		s.t.Errorf("the application saw %v, want the user %q and the session %s", seen, user, session)
	}
	if !slices.Equal(seen["X-Forwarded-For"], []string{device}) {
		s.t.Errorf("the application saw the address %v, want %s", seen["X-Forwarded-For"], device)
	}
	caching := "public, max-age=60"
	if cookie = sessionCookieOf(response); cookie != "" {
		caching = "no-store"
	}
	if got := response.Header.Values("Cache-Control"); !slices.Equal(got, []string{caching}) {
		s.t.Errorf("Cache-Control: got %q, want %q", got, caching)
	}
	if cookies := response.Cookies(); !slices.ContainsFunc(cookies, func(c *http.Cookie) bool { return c.Name == "theme" }) {
		s.t.Errorf("got the cookies %v, want the application's too", cookies)
	}
	return cookie
}

// wantStopped checks that the application saw nothing.
func (s *site) wantStopped(response *http.Response, status int) {
	s.t.Helper()
	if response.StatusCode != status {
		s.t.Errorf("got %s, want %d", response.Status, status)
	}
	select {
	case seen := <-s.seen:
		s.t.Errorf("the application saw %v", seen)
	default:
	}
}

func sessionCookieOf(response *http.Response) string {
	for _, c := range response.Cookies() {
		if c.Name == "__Host-session" && c.Secure && c.HttpOnly && c.Path == "/" && c.SameSite == http.SameSiteLaxMode {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

func TestNginxAsksForSessions(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	cookie, session := s.signIn("alice@example.com")

	next := s.wantPassed(s.visit("/notes?permission=none&x=%zz", cookie), "alice@example.com", session.ID)
	if next == "" || next == cookie {
		t.Fatalf("got the cookie %q after %q, want another", next, cookie)
	}
	// What a client claims to be is not believed, nor where it claims to come from.
	next = s.wantPassed(s.visit("/notes", next, "X-Auth-Tenant", "x", "X-Auth-User", "admin", "X-Auth-Session", "x", "X_Auth_User", "admin",
		"X-Forwarded-For", "198.51.100.1"), "alice@example.com", session.ID)

	// A slow answer's token is only verified, and so brings no cookie.
	for range 2 {
		if got := s.wantPassed(s.visit("/events/", next), "alice@example.com", session.ID); got != "" {
			t.Errorf("got the cookie %q, want none", got)
		}
	}

	s.wantStopped(s.visit("/notes", ""), http.StatusUnauthorized)
	s.wantStopped(s.visit("/notes", "", "X-Auth-User", "admin"), http.StatusUnauthorized)
	s.wantStopped(s.visit("/events/", ""), http.StatusUnauthorized)
	s.wantStopped(s.visit("/_session", next), http.StatusNotFound)
	refused := s.visit("/notes", "__Host-session=x")
	if s.wantStopped(refused, http.StatusUnauthorized); len(refused.Header["Set-Cookie"]) > 0 {
		t.Errorf("got %v, want no cookie", refused.Header)
	}

	if _, err := s.sdk.EndSession(t.Context(), session.ID); err != nil {
		t.Fatal(err)
	}
	refused = s.visit("/notes", next)
	s.wantStopped(refused, http.StatusUnauthorized)
	if got := sessionCookieOf(refused); got != "__Host-session=" || !strings.Contains(refused.Header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("got %v, want the cookie deleted", refused.Header)
	}
}

func TestNginxAsksForPermissions(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	ctx := t.Context()
	cookie, session := s.signIn("Zoë 100%")
	refused := s.visit("/admin/", cookie)
	s.wantStopped(refused, http.StatusForbidden)
	if cookie = sessionCookieOf(refused); cookie == "" {
		t.Fatalf("got %v, want the next cookie with the refusal", refused.Header)
	}
	if _, err := s.sdk.AddRole(ctx, "admin", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sdk.AddPermission(ctx, "admin", "admin:*"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sdk.AddMembership(ctx, "Zoë 100%", "admin", authz.Window{}); err != nil {
		t.Fatal(err)
	}
	s.wantPassed(s.visit("/admin/", cookie), url.PathEscape("Zoë 100%"), session.ID)
}

func TestNginxStopsTheUsersOfOtherTenants(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	ctx := t.Context()
	cookie, session := s.signInBy(s.stranger, "alice@example.com")
	if _, err := s.stranger.AddRole(ctx, "admin", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.stranger.AddPermission(ctx, "admin", "admin:*"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.stranger.AddMembership(ctx, "alice@example.com", "admin", authz.Window{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/notes", "/admin/", "/events/"} {
		s.wantStopped(s.visit(path, cookie), http.StatusUnauthorized)
	}
	if got, err := s.stranger.Session(ctx, session.ID); err != nil || got.Generation != 1 {
		t.Errorf("the session: got %+v and error %v, want its first generation", got, err)
	}
}
