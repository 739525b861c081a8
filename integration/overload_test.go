package integration_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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

// kind is a kind of request of the mixed load.
type kind int

const (
	kindCheck kind = iota // is answered from memory
	kindCold              // asks about a user for the first time, and so reads the database
	kindList
	kindWrite
	kinds
)

func (k kind) String() string { return [...]string{"check", "cold check", "list", "write"}[k] }

// decides tells that requests of the kind are decisions.
func (k kind) decides() bool { return k == kindCheck || k == kindCold }

// overloadMix is how many of ten requests are of a kind: so many need the database that
// it is what limits the throughput.
var overloadMix = [kinds]int{kindCheck: 4, kindCold: 4, kindList: 1, kindWrite: 1}

// longest bounds the p99 of accepted decisions. Those that read the database wait for it, in
// a line of bounded length.
var longest = [kinds]time.Duration{kindCheck: time.Second, kindCold: 3 * time.Second}

const (
	// kindConnections carry the overload of each kind: what they cannot send while they
	// wait for answers is not offered.
	kindConnections = 400
	overloadTenants = 8
	overloadListed  = 100
	overloadAsked   = 5
	// answerTimeout is more than the server gives any request.
	answerTimeout = 40 * time.Second
)

// loadCount is what came of the requests of one phase.
type loadCount struct {
	lasts time.Duration

	mu             sync.Mutex
	accepted, shed [kinds]int
	took           [kinds][]time.Duration // of accepted ones
	wrong          map[string]int
}

func (c *loadCount) note(k kind, status int, retryAfter bool, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case status >= 200 && status < 300:
		c.accepted[k]++
		c.took[k] = append(c.took[k], took)
	case status == http.StatusServiceUnavailable && retryAfter:
		c.shed[k]++
	default:
		c.wrong[fmt.Sprint(k, " ", status, " Retry-After:", retryAfter)]++
	}
}

// rate is how many of a kind were accepted in a second.
func (c *loadCount) rate(k kind) float64 { return float64(c.accepted[k]) / c.lasts.Seconds() }

// p99 is that of the accepted requests of a kind.
func (c *loadCount) p99(k kind) time.Duration {
	if len(c.took[k]) == 0 {
		return 0
	}
	slices.Sort(c.took[k])
	return c.took[k][len(c.took[k])*99/100]
}

// total is the sum over all kinds.
func total[N int | float64](of func(kind) N) (sum N) {
	for k := range kinds {
		sum += of(k)
	}
	return sum
}

func (c *loadCount) String() string {
	var text strings.Builder
	for k := range kinds {
		fmt.Fprintf(&text, "; %s: %.0f/s and %.0f/s shed, p99 %s", k, c.rate(k), float64(c.shed[k])/c.lasts.Seconds(), c.p99(k).Round(10*time.Microsecond))
	}
	return text.String()[len("; "):]
}

// loader sends requests to one server over connections of its own, with as little work
// as can be: it shares the machine with the server.
type loader struct {
	address string
	keys    []string
	sent    [kinds]atomic.Int64
}

// request is the next request of a kind.
func (l *loader) request(k kind) []byte {
	n := l.sent[k].Add(1)
	text := make([]byte, 0, 256)
	switch k {
	case kindCheck:
		text = fmt.Appendf(text, "GET /api/has_permission/user-%d/edit", n/overloadTenants%overloadAsked)
	case kindCold:
		text = fmt.Appendf(text, "GET /api/has_permission/stranger-%d/edit", n)
	case kindList:
		text = append(text, "GET /api/which_users_can/edit"...)
	case kindWrite:
		text = fmt.Appendf(text, "POST /api/membership/new-%d/editor", n)
	}
	return fmt.Appendf(text, " HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nContent-Length: 0\r\n\r\n", l.keys[n%overloadTenants])
}

// closed sends the mix on some connections, each of which waits for one answer before it
// sends the next request.
func (l *loader) closed(t *testing.T, connections int, lasts time.Duration) *loadCount {
	t.Helper()
	var mix []kind
	for k, weight := range overloadMix {
		mix = append(mix, slices.Repeat([]kind{kind(k)}, weight)...)
	}
	var turn atomic.Int64
	count := newLoadCount(lasts)
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			l.converse(t, count, func() (kind, time.Time) { return mix[turn.Add(1)%int64(len(mix))], time.Time{} })
		})
	}
	all.Wait()
	return count
}

