// Package server puts the engine on HTTP, as openapi.yaml describes it. It
// translates, authenticates, limits and observes; it decides nothing itself.
//
// A request passes, from the outside in: exchange.go (request id, log, panics),
// CORS, the router (router.go), then for an operation of the API the guard
// (guard.go: who, may they, is the body well-formed), the generated wrapper, and
// a handler of a few lines. Every error leaves through fail in errors.go.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/cors"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10

	// maxConnectionStreams bounds the requests that one HTTP/2 connection has under way at once,
	// connectionBuffer what it has sent of bodies that are not read yet, and streamBuffer
	// that of one request, in bytes.
	maxConnectionStreams = 128
	connectionBuffer     = 256 << 10
	streamBuffer         = 64 << 10

	// requestTimeout bounds what one request may take of the database.
	requestTimeout = 20 * time.Second
	// drainTimeout bounds how long a server that is told to stop waits for the
	// requests that it has accepted.
	drainTimeout = 20 * time.Second
)

// Config says what a Server serves and to whom.
type Config struct {
	// Engine answers. Required; the server does not close it.
	Engine *engine.Engine

	// Logger takes requests and failures; nil means slog.Default().
	Logger *slog.Logger

	// CORSOrigins may call from a browser: "https://app.example.com", or "*" for
	// any. Empty turns CORS off.
	CORSOrigins []string

	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix

	// RateLimit bounds the requests of each client key per second; 0 means no limit.
	RateLimit int

	// MaxDecisions bounds the decisions that are at work at once; 0 means 1024. Lists and
	// writes have bounds that follow the database's connections.
	MaxDecisions int

	// MaxConnections bounds the open connections of Serve's listener, and of each that
	// Bound is given: one more is closed at once. 0 means 10,000.
	MaxConnections int

	// AuthFailureLimit bounds the failed authentications of each client address, or /64
	// of IPv6, per minute; 0 means no limit.
	AuthFailureLimit int

	// Now is the clock that the limits go by; nil means time.Now.
	Now func() time.Time

	// ForwardTenant is the id of the one tenant whose session tokens GET /auth/forward
	// takes. Empty means any tenant's, unless a request names one.
	ForwardTenant string

	// TLS is how Serve speaks TLS; nil means plain HTTP. It needs a certificate; see
	// Certificate.
	TLS *tls.Config
	// Version names the program's build in the metrics.
	Version string

	// TracerProvider makes spans of requests; nil means none.
	TracerProvider trace.TracerProvider

	// MetricsElsewhere takes /metrics away from the API, for ServeMetrics.
	MetricsElsewhere bool

	// ShutdownDelay is how long a server that is told to end goes on as before, but not
	// ready, so that whoever passes requests on to it turns elsewhere; and after that,
	// how long it leaves open the connections that it has. 0 means neither.
	ShutdownDelay time.Duration

	// PublicURL is where clients reach the server: "https://auth.example.com", with
	// a path where a proxy adds one. Empty leaves AuthZEN's discovery unserved.
	PublicURL string

	// AuthZENSubjectTypes are the types of AuthZEN subject that name users; a subject
	// of any other may do nothing. Empty means "user".
	AuthZENSubjectTypes []string
}

// Server is an http.Handler for the whole API.
type Server struct {
	engine  *engine.Engine
	log     *slog.Logger
	proxies []netip.Prefix
	// forwarded is Config.ForwardTenant.
	forwarded string
	mux       *http.ServeMux
	handler   http.Handler
	// spans is exchange in a span; nil where there are none.
	spans http.Handler
	tls   *tls.Config

	// operations are those of openapi.yaml, by pattern.
	operations map[string]operation

	authzen authzen

	calls    *calls
	failures *failures

	admission *admission
	streams   openStreams

	connections connections

	// replays are the answers that were given again.
	replays atomic.Uint64

	meters  *meters
	metrics http.Handler
	// metricsElsewhere is Config.MetricsElsewhere.
	metricsElsewhere bool

	// stopping is closed by stop, once the server has been told to end, and leaving by
	// leave, Config.ShutdownDelay later, once it takes no more connections.
	stopping, leaving chan struct{}
	stop, leave       func()
	shutdownDelay     time.Duration
}

// New makes a Server. It fails where cfg is not one, and where the embedded API
// description does not fit this package, which a test would have shown.
func New(cfg Config) (*Server, error) { return newServer(cfg, true) }

