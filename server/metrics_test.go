package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/server"
)

// metricsPath lists all metrics, as rows of a table: name, type, labels, unit, meaning.
const metricsPath = "../docs/metrics.md"

var metricRow = regexp.MustCompile("(?m)^\\| `(gatehouse_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|[^|]*\\| [^|]+ \\|$")

// metric is what is documented of a metric, and what there is of it.
type metric struct {
	kind   string
	labels []string
}

func (m metric) String() string { return m.kind + " " + strings.Join(m.labels, ",") }

// documented are the metrics that docs/metrics.md lists.
func documented(t *testing.T) map[string]metric {
	t.Helper()
	page, err := os.ReadFile(metricsPath)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]metric{}
	for _, row := range metricRow.FindAllStringSubmatch(string(page), -1) {
		m := metric{kind: row[2]}
		for _, label := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[3], -1) {
			m.labels = append(m.labels, label[1])
		}
		slices.Sort(m.labels)
		if _, twice := list[row[1]]; twice {
			t.Errorf("%s has %s twice", metricsPath, row[1])
		}
		list[row[1]] = m
	}
	if rows := strings.Count(string(page), "\n| `gatehouse_"); rows != len(list) {
		t.Errorf("%s has %d rows of metrics, and %d of them could be read", metricsPath, rows, len(list))
	}
	return list
}

// onPostgreSQL has a service keep its data in PostgreSQL, without which there are no
// metrics of connections to it.
func onPostgreSQL(t *testing.T) func(*engine.Config, *server.Config) {
	return func(cfg *engine.Config, _ *server.Config) { cfg.Database, cfg.AutoMigrate = pgtest.URL(t), true }
}

// metrics reads /metrics.
func (c *caller) metrics() map[string]*dto.MetricFamily {
	c.t.Helper()
	a := c.get("/metrics")
	if got := a.header.Get("Content-Type"); a.status != http.StatusOK || !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		c.t.Fatalf("got %d and Content-Type %q, want 200 and the text format", a.status, got)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(a.body)))
	if err != nil {
		c.t.Fatal(err)
	}
	return families
}

// registered are the metrics of a server.
func registered(families map[string]*dto.MetricFamily) map[string]metric {
	list := map[string]metric{}
	for name, family := range families {
		m := metric{kind: strings.ToLower(family.GetType().String())}
		for _, label := range family.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, label.GetName())
		}
		slices.Sort(m.labels)
		list[name] = m
	}
	return list
}

// value is that of one series, whose labels are given as name=value.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		var got []string
		for _, label := range m.GetLabel() {
			got = append(got, label.GetName()+"="+label.GetValue())
		}
		if slices.Equal(got, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Errorf("there is no %s%v", name, labels)
	return -1
}

func TestMetricsAreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	c := startService(t, onPostgreSQL(t)).caller(t)
	families := c.metrics()
	for _, name := range []string{"go_goroutines", "process_open_fds"} {
		if families[name] == nil {
			t.Errorf("got no %s", name)
		}
	}
	got, want := registered(families), documented(t)
	for name, m := range got {
		if strings.HasPrefix(name, "gatehouse_") && want[name].String() != m.String() {
			t.Errorf("%s has %s as %q, want %q", metricsPath, name, want[name], m)
		}
	}
	for name := range want {
		if _, there := got[name]; !there {
			t.Errorf("%s has %s, which there is not", metricsPath, name)
		}
	}
}

