package faults_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/integration/faults/wire"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

// soakVariable is how long TestSoak runs, such as 1h; not set, it runs one short round.
const soakVariable = "GATEHOUSE_SOAK"

// soakCacheMB is small, so that the caches are full before the end of an hour.
const soakCacheMB = 2

// growths are what must not grow, and by how much it may differ: what is in use when
// the load stops is so by chance.
var growths = []growth{
	{what: "goroutines", metric: "go_goroutines", more: 30},
	// Beside the caches, which fill up to soakCacheMB, that is what Go's own pools keep.
	{what: "heap", metric: "go_memstats_heap_alloc_bytes", part: 0.25, more: (soakCacheMB + 4) << 20},
	{what: "resident memory", metric: "process_resident_memory_bytes", part: 0.25, more: 32 << 20},
	{what: "file descriptors", metric: "process_open_fds", more: 20},
}

// connections are the servers' in the database.
var connections = growth{what: "database connections", more: 12}

// growth is one figure of a server.
type growth struct {
	what, metric string
	// part of the figure, and more, is how much larger it may become.
	part, more float64
}

func (g growth) most(before float64) float64 { return before*(1+g.part) + g.more }

// TestSoak has servers live through small faults, round after round, and checks the
// history of each round, and that nothing grows.
func TestSoak(t *testing.T) {
	var duration time.Duration
	cycles := 4
	if given := os.Getenv(soakVariable); given != "" {
		var err error
		if duration, err = time.ParseDuration(given); err != nil {
			t.Fatalf("%s: %v", soakVariable, err)
		}
		cycles = 20
	}
	node, database := startPostgreSQL(t)
	first, firstWire := wired(t, node, database)
	second, secondWire := wired(t, node, database)
	watched := []string{"AUTH_METRICS_ADDRESS=127.0.0.1:0", fmt.Sprint("AUTH_CACHE_SIZE_MB=", soakCacheMB)}
	s := soak{
		t: t, node: node, wires: []*wire.Wire{firstWire, secondWire},
		sites: startSites(first.With(watched...), second.With(watched...), servertest.Install(t, database)),
	}
	for _, site := range s.sites[:len(s.sites)-1] {
		s.metrics = append(s.metrics, "http://"+strings.TrimPrefix(site.process.ReadLine(), "metrics "))
	}
	began := time.Now()
	s.round("warm-up", 2)
	before := s.atRest()
	t.Logf("after the warm-up: %v", before)
	for n := 1; n == 1 || time.Since(began) < duration; n++ {
		s.round(fmt.Sprint("round ", n), cycles)
		after := s.atRest()
		t.Logf("after round %d: %v", n, after)
		for i, f := range after {
			if most := f.growth.most(before[i].value); f.value > most {
				t.Errorf("%s: got %.0f after round %d, want at most %.0f", f.name, f.value, n, most)
			}
		}
	}
}

// soak is servers that live long, but for the last, which is restarted now and then.
type soak struct {
	t     *testing.T
	node  *pgtest.Node
	sites []*site
	// metrics is where all but the last tell their figures.
	metrics []string
	wires   []*wire.Wire
}

// round puts a load on the servers, has something fail again and again, and checks the
// history.
func (s soak) round(name string, cycles int) {
	s.t.Helper()
	const calm = 150
	s.t.Run(name, func(t *testing.T) {
		r := startLoad(t, s.sites)
		for n := range cycles {
			w := s.wires[n%len(s.wires)]
			w.Cut()
			w.Mend()
			r.after(calm)
			last := s.sites[len(s.sites)-1]
			last.process.Kill()
			last.serve()
			r.after(calm)
		}
		r.isHealed()
		r.finish()
	})
}

// figure is what a growth is at a moment.
type figure struct {
	name   string
	growth growth
	value  float64
}

type figures []figure

// String is one line.
func (f figures) String() string {
	var b strings.Builder
	for i, figure := range f {
		if i > 0 {
			b.WriteString(", ")
		}
		if strings.HasSuffix(figure.growth.metric, "_bytes") {
			fmt.Fprintf(&b, "%s %.1f MiB", figure.name, figure.value/(1<<20))
		} else {
			fmt.Fprintf(&b, "%s %.0f", figure.name, figure.value)
		}
	}
	return b.String()
}

// atRest waits until the servers have ended the connections of a load that has stopped,
// and reads their figures.
func (s soak) atRest() figures {
	s.t.Helper()
	var last figures
	servertest.Eventually(s.t, patience, "the servers rest", func() bool {
		now := s.read()
		rests := last != nil
		for i := range last {
			rests = rests && (now[i].growth.metric != "go_goroutines" || now[i].value == last[i].value)
		}
		last = now
		return rests
	})
	return last
}

func (s soak) read() figures {
	s.t.Helper()
	var f figures
	for n, url := range s.metrics {
		name := s.sites[n].name
		for range 2 { // what a pool keeps outlives one collection
			get(s.t, url+"/debug/pprof/heap?gc=1")
		}
		metrics := readMetrics(s.t, url)
		for _, g := range growths {
			value, ok := metrics[g.metric]
			if !ok {
				s.t.Fatalf("%s has no metric %s", name, g.metric)
			}
			f = append(f, figure{name + " " + g.what, g, value})
		}
	}
	conn, err := pgx.Connect(s.t.Context(), s.node.URL("postgres"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(s.t.Context()) }()
	var count float64
	err = conn.QueryRow(s.t.Context(), "SELECT count(*)::float8 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()").Scan(&count)
	if err != nil {
		s.t.Fatal(err)
	}
	return append(f, figure{connections.what, connections, count})
}

// readMetrics reads what a server tells Prometheus, but for what has labels.
func readMetrics(t *testing.T, url string) map[string]float64 {
	t.Helper()
	metrics := map[string]float64{}
	for line := range strings.Lines(get(t, url+"/metrics")) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			metrics[name] = value
		}
	}
	return metrics
}

func get(t *testing.T, url string) string {
	t.Helper()
	rsp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rsp.Body.Close() }()
	body, err := io.ReadAll(rsp.Body)
	if err != nil || rsp.StatusCode != http.StatusOK {
		t.Fatalf("%s: got %s, %v", url, rsp.Status, err)
	}
	return string(body)
}
