package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

// patience is far longer than anything here takes, but for what does not happen.
const patience = 30 * time.Second

func TestWatchOnPostgreSQL(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	writer := open(t, sqlstore.Config{URL: database, AutoMigrate: true})
	calls := watch(t, open(t, sqlstore.Config{URL: database}))
	calls.await(t, "once it listens")

	write(t, writer, "first")
	calls.await(t, "after a write elsewhere")

	endListening(t, database)
	calls.await(t, "once it listens again, for what it has missed")
	write(t, writer, "second")
	calls.await(t, "after a write elsewhere, on the new connection")
}

// TestWatchIsNotToldOfItsOwnWrites has another process write last, so that there
// is something to wait for.
func TestWatchIsNotToldOfItsOwnWrites(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	watched := open(t, sqlstore.Config{URL: database, AutoMigrate: true})
	other := open(t, sqlstore.Config{URL: database})
	calls := watch(t, watched)
	calls.await(t, "once it listens")
	all := listen(t, database)
	var own string
	for n := range 5 {
		write(t, watched, fmt.Sprint("own", n))
		own = nextPayload(t, all)
	}
	write(t, other, "foreign")
	foreign := nextPayload(t, all)
	calls.await(t, "after a write elsewhere")
	if len(calls) > 0 {
		t.Errorf("got %d more calls, for writes of its own", len(calls))
	}
	if own == foreign || strings.Contains(own+foreign, "tenant") {
		t.Errorf("got payloads %q and %q, want one for each process that says nothing of the tenant", own, foreign)
	}
}

func TestManyWritesShareNotifications(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	writer := open(t, sqlstore.Config{URL: database, AutoMigrate: true})
	all := listen(t, database)
	const writes = 200
	began := time.Now()
	for n := range writes {
		write(t, writer, fmt.Sprint("role", n))
	}
	// One for every 10 ms, and one at either end.
	most := int(time.Since(began)/(10*time.Millisecond)) + 2
	execute(t, database, "NOTIFY gatehouse_changes, 'end'")
	got := 0
	for nextPayload(t, all) != "end" {
		got++
	}
	if got < 1 || got > most {
		t.Errorf("got %d notifications of %d writes, want 1 to %d", got, writes, most)
	}
}

func TestPoolOfOneConnectionCarriesBothWritesAndNotifications(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	open(t, sqlstore.Config{URL: database, AutoMigrate: true})
	all := listen(t, database)
	separator := "?"
	if strings.Contains(database, "?") {
		separator = "&"
	}
	s := open(t, sqlstore.Config{URL: database + separator + "pool_max_conns=1"})
	for n := range 50 {
		write(t, s, fmt.Sprint("role", n))
	}
	nextPayload(t, all)
	if got, err := storetest.Reader(s, "tenant").Revision(t.Context()); err != nil || got != 50 {
		t.Errorf("got revision %d, %v, want 50", got, err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]sqlstore.Config{
		"sqlite":     {URL: filepath.Join(t.TempDir(), "gatehouse.sqlite3")},
		"postgresql": {URL: pgtest.URL(t), AutoMigrate: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, config)
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Watch(ctx, func() {}) }()
			end()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
		})
	}
}

// called counts the calls that a Watch has made.
type called chan struct{}

// watch watches until the test ends.
func watch(t *testing.T, s *sqlstore.Store) called {
	t.Helper()
	calls := make(called, 1000)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Watch(ctx, func() { calls <- struct{}{} })
	}()
	t.Cleanup(func() { end(); <-ended })
	return calls
}

func (c called) await(t *testing.T, when string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("no call %s", when)
	}
}

func write(t *testing.T, s *sqlstore.Store, role string) {
	t.Helper()
	_, err := s.Update(t.Context(), "tenant", func(tx store.Tx) error { return createRole(t.Context(), tx, role) })
	if err != nil {
		t.Fatal(err)
	}
}

// listen hears what all processes tell each other.
func listen(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), "LISTEN gatehouse_changes"); err != nil {
		t.Fatal(err)
	}
	return conn
}

func nextPayload(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	notification, err := conn.WaitForNotification(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return notification.Payload
}

// endListening has the server end the sessions that listen on a database.
func endListening(t *testing.T, database string) {
	t.Helper()
	execute(t, database, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN %'`)
}
