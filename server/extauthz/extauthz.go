// Package extauthz speaks Envoy's external authorization (envoy.service.auth.v3, over
// gRPC): it puts each check to the handler that answers GET /auth/forward, and so
// decides nothing itself.
//
// What Envoy calls the source address is the caller's, as a connection's would be. A
// route's context extensions are the query: tenant, permission and resource, and
// whatever else is refused.
package extauthz

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxMessage is the largest check, in bytes. It holds all headers of a request, of
	// which Envoy takes 60 KiB unless told, but no body.
	maxMessage = 256 << 10
	// maxChecks bounds the checks that are under way at once.
	maxChecks = 1024
	// handshakeTimeout bounds how long a connection may take to become one.
	handshakeTimeout = 5 * time.Second
	// drainTimeout bounds how long a server that is told to stop waits for the checks
	// that it has accepted.
	drainTimeout = 20 * time.Second
)

// Serve answers the checks of l's connections by what forward answers to GET
// /auth/forward, until ctx is done, then lets those that it has accepted end, for 20 s
// at most. It closes l. A nil tlsConfig means plain gRPC.
func Serve(ctx context.Context, l net.Listener, forward http.Handler, tlsConfig *tls.Config) error {
	transport := insecure.NewCredentials()
	if tlsConfig != nil {
		transport = credentials.NewTLS(tlsConfig)
	}
	s := grpc.NewServer(
		grpc.Creds(transport),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(16<<10),
		grpc.MaxConcurrentStreams(maxChecks),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Minute}),
	)
	authv3.RegisterAuthorizationServer(s, &authorization{forward: forward, checks: make(chan struct{}, maxChecks)})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	late := time.AfterFunc(drainTimeout, s.Stop)
	defer late.Stop()
	s.GracefulStop()
	return <-served
}

// authorization implements envoy.service.auth.v3.Authorization.
type authorization struct {
	authv3.UnimplementedAuthorizationServer
	forward http.Handler
	// checks has an element for each check that is under way.
	checks chan struct{}
}

// Check answers whether Envoy is to let a request through. It never returns an error
// and never says that it failed, for Envoy may be told to let through what could not
// be checked: what cannot be decided is denied, with the status that says so.
func (a *authorization) Check(ctx context.Context, check *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	select {
	case a.checks <- struct{}{}:
		defer func() { <-a.checks }()
	default:
		return denied(&recorder{status: http.StatusServiceUnavailable, header: http.Header{"Retry-After": {"1"}}}), nil
	}
	answer := a.ask(request(ctx, check.GetAttributes()))
	if answer.status == http.StatusOK {
		return allowed(answer), nil
	}
	return denied(answer), nil
}

// ask puts a request to the handler. One that panics has not answered.
func (a *authorization) ask(r *http.Request) (answer *recorder) {
	answer = &recorder{header: http.Header{}}
	defer func() {
		if recover() != nil {
			answer = &recorder{status: http.StatusInternalServerError, header: http.Header{}}
		}
	}()
	a.forward.ServeHTTP(answer, r)
	return answer
}

// asked are the headers that the handler looks at.
var asked = map[string]bool{
	"Authorization": true, "Cookie": true, "User-Agent": true, "X-Forwarded-For": true, "X-Request-Id": true,
}

// request is the request to GET /auth/forward that a check stands for.
func request(ctx context.Context, attributes *authv3.AttributeContext) *http.Request {
	query := url.Values{}
	for name, value := range attributes.GetContextExtensions() {
		query.Set(name, value)
	}
	r := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/auth/forward", RawQuery: query.Encode()},
		Header: http.Header{}, Body: http.NoBody, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if source := attributes.GetSource().GetAddress().GetSocketAddress(); source != nil {
		r.RemoteAddr = net.JoinHostPort(source.GetAddress(), strconv.FormatUint(uint64(source.GetPortValue()), 10))
	}
	add := func(name, value string) {
		if name = http.CanonicalHeaderKey(name); asked[name] {
			r.Header.Add(name, value)
		}
	}
	shown := attributes.GetRequest().GetHttp()
	for name, value := range shown.GetHeaders() {
		add(name, value)
	}
	// With encode_raw_headers Envoy sends them here instead, those of one name apart.
	for _, header := range shown.GetHeaderMap().GetHeaders() {
		value := header.GetValue()
		if raw := header.GetRawValue(); len(raw) > 0 {
			value = string(raw)
		}
		add(header.GetKey(), value)
	}
	return r
}

// allowed lets a request through, with the user's headers instead of any that the
// client may have sent.
func allowed(answer *recorder) *authv3.CheckResponse {
	response := &authv3.OkHttpResponse{}
	for _, name := range []string{"X-Auth-Tenant", "X-Auth-User", "X-Auth-Session"} {
		response.Headers = append(response.Headers, overwrite(name, answer.header.Get(name)))
	}
	if cookie := answer.header.Get("Set-Cookie"); cookie != "" {
		response.ResponseHeadersToAdd = []*corev3.HeaderValueOption{
			{
				Header:       &corev3.HeaderValue{Key: "Set-Cookie", Value: cookie},
				AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
			},
			// An answer with a session's token is nobody else's.
			overwrite("Cache-Control", "no-store"),
		}
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(codes.OK)},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: response},
	}
}

// meanings are the gRPC codes of the statuses that say more than that something is
// wrong with the server or its configuration, and so are passed on.
var meanings = map[int]codes.Code{
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusTooManyRequests:    codes.ResourceExhausted,
	http.StatusServiceUnavailable: codes.Unavailable,
}

// denied stops a request, with the handler's answer as Envoy's.
func denied(answer *recorder) *authv3.CheckResponse {
	code, known := meanings[answer.status]
	if !known {
		answer.status, code = http.StatusInternalServerError, codes.Internal
	}
	response := &authv3.DeniedHttpResponse{
		Status: &typev3.HttpStatus{Code: typev3.StatusCode(answer.status)},
		Body:   answer.body.String(),
	}
	for _, name := range []string{
		"Cache-Control", "Content-Type", "RateLimit", "RateLimit-Policy", "Retry-After", "Set-Cookie", "Www-Authenticate", "X-Request-Id",
	} {
		if value := answer.header.Get(name); value != "" {
			response.Headers = append(response.Headers, overwrite(name, value))
		}
	}
	return &authv3.CheckResponse{
		Status:       &status.Status{Code: int32(code)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: response},
	}
}

func overwrite(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// recorder keeps an answer.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
