package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// requestIDHeader is X-Request-ID, as package http keeps it.
const requestIDHeader = "X-Request-Id"

// exchange is one request with its answer: what is known of it on the way in, and
// the status on the way out. Handlers find it in their context.
type exchange struct {
	http.ResponseWriter
	request   *http.Request
	context   limited
	requestID string
	// status is 0 until the header is written.
	status int
	// streamed tells that the answer was a stream, whose duration says nothing.
	streamed bool
	// gone is set when the caller went away before the answer.
	gone bool
	// shed is set when the request was refused, for there were too many.
	shed bool
	// place is what the request is at work in, and bodyBytes what its body has taken of
	// the budget.
	place     place
	bodyBytes int64
	// operation is set by the guard, and principal for operations that need one.
	operation operation
	principal engine.Principal
	// plain is the body where it is a plain question; else body is what it holds as
	// JSON, which fits the operation's schema.
	plain *question
	body  any
	// within tells that the request is carried out in a transaction that another exchange
	// has begun, as a mutation of a batch is: its principal stands, and its error is kept
	// in failed, for that one to answer with.
	within bool
	failed error
	// failure is why the server could not do what it should have done, for the log.
	failure error
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a handler's context.
func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// tenant is the caller's, in a handler behind the guard.
func tenant(ctx context.Context) *engine.Tenant { return exchangeOf(ctx).principal.Tenant }

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// exchange is the outermost layer: it gives the request its id, keeps a panic
// from ending the server, and logs.
func (s *Server) exchange(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{ResponseWriter: w, requestID: requestID(r)}
	w.Header().Set(requestIDHeader, x.requestID)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	x.context.Context, x.context.exchange = r.Context(), x
	defer x.context.limit(0)
	r = r.WithContext(&x.context)
	x.request = r
	defer func() {
		if v := recover(); v != nil {
			if v == http.ErrAbortHandler {
				panic(v)
			}
			s.log.Error("panic", x.ids(), "value", v, "stack", string(debug.Stack()))
			if x.status != 0 {
				panic(http.ErrAbortHandler) // half an answer must not look whole
			}
			s.fail(x, r, fault.New(fault.CodeInternal, "panic"))
		}
		took := time.Since(start)
		s.meters.count(x, took)
		s.logRequest(x, took)
	}()
	s.handler.ServeHTTP(x, r)
}

// probes are asked whether the server is well.
var probes = map[string]bool{"GetHealth": true, "GetLiveness": true, "GetReadiness": true}

// logRequest tells of refusals and of the server's own failures; of all else only
// in debug mode. It tells of the operation and not of the path, which holds names: the
// log must not show what the database seals.
func (s *Server) logRequest(x *exchange, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case x.gone, x.shed:
	case x.status == http.StatusServiceUnavailable && probes[x.operation.id]:
		level = slog.LevelWarn // a probe was told what there is to be told
	case x.status >= 500, x.failure != nil:
		level = slog.LevelError
	case x.status == http.StatusUnauthorized, x.status == http.StatusForbidden, x.status == http.StatusTooManyRequests:
		level = slog.LevelWarn
	}
	ctx := x.request.Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", x.request.Method), slog.String("operation", x.operation.id),
		slog.Int("status", x.status), slog.Float64("took_ms", float64(took.Microseconds())/1000),
		x.ids(), slog.String("ip", s.clientIP(x.request)),
		slog.String("key", x.principal.Fingerprint),
	}
	if x.failure != nil {
		attrs = append(attrs, slog.Any("error", x.failure), slog.Any("cause", errors.Unwrap(x.failure)))
	}
	s.log.LogAttrs(ctx, level, "request", attrs...)
}

// requestID echoes the caller's id where it is fit for logs and headers: 1 to 128
// printable ASCII characters. Else it makes one.
func requestID(r *http.Request) string {
	id := r.Header.Get(requestIDHeader)
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return uuid.NewString()
	}
	return id
}

// clientIP is clientAddr as text.
func (s *Server) clientIP(r *http.Request) string { return addressText(s.clientAddr(r)) }

// addressText is empty where there is no address.
func addressText(address netip.Addr) string {
	if !address.IsValid() {
		return ""
	}
	return address.String()
}

// clientAddr is the address that the request came from: the peer's, or behind
// trusted proxies the last X-Forwarded-For entry that is none of theirs.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	ip := peer.Addr().Unmap()
	if !s.trusts(ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if ip = next.Unmap(); !s.trusts(ip) {
			break
		}
	}
	return ip
}

func (s *Server) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}
