package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// untraced are asked again and again by machines.
var untraced = map[string]bool{
	"GET /ping": true, "GET /health": true, "GET /livez": true, "GET /readyz": true, "GET /metrics": true,
}

// traceContext names the headers of W3C Trace Context.
var traceContext = propagation.TraceContext{}

type tracedKey struct{}

// traced handles requests, each in a span. A path, a query, a header and a body hold
// names, keys and tokens, so the instrumentation sees none of them: it is shown a request
// for the pattern of the operation, with the caller's trace and nothing else.
func (s *Server) traced(provider trace.TracerProvider) http.Handler {
	spans := otelhttp.NewHandler(http.HandlerFunc(func(w http.ResponseWriter, shown *http.Request) {
		r := shown.Context().Value(tracedKey{}).(*http.Request)
		s.exchange(w, r.WithContext(shown.Context()))
	}), "",
		otelhttp.WithTracerProvider(provider), otelhttp.WithMeterProvider(noop.NewMeterProvider()), otelhttp.WithPropagators(traceContext),
		otelhttp.WithServerName("gatehouse"),
		otelhttp.WithSpanNameFormatter(func(_ string, shown *http.Request) string { return shown.Pattern }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := s.mux.Handler(r)
		if untraced[pattern] {
			s.exchange(w, r)
			return
		}
		if _, known := s.operations[pattern]; !known {
			pattern = "none /"
		}
		method, path, _ := strings.Cut(pattern, " ")
		shown := &http.Request{Method: method, URL: &url.URL{Path: path}, Pattern: pattern, Header: http.Header{}, Body: http.NoBody}
		for _, name := range traceContext.Fields() {
			if values := r.Header.Values(name); len(values) > 0 {
				shown.Header.Set(name, values[0])
			}
		}
		spans.ServeHTTP(w, shown.WithContext(context.WithValue(r.Context(), tracedKey{}, r)))
	})
}

// ids tell of a request in the log: its own id, and that of its trace where there is one.
func (x *exchange) ids() slog.Attr {
	request := slog.String("request_id", x.requestID)
	if span := trace.SpanContextFromContext(x.request.Context()); span.HasTraceID() {
		return slog.GroupAttrs("", request, slog.String("trace_id", span.TraceID().String()))
	}
	return request
}
