package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// tried is an attempt at a request.
func tried(request string) engine.Attempt {
	return engine.Attempt{Key: "key", Credential: "credential", Request: []byte(request)}
}

// addRole makes a role and answers with the revision.
func addRole(ctx context.Context, role string) func(*engine.Tenant) ([]byte, error) {
	return func(within *engine.Tenant) ([]byte, error) {
		written, err := within.AddRole(ctx, role, authz.RoleOptions{})
		return fmt.Appendf(nil, "%v at %d", written.Changed, written.Revision), err
	}
}

// wantOnce checks what an attempt is answered.
func wantOnce(t *testing.T, tenant *engine.Tenant, attempt engine.Attempt, fn func(*engine.Tenant) ([]byte, error), want string, wantReplayed bool) {
	t.Helper()
	answer, replayed, err := tenant.Once(t.Context(), attempt, fn)
	if err != nil || string(answer) != want || replayed != wantReplayed {
		t.Errorf("got %q, replayed %v, error %v (%v); want %q, %v", answer, replayed, err, errors.Unwrap(err), want, wantReplayed)
	}
}

func wantRoles(t *testing.T, tenant *engine.Tenant, want ...string) {
	t.Helper()
	roles, err := tenant.Roles(t.Context(), authz.Page{})
	if err != nil || len(roles.Items) != len(want) {
		t.Fatalf("got roles %+v, error %v; want %v", roles.Items, err, want)
	}
	for i, role := range roles.Items {
		if role.Name != want[i] {
			t.Errorf("got role %q, want %q", role.Name, want[i])
		}
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, e *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 1", false)
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 1", true)
		if _, err := tenant.DeleteRole(ctx, "editor"); err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 1", true)
		wantRoles(t, tenant)
		// The key is the caller's own, and the tenant's.
		wantOnce(t, tenant.As(engine.Actor{Fingerprint: "other"}), tried("add"), addRole(ctx, "editor"), "true at 3", false)
		wantOnce(t, e.Tenant(uuid.NewString()), tried("add"), addRole(ctx, "editor"), "true at 1", false)
		events, err := tenant.AuditEvents(ctx, engine.AuditFilter{Action: "ROLE_CREATED"}, authz.Page{})
		if err != nil || len(events.Items) != 2 {
			t.Errorf("got events %+v, error %v; want 2, none of a replay", events.Items, err)
		}
	})
}

func TestOnceRefuses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 1", false)
		other := tried("add")
		other.Credential = "the next access token"
		for name, attempt := range map[string]engine.Attempt{"another request": tried("add another"), "another credential": other} {
			if _, _, err := tenant.Once(ctx, attempt, addRole(ctx, "author")); !errors.Is(err, engine.ErrConflict) {
				t.Errorf("%s: got error %v, want a conflict", name, err)
			}
		}
		_, _, err := tenant.Once(ctx, engine.Attempt{Key: "outer"}, func(within *engine.Tenant) ([]byte, error) {
			return nil, get(within.Once(ctx, engine.Attempt{Key: "inner"}, addRole(ctx, "author")))
		})
		if !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("within another: got error %v, want ErrInvalid", err)
		}
		wantRoles(t, tenant, "editor")
	})
}

// get keeps an error alone.
func get(_ []byte, _ bool, err error) error { return err }

// TestOnceKeepsOnlySuccess has a request fail and then succeed.
func TestOnceKeepsOnlySuccess(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		grant := func(within *engine.Tenant) ([]byte, error) {
			_, err := within.AddPermission(ctx, "editor", "edit")
			return []byte("granted"), err
		}
		if _, _, err := tenant.Once(ctx, tried("grant"), grant); !errors.Is(err, engine.ErrNotFound) {
			t.Fatalf("got error %v, want that there is no role", err)
		}
		if _, err := tenant.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, tried("grant"), grant, "granted", false)
	})
}

// TestOnceWithoutChange keeps an answer that nothing was changed for: what has become
// of the thing since does not matter.
func TestOnceWithoutChange(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, e *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		if _, err := tenant.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "false at 1", false)
		if _, err := tenant.DeleteRole(ctx, "editor"); err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "false at 1", true)
		wantRoles(t, tenant)

		// Nor does it make a tenant.
		empty := e.Tenant(uuid.NewString())
		remove := func(within *engine.Tenant) ([]byte, error) {
			written, err := within.DeleteRole(ctx, "editor")
			return fmt.Appendf(nil, "%v at %d", written.Changed, written.Revision), err
		}
		wantOnce(t, empty, tried("remove"), remove, "false at 0", false)
		wantOnce(t, empty, tried("remove"), remove, "false at 0", true)
		if _, _, err := e.CreateClientKey(ctx, engine.ClientKeyOptions{Tenant: empty.ID()}); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("got error %v, want that there is no such tenant", err)
		}
	})
}

