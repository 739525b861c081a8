package extauthz_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/tlstest"
	"github.com/gatehouse/gatehouse/server"
	"github.com/gatehouse/gatehouse/server/extauthz"
)

const (
	device  = "203.0.113.7"
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	chrome  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// envoy asks a handler as Envoy does, through Serve.
type envoy struct {
	t       *testing.T
	address string
	client  authv3.AuthorizationClient
	// stop tells Serve to end, and ended has its error.
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, handler http.Handler) *envoy {
	t.Helper()
	return startTLS(t, handler, nil, insecure.NewCredentials())
}

func startTLS(t *testing.T, handler http.Handler, tlsConfig *tls.Config, client credentials.TransportCredentials) *envoy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	e := &envoy{t: t, address: listener.Addr().String(), stop: stop, ended: make(chan error, 1)}
	go func() { e.ended <- extauthz.Serve(ctx, listener, handler, tlsConfig) }()
	e.client = connect(t, e.address, client)
	return e
}

func connect(t *testing.T, address string, transport credentials.TransportCredentials) authv3.AuthorizationClient {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return authv3.NewAuthorizationClient(connection)
}

// startGatehouse asks a real server, on an engine whose sessions hold to their
// address and keep no superseded token.
func startGatehouse(t *testing.T) (*envoy, *engine.Tenant) {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{
		Database:       filepath.Join(t.TempDir(), "gatehouse.sqlite3"),
		AuditDecisions: engine.DecisionsAll,
		Sessions:       engine.SessionConfig{Binding: authz.BindingStrict, Overlap: -1, LostWindow: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	handler, err := server.New(server.Config{Engine: e, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	return start(t, handler), e.Tenant("demo")
}

// check is one request that Envoy asks about.
type check struct {
	headers, extensions map[string]string
	// raw are headers by name and value, as with encode_raw_headers.
	raw    []string
	source string
}

func (e *envoy) check(c check) *authv3.CheckResponse {
	e.t.Helper()
	headers := map[string]string{"user-agent": firefox}
	for name, value := range c.headers {
		headers[name] = value
	}
	request := &authv3.AttributeContext_HttpRequest{Method: "POST", Path: "/notes?permission=none", Headers: headers}
	if c.raw != nil {
		request.Headers, request.HeaderMap = nil, &corev3.HeaderMap{}
		for i := 0; i < len(c.raw); i += 2 {
			request.HeaderMap.Headers = append(request.HeaderMap.Headers, &corev3.HeaderValue{Key: c.raw[i], RawValue: []byte(c.raw[i+1])})
		}
	}
	if c.source == "" {
		c.source = device
	}
	answer, err := e.client.Check(e.t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: c.source, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 51000},
		}}}},
		Request:           &authv3.AttributeContext_Request{Http: request},
		ContextExtensions: c.extensions,
	}})
	if err != nil {
		e.t.Fatalf("check %+v: %v", c, err)
	}
	return answer
}

func session(token string) map[string]string {
	return map[string]string{"cookie": "theme=dark; __Host-session=" + token}
}

// value returns the only value that headers set for a name, and how.
func value(headers []*corev3.HeaderValueOption, name string) (value string, how corev3.HeaderValueOption_HeaderAppendAction) {
	for _, h := range headers {
		if strings.EqualFold(h.GetHeader().GetKey(), name) {
			value, how = value+h.GetHeader().GetValue(), h.GetAppendAction()
		}
	}
	return value, how
}

