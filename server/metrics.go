package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatehouse/gatehouse/gen/api"
)

// newMetrics makes the page for Prometheus. No label holds a tenant, a user or a key.
func newMetrics(cfg Config, log *slog.Logger, others ...prometheus.Collector) (http.Handler, error) {
	stats := cfg.Engine.Stats
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gatehouse_build_info", Help: "Always 1; the labels tell of the program.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	registry := prometheus.NewRegistry()
	var err error
	for _, c := range append([]prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gatehouse_decisions_logged_total", Help: "Decisions that were written to the decision log.",
		}, func() float64 { return float64(stats().DecisionsLogged) }),
		dropped("buffer_full", func() uint64 { return stats().DecisionsOverflowed }),
		dropped("write_failed", func() uint64 { return stats().DecisionsUnwritten }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_decision_log_buffered", Help: "Decisions that wait to be written to the decision log.",
		}, func() float64 { return float64(stats().DecisionsBuffered) }),
	}, others...) {
		err = errors.Join(err, registry.Register(c))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
	}), err
}

func dropped(reason string, count func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gatehouse_decisions_dropped_total", Help: "Decisions that should have been written to the decision log, and were not.",
		ConstLabels: prometheus.Labels{"reason": reason},
	}, func() float64 { return float64(count()) })
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

// ServeMetrics answers GET /metrics, and nothing else, on connections of l until ctx is
// done. See Config.MetricsElsewhere. It closes l.
func (s *Server) ServeMetrics(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics)
	return s.serve(ctx, l, mux, nil, func() {})
}