func TestOnceWithBatch(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		batch := func(fn func(context.Context, *engine.Tenant) error) func(*engine.Tenant) ([]byte, error) {
			return func(within *engine.Tenant) ([]byte, error) {
				written, err := within.Batch(ctx, func(inner *engine.Tenant) error { return fn(ctx, inner) })
				return fmt.Appendf(nil, "%v at %d", written.Changed, written.Revision), err
			}
		}
		broken := batch(func(ctx context.Context, inner *engine.Tenant) error {
			if err := newsroom(ctx, inner); err != nil {
				return err
			}
			return errAbandoned
		})
		if _, _, err := tenant.Once(ctx, tried("batch"), broken); !errors.Is(err, errAbandoned) {
			t.Fatalf("got error %v, want %v", err, errAbandoned)
		}
		wantRoles(t, tenant)
		wantOnce(t, tenant, tried("batch"), batch(newsroom), "true at 1", false)
		wantOnce(t, tenant, tried("batch"), batch(newsroom), "true at 1", true)
		again := tried("batch")
		again.Key = "another"
		wantOnce(t, tenant, again, batch(newsroom), "false at 1", false)
		if decision, err := tenant.UserHasPermission(ctx, "alice", "edit"); err != nil || !decision.Allowed {
			t.Errorf("got %+v, error %v; want what the batch has granted", decision, err)
		}
	})
}

var errAbandoned = errors.New("abandoned")

func TestOnceInParallel(t *testing.T) {
	t.Parallel()
	const callers = 50
	onEachDatabase(t, func(t *testing.T, database string) {
		config := engine.Config{Database: database}
		tenants := nodes(t, config, config)
		ctx := t.Context()
		for name, c := range map[string]struct {
			sessions bool
			fn       func(*engine.Tenant) ([]byte, error)
		}{
			"policy": {false, addRole(ctx, "editor")},
			"sessions": {true, func(within *engine.Tenant) ([]byte, error) {
				issued, err := within.CreateSession(ctx, authz.NewSession{User: "alice", IP: home, UserAgent: browser})
				return []byte(issued.Token), err
			}},
		} {
			var group sync.WaitGroup
			var first atomic.Int64
			answers := make([][]byte, callers)
			for i := range callers {
				group.Go(func() {
					attempt := engine.Attempt{Key: name, Credential: "credential", Request: []byte(name), Sessions: c.sessions}
					answer, replayed, err := tenants[i%len(tenants)].Once(ctx, attempt, c.fn)
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if !replayed {
						first.Add(1)
					}
					answers[i] = answer
				})
			}
			group.Wait()
			if first.Load() != 1 {
				t.Errorf("%s: %d were answered as the first, want 1", name, first.Load())
			}
			for _, answer := range answers {
				if !bytes.Equal(answer, answers[0]) {
					t.Errorf("%s: got answers %q and %q, want the same", name, answer, answers[0])
				}
			}
		}
		roles, err := tenants[0].Roles(ctx, authz.Page{})
		if err != nil || roles.Revision != 1 {
			t.Errorf("got revision %d, error %v; want 1", roles.Revision, err)
		}
		sessions, err := tenants[0].Sessions(ctx, "alice", true, authz.Page{})
		if err != nil || len(sessions.Items) != 1 {
			t.Errorf("got %d sessions, error %v; want 1", len(sessions.Items), err)
		}
	})
}

func TestOnceWithSessions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		attempt := tried("sign in")
		attempt.Sessions = true
		var id string
		answer, _, err := tenant.Once(ctx, attempt, func(within *engine.Tenant) ([]byte, error) {
			issued, err := within.CreateSession(ctx, authz.NewSession{User: "alice", IP: home, UserAgent: browser})
			id = issued.Session.ID
			return []byte(issued.Token), err
		})
		if err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, attempt, nil, string(answer), true)
		if _, err := tenant.RotateSession(ctx, from(home, string(answer))); err != nil {
			t.Errorf("the token is not taken: %v", err)
		}

		for _, want := range []string{"true", "false"} {
			attempt.Key = "end " + want
			end := func(within *engine.Tenant) ([]byte, error) {
				ended, err := within.EndSession(ctx, id)
				return fmt.Append(nil, ended), err
			}
			wantOnce(t, tenant, attempt, end, want, false)
			wantOnce(t, tenant, attempt, end, want, true)
		}
		attempt.Key = "end all"
		wantOnce(t, tenant, attempt, func(within *engine.Tenant) ([]byte, error) {
			n, err := within.EndSessions(ctx, "bob", "")
			return fmt.Append(nil, n), err
		}, "0", false)
		attempt.Key = "rotate"
		_, _, err = tenant.Once(ctx, attempt, func(within *engine.Tenant) ([]byte, error) {
			_, err := within.RotateSession(ctx, from(home, string(answer)))
			return nil, err
		})
		if !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("rotation: got error %v, want ErrInvalid", err)
		}
	})
}

