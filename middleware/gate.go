// Package middleware keeps the users of a web application signed in, and lets
// handlers run only for those who may: on net/http, and so on whatever router
// takes its middleware.
//
// It is the part between a browser and Gatehouse, not a sign-in page: who a user
// is, the application finds out itself, and then calls [Gate.SignIn]. The engine's
// Tenant and the SDK's Client both serve a [Gate].
//
// Start at [New]. [Gate.Handler] goes around the whole application, [Gate.Require]
// around what needs a permission; [CurrentUser] tells a handler who asks. The
// packages below this one do the same for Echo, Gin and gRPC.
package middleware

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// Sessioner keeps sessions. The engine's Tenant is one, and so is the SDK's Client.
type Sessioner interface {
	CreateSession(ctx context.Context, session authz.NewSession) (authz.IssuedSession, error)
	// RotateSession's error is an authz.SessionRefusal, for errors.As, where the token
	// is not taken; any other error means that it could not be judged.
	RotateSession(ctx context.Context, presented authz.PresentedSession) (authz.RotatedSession, error)
	VerifySession(ctx context.Context, presented authz.PresentedSession) (authz.SessionStatus, error)
	EndSession(ctx context.Context, id string) (bool, error)
}

// Config says whom a Gate asks, and what it answers by itself.
type Config struct {
	// Sessions keeps the sessions. Required.
	Sessions Sessioner

	// Checker decides what users may do; most often the same value. Required.
	Checker authz.Checker

	// ClientIP tells the address of the browser that a request comes from; nil means
	// the host of Request.RemoteAddr. Behind a proxy, or on a Unix socket, that is not
	// the browser's: read the proxy's header there, and believe no other.
	ClientIP func(*http.Request) string

	// Unauthorized answers where somebody must be signed in and nobody is, such as
	// with a redirect to the sign-in page; nil means a plain 401.
	Unauthorized http.HandlerFunc

	// Forbidden answers a user who may not do what they ask for, and a request that
	// another site has made a browser send; nil means a plain 403.
	Forbidden http.HandlerFunc

	// NotFound answers where what a permission is asked on does not exist; nil means
	// a plain 404.
	NotFound http.HandlerFunc

	// Unavailable answers where it cannot be decided now; nil means a plain 503. The
	// header Retry-After is set already.
	Unavailable http.HandlerFunc

	// CrossOrigin says which requests of other sites pass; nil means none but those
	// with a safe method. One that is given answers with its own deny handler.
	CrossOrigin *http.CrossOriginProtection

	// Headers replaces security headers, or leaves one out where its value is empty,
	// or adds others; see SecureHeaders for what they are without it.
	Headers map[string]string

	// Logger takes what could not be decided, and why; nil means slog.Default().
	Logger *slog.Logger
}

// Gate is the middleware of one application. It is safe for use by many goroutines.
type Gate struct {
	sessions     Sessioner
	checker      authz.Checker
	clientIP     func(*http.Request) string
	unauthorized http.HandlerFunc
	forbidden    http.HandlerFunc
	notFound     http.HandlerFunc
	unavailable  http.HandlerFunc
	crossOrigin  *http.CrossOriginProtection
	headers      [][2]string
	log          *slog.Logger
	now          func() time.Time
}

// New makes a Gate.
func New(cfg Config) (*Gate, error) {
	switch {
	case cfg.Sessions == nil:
		return nil, errors.New("middleware: Config.Sessions is required")
	case cfg.Checker == nil:
		return nil, errors.New("middleware: Config.Checker is required")
	}
	g := &Gate{
		sessions:     cfg.Sessions,
		checker:      cfg.Checker,
		clientIP:     cfg.ClientIP,
		unauthorized: answering(cfg.Unauthorized, http.StatusUnauthorized),
		forbidden:    answering(cfg.Forbidden, http.StatusForbidden),
		notFound:     answering(cfg.NotFound, http.StatusNotFound),
		unavailable:  answering(cfg.Unavailable, http.StatusServiceUnavailable),
		crossOrigin:  cfg.CrossOrigin,
		headers:      securityHeaders(cfg.Headers),
		log:          cmp.Or(cfg.Logger, slog.Default()),
		now:          time.Now,
	}
	if g.clientIP == nil {
		g.clientIP = remoteHost
	}
	if g.crossOrigin == nil {
		g.crossOrigin = http.NewCrossOriginProtection()
		g.crossOrigin.SetDenyHandler(g.forbidden)
	}
	return g, nil
}

// Handler is all of it: SecureHeaders around CrossOrigin around Sessions.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return g.SecureHeaders(g.CrossOrigin(g.Sessions(next)))
}

// CrossOrigin refuses requests that another site has made a browser send, unless
// their method is safe: GET, HEAD and OPTIONS, with which a handler must change
// nothing. See http.CrossOriginProtection.
func (g *Gate) CrossOrigin(next http.Handler) http.Handler { return g.crossOrigin.Handler(next) }

func answering(handler http.HandlerFunc, status int) http.HandlerFunc {
	if handler != nil {
		return handler
	}
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, http.StatusText(status), status) }
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
