package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// While the database is away, decisions go on for AUTH_MAX_STALENESS and say for how
// long they have; then nothing is allowed, and afterwards all is well again.
func TestDecisionsGoOnWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	const staleness = 4 * time.Second
	database := pgtest.URL(t)
	wire := newWire(t, database)
	i := servertest.Install(t, wire.url, "AUTH_MAX_STALENESS="+staleness.String())
	i.Must("migrate")
	key := uuid.NewString()
	server := i.Serve()
	server.Outage = true
	c := client(t, server, key)
	ctx := t.Context()
	for _, step := range []func() (authz.Written, error){
		func() (authz.Written, error) { return c.AddRole(ctx, "editor", authz.RoleOptions{}) },
		func() (authz.Written, error) { return c.AddPermission(ctx, "editor", "edit") },
		func() (authz.Written, error) { return c.AddMembership(ctx, "alice", "editor", authz.Window{}) },
	} {
		if _, err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := c.UserHasPermission(ctx, "alice", "edit"); err != nil || !d.Allowed {
		t.Fatalf("before: got %+v, %v, want allowed", d, err)
	}

	wire.cut()
	var last time.Duration
	for {
		d, err := c.UserHasPermission(ctx, "alice", "edit")
		if err != nil {
			if !errors.Is(err, sdk.ErrUnavailable) {
				t.Fatalf("away: got %v, want ErrUnavailable", err)
			}
			break
		}
		if !d.Allowed {
			t.Fatal("away: alice was denied")
		}
		last = max(last, d.Stale)
		// The list that is made from memory must say so as well.
		if l, err := c.UserPermissions(ctx, "alice", authz.Page{}); err == nil && l.Stale < d.Stale {
			t.Fatalf("away for %v: got %+v, want it to say that it is as old", d.Stale, l)
		}
	}
	if last < staleness/2 || last > staleness+time.Second {
		t.Errorf("decisions went on until they were %v old, want about %v", last, staleness)
	}

	wire.mend()
	for {
		d, err := c.UserHasPermission(ctx, "alice", "edit")
		if err == nil && d.Allowed && d.Stale == 0 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("afterwards: got %+v, %v, want allowed", d, err)
		}
	}
}

// A database that is there and says nothing keeps nobody waiting for long: what needs it
// is a 503 that says when to come back, in each form that errors have, and all is well
// soon after it speaks again.
func TestSilentDatabase(t *testing.T) {
	t.Parallel()
	wire := newWire(t, pgtest.URL(t))
	i := servertest.Install(t, wire.url)
	i.Must("migrate")
	key := uuid.NewString()
	server := i.Serve()
	server.Outage = true
	c := client(t, server, key)
	if _, err := c.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	send := func(method, path, body string) (*http.Response, time.Duration) {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		began := time.Now()
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response, time.Since(began)
	}

	wire.silence()
	const probe, request = 3 * time.Second, 25 * time.Second
	for _, ask := range []struct {
		method, path, body string
		within             time.Duration
	}{
		{"GET", "/health", "", probe},
		{"GET", "/readyz", "", probe},
		{"POST", "/api/role/reader", "", request},
		{"GET", "/api/members/editor", "", request},
		{"POST", "/access/v1/evaluation", `{"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"1"}}`, request},
		{"POST", "/api/token", "{}", request},
		{"GET", "/health", "", probe},
	} {
		response, took := send(ask.method, ask.path, ask.body)
		if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" || took > ask.within {
			t.Errorf("%s %s: got status %d, Retry-After %q after %v; want a 503 within %v",
				ask.method, ask.path, response.StatusCode, response.Header.Get("Retry-After"), took, ask.within)
		}
		t.Logf("%s %s: %d after %v", ask.method, ask.path, response.StatusCode, took)
	}

	wire.mend()
	began := time.Now()
	servertest.Eventually(t, 30*time.Second, "the server writes again", func() bool {
		response, _ := send("POST", "/api/role/reader", "")
		return response.StatusCode == http.StatusOK
	})
	t.Logf("writes go on %v after the database speaks again", time.Since(began))
	page, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = page.Body.Close() }()
	text, err := io.ReadAll(page.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`gatehouse_breaker_state{database="primary"} 0`, `gatehouse_breaker_opened_total{database="primary"} `,
		`gatehouse_pool_connections{database="primary",state="idle"} `, `gatehouse_pool_connections{database="primary",state="in_use"} `,
		`gatehouse_pool_max_connections{database="primary"} `, `gatehouse_pool_waits_total{database="primary"} `,
		`gatehouse_pool_wait_seconds_total{database="primary"} `,
	} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("/metrics has no line %q", line)
		}
	}
}

