package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse/gatehouse/engine"
)

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
