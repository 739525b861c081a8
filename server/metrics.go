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

	"github.com/gatehouse/gatehouse/engine"
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
		replicaReads("replica", func() uint64 { return stats().ReplicaReads.Answered }),
		replicaReads("behind", func() uint64 { return stats().ReplicaReads.Behind }),
		replicaReads("failed", func() uint64 { return stats().ReplicaReads.Failed }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gatehouse_housekeeping_held", Help: "1 on the one server that sweeps expired sessions and old records, 0 on the others.",
		}, func() float64 {
			if stats().KeepsHouse {
				return 1
			}
			return 0
		}),
		databaseMetrics(stats),
	}, others...) {
		err = errors.Join(err, registry.Register(c))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling: promhttp.ContinueOnError,
	}), err
}

// databaseMetrics collects what stats tells of the connections to databases.
type databaseMetrics func() engine.Stats

var (
	breakerState  = databaseMetric("breaker_state", "Whether statements are let through to the database: 0 yes (closed), 1 one at a time (half open), 2 no (open).")
	breakerOpened = databaseMetric("breaker_opened_total", "How often the database was found not to answer.")
	poolConns     = databaseMetric("pool_connections", "Connections to the database.", "state")
	poolMaxConns  = databaseMetric("pool_max_connections", "How many connections to the database there can be.")
	poolWaits     = databaseMetric("pool_waits_total", "How often a connection was waited for.")
	poolWaitTime  = databaseMetric("pool_wait_seconds_total", "For how long connections were waited for.")
)

func databaseMetric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gatehouse_"+name, help, append([]string{"database"}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (databaseMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{breakerState, breakerOpened, poolConns, poolMaxConns, poolWaits, poolWaitTime} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (stats databaseMetrics) Collect(metrics chan<- prometheus.Metric) {
	for _, d := range stats().Databases {
		set := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
			metrics <- prometheus.MustNewConstMetric(desc, kind, value, append([]string{d.Database}, labels...)...)
		}
		set(breakerState, prometheus.GaugeValue, float64(d.Breaker))
		set(breakerOpened, prometheus.CounterValue, float64(d.Opened))
		set(poolConns, prometheus.GaugeValue, float64(d.Idle), "idle")
		set(poolConns, prometheus.GaugeValue, float64(d.InUse), "in_use")
		set(poolMaxConns, prometheus.GaugeValue, float64(d.MaxConnections))
		set(poolWaits, prometheus.CounterValue, float64(d.Waits))
		set(poolWaitTime, prometheus.CounterValue, d.WaitTime.Seconds())
	}
}

func dropped(reason string, count func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gatehouse_decisions_dropped_total", Help: "Decisions that should have been written to the decision log, and were not.",
		ConstLabels: prometheus.Labels{"reason": reason},
	}, func() float64 { return float64(count()) })
}

func replicaReads(outcome string, count func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "gatehouse_replica_reads_total", Help: "Reads that replicas were asked for: answered by one, or by the primary because it was behind or none was of use.",
		ConstLabels: prometheus.Labels{"outcome": outcome},
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
	return s.serve(ctx, l, mux, nil, func(net.Listener, <-chan error) {})
}