// open sends each kind at a rate of its own, whatever the answers take, on connections of
// its own, so that no kind is sent less often because another is slow.
func (l *loader) open(t *testing.T, perSecond func(kind) float64, lasts time.Duration) *loadCount {
	t.Helper()
	count := newLoadCount(lasts)
	began := time.Now()
	var all sync.WaitGroup
	for k := range kinds {
		interval := time.Duration(float64(time.Second) * kindConnections / perSecond(k))
		for n := range kindConnections {
			due := began.Add(interval * time.Duration(n) / kindConnections)
			all.Go(func() {
				l.converse(t, count, func() (kind, time.Time) {
					at := due
					// What could not be sent in time is not owed.
					if due = due.Add(interval); due.Before(time.Now()) {
						due = time.Now()
					}
					return k, at
				})
			})
		}
	}
	all.Wait()
	return count
}

func newLoadCount(lasts time.Duration) *loadCount {
	return &loadCount{lasts: lasts, wrong: map[string]int{}}
}

// converse sends on one connection, until the phase is over, the kinds that next gives
// out, each at its time.
func (l *loader) converse(t *testing.T, count *loadCount, next func() (kind, time.Time)) {
	end := time.Now().Add(count.lasts)
	var conn net.Conn
	var reader *bufio.Reader
	for {
		k, due := next()
		if due.After(end) {
			return
		}
		time.Sleep(time.Until(due)) // the pace of the load
		began := time.Now()
		if began.After(end) {
			return
		}
		if conn == nil { // not before: the server closes what says nothing for 5 s
			var err error
			if conn, err = net.Dial("tcp", l.address); err != nil {
				t.Errorf("connect: %v", err)
				return
			}
			defer func() { _ = conn.Close() }()
			reader = bufio.NewReaderSize(conn, 16<<10)
		}
		_ = conn.SetDeadline(began.Add(answerTimeout))
		_, err := conn.Write(l.request(k))
		var status int
		var retryAfter bool
		if err == nil {
			status, retryAfter, err = readAnswer(reader)
		}
		if err != nil {
			t.Errorf("%s: the connection was lost: %v", k, err)
			return
		}
		count.note(k, status, retryAfter, time.Since(began))
	}
}

// sustainable raises the number of connections until more of them do not bring more, or
// the server begins to refuse, and returns the best step.
func (l *loader) sustainable(t *testing.T, step time.Duration) (most int, best *loadCount) {
	t.Helper()
	for connections := 4; connections <= 256; connections *= 2 {
		got := l.closed(t, connections, step)
		t.Logf("%d connections: %s", connections, got)
		if len(got.wrong) > 0 {
			t.Fatalf("%d connections: got answers that are neither a success nor a 503 with Retry-After: %v", connections, got.wrong)
		}
		if total(func(k kind) int { return got.shed[k] }) > 0 {
			break
		}
		if best != nil && total(got.rate) < 1.05*total(best.rate) {
			break
		}
		most, best = connections, got
	}
	if best == nil {
		t.Fatal("four connections are refused something")
	}
	return most, best
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

// TestOverload offers ten times the sustainable load, for 8 s or GATEHOUSE_OVERLOAD_SECONDS:
// first ten times the lists and writes alone, then ten times everything. The sustainable
// load is the peak of a closed loop with a fixed mix of requests. It is measured before
// and after, and the lesser counts.
//
// Decisions go first. So while there are ten times as many of them, they may take what
// lists and writes had, but must themselves be answered as often as before; and while
// there are not, lists and writes must be, too, each on its own: that more of one kind
// is accepted makes up for nothing.
//
// The database is some way off, with few connections to it, and so is what limits the
// peak: it leaves the processors to the load and to the refusals, which cannot cost less than
// to read a request and answer it. As other tests may take them, how much is accepted may be
// measured three times.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("-short leaves overload out")
	}
	seconds, err := strconv.Atoi(cmp.Or(os.Getenv("GATEHOUSE_OVERLOAD_SECONDS"), "8"))
	if err != nil || seconds < 2 {
		t.Fatal("GATEHOUSE_OVERLOAD_SECONDS must be a whole number, 2 or more")
	}
	way := newWire(t, pgtest.URL(t))
	i := servertest.Install(t, withPool(t, way.url, 8), "GOMAXPROCS=1", "AUTH_CACHE_SIZE_MB=64")
	i.Must("migrate")
	server := i.Serve()
	l := &loader{address: strings.TrimPrefix(server.URL, "http://")}
	for range overloadTenants {
		l.keys = append(l.keys, uuid.NewString())
		prepare(t, server.URL, l.keys[len(l.keys)-1])
	}
	way.delay(3 * time.Millisecond)
	memory := resident(t, server, "VmRSS")
	for try := 1; ; try++ {
		missed := l.overload(t, time.Duration(seconds)*time.Second/2)
		if t.Failed() || len(missed) == 0 {
			break
		}
		if t.Logf("try %d: %s", try, strings.Join(missed, "; ")); try == 3 {
			t.Error("too little was accepted, or too late, three times")
			break
		}
	}
	most := resident(t, server, "VmHWM")
	t.Logf("resident: %d MiB before, %d at most", memory, most)
	if most > 400 {
		t.Errorf("the server took up to %d MiB, want 400 at most", most)
	}
}