// Whoever is answered from memory is answered, however many others wait for a database
// that says nothing.
func TestSilentDatabaseStopsNothingThatIsInMemory(t *testing.T) {
	t.Parallel()
	wire := newWire(t, pgtest.URL(t))
	i := servertest.Install(t, wire.url, "AUTH_MAX_CONCURRENT_REQUESTS=256")
	i.Must("migrate")
	server := i.Serve()
	server.Outage = true
	c := newClient(t, server)
	ctx := t.Context()
	if _, err := c.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddPermission(ctx, "editor", "edit"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddMembership(ctx, "alice", "editor", authz.Window{}); err != nil {
		t.Fatal(err)
	}
	session, err := c.CreateSession(ctx, authz.NewSession{User: "alice", IP: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := c.UserHasPermission(ctx, "alice", "edit"); err != nil || !d.Allowed {
		t.Fatalf("before: got %+v, %v, want allowed", d, err)
	}

	wire.silence()
	var waiting sync.WaitGroup
	// Of each kind more than may wait.
	for n := range 80 {
		waiting.Go(func() {
			if _, err := c.UserHasPermission(ctx, fmt.Sprint("stranger-", n), "edit"); !errors.Is(err, sdk.ErrUnavailable) {
				t.Errorf("a stranger: got %v, want a 503", err)
			}
		})
	}
	for range 150 {
		waiting.Go(func() {
			if _, err := c.VerifySession(ctx, authz.PresentedSession{Token: session.Token, IP: "192.0.2.1"}); !errors.Is(err, sdk.ErrUnavailable) {
				t.Errorf("a session: got %v, want a 503", err)
			}
		})
	}
	done := make(chan struct{})
	go func() { waiting.Wait(); close(done) }()
	for asked := 0; ; asked++ {
		if d, err := c.UserHasPermission(ctx, "alice", "edit"); err != nil || !d.Allowed {
			t.Fatalf("question %d from memory: got %+v, %v, want allowed", asked, d, err)
		}
		select {
		case <-done:
			t.Logf("%d questions answered from memory meanwhile", asked)
			return
		default:
		}
	}
}

// wire passes connections on to a database until it is cut, or takes away what is sent, or
// has it take longer.
type wire struct {
	url    string
	target string

	mu              sync.Mutex
	isCut, isSilent bool
	delayed         time.Duration
	ends            []net.Conn
}

func newWire(t *testing.T, database string) *wire {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: u.Host}
	u.Host = l.Addr().String()
	w.url = u.String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { w.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.cut()
		running.Wait()
	})
	return w
}

// pass copies both ways until one side ends.
func (w *wire) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !w.keep(client, server) {
		return
	}
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], audible{way[1], w})
			_ = way[0].Close()
		})
	}
	copying.Wait()
}

// keep remembers connections, unless the wire is cut.
func (w *wire) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ends = append(w.ends, conns...)
	return !w.isCut
}

// cut ends every connection, and each new one at once.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for _, conn := range w.ends {
		_ = conn.Close()
	}
	w.ends = nil
}

// silence lets connections be, and has nothing pass on them.
func (w *wire) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isSilent = true
}

// delay has what is sent take so much longer, each way.
func (w *wire) delay(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delayed = by
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut, w.isSilent, w.delayed = false, false, 0
}

// audible is what comes from a connection while its wire is not silent.
type audible struct {
	net.Conn
	wire *wire
}

// Read implements io.Reader.
func (a audible) Read(into []byte) (int, error) {
	for {
		n, err := a.Conn.Read(into)
		a.wire.mu.Lock()
		lost, delayed := a.wire.isSilent, a.wire.delayed
		a.wire.mu.Unlock()
		time.Sleep(delayed)
		if err != nil || !lost {
			return n, err
		}
	}
}
