package integration_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

// The kinds of request of the mixed load, by their weight in ten: mostly checks, and
// enough lists and writes that the database is what limits the throughput.
var overloadMix = [10]string{"check", "check", "check", "check", "check", "check", "list", "list", "write", "write"}

const (
	// overloadConnections carry the sustainable load, each with one request at a time, and
	// forty times as many the overload: what they cannot send while they wait for answers
	// is not offered.
	overloadConnections = 16
	overloadTenants     = 8
	overloadListed      = 300
)

// loadCount is what came of the requests of one phase.
type loadCount struct {
	accepted, shed, failed atomic.Int64
	mu                     sync.Mutex
	checks                 []time.Duration // of accepted ones
	kinds                  map[string]int  // accepted
	wrong                  map[string]int
}

func (c *loadCount) note(kind string, status int, retryAfter bool, took time.Duration) {
	switch {
	case status >= 200 && status < 300:
		c.accepted.Add(1)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.kinds[kind]++
		if kind == "check" {
			c.checks = append(c.checks, took)
		}
	case status == http.StatusServiceUnavailable && retryAfter:
		c.shed.Add(1)
	default:
		c.failed.Add(1)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.wrong[fmt.Sprint(kind, " ", status, " Retry-After:", retryAfter)]++
	}
}

// p99 is that of the accepted checks.
func (c *loadCount) p99() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.checks) == 0 {
		return 0
	}
	slices.Sort(c.checks)
	return c.checks[len(c.checks)*99/100]
}

// loader sends requests to one server over connections of its own, with as little work
// as can be: it shares the machine with the server.
type loader struct {
	address string
	keys    []string
	sent    atomic.Int64
}

// request is the next request of the mix.
func (l *loader) request() (kind string, text []byte) {
	n := l.sent.Add(1)
	kind = overloadMix[n%10]
	line := map[string]string{
		"check": fmt.Sprintf("GET /api/has_permission/user-%d/edit", n%overloadListed),
		"list":  "GET /api/which_users_can/edit",
		"write": fmt.Sprintf("POST /api/membership/new-%d/editor", n),
	}[kind]
	return kind, fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", line, l.keys[n/10%overloadTenants])
}

// run sends on many connections until the end. With an interval, each connection sends at
// that pace, whatever the answers take, and what could not be sent in time counts from when it
// should have been: an open loop.
func (l *loader) run(t *testing.T, connections int, interval, lasts time.Duration) *loadCount {
	t.Helper()
	count := &loadCount{kinds: map[string]int{}, wrong: map[string]int{}}
	end := time.Now().Add(lasts)
	var all sync.WaitGroup
	for n := range connections {
		all.Go(func() {
			conn, err := net.Dial("tcp", l.address)
			if err != nil {
				t.Errorf("connect: %v", err)
				return
			}
			defer func() { _ = conn.Close() }()
			reader := bufio.NewReaderSize(conn, 64<<10)
			due := time.Now().Add(interval * time.Duration(n) / time.Duration(connections))
			for time.Now().Before(end) {
				began := time.Now()
				if interval > 0 {
					time.Sleep(time.Until(due)) // the pace of the load
					began = time.Now()
					// One that answers too slowly is not owed what could not be sent meanwhile.
					if due = due.Add(interval); due.Before(began) {
						due = began
					}
				}
				kind, text := l.request()
				if _, err = conn.Write(text); err != nil {
					break
				}
				status, retryAfter, err := readAnswer(reader)
				if err != nil {
					t.Errorf("%s: the connection was lost: %v", kind, err)
					return
				}
				count.note(kind, status, retryAfter, time.Since(began))
			}
		})
	}
	all.Wait()
	return count
}

// readAnswer reads a response to its end, and keeps little of it.
func readAnswer(r *bufio.Reader) (status int, retryAfter bool, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, false, cmp.Or(err, io.ErrUnexpectedEOF)
	}
	status, _ = strconv.Atoi(string(line[9:12]))
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, false, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			length, _ = strconv.Atoi(string(value))
		}
		retryAfter = retryAfter || bytes.HasPrefix(line, []byte("Retry-After: "))
	}
	if length >= 0 {
		_, err = r.Discard(length)
		return status, retryAfter, err
	}
	for { // in chunks
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, false, err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return 0, false, err
		}
		if _, err := r.Discard(int(size) + len("\r\n")); err != nil || size == 0 {
			return status, retryAfter, err
		}
	}
}