// overload measures once, each kind of overload for so long, and returns what was less
// than it should be.
func (l *loader) overload(t *testing.T, lasts time.Duration) (missed []string) {
	t.Helper()
	l.closed(t, 8, lasts/4) // warm
	connections, before := l.sustainable(t, lasts/4)
	crowd := l.open(t, func(k kind) float64 {
		if k.decides() {
			return before.rate(k)
		}
		return 10 * before.rate(k)
	}, lasts)
	tenfold := l.open(t, func(k kind) float64 { return 10 * before.rate(k) }, lasts)
	relief := l.open(t, func(k kind) float64 { return before.rate(k) / 2 }, time.Second)
	after := l.closed(t, connections, lasts/4)
	for _, phase := range []struct {
		name  string
		count *loadCount
	}{
		{fmt.Sprintf("sustainable, on %d connections, before", connections), before}, {"sustainable, after", after},
		{"ten times the lists and writes", crowd}, {"ten times everything", tenfold}, {"half in the second after", relief},
	} {
		t.Logf("%s: %s", phase.name, phase.count)
		if len(phase.count.wrong) > 0 {
			t.Errorf("%s: got answers that are neither a success nor a 503 with Retry-After: %v", phase.name, phase.count.wrong)
		}
	}
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	peak := func(k kind) float64 { return min(before.rate(k), after.rate(k)) }
	for k := range kinds {
		if got, want := crowd.rate(k), 0.8*peak(k); got < want {
			miss("ten times the lists and writes: %s: accepted %.0f/s, want %.0f/s", k, got, want)
		}
		if got, want := tenfold.rate(k), 0.8*peak(k); k.decides() && got < want {
			miss("ten times everything: %s: accepted %.0f/s, want %.0f/s", k, got, want)
		}
		if got, want := max(crowd.p99(k), tenfold.p99(k)), longest[k]; want > 0 && got > want {
			miss("%s: the p99 of accepted ones is %s, want %s at most", k, got, want)
		}
		if relief.shed[k] > 0 || relief.accepted[k] == 0 {
			miss("%s: %d accepted and %d shed in the second after, want all accepted", k, relief.accepted[k], relief.shed[k])
		}
	}
	if got, want := total(tenfold.rate), 0.8*total(peak); got < want {
		miss("ten times everything: accepted %.0f/s, want %.0f/s", got, want)
	}
	for _, count := range []*loadCount{crowd, tenfold} {
		if count.shed[kindList] == 0 || count.shed[kindWrite] == 0 {
			miss("no list or no write was shed, so this was no overload")
		}
	}
	return missed
}

// withPool is a database's URL with so many connections to it.
func withPool(t *testing.T, database string, connections int) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("pool_max_conns", strconv.Itoa(connections))
	u.RawQuery = query.Encode()
	return u.String()
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
