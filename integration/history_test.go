package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	// historyTime is how long each history is written.
	historyTime = 4 * time.Second
	// staleBound is how old an answer may be that asks for no revision.
	staleBound = 5 * time.Second
)

// TestHistoryOfTwoServers has writers give and take a role while readers ask, and
// then holds every answer against the history: it is what was true at the revision
// that it carries, and that revision is no older than it may be.
func TestHistoryOfTwoServers(t *testing.T) {
	t.Parallel()
	i := servertest.Install(t, pgtest.URL(t))
	i.Must("migrate")
	servers := []*process{i.Serve(), i.Serve()}
	for name, at := range map[string]struct{ write, askLeast []*process }{
		"both_servers_write":                          {servers, servers},
		"one_server_writes":                           {servers[:1], servers},
		"one_server_writes_and_the_other_hears_of_it": {servers[:1], nil}, // so that it learns of changes by itself
	} {
		t.Run(name, func(t *testing.T) {
			h := &history{t: t, key: uuid.NewString(), writes: map[string][]acknowledged{}}
			c := client(t, servers[0], h.key)
			if _, err := c.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.AddPermission(t.Context(), "editor", "edit"); err != nil {
				t.Fatal(err)
			}
			end := time.Now().Add(historyTime)
			var working sync.WaitGroup
			for n := range 3 {
				working.Go(func() { h.write(fmt.Sprint("user-", n), oneConnection(t, at.write[n%len(at.write)], h.key), end) })
			}
			for _, server := range servers {
				working.Go(func() { h.read(false, oneConnection(t, server, h.key), end) })
			}
			for _, server := range at.askLeast {
				working.Go(func() { h.read(true, oneConnection(t, server, h.key), end) })
			}
			working.Wait()
			h.check()
		})
	}
}

// history is what was written and read of one tenant.
type history struct {
	t   *testing.T
	key string

	mu     sync.Mutex
	writes map[string][]acknowledged // by user, in order
	acked  []acknowledged            // of all users, in the order of the answers
	reads  []reading
}

// acknowledged is a change that was answered.
type acknowledged struct {
	revision int64
	holds    bool
	answered time.Time
}

// reading is an answer to whether a user may edit.
type reading struct {
	user     string
	allowed  bool
	revision int64
	// least is the revision that was asked for; 0 where none was.
	least int64
	began time.Time
}

// oneConnection calls a server over a connection of its own.
func oneConnection(t *testing.T, server *process, key string) *sdk.Client {
	transport := &http.Transport{MaxConnsPerHost: 1}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := sdk.New(server.URL, key, sdk.WithRetry(sdk.Retry{Tries: 1}), sdk.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// write gives a user the role and takes it, again and again.
func (h *history) write(user string, c *sdk.Client, end time.Time) {
	for holds := true; time.Now().Before(end); holds = !holds {
		change := c.DeleteMembership
		if holds {
			change = func(ctx context.Context, user, role string) (authz.Written, error) {
				return c.AddMembership(ctx, user, role, authz.Window{})
			}
		}
		written, err := change(h.t.Context(), user, "editor")
		if err != nil {
			h.t.Errorf("write: %v", err)
			return
		}
		h.mu.Lock()
		w := acknowledged{written.Revision, holds, time.Now()}
		h.writes[user] = append(h.writes[user], w)
		h.acked = append(h.acked, w)
		h.mu.Unlock()
	}
}

// read asks about random users, where told to with the revision of the last write
// that was answered to anybody.
func (h *history) read(least bool, c *sdk.Client, end time.Time) {
	var last int64
	for time.Now().Before(end) {
		r := reading{user: fmt.Sprint("user-", rand.IntN(3))}
		asked := c
		if least {
			h.mu.Lock()
			if n := len(h.acked); n > 0 {
				r.least = h.acked[n-1].revision
			}
			h.mu.Unlock()
			asked = c.AtLeast(r.least)
		}
		r.began = time.Now()
		got, err := asked.UserHasPermission(h.t.Context(), r.user, "edit")
		if err != nil {
			h.t.Errorf("read with least revision %d: %v", r.least, err)
			return
		}
		if got.Revision < last {
			h.t.Errorf("one connection to one server: got revision %d after %d", got.Revision, last)
		}
		last = got.Revision
		r.allowed, r.revision = got.Allowed, got.Revision
		h.mu.Lock()
		h.reads = append(h.reads, r)
		h.mu.Unlock()
	}
}

// check holds the readings against the writes.
func (h *history) check() {
	h.t.Helper()
	var delays []time.Duration
	for _, r := range h.reads {
		if want := h.heldAt(r.user, r.revision); r.allowed != want {
			h.t.Errorf("%s at revision %d: got %t, want %t", r.user, r.revision, r.allowed, want)
		}
		if r.revision < r.least {
			h.t.Errorf("got revision %d, want %d or later", r.revision, r.least)
		}
		if r.least > 0 {
			continue
		}
		delay := h.delay(r)
		if delay > staleBound {
			h.t.Errorf("revision %d was %s old, want at most %s", r.revision, delay, staleBound)
		}
		delays = append(delays, delay)
	}
	if len(h.acked) == 0 || len(delays) == 0 {
		h.t.Fatalf("got %d writes and %d readings without a revision, want some", len(h.acked), len(delays))
	}
	slices.Sort(delays)
	h.t.Logf("%d writes, %d readings; without a revision: p50 %s, p99 %s, at most %s behind",
		len(h.acked), len(h.reads), delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1])
}

// heldAt tells whether a user held the role at a revision.
func (h *history) heldAt(user string, revision int64) bool {
	holds := false
	for _, w := range h.writes[user] {
		if w.revision <= revision {
			holds = w.holds
		}
	}
	return holds
}

// delay is for how long, when a reading began, a write that it does not show had
// been answered.
func (h *history) delay(r reading) time.Duration {
	for _, w := range h.acked {
		if w.revision > r.revision {
			return max(0, r.began.Sub(w.answered))
		}
	}
	return 0
}
