package server_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
)

// metric reads one line of /metrics.
func (c *caller) metric(name string) string {
	c.t.Helper()
	for line := range strings.Lines(string(c.get("/metrics").body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			return strings.TrimSpace(value)
		}
	}
	c.t.Errorf("/metrics has no %s", name)
	return ""
}

func TestHeldWritesAreShedWhileDecisionsGoOn(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	c.data(c.post("/api/role/editor"))
	c.data(c.post("/api/membership/alice/editor"))

	// Another tenant's transaction holds the one connection that writes.
	held, release, released := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.engine.Tenant("other").Batch(t.Context(), func(*engine.Tenant) error {
			close(held)
			<-release
			return nil
		})
		released <- err
	}()
	<-held

	const writes = 200
	var mu sync.Mutex
	var shed int
	var waiting sync.WaitGroup
	atWork := s.engine.Capacity(0).Writes
	others := make(chan struct{})
	for n := range writes {
		waiting.Go(func() {
			a := c.post(fmt.Sprint("/api/role/role-", n))
			if a.status == http.StatusOK {
				return
			}
			c.wantError(a, http.StatusServiceUnavailable, "as much to do as it can")
			if a.header.Get("Retry-After") != "1" {
				t.Errorf("got Retry-After %q, want 1", a.header.Get("Retry-After"))
			}
			mu.Lock()
			defer mu.Unlock()
			if shed++; shed == writes-atWork {
				close(others)
			}
		})
	}
	<-others // those at work wait for the database, and no other goes on to
	for path, want := range map[string]string{
		"/api/has_permission/alice/edit": "false", "/api/membership/alice/editor": "true",
	} {
		if a := c.get(path); a.status != http.StatusOK || !strings.Contains(string(a.body), want) {
			t.Errorf("%s: got %d %s, want %s", path, a.status, a.body, want)
		}
	}
	c.data(c.get("/api/roles"))
	if got, want := c.metric(`gatehouse_requests_in_flight{class="write"}`), fmt.Sprint(atWork); got != want {
		t.Errorf("writes at work: got %s, want %s", got, want)
	}
	for _, probe := range []string{"/livez", "/readyz", "/health"} {
		if a := c.get(probe); a.status != http.StatusOK {
			t.Errorf("%s: got %d, want 200", probe, a.status)
		}
	}
	close(release)
	if err := <-released; err != nil {
		t.Error(err)
	}
	waiting.Wait()
	c.data(c.post("/api/role/afterwards"))
	if got := c.metric(`gatehouse_requests_in_flight{class="write"}`); got != "0" {
		t.Errorf("writes at work at the end: got %s, want 0", got)
	}
	if strings.Contains(s.log.String(), `"level":"ERROR"`) {
		t.Errorf("each refusal is logged, want the metrics to count them: %s", s.log)
	}
}

func TestWaitingForARevisionHoldsNoPlace(t *testing.T) {
	t.Parallel()
	s := startService(t)
	c := s.caller(t)
	revision := c.post("/api/role/editor").header.Get("Gatehouse-Revision")
	var next int
	if _, err := fmt.Sscan(revision, &next); err != nil {
		t.Fatal(err)
	}
	next++
	// As many as there are places for lists wait for a revision that is not there yet.
	var waiting sync.WaitGroup
	for range s.engine.Capacity(0).Reads + 1 {
		waiting.Go(func() { c.data(c.do(http.MethodGet, "/api/roles", "", "Gatehouse-Min-Revision", fmt.Sprint(next))) })
	}
	for range 20 {
		c.data(c.get("/api/roles"))
	}
	if got := c.metric(`gatehouse_requests_in_flight{class="read"}`); got != "0" {
		t.Errorf("lists at work: got %s, want 0", got)
	}
	c.data(c.post("/api/role/author"))
	waiting.Wait()
}
