package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// meters is what the server counts itself. No label holds a tenant, a user, a key or a
// path.
type meters struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	// unmatched counts requests of no operation.
	unmatched *meter

	authFailures prometheus.Counter
	// limited counts by the name of the quota.
	limited *prometheus.CounterVec
}

// meter counts the requests of one operation. What nearly all of them count on is looked
// up once.
type meter struct {
	all  *meters
	id   string
	ok   prometheus.Counter
	took prometheus.Observer
}

// The classes of requests whose durations are told apart.
const (
	timedDecision = "decision"
	timedRead     = "read"
	timedWrite    = "write"
	timedSession  = "session"
	timedOpen     = "open"
)

// timedAs says whose durations an operation's are among.
func (o *operation) timedAs() string {
	switch {
	case o.sessions:
		return timedSession
	case o.ability == "":
		return timedOpen
	case o.ability == engine.AbilityCheck:
		return timedDecision
	case o.reads:
		return timedRead
	default:
		return timedWrite
	}
}

// codeGone stands for the status of a request whose caller went away, as nginx has it.
const codeGone = 499

func newMeters() *meters {
	m := &meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_requests_total", Help: "Requests that were answered, by operation and status.",
		}, []string{"operation", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gatehouse_request_duration_seconds", Help: "What requests took, by kind of work.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"class"}),
		authFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gatehouse_authentication_failures_total", Help: "Requests without a good client key or access token.",
		}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatehouse_rate_limited_total", Help: "Requests that were refused for their number, by limit.",
		}, []string{"limit"}),
	}
	for _, limit := range []string{keyQuota, failureQuota} {
		m.limited.WithLabelValues(limit)
	}
	m.unmatched = m.of("none", timedOpen)
	return m
}

// of makes the meter of an operation.
func (m *meters) of(id, class string) *meter {
	return &meter{
		all: m, id: id,
		ok:   m.requests.WithLabelValues(id, strconv.Itoa(http.StatusOK)),
		took: m.durations.WithLabelValues(class),
	}
}

// count counts a request that has been answered.
func (m *meters) count(x *exchange, took time.Duration) {
	of := x.operation.meter
	if of == nil {
		of = m.unmatched
	}
	if x.status == http.StatusOK && !x.gone {
		of.ok.Inc()
	} else {
		code := x.status
		if x.gone {
			code = codeGone
		}
		m.requests.WithLabelValues(of.id, strconv.Itoa(code)).Inc()
	}
	if !x.streamed {
		of.took.Observe(took.Seconds())
	}
}

// refused counts what keeps a caller from being let in.
func (m *meters) refused(err error) {
	if over, ok := errors.AsType[*exceeded](err); ok {
		m.limited.WithLabelValues(over.name).Inc()
	} else if errors.Is(err, fault.CodeUnauthenticated) {
		m.authFailures.Inc()
	}
}

// newMetrics makes the page for Prometheus.
func (s *Server) newMetrics(version string) (http.Handler, error) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatehouse_build_info", Help: "Always 1; the labels tell of the program.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	registry := prometheus.NewRegistry()
	var err error
	for _, c := range slices.Concat(s.admission.collectors(), s.connections.collectors(), []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
		s.meters.requests, s.meters.durations, s.meters.authFailures, s.meters.limited,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_change_streams", Help: "Change streams that are open.",
		}, func() float64 { return float64(s.streams.count()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_idempotent_replays_total", Help: "Changes that were asked for again, and answered as the first time.",
		}, func() float64 { return float64(s.replays.Load()) }),
		databaseMetrics(s.engine.Stats),
		newEngineMetrics(s.engine),
	}) {
		err = errors.Join(err, registry.Register(c))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(s.log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
	}), err
}

// GetMetrics answers with the page, unless it is elsewhere.
func (h handlers) GetMetrics(ctx context.Context, _ api.GetMetricsRequestObject) (api.GetMetricsResponseObject, error) {
	if h.server.metricsElsewhere {
		return nil, errNoPath
	}
	return metricsPage{h.server.metrics, exchangeOf(ctx).request}, nil
}

// metricsPage is an answer in a form that Prometheus has chosen.
type metricsPage struct {
	page    http.Handler
	request *http.Request
}

// VisitGetMetricsResponse implements api.GetMetricsResponseObject.
func (m metricsPage) VisitGetMetricsResponse(w http.ResponseWriter) error {
	m.page.ServeHTTP(w, m.request)
	return nil
}

// ServeMetrics answers GET /metrics on connections of l until ctx is done, and to
// callers on this machine what package net/http/pprof does at /debug/pprof/. See
// Config.MetricsElsewhere. It closes l.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics)
	profiles := http.NewServeMux()
	profiles.HandleFunc("GET /debug/pprof/", pprof.Index)
	profiles.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	profiles.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /debug/pprof/", fromHere(profiles))
	return s.serve(ctx, l, mux, nil, func(net.Listener, <-chan error) {})
}

// fromHere answers callers on this machine alone: a profile costs the server time, and
// tells what it does. To others there is nothing.
func fromHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() {
			http.NotFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