func signIn(t *testing.T, tenant *engine.Tenant, user string) authz.IssuedSession {
	t.Helper()
	issued, err := tenant.CreateSession(t.Context(), authz.NewSession{User: user, IP: device, UserAgent: firefox})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// wantAllowed checks that a request was let through for a user, and returns the
// token that the browser is given.
func wantAllowed(t *testing.T, answer *authv3.CheckResponse, user, session string) (token string) {
	t.Helper()
	allowed := answer.GetOkResponse()
	if answer.GetStatus().GetCode() != int32(codes.OK) || allowed == nil {
		t.Fatalf("got %v, want it let through", answer)
	}
	for name, want := range map[string]string{"X-Auth-Tenant": "demo", "X-Auth-User": user, "X-Auth-Session": session} {
		got, how := value(allowed.GetHeaders(), name)
		if got != want || how != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			t.Errorf("%s: got %q by %v, want %q instead of the client's", name, got, how, want)
		}
	}
	cookie, how := value(allowed.GetResponseHeadersToAdd(), "Set-Cookie")
	if cookie == "" {
		return ""
	}
	if caching, _ := value(allowed.GetResponseHeadersToAdd(), "Cache-Control"); caching != "no-store" || how != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
		t.Errorf("got a cookie by %v and Cache-Control %q, want it added and not stored", how, caching)
	}
	parsed, err := http.ParseSetCookie(cookie)
	if err != nil || parsed.Name != "__Host-session" || parsed.Path != "/" || !parsed.Secure || !parsed.HttpOnly || parsed.SameSite != http.SameSiteLaxMode {
		t.Errorf("got the cookie %q: %v", cookie, err)
	}
	return parsed.Value
}

func wantDenied(t *testing.T, answer *authv3.CheckResponse, status int, code codes.Code, word string) *authv3.DeniedHttpResponse {
	t.Helper()
	denied := answer.GetDeniedResponse()
	if answer.GetStatus().GetCode() != int32(code) || int(denied.GetStatus().GetCode()) != status || !strings.Contains(denied.GetBody(), word) {
		t.Errorf("got %v, want %d, %v and %q", answer, status, code, word)
	}
	return denied
}

func TestCheckRotatesTheCookie(t *testing.T) {
	t.Parallel()
	e, tenant := startGatehouse(t)
	issued := signIn(t, tenant, "alice")
	headers := session(issued.Token)
	headers["x-auth-tenant"], headers["x-auth-user"], headers["x-forwarded-for"] = "x", "admin", "198.51.100.1"
	next := wantAllowed(t, e.check(check{headers: headers}), "alice", issued.Session.ID)
	if next == "" || next == issued.Token {
		t.Fatalf("got %q, want another token", next)
	}
	raw := []string{"cookie", "__Host-session=" + next, "user-agent", firefox}
	next = wantAllowed(t, e.check(check{raw: raw}), "alice", issued.Session.ID)
	denied := wantDenied(t, e.check(check{headers: session(issued.Token)}), 401, codes.Unauthenticated, `"token_reused"`)
	if cookie, _ := value(denied.GetHeaders(), "Set-Cookie"); !strings.Contains(cookie, "Max-Age=0") {
		t.Errorf("got the cookie %q, want it deleted", cookie)
	}
	denied = wantDenied(t, e.check(check{headers: session(next)}), 401, codes.Unauthenticated, `"session_ended"`)
	if challenge, _ := value(denied.GetHeaders(), "WWW-Authenticate"); challenge != "Bearer" {
		t.Errorf("WWW-Authenticate: got %q, want Bearer", challenge)
	}
}

func TestCheckOnlyVerifiesABearerToken(t *testing.T) {
	t.Parallel()
	e, tenant := startGatehouse(t)
	issued := signIn(t, tenant, "a b")
	for range 2 {
		if token := wantAllowed(t, e.check(check{headers: map[string]string{"authorization": "Bearer " + issued.Token}}), "a%20b", issued.Session.ID); token != "" {
			t.Errorf("got %q, want no cookie", token)
		}
	}
}

