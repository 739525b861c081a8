package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gatehouse/gatehouse/engine"
)

// series are the values of a metric by the value of its one label; a metric without a
// label has one, under "".
type series map[string]float64

// fact is a metric that the engine counts.
type fact struct {
	name, help string
	kind       prometheus.ValueType
	// label is empty where there is none.
	label string
	read  func(*engine.Stats) series
}

func one[N int | int64 | uint64 | float64](n N) series { return series{"": float64(n)} }

func byWord(counts map[string]uint64) series {
	s := make(series, len(counts))
	for word, n := range counts {
		s[word] = float64(n)
	}
	return s
}

// ofCaches reads the same of every cache.
func ofCaches(read func(engine.Cache) float64) func(*engine.Stats) series {
	return func(s *engine.Stats) series {
		return series{
			"policies": read(s.Live.Policies), "subjects": read(s.Live.Subjects), "nodes": read(s.Live.Nodes),
			"client_keys": read(s.ClientKeys), "token_families": read(s.Families), "access_tokens": read(s.AccessTokens),
		}
	}
}

// ofBounded reads the same of the caches that are bounded by bytes.
func ofBounded(read func(engine.Cache) uint64) func(*engine.Stats) series {
	return func(s *engine.Stats) series {
		return series{"subjects": float64(read(s.Live.Subjects)), "nodes": float64(read(s.Live.Nodes))}
	}
}

