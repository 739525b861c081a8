package integration_test

import (
	"errors"
	"io"
	"net"
	"net/url"
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

// wire passes connections on to a database until it is cut.
type wire struct {
	url    string
	target string

	mu    sync.Mutex
	isCut bool
	ends  []net.Conn
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
			_, _ = io.Copy(way[0], way[1])
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

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}
