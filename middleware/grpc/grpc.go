// Package gatehousegrpc lets a gRPC server answer only those who may ask. A caller
// shows a session's token in the metadata, as "authorization: Bearer TOKEN"; handlers
// find the user with middleware.CurrentUser.
//
// The token is only verified: a gRPC caller cannot take the next one, so that
// whoever holds it has to keep the session going elsewhere. Start at [New].
package gatehousegrpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/middleware"
)

const (
	// maxToken is the longest token that is looked at, in bytes.
	maxToken = 2048
	// verifyTimeout bounds what a call waits to know whose it is.
	verifyTimeout = 5 * time.Second
)

// Verifier knows sessions. The engine's Tenant is one, and so is the SDK's Client.
type Verifier interface {
	VerifySession(ctx context.Context, presented authz.PresentedSession) (authz.SessionStatus, error)
}

// Config says whom a Gate asks, and what each method needs.
type Config struct {
	// Sessions verifies tokens. Required.
	Sessions Verifier

	// Checker decides what users may do; most often the same value. Required.
	Checker authz.Checker

	// Rules says what each method needs, by its full name, such as
	// "/notes.v1.Notes/Edit". A method that has none is refused.
	Rules map[string]Rule

	// Device tells the address and the User-Agent of the device that a call comes from,
	// which the session may be bound to; nil means the peer's address and the user-agent
	// of its metadata. Behind a proxy or another service those are not the device's.
	Device func(ctx context.Context) (ip, userAgent string)

	// Logger takes what could not be decided, and why; nil means slog.Default().
	Logger *slog.Logger
}

// Rule is what a method needs: exactly one of Needs, SignedIn and Open.
type Rule struct {
	// Needs are permissions: on what Resource tells, or at the tenant's root where
	// that is nil.
	Needs middleware.Needs
	// Resource tells which resource or scope a call is about; nil means the tenant's
	// root. request is the call's message, or nil where the method takes a stream. An
	// error that is middleware.ErrNotFound is answered with NotFound, one that has a
	// status with that, and any other with Unavailable.
	Resource func(ctx context.Context, request any) (*authz.RequestedResource, error)

	// SignedIn is for whoever is signed in.
	SignedIn bool

	// Open is for everybody. No token is looked at.
	Open bool
}

// Gate makes the interceptors of one server.
type Gate struct {
	sessions Verifier
	checker  authz.Checker
	rules    map[string]Rule
	device   func(ctx context.Context) (ip, userAgent string)
	log      *slog.Logger
}

// New makes a Gate.
func New(cfg Config) (*Gate, error) {
	switch {
	case cfg.Sessions == nil:
		return nil, errors.New("gatehousegrpc: Config.Sessions is required")
	case cfg.Checker == nil:
		return nil, errors.New("gatehousegrpc: Config.Checker is required")
	}
	for method, rule := range cfg.Rules {
		if err := rule.validate(); err != nil {
			return nil, fmt.Errorf("gatehousegrpc: the rule of %q: %w", method, err)
		}
	}
	g := &Gate{
		sessions: cfg.Sessions, checker: cfg.Checker, rules: maps.Clone(cfg.Rules), device: cfg.Device, log: cfg.Logger,
	}
	if g.device == nil {
		g.device = device
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	return g, nil
}

func (r Rule) validate() error {
	said := 0
	for _, is := range []bool{!r.Needs.IsZero(), r.SignedIn, r.Open} {
		if is {
			said++
		}
	}
	switch {
	case said != 1:
		return errors.New("exactly one of needs, signed in and open must be set")
	case r.Resource != nil && r.Needs.IsZero():
		return errors.New("a resource goes with needs")
	default:
		return nil
	}
}

// Unary refuses calls by their method's Rule.
func (g *Gate) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ctx, err := g.admit(ctx, info.FullMethod, request)
		if err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

// Stream refuses streams by their method's Rule, before anything is read of them.
func (g *Gate) Stream() grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		ctx, err := g.admit(stream.Context(), info.FullMethod, nil)
		if err != nil {
			return err
		}
		return next(server, &admitted{ServerStream: stream, ctx: ctx})
	}
}

// admitted is a stream with the user in its context.
type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *admitted) Context() context.Context { return s.ctx }

// admit returns the context of a call that may pass, or the status that refuses it.
func (g *Gate) admit(ctx context.Context, method string, request any) (context.Context, error) {
	rule, ok := g.rules[method]
	switch {
	case !ok:
		return nil, status.Errorf(codes.PermissionDenied, "no rule lets %s be called", method)
	case rule.Open:
		return ctx, nil
	}
	ctx, err := g.identify(ctx)
	if err == nil && !rule.SignedIn {
		var on func() (*authz.RequestedResource, error)
		if rule.Resource != nil {
			on = func() (*authz.RequestedResource, error) { return rule.Resource(ctx, request) }
		}
		err = rule.Needs.Met(ctx, g.checker, on)
	}
	if err != nil {
		return nil, g.refusal(ctx, method, err)
	}
	return ctx, nil
}

// identify finds out who calls.
func (g *Gate) identify(ctx context.Context) (context.Context, error) {
	token, ok := bearer(ctx)
	if !ok {
		return ctx, middleware.ErrUnauthenticated
	}
	ip, userAgent := g.device(ctx)
	bounded, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	known, err := g.sessions.VerifySession(bounded, authz.PresentedSession{Token: token, IP: ip, UserAgent: userAgent})
	switch {
	case err != nil:
		return ctx, fmt.Errorf("%w: verify the session: %w", middleware.ErrUnavailable, err)
	case !known.Active:
		return ctx, middleware.ErrUnauthenticated
	default:
		return middleware.WithSession(ctx, known.Session), nil
	}
}

// refusal is the status that a call is refused with.
func (g *Gate) refusal(ctx context.Context, method string, err error) error {
	var chosen interface{ GRPCStatus() *status.Status }
	switch {
	case errors.Is(err, middleware.ErrUnauthenticated):
		return status.Error(codes.Unauthenticated, middleware.ErrUnauthenticated.Error())
	case errors.Is(err, middleware.ErrForbidden):
		return status.Error(codes.PermissionDenied, middleware.ErrForbidden.Error())
	case errors.Is(err, middleware.ErrNotFound):
		return status.Error(codes.NotFound, middleware.ErrNotFound.Error())
	case errors.As(err, &chosen) && chosen.GRPCStatus().Code() != codes.OK:
		return chosen.GRPCStatus().Err()
	}
	// A caller that has gone away is no failure.
	if ctx.Err() == nil {
		g.log.ErrorContext(ctx, "a call could not be authorized", "method", method, "error", err)
	}
	return status.Error(codes.Unavailable, middleware.ErrUnavailable.Error())
}

// bearer reads the token of a call; false where there is none that could be one.
func bearer(ctx context.Context) (string, bool) {
	lines := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(lines) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxToken
}

// device is the peer that a call comes from.
func device(ctx context.Context) (ip, userAgent string) {
	if p, ok := peer.FromContext(ctx); ok {
		host, _, err := net.SplitHostPort(p.Addr.String())
		if err != nil {
			host = p.Addr.String()
		}
		ip = host
	}
	if agents := metadata.ValueFromIncomingContext(ctx, "user-agent"); len(agents) > 0 {
		userAgent = agents[0]
	}
	return ip, userAgent
}