// facts are what the engine counts. docs/metrics.md says what they are for.
var facts = []fact{
	{
		"gatehouse_decisions_total", "Decisions, by outcome.", prometheus.CounterValue, "outcome",
		func(s *engine.Stats) series {
			return series{"allowed": float64(s.Allowed), "denied": float64(s.Denied), "error": float64(s.Failed)}
		},
	},
	{
		"gatehouse_decisions_stale_total", "Decisions that were made from memory while the database was away.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.Stale) },
	},
	{
		"gatehouse_decisions_logged_total", "Decisions that were written to the decision log.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.DecisionsLogged) },
	},
	{
		"gatehouse_decisions_dropped_total", "Decisions that should have been written to the decision log, and were not.", prometheus.CounterValue, "reason",
		func(s *engine.Stats) series {
			return series{"buffer_full": float64(s.DecisionsOverflowed), "write_failed": float64(s.DecisionsUnwritten)}
		},
	},
	{
		"gatehouse_decision_log_buffered", "Decisions that wait to be written to the decision log.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.DecisionsBuffered) },
	},

	{
		"gatehouse_unconfirmed_seconds", "How long ago the database last confirmed the tenant in use for which that is longest.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.Live.Unconfirmed.Seconds()) },
	},
	{
		"gatehouse_tenants_in_use", "Tenants that are in memory.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.Live.Tenants) },
	},
	{
		"gatehouse_tenants_away", "Tenants in use for which the database did not answer when it was asked last.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.Live.Away) },
	},
	{
		"gatehouse_polls_total", "Polls of the revisions of the tenants in use.", prometheus.CounterValue, "outcome",
		func(s *engine.Stats) series {
			return series{"ok": float64(s.Live.Polls), "failed": float64(s.Live.FailedPolls)}
		},
	},
	{
		"gatehouse_hints_total", "Notifications of the database that brought a poll forward.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.Live.Hints) },
	},
	{
		"gatehouse_revisions_caught_up_total", "Revisions that were read from the database.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.Live.Revisions) },
	},
	{
		"gatehouse_revisions_behind", "Revisions that the last poll found a tenant to be behind, at most.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.Live.Behind) },
	},

	{
		"gatehouse_cache_hits_total", "Questions that a cache answered.", prometheus.CounterValue, "cache",
		ofCaches(func(c engine.Cache) float64 { return float64(c.Hits) }),
	},
	{
		"gatehouse_cache_misses_total", "Questions that a cache could not answer.", prometheus.CounterValue, "cache",
		ofCaches(func(c engine.Cache) float64 { return float64(c.Misses) }),
	},
	{
		"gatehouse_cache_entries", "Entries of a cache.", prometheus.GaugeValue, "cache",
		ofCaches(func(c engine.Cache) float64 { return float64(c.Entries) }),
	},
	{
		"gatehouse_cache_evictions_total", "Entries that made room for others.", prometheus.CounterValue, "cache",
		ofBounded(func(c engine.Cache) uint64 { return c.Evictions }),
	},
	{
		"gatehouse_cache_bytes", "About what a cache takes.", prometheus.GaugeValue, "cache",
		ofBounded(func(c engine.Cache) uint64 { return c.Bytes }),
	},
	{
		"gatehouse_cache_max_bytes", "About what a cache may take.", prometheus.GaugeValue, "cache",
		ofBounded(func(c engine.Cache) uint64 { return c.MaxBytes }),
	},

	{
		"gatehouse_sessions_created_total", "Sessions that were opened.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.SessionsCreated) },
	},
	{
		"gatehouse_session_rotations_total", "Session tokens that were presented to be rotated, by what came of it.", prometheus.CounterValue, "outcome",
		func(s *engine.Stats) series { return byWord(s.SessionTokens) },
	},
	{
		"gatehouse_sessions_ended_total", "Sessions that were ended, by reason.", prometheus.CounterValue, "reason",
		func(s *engine.Stats) series { return byWord(s.SessionsEnded) },
	},
	{
		"gatehouse_tokens_total", "Access and refresh tokens that were asked for, by what came of it.", prometheus.CounterValue, "outcome",
		func(s *engine.Stats) series { return byWord(s.Tokens) },
	},

	{
		"gatehouse_audit_events_total", "Audit events that were appended.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.Audit.Events) },
	},
	{
		"gatehouse_audit_sequenced_total", "Audit events that were put into the trees.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.Audit.Sequenced) },
	},
	{
		"gatehouse_audit_lease_held", "1 where this server sequences the audit log for all.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series {
			if s.Audit.Leading {
				return one(1)
			}
			return one(0)
		},
	},
	{
		"gatehouse_audit_unsequenced_seconds", "How long ago all audit events were last known to be in the trees, or another server to be at it.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.Audit.Unsequenced.Seconds()) },
	},
	{
		"gatehouse_audit_unsigned_seconds", "How long ago the checkpoints of all trees were last known to be signed, or another server to be at it.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series { return one(s.Audit.Unsigned.Seconds()) },
	},
	{
		"gatehouse_replica_reads_total", "Reads that replicas were asked for: answered by one, or by the primary because it was behind or none was of use.", prometheus.CounterValue, "outcome",
		func(s *engine.Stats) series {
			return series{"replica": float64(s.ReplicaReads.Answered), "behind": float64(s.ReplicaReads.Behind), "failed": float64(s.ReplicaReads.Failed)}
		},
	},
	{
		"gatehouse_housekeeping_held", "1 on the one server that sweeps expired sessions and old records, 0 on the others.", prometheus.GaugeValue, "",
		func(s *engine.Stats) series {
			if s.KeepsHouse {
				return one(1)
			}
			return one(0)
		},
	},
	{
		"gatehouse_sealed_failures_total", "Sealed rows that did not open: they were changed, or put where they do not belong.", prometheus.CounterValue, "",
		func(s *engine.Stats) series { return one(s.Unopened) },
	},
}

// engineMetrics collects what the engine counts, all of it from one reading.
type engineMetrics struct {
	engine *engine.Engine
	descs  []*prometheus.Desc
	fills  *prometheus.Desc
}

func newEngineMetrics(e *engine.Engine) engineMetrics {
	c := engineMetrics{engine: e, fills: prometheus.NewDesc("gatehouse_fill_duration_seconds",
		"What it took to read into memory what a decision needs.", []string{"kind"}, nil)}
	for _, f := range facts {
		var labels []string
		if f.label != "" {
			labels = []string{f.label}
		}
		c.descs = append(c.descs, prometheus.NewDesc(f.name, f.help, labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c engineMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		to <- desc
	}
	to <- c.fills
}

// Collect implements prometheus.Collector.
func (c engineMetrics) Collect(to chan<- prometheus.Metric) {
	stats := c.engine.Stats()
	for i, f := range facts {
		for word, value := range f.read(&stats) {
			var labels []string
			if f.label != "" {
				labels = []string{word}
			}
			to <- prometheus.MustNewConstMetric(c.descs[i], f.kind, value, labels...)
		}
	}
	for kind, d := range stats.Live.Fills {
		to <- prometheus.MustNewConstHistogram(c.fills, d.Count, d.Seconds, d.Buckets, kind)
	}
}
