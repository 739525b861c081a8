package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantData(c.get("/api/changes"), `[]`)
	c.post("/api/role/editor")
	c.post("/api/role/editor")
	c.put("/api/groups/writers/members/alice@example.com", "")
	c.delete("/api/role/editor")
	whole := items(c.data(c.get("/api/changes?after=1")))
	want := []string{
		`"key":"writers","kind":"group","revision":2`, `"key":"groups/writers/members/alice@example.com","kind":"group","revision":2`,
		`"key":"editor","kind":"role","revision":3`,
	}
	if fmt.Sprint(whole) != fmt.Sprint(want) {
		t.Errorf("changes after 1: got %v, want %v", whole, want)
	}
	whole = items(c.data(c.get("/api/changes")))
	c.wantData(c.get("/api/changes?after=3"), `[]`)
	c.wantData(c.get("/api/changes?after=99"), `[]`)

	// Each page holds whole revisions, and more than its limit where one does.
	var paged []string
	for next := "/api/changes?limit=1"; next != ""; {
		a := c.get(next)
		paged = append(paged, items(c.data(a))...)
		next = strings.TrimSuffix(strings.TrimPrefix(a.header.Get("Link"), "<"), `>; rel="next"`)
		if len(paged) > len(whole) {
			break
		}
	}
	if fmt.Sprint(paged) != fmt.Sprint(whole) {
		t.Errorf("in pages: got %v, want %v", paged, whole)
	}
	for query, part := range map[string]string{
		"after=-1": "after: ", "after=x": "after: ", "limit=0": "limit: ", "limit=10001": "limit: ", "cursor=x": "cursor: ", "cursor=2": "cursor: ",
	} {
		c.wantError(c.get("/api/changes?"+query), 400, part)
	}
}

// events opens a stream of changes and returns a function that reads its events.
func (c *caller) events(ctx context.Context, url, path string, headers ...string) (*http.Response, func() string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = response.Body.Close() })
	lines := bufio.NewReader(response.Body)
	return response, func() string {
		var event []string
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return err.Error()
			}
			if line = strings.TrimSuffix(line, "\n"); line == "" {
				return strings.Join(event, " ")
			}
			event = append(event, line)
		}
	}
}

func TestChangesStream(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.post("/api/role/editor")
	c.put("/api/groups/writers/members/alice", "")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, next := c.events(ctx, c.s.URL, "/api/changes", "Accept", "application/json;q=0.1, text/event-stream;charset=utf-8")
	if got := response.Header.Get("Content-Type"); response.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("got %d %q, want a stream", response.StatusCode, got)
	}
	if got := response.Header.Get("Gatehouse-Revision"); got != "2" {
		t.Errorf("Gatehouse-Revision: got %q, want 2", got)
	}
	// The key that opened the tenant is a change of the first revision too.
	first := next()
	for !strings.Contains(first, "id: 1 ") {
		if strings.Contains(first, "id: ") || !strings.Contains(first, `"revision":1`) {
			t.Fatalf("got %s, want a change of revision 1", first)
		}
		first = next()
	}
	wantEvents(t, next,
		`event: change data: {"key":"writers","kind":"group","revision":2}`,
		`event: change id: 2 data: {"key":"groups/writers/members/alice","kind":"group","revision":2}`)
	c.delete("/api/role/editor")
	wantEvents(t, next, `event: change id: 3 data: {"key":"editor","kind":"role","revision":3}`)
	cancel()

	_, resumed := c.events(t.Context(), c.s.URL, "/api/changes?after=0", "Last-Event-ID", "2")
	wantEvents(t, resumed, `event: change id: 3 data: {"key":"editor","kind":"role","revision":3}`)
	_, later := c.events(t.Context(), c.s.URL, "/api/changes?after=3")
	c.post("/api/role/editor")
	wantEvents(t, later, `event: change id: 4 data: {"key":"editor","kind":"role","revision":4}`)
	for header, bad := range map[string]string{"Last-Event-ID": "x", "Gatehouse-Min-Revision": "x"} {
		c.wantError(c.do("GET", "/api/changes", "", "Accept", "text/event-stream", header, bad), 400, header)
	}
	c.wantError(c.do("GET", "/api/changes", "", "Accept", "text/event-stream", "Last-Event-ID", "-1"), 400, "after: ")
	if a := c.do("HEAD", "/api/changes", "", "Accept", "text/event-stream"); a.status != 200 {
		t.Errorf("HEAD: got %d, want 200", a.status)
	}
}

func wantEvents(t *testing.T, next func() string, want ...string) {
	t.Helper()
	for _, event := range want {
		if got := next(); got != event {
			t.Fatalf("event: got %s, want %s", got, event)
		}
	}
}

// TestChangesStreamHasWhatAnotherProcessWrote opens the stream on one server and
// writes on another one.
func TestChangesStreamHasWhatAnotherProcessWrote(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "gatehouse.sqlite3")
	on := func(cfg *engine.Config, _ *server.Config) { cfg.Database = database }
	here, there := startService(t, on), startService(t, on)
	c := here.caller(t)
	c.post("/api/role/editor")
	_, next := c.events(t.Context(), here.URL, "/api/changes?after=1")
	elsewhere := there.caller(t)
	elsewhere.key = c.key
	for n, name := range []string{"a", "b", "c"} {
		elsewhere.post("/api/role/" + name)
		wantEvents(t, next, fmt.Sprintf(`event: change id: %d data: {"key":%q,"kind":"role","revision":%[1]d}`, n+2, name))
	}
}

func TestChangesStreamEndsWithTheServer(t *testing.T) {
	t.Parallel()
	var cfg server.Config
	s := startService(t, func(_ *engine.Config, serverCfg *server.Config) { cfg.Logger = serverCfg.Logger })
	cfg.Engine = s.engine
	h, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l) }()

	c := s.caller(t)
	c.post("/api/role/editor")
	_, next := c.events(t.Context(), "http://"+l.Addr().String(), "/api/changes")
	for !strings.Contains(next(), "id: 1 ") {
	}
	stop()
	if got := next(); got != io.EOF.Error() {
		t.Errorf("after the server was told to stop: got %q, want the end", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
}

func TestOneTenantCannotTakeEveryStream(t *testing.T) {
	t.Parallel()
	s := startService(t)
	greedy, other := s.caller(t), s.caller(t)
	greedy.post("/api/role/editor")
	other.post("/api/role/editor")
	const share = 32
	ctx, end := context.WithCancel(t.Context())
	defer end()
	for range share {
		if response, _ := greedy.events(ctx, s.URL, "/api/changes"); response.StatusCode != 200 {
			t.Fatalf("got %d, want %d streams of one tenant", response.StatusCode, share)
		}
	}
	if response, _ := greedy.events(ctx, s.URL, "/api/changes"); response.StatusCode != 503 {
		t.Errorf("one more: got %d, want 503", response.StatusCode)
	}
	if response, _ := other.events(ctx, s.URL, "/api/changes"); response.StatusCode != 200 {
		t.Errorf("another tenant's: got %d, want 200", response.StatusCode)
	}
}