func TestCheckRefusals(t *testing.T) {
	t.Parallel()
	e, tenant := startGatehouse(t)
	for name, test := range map[string]struct {
		headers map[string]string
		source  string
		word    string
		deletes bool
	}{
		"nothing":             {nil, "", "no session token", false},
		"no token of ours":    {map[string]string{"cookie": "__Host-session=x"}, "", `"invalid_token"`, false},
		"two cookies":         {map[string]string{"cookie": "__Host-session=$,__Host-session=$"}, "", `"invalid_token"`, false},
		"two authorizations":  {map[string]string{"authorization": "Bearer $,Bearer $"}, "", `"invalid_token"`, false},
		"another browser":     {map[string]string{"cookie": "__Host-session=$", "user-agent": chrome}, "", `"binding_mismatch"`, true},
		"another address":     {map[string]string{"cookie": "__Host-session=$"}, "198.51.100.1", `"binding_mismatch"`, true},
		"a claimed address":   {map[string]string{"cookie": "__Host-session=$", "x-forwarded-for": device}, "198.51.100.1", `"binding_mismatch"`, true},
		"a claim of a proxy":  {map[string]string{"cookie": "__Host-session=$", "x-forwarded-for": "198.51.100.1"}, "10.0.0.1", `"binding_mismatch"`, true},
		"a claim and a proxy": {map[string]string{"cookie": "__Host-session=$", "x-forwarded-for": device + ", 198.51.100.1"}, "10.0.0.1", `"binding_mismatch"`, true},
	} {
		token := signIn(t, tenant, "alice").Token
		for header, value := range test.headers {
			test.headers[header] = strings.ReplaceAll(value, "$", token)
		}
		denied := wantDenied(t, e.check(check{headers: test.headers, source: test.source}), 401, codes.Unauthenticated, test.word)
		if cookie, _ := value(denied.GetHeaders(), "Set-Cookie"); (cookie != "") != test.deletes {
			t.Errorf("%s: got the cookie %q, deleted: want %v", name, cookie, test.deletes)
		}
	}
	// Behind a proxy that is trusted, the address is the one that it tells.
	issued := signIn(t, tenant, "alice")
	headers := session(issued.Token)
	headers["x-forwarded-for"] = "198.51.100.1, " + device
	wantAllowed(t, e.check(check{headers: headers, source: "10.0.0.1"}), "alice", issued.Session.ID)
}

func TestCheckAsksForThePermission(t *testing.T) {
	t.Parallel()
	e, tenant := startGatehouse(t)
	ctx := t.Context()
	if _, err := tenant.PutResource(ctx, authz.Resource{Node: authz.Node{Type: "note", ID: "a:b"}, Owner: "alice"}); err != nil {
		t.Fatal(err)
	}
	if _, err := tenant.PutGrant(ctx, authz.Owner, authz.Grant{Permission: "note:edit"}); err != nil {
		t.Fatal(err)
	}
	issued := signIn(t, tenant, "alice")
	token := issued.Token
	ask := func(extensions map[string]string) *authv3.CheckResponse {
		return e.check(check{headers: session(token), extensions: extensions})
	}
	token = wantAllowed(t, ask(map[string]string{"permission": "note:edit", "resource": "note:a:b"}), "alice", issued.Session.ID)
	// The browser gets the next token even where it may not do what it asked for.
	denied := wantDenied(t, ask(map[string]string{"permission": "note:edit", "resource": "note:c"}), 403, codes.PermissionDenied, "note:edit")
	cookie, _ := value(denied.GetHeaders(), "Set-Cookie")
	parsed, err := http.ParseSetCookie(cookie)
	if err != nil {
		t.Fatalf("got the cookie %q: %v", cookie, err)
	}
	token = parsed.Value
	for _, extensions := range []map[string]string{
		{"permision": "note:edit"}, {"tenant": ""}, {"permission": ""}, {"resource": "note:a:b"}, {"permission": "note:edit", "resource": "note"}, {"permission": "note:edit&resource=note:a:b"},
	} {
		wantDenied(t, ask(extensions), 500, codes.Internal, "")
	}
	token = wantAllowed(t, ask(nil), "alice", issued.Session.ID)
	// The token of another tenant is refused, and so is not used up.
	for range 2 {
		wantDenied(t, ask(map[string]string{"tenant": "other", "permission": "note:edit"}), 401, codes.Unauthenticated, `"invalid_token"`)
	}
	wantAllowed(t, ask(map[string]string{"tenant": "demo"}), "alice", issued.Session.ID)

	logged, err := tenant.LoggedDecisions(ctx, engine.DecisionFilter{}, authz.Page{})
	if err != nil || len(logged.Items) != 2 {
		t.Fatalf("got %+v, %v, want the two decisions", logged.Items, err)
	}
	for n, want := range []engine.LoggedDecision{{Allowed: false, Resource: authz.Node{Type: "note", ID: "c"}}, {Allowed: true, Resource: authz.Node{Type: "note", ID: "a:b"}}} {
		if got := logged.Items[n]; got.Allowed != want.Allowed || got.Resource != want.Resource || got.User != "alice" || got.IP != device {
			t.Errorf("decision %d: got %+v, want %+v of alice from %s", n, got, want, device)
		}
	}
}