func TestMetricsCount(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, serverCfg *server.Config) {
		cfg.AuditDecisions = engine.DecisionsDenied
		serverCfg.Version, serverCfg.AuthFailureLimit = "v1.2.3", 2
	})
	c := s.caller(t)
	const user, browser = "planted-user", "planted-browser"
	c.data(c.put("/api/roles/reader", `{}`))
	c.data(c.put("/api/roles/reader/grants/read", `{}`))
	c.data(c.post("/api/membership/" + user + "/reader"))
	for _, permission := range []string{"read", "read", "write"} {
		c.data(c.get("/api/has_permission/" + user + "/" + permission))
	}
	c.decisions("") // waits for what is logged
	_, token := c.signIn(user, "203.0.113.7", browser)
	token = c.rotate(token, "203.0.113.7", browser).Data.Token
	c.data(c.delete("/api/sessions?user=" + user))
	c.wantRefusal(c.present("rotate", token, "203.0.113.7", browser), authz.ErrSessionEnded)
	c.get("/no/such/path")
	unknown := &caller{t: t, s: s, key: "no key"}
	for range 3 {
		unknown.get("/api/roles")
	}

	families := c.metrics()
	for _, test := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"gatehouse_build_info", []string{"goversion=" + goVersion(families), "version=v1.2.3"}, 1},
		{"gatehouse_requests_total", []string{"code=200", "operation=HasPermission"}, 3},
		{"gatehouse_requests_total", []string{"code=404", "operation=none"}, 1},
		{"gatehouse_requests_total", []string{"code=401", "operation=RotateSession"}, 1},
		{"gatehouse_request_duration_seconds", []string{"class=decision"}, 3},
		{"gatehouse_request_duration_seconds", []string{"class=session"}, 4},
		{"gatehouse_authentication_failures_total", nil, 2},
		{"gatehouse_rate_limited_total", []string{"limit=auth-failures"}, 1},
		{"gatehouse_rate_limited_total", []string{"limit=key"}, 0},
		{"gatehouse_decisions_total", []string{"outcome=allowed"}, 2},
		{"gatehouse_decisions_total", []string{"outcome=denied"}, 1},
		{"gatehouse_decisions_total", []string{"outcome=error"}, 0},
		{"gatehouse_decisions_stale_total", nil, 0},
		{"gatehouse_decisions_logged_total", nil, 1},
		{"gatehouse_tenants_in_use", nil, 1},
		{"gatehouse_tenants_away", nil, 0},
		{"gatehouse_cache_hits_total", []string{"cache=subjects"}, 2},
		{"gatehouse_cache_misses_total", []string{"cache=subjects"}, 1},
		{"gatehouse_cache_misses_total", []string{"cache=policies"}, 1},
		{"gatehouse_cache_entries", []string{"cache=subjects"}, 1},
		{"gatehouse_fill_duration_seconds", []string{"kind=policy"}, 1},
		{"gatehouse_fill_duration_seconds", []string{"kind=user"}, 1},
		{"gatehouse_sessions_created_total", nil, 1},
		{"gatehouse_session_rotations_total", []string{"outcome=rotated"}, 1},
		{"gatehouse_session_rotations_total", []string{"outcome=session_ended"}, 1},
		{"gatehouse_sessions_ended_total", []string{"reason=revoked"}, 1},
		{"gatehouse_sessions_ended_total", []string{"reason=expired"}, 0},
		// The key, the role, the grant, the membership, and the session's beginning and end.
		{"gatehouse_audit_events_total", nil, 6},
		{"gatehouse_sealed_failures_total", nil, 0},
	} {
		if got := value(t, families, test.name, test.labels...); got != test.want {
			t.Errorf("%s%v: got %v, want %v", test.name, test.labels, got, test.want)
		}
	}
	if page := fmt.Sprint(families); strings.Contains(page, "planted") || strings.Contains(page, c.key) {
		t.Error("the metrics name a user or a key")
	}
}

func goVersion(families map[string]*dto.MetricFamily) string {
	return families["gatehouse_build_info"].GetMetric()[0].GetLabel()[0].GetValue()
}

func TestMetricsElsewhere(t *testing.T) {
	t.Parallel()
	c := startService(t, func(_ *engine.Config, cfg *server.Config) { cfg.MetricsElsewhere = true }).caller(t)
	c.wantError(c.get("/metrics"), 404, "no such path")
}

func TestProfilesAreForThisMachine(t *testing.T) {
	t.Parallel()
	profiles := server.FromHere(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for from, want := range map[string]int{
		"127.0.0.1:4711": 200, "127.8.9.10:4711": 200, "[::1]:4711": 200, "[::ffff:127.0.0.1]:4711": 200,
		"10.0.0.1:4711": 404, "[2001:db8::1]:4711": 404, "[::ffff:10.0.0.1]:4711": 404, "": 404, "@": 404,
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Forwarded-For", "127.0.0.1")
		w := httptest.NewRecorder()
		if profiles.ServeHTTP(w, r); w.Code != want {
			t.Errorf("from %q: got %d, want %d", from, w.Code, want)
		}
	}
}