// TestOnceExpires has an answer kept for a day, and not longer.
func TestOnceExpires(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
		e := openEngine(t, engine.Config{Database: database, AutoMigrate: true}.WithSessionTime(
			func(time.Time) time.Time { return clock.Now() }))
		tenant, ctx := e.Tenant("tenant"), t.Context()
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 1", false)
		clock.Advance(24*time.Hour - time.Microsecond)
		if err := e.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 1", true)
		clock.Advance(time.Microsecond)
		wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "false at 1", false)
		clock.Advance(24 * time.Hour)
		if err := e.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		wantOnce(t, tenant, tried("another"), addRole(ctx, "editor"), "false at 1", false)
	})
}

// TestOnceTakesNoChangedAnswer has somebody with the database in hand change what is kept.
func TestOnceTakesNoChangedAnswer(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		x := newTampering(t, database)
		ctx := t.Context()
		wantOnce(t, x.tenant, tried("add"), addRole(ctx, "editor"), "true at 1", false)
		x.exec(t, "UPDATE receipts SET sealed = substr(sealed, 1, length(sealed) - 2) || 'AA'")
		_, _, err := x.tenant.Once(ctx, tried("add"), addRole(ctx, "author"))
		if !errors.Is(err, engine.ErrConflict) || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("got error %v, want a conflict that says that the answer cannot be read", err)
		}
		wantRoles(t, x.tenant, "editor")
	})
}

// TestOnceSettlesLostCommit loses a COMMIT on its way to the database, or its answer. No
// audit log is written, whose sequencer would have commits of its own.
func TestOnceSettlesLostCommit(t *testing.T) {
	t.Parallel()
	for name, reaches := range map[string]bool{"the commit is lost": false, "its answer is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			line := newLine(t, pgtest.URL(t), reaches)
			tenant := openEngine(t, engine.Config{Database: line.url, AutoMigrate: true, DisableAudit: true}).Tenant("tenant")
			if _, err := tenant.AddRole(ctx, "first", authz.RoleOptions{}); err != nil {
				t.Fatal(err)
			}
			line.cuts.Store(1)
			wantOnce(t, tenant, tried("add"), addRole(ctx, "editor"), "true at 2", false)
			wantRoles(t, tenant, "editor", "first")

			line.cuts.Store(1)
			attempt := tried("sign in")
			attempt.Key, attempt.Sessions = "session", true
			wantOnce(t, tenant, attempt, func(within *engine.Tenant) ([]byte, error) {
				_, err := within.CreateSession(ctx, authz.NewSession{User: "alice", IP: home, UserAgent: browser})
				return []byte("in"), err
			}, "in", false)
			sessions, err := tenant.Sessions(ctx, "alice", true, authz.Page{})
			if err != nil || len(sessions.Items) != 1 {
				t.Errorf("got %d sessions, error %v; want 1", len(sessions.Items), err)
			}

			// Without a key nobody may try again.
			line.cuts.Store(1)
			if _, err := tenant.AddRole(ctx, "third", authz.RoleOptions{}); !errors.Is(err, engine.ErrUnavailable) {
				t.Errorf("without a key: got error %v, want ErrUnavailable", err)
			}
		})
	}
}

// line is a way to a PostgreSQL server that cuts a connection at its COMMIT.
type line struct {
	url string
	// cuts is how many are still to be cut.
	cuts atomic.Int64
	// reaches tells that the COMMIT reaches the server, and its answer gets lost.
	reaches bool
}

func newLine(t *testing.T, database string, reaches bool) *line {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	u.Host = listener.Addr().String()
	l := &line{url: u.String(), reaches: reaches}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(client, server)
		}
	}()
	return l
}

// carry carries one connection until either side ends it, or it is cut.
func (l *line) carry(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	upstream, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = upstream.Close() }()
	var cut atomic.Bool
	go func() {
		defer func() { _ = client.Close() }()
		buffer := make([]byte, 1<<16)
		for {
			n, err := upstream.Read(buffer)
			if err != nil || cut.Load() {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:n], []byte("commit\x00")) && l.cuts.Add(-1) >= 0 {
			if !l.reaches {
				return
			}
			cut.Store(true)
		}
		if _, err := upstream.Write(buffer[:n]); err != nil {
			return
		}
	}
}