// TestCheckDeniesWhatCannotBeChecked holds the server to answering in any case, for
// Envoy can be told to let through what it gets no answer about.
func TestCheckDeniesWhatCannotBeChecked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		status  int
		code    codes.Code
	}{
		"a panic":       {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 500, codes.Internal},
		"half a panic":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic("x") }, 500, codes.Internal},
		"no answer":     {func(http.ResponseWriter, *http.Request) {}, 500, codes.Internal},
		"a bad request": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) }, 500, codes.Internal},
		"unavailable":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 503, codes.Unavailable},
		"too many":      {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, 429, codes.ResourceExhausted},
		"another 2xx":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 500, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, test.handler)
			wantDenied(t, e.check(check{}), test.status, test.code, "")
			empty, err := e.client.Check(t.Context(), &authv3.CheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			wantDenied(t, empty, test.status, test.code, "")
		})
	}
	t.Run("no address", func(t *testing.T) {
		t.Parallel()
		e, tenant := startGatehouse(t)
		answer, err := e.client.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{Headers: session(signIn(t, tenant, "alice").Token)}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantDenied(t, answer, 500, codes.Internal, "ip: ")
	})
}

func TestServeBoundsMessagesAndChecks(t *testing.T) {
	t.Parallel()
	const most = 1024
	arrived, release := make(chan struct{}, most), make(chan struct{})
	e := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(403)
	}))
	_, err := e.client.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: map[string]string{"x": strings.Repeat("x", 256<<10)},
	}})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a large check: got %v, want it refused", err)
	}
	answers := make(chan *authv3.CheckResponse, most)
	for range most {
		go func() {
			answer, err := e.client.Check(context.WithoutCancel(t.Context()), &authv3.CheckRequest{})
			if err != nil {
				t.Errorf("check: %v", err)
			}
			answers <- answer
		}()
	}
	for range most {
		<-arrived
	}
	// One connection has as many streams as there may be checks, so it takes another.
	over, err := connect(t, e.address, insecure.NewCredentials()).Check(t.Context(), &authv3.CheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	denied := wantDenied(t, over, 503, codes.Unavailable, "")
	if after, _ := value(denied.GetHeaders(), "Retry-After"); after == "" {
		t.Error("a 503 has no Retry-After")
	}
	close(release)
	for range most {
		wantDenied(t, <-answers, 403, codes.PermissionDenied, "")
	}
}

func TestServeSpeaksTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	pool := tlstest.Write(t, certFile, keyFile)
	certificate, err := server.LoadCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	unauthenticated := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	e := startTLS(t, unauthenticated, certificate.TLS(), credentials.NewTLS(&tls.Config{RootCAs: pool}))
	wantDenied(t, e.check(check{}), 401, codes.Unauthenticated, "")
	for name, transport := range map[string]credentials.TransportCredentials{
		"without TLS": insecure.NewCredentials(), "by whom the certificate is not trusted": credentials.NewTLS(nil),
	} {
		if _, err := connect(t, e.address, transport).Check(t.Context(), &authv3.CheckRequest{}); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: got %v, want it unavailable", name, err)
		}
	}
}

func TestServeEndsWhenItsChecksHave(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	e := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		w.WriteHeader(403)
	}))
	answered := make(chan *authv3.CheckResponse, 1)
	go func() {
		answer, err := e.client.Check(context.WithoutCancel(t.Context()), &authv3.CheckRequest{})
		if err != nil {
			t.Errorf("the check under way: %v", err)
		}
		answered <- answer
	}()
	<-arrived
	e.stop()
	close(release)
	wantDenied(t, <-answered, 403, codes.PermissionDenied, "")
	if err := <-e.ended; err != nil {
		t.Errorf("got %v, want a clean end", err)
	}
	if _, err := e.client.Check(t.Context(), &authv3.CheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a check after the end: got %v, want it refused", err)
	}
}