// newServer makes a Server, for tests also one that takes no shortcuts, which the
// shortcuts are held to.
func newServer(cfg Config, short bool) (*Server, error) {
	if cfg.Engine == nil {
		return nil, errors.New("server: Config.Engine is required")
	}
	s := &Server{
		engine: cfg.Engine, log: cfg.Logger, proxies: cfg.TrustedProxies, forwarded: cfg.ForwardTenant, mux: http.NewServeMux(),
		tls: cfg.TLS, stopping: make(chan struct{}), leaving: make(chan struct{}), shutdownDelay: cfg.ShutdownDelay,
		metricsElsewhere: cfg.MetricsElsewhere, meters: newMeters(),
	}
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	s.leave = sync.OnceFunc(func() { close(s.leaving) })
	if s.log == nil {
		s.log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	var err error
	if s.calls, err = newCalls(cfg.RateLimit, cfg.Now); err != nil {
		return nil, err
	}
	if s.failures, err = newFailures(cfg.AuthFailureLimit, cfg.Now); err != nil {
		return nil, err
	}
	if s.operations, err = readOperations(); err != nil {
		return nil, fmt.Errorf("read the embedded API description: %w", err)
	}
	for pattern, op := range s.operations {
		op.meter = s.meters.of(op.id, op.timedAs())
		s.operations[pattern] = op
	}
	if s.authzen, err = newAuthZEN(cfg, s.operations); err != nil {
		return nil, err
	}
	s.admission = newAdmission(cfg.MaxDecisions, cfg.Engine.Capacity, s.log)
	s.connections.most = int64(cmp.Or(cfg.MaxConnections, defaultConnections))
	if s.metrics, err = s.newMetrics(cfg.Version); err != nil {
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	operations := api.NewStrictHandlerWithOptions(handlers{s}, nil, api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  func(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, bodyFault(err)) },
		ResponseErrorHandlerFunc: s.fail,
	})
	if short {
		operations = shortcuts{operations, s}
		for pattern, members := range plainQuestions {
			op := s.operations[pattern]
			op.plain = members
			s.operations[pattern] = op
		}
	}
	api.HandlerWithOptions(operations, api.StdHTTPServerOptions{
		BaseRouter:       router{s, s.operations},
		ErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, parameterFault(err)) },
	})
	if err := s.routeDocs(); err != nil {
		return nil, err
	}
	s.mux.HandleFunc("/", s.unmatched)

	s.handler = http.HandlerFunc(s.route)
	if len(cfg.CORSOrigins) > 0 {
		s.handler = cors.New(cors.Options{
			AllowedOrigins: cfg.CORSOrigins,
			AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete},
			// No cookie is looked at, so a header that a page sends says nothing of the
			// person before it.
			AllowedHeaders: []string{"*"},
			ExposedHeaders: []string{requestIDHeader, "Gatehouse-Revision", staleHeader, outcomeHeader, replayedHeader, "Link", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"},
			MaxAge:         600,
		}).Handler(s.handler)
	}
	if cfg.TracerProvider != nil {
		s.spans = s.traced(cfg.TracerProvider)
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.spans != nil {
		s.spans.ServeHTTP(w, r)
		return
	}
	s.exchange(w, r)
}

// Serve answers connections of l, over TLS where Config.TLS is set, until ctx is done
// and Config.ShutdownDelay is over, then lets the requests that it has accepted end. It
// returns nil where they do within 20 s; else it cuts them off and says so. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	return s.serve(ctx, s.connections.bound(l), http.HandlerFunc(s.untilLeft), s.tls, s.linger)
}

// untilLeft is ServeHTTP. Once the server leaves, it asks callers to send their next
// request over another connection.
func (s *Server) untilLeft(w http.ResponseWriter, r *http.Request) {
	select {
	case <-s.leaving:
		w.Header().Set("Connection", "close")
	default:
	}
	s.ServeHTTP(w, r)
}

// linger takes a server that still answers out of use, in two steps of shutdownDelay.
// In the first, callers that ask for readiness turn elsewhere. The second is for those
// that do not, such as nginx: a connection that is refused they try elsewhere, but one
// that is closed while they send a write on it leaves them not knowing what became of
// it. So connections end with an answer, or as callers close those that they do not use.
func (s *Server) linger(l net.Listener, served <-chan error) {
	s.stop()
	time.Sleep(s.shutdownDelay)
	_ = l.Close() // fails where serving has failed, which has closed it
	<-served
	s.leave()
	time.Sleep(s.shutdownDelay)
}

// serve is Serve for any handler. Once ctx is done it calls linger, which may close l
// and receive from served what serving it has come to.
func (s *Server) serve(ctx context.Context, l net.Listener, handler http.Handler, over *tls.Config, linger func(l net.Listener, served <-chan error)) error {
	h := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxConnectionStreams,
			MaxReceiveBufferPerConnection: connectionBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			WriteByteTimeout:              partPatience,
		},
		TLSConfig: over,
		ErrorLog:  slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() {
		if over != nil {
			served <- h.ServeTLS(l, "", "") // the certificate is that of TLSConfig
			return
		}
		served <- h.Serve(l)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	linger(l, served)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := h.Shutdown(ending); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), h.Close())
	}
	return nil
}
