package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// operations are one of each way to the database.
var operations = map[string]func(ctx context.Context, s *sqlstore.Store, n int) error{
	"view": func(ctx context.Context, s *sqlstore.Store, _ int) error {
		return s.View(ctx, "tenant", func(r store.Reader) error {
			_, err := r.Roles(ctx, "", 10)
			return err
		})
	},
	"update": func(ctx context.Context, s *sqlstore.Store, n int) error {
		_, err := s.Update(ctx, "tenant", func(tx store.Tx) error { return createRole(ctx, tx, fmt.Sprint("role", n)) })
		return err
	},
	"read": func(ctx context.Context, s *sqlstore.Store, _ int) error {
		_, err := s.Revisions(ctx, []string{"tenant"})
		return err
	},
	"swap": func(ctx context.Context, s *sqlstore.Store, n int) error {
		_, err := s.TakeLease(ctx, fmt.Sprint("lease", n), "holder", time.Now(), time.Second)
		return err
	},
	"ping": func(ctx context.Context, s *sqlstore.Store, _ int) error { return s.Ping(ctx) },
}

var errNothing = errors.New("nothing changed")

// operate runs all operations many times at once, and returns what failed.
func operate(ctx context.Context, s *sqlstore.Store, from int) error {
	const callers = 8
	var failures []error
	var mu sync.Mutex
	var running sync.WaitGroup
	for name, operation := range operations {
		for n := range callers {
			running.Go(func() {
				if err := operation(ctx, s, from+n); err != nil {
					mu.Lock()
					defer mu.Unlock()
					failures = append(failures, fmt.Errorf("%s: %w (%w)", name, err, errors.Unwrap(err)))
				}
			})
		}
	}
	running.Wait()
	return errors.Join(failures...)
}

// Connections that the server has ended, as at a restart, become nobody's error.
func TestEndedConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.URL(t)
	s := open(t, sqlstore.Config{URL: url, AutoMigrate: true})
	for round := range 3 {
		if err := operate(ctx, s, 100*round); err != nil {
			t.Fatalf("before: %v", err)
		}
		endConnections(t, url)
		if err := operate(ctx, s, 100*round+50); err != nil {
			t.Errorf("round %d: after all connections were ended: %v", round, err)
		}
	}
	if got := s.Databases()[0]; got.Breaker != 0 || got.Opened != 0 {
		t.Errorf("got %+v, want a breaker that never opened", got)
	}
}

// endConnections ends all connections to a database, and waits until they have ended.
func endConnections(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnAnswerThatIsLostIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := pgtest.URL(t)
	s := open(t, sqlstore.Config{URL: url, AutoMigrate: true})
	execute(t, url, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON leases DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()`)
	_, err := s.TakeLease(ctx, "lease", "holder", time.Now(), time.Minute)
	var failure *fault.Error
	if !errors.As(err, &failure) || !failure.Unknown || failure.Code != fault.CodeUnavailable {
		t.Errorf("got %v, want an unknown outcome", err)
	}
}

// A database that is cut off, or hears and says nothing more, is found out, and is in
// service again soon after it is back.
func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*line){"cut": (*line).cut, "silent": (*line).stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			line := newLine(t, pgtest.URL(t))
			s := open(t, sqlstore.Config{URL: line.url, AutoMigrate: true})
			if err := operate(ctx, s, 0); err != nil {
				t.Fatal(err)
			}

			fail(line)
			for s.Databases()[0].Breaker != 2 {
				bounded, cancel := context.WithTimeout(ctx, 3*time.Second)
				for name, operation := range operations {
					if err := operation(bounded, s, 100); fault.CodeOf(err) != fault.CodeUnavailable {
						t.Fatalf("%s: got %v, want the database unavailable", name, err)
					}
				}
				cancel()
			}
			began := time.Now()
			if err := s.Ping(ctx); fault.CodeOf(err) != fault.CodeUnavailable {
				t.Errorf("got %v, want the database unavailable", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v to say so", took)
			}

			line.mend()
			began = time.Now()
			for operate(ctx, s, 200) != nil {
				if took := time.Since(began); took > 30*time.Second {
					t.Fatalf("not in service after %v: %+v", took, s.Stats())
				}
			}
			t.Logf("in full service %v after it was back: %+v", time.Since(began), s.Stats())
		})
	}
}

func TestExhaustedPoolIsNoOutage(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, sqlstore.Config{URL: with(t, pgtest.URL(t), "pool_max_conns", "1"), AutoMigrate: true})
	var failures []error
	_, err := s.Update(ctx, "tenant", func(store.Tx) error {
		for range 7 {
			failures = append(failures, s.Ping(ctx))
		}
		return errNothing
	})
	if !errors.Is(err, errNothing) {
		t.Fatal(err)
	}
	for _, err := range failures {
		if fault.CodeOf(err) != fault.CodeUnavailable || !strings.Contains(err.Error(), "in use") {
			t.Fatalf("got %v, want that all connections are in use", err)
		}
	}
	if got := s.Databases()[0]; got.Opened != 0 {
		t.Errorf("got %+v, want a breaker that never opened", got)
	}
	if err := s.Ping(ctx); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSeveralHosts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	u, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	several := strings.Replace(u.String(), u.Host, gone.Addr().String()+","+u.Host, 1) + "&target_session_attrs=read-write"
	if _, _, err := sqlstore.Migrate(ctx, several); err != nil {
		t.Fatal(err)
	}
	s := open(t, sqlstore.Config{URL: several, ListenURL: several})
	if err := operate(ctx, s, 0); err != nil {
		t.Error(err)
	}
}

// with sets a parameter of a URL.
func with(t *testing.T, raw, name, value string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// line leads to a database, until it is cut or swallows what is sent.
type line struct {
	url, target string

	mu              sync.Mutex
	isCut, isSilent bool
	ends            []net.Conn
}

func newLine(t *testing.T, database string) *line {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{target: u.Host}
	u.Host = listener.Addr().String()
	l.url = u.String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		l.cut()
		running.Wait()
	})
	return l
}

func (l *line) pass(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !l.keep(client, server) {
		return
	}
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], swallowing{way[1], l})
			_ = way[0].Close()
		})
	}
	copying.Wait()
}

// swallowing reads nothing of what comes while the line is silent.
type swallowing struct {
	net.Conn
	line *line
}

func (s swallowing) Read(into []byte) (int, error) {
	for {
		n, err := s.Conn.Read(into)
		if err != nil || !s.line.swallows() {
			return n, err
		}
	}
}

func (l *line) swallows() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isSilent
}

func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, conns...)
	return !l.isCut
}

// cut ends every connection, and each new one at once.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for _, conn := range l.ends {
		_ = conn.Close()
	}
}

// stall lets connections be, and takes away what is sent on them.
func (l *line) stall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isSilent = true
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut, l.isSilent = false, false
}