// resident is the memory of a process in MiB, by a field of /proc/PID/status.
func resident(t *testing.T, p *process, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			kilobytes, _ := strconv.Atoi(strings.Fields(value)[0])
			return kilobytes >> 10
		}
	}
	t.Fatalf("/proc has no %s", field)
	return 0
}

// TestOverload offers ten times the sustainable load for GATEHOUSE_OVERLOAD_SECONDS, 30
// unless set; CI sets less. The server has one processor and the database and the load the
// rest, so that the peak is that of the server and its database.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves overload out")
	}
	seconds, err := strconv.Atoi(cmp.Or(os.Getenv("GATEHOUSE_OVERLOAD_SECONDS"), "30"))
	if err != nil || seconds < 2 {
		t.Fatal("GATEHOUSE_OVERLOAD_SECONDS must be a whole number, 2 or more")
	}
	i := servertest.Install(t, pgtest.URL(t), "GOMAXPROCS=1", "AUTH_CACHE_SIZE_MB=64")
	i.Must("migrate")
	server := i.Serve()
	l := &loader{address: strings.TrimPrefix(server.URL, "http://")}
	for range overloadTenants {
		l.keys = append(l.keys, uuid.NewString())
		prepare(t, server.URL, l.keys[len(l.keys)-1])
	}

	lasts := time.Duration(seconds) * time.Second
	l.run(t, overloadConnections, 0, max(time.Second, lasts/10)) // warm
	calm := l.run(t, overloadConnections, 0, max(2*time.Second, lasts/3))
	peak := float64(calm.accepted.Load()) / max(2*time.Second, lasts/3).Seconds()
	residentBefore := resident(t, server, "VmRSS")

	const connections = 40 * overloadConnections
	interval := time.Duration(float64(time.Second) * connections / (10 * peak))
	over := l.run(t, connections, interval, lasts)
	throughput := float64(over.accepted.Load()) / lasts.Seconds()
	offered := float64(over.accepted.Load()+over.shed.Load()+over.failed.Load()) / lasts.Seconds()
	after := l.run(t, overloadConnections/2, 20*time.Millisecond, time.Second)

	t.Logf("peak %.0f/s (p99 of checks %s); offered at %.0f/s, of which %.0f/s came through: accepted %.0f/s (%.0f %%; %v, before %v), shed %d, p99 of accepted checks %s; "+
		"resident %d MiB before, %d MiB at most; in the second after: %d accepted, %d shed",
		peak, calm.p99(), 10*peak, offered, throughput, 100*throughput/peak, over.kinds, calm.kinds, over.shed.Load(), over.p99(),
		residentBefore, resident(t, server, "VmHWM"), after.accepted.Load(), after.shed.Load())
	if calm.shed.Load() > 0 {
		t.Errorf("%d requests of the sustainable load were shed, want none", calm.shed.Load())
	}
	for phase, count := range map[string]*loadCount{"sustainable": calm, "overload": over, "after": after} {
		if count.failed.Load() > 0 {
			t.Errorf("%s: got answers that are neither a success nor a 503 with Retry-After: %v", phase, count.wrong)
		}
	}
	if throughput < 0.8*peak {
		t.Errorf("accepted %.0f/s under overload, want 80 %% of the peak of %.0f/s at least", throughput, peak)
	}
	if over.shed.Load() == 0 {
		t.Error("nothing was shed, so this was no overload")
	}
	if got := over.p99(); got > time.Second {
		t.Errorf("p99 of accepted checks: got %s, want 1s at most", got)
	}
	if got := resident(t, server, "VmHWM"); got > 400 {
		t.Errorf("the server took up to %d MiB, want 400 at most", got)
	}
	if after.shed.Load() > 0 || after.accepted.Load() == 0 {
		t.Errorf("in the first second after: %d accepted and %d shed, want all accepted", after.accepted.Load(), after.shed.Load())
	}
}

// prepare fills a tenant with one batch.
func prepare(t *testing.T, url, key string) {
	t.Helper()
	var body strings.Builder
	body.WriteString(`{"mutations":[{"method":"POST","path":"/api/role/editor"},{"method":"POST","path":"/api/permission/editor/edit"}`)
	for n := range overloadListed {
		fmt.Fprintf(&body, `,{"method":"POST","path":"/api/membership/user-%d/editor"}`, n)
	}
	body.WriteString("]}")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/batch", strings.NewReader(body.String()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("fill a tenant: got %s", response.Status)
	}
}
