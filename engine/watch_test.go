package engine_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

const (
	// never is a time between polls that no test lives to see.
	never = time.Hour
	// patience is far longer than anything here takes, but for what does not happen.
	patience = 30 * time.Second
)

func TestWriteIsSeenElsewhereWithoutAPoll(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	writer := openEngine(t, engine.Config{Database: database, AutoMigrate: true}.WithPollEvery(never)).Tenant("tenant")
	reader := openEngine(t, engine.Config{Database: database}.WithPollEvery(never)).Tenant("tenant")
	awaitSeen(t, writer, reader, "first")
	awaitSeen(t, writer, reader, "second")
}

func TestListeningGoesOnAfterItsConnectionIsLost(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	writer := openEngine(t, engine.Config{Database: database, AutoMigrate: true}.WithPollEvery(never)).Tenant("tenant")
	reader := openEngine(t, engine.Config{Database: database}.WithPollEvery(never)).Tenant("tenant")
	awaitSeen(t, writer, reader, "before")
	for _, role := range []string{"between", "after"} {
		endListening(t, database)
		awaitSeen(t, writer, reader, role)
	}
}

func TestPollFindsWhatAPoolerDidNotPassOn(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	writer := openEngine(t, engine.Config{Database: database, AutoMigrate: true}.WithPollEvery(never)).Tenant("tenant")
	pooler := startPooler(t, database)
	reader := openEngine(t, engine.Config{Database: pooler.url}.WithPollEvery(50*time.Millisecond)).Tenant("tenant")
	awaitSeen(t, writer, reader, "editor")
	eventually(t, "a notification to eat", func() bool { return pooler.eaten.Load() > 0 })
}

// TestCloseEndsAllThatTheEngineStarted looks at every goroutine there is, so no
// test runs beside it.
func TestCloseEndsAllThatTheEngineStarted(t *testing.T) {
	database := pgtest.URL(t)
	for _, config := range []engine.Config{
		{Database: database, AutoMigrate: true},
		{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")},
	} {
		e, err := engine.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Tenant("tenant").AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"sqlstore.", "live.", "pgxpool."} {
			eventually(t, "the end of every goroutine in "+part, func() bool { return !strings.Contains(goroutines(), part) })
		}
	}
}

func goroutines() string {
	dump := make([]byte, 8<<20)
	return string(dump[:runtime.Stack(dump, true)])
}

func openEngine(t *testing.T, config engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// awaitSeen has one engine give alice a role that another must come to know of,
// which held before that she had none, and asked for no revision.
func awaitSeen(t *testing.T, writer, reader *engine.Tenant, role string) {
	t.Helper()
	held := func() bool {
		t.Helper()
		got, err := reader.HasMembership(t.Context(), "alice", role)
		if err != nil {
			t.Fatal(err)
		}
		return got.Allowed
	}
	if held() {
		t.Fatalf("alice holds %s before she was given it", role)
	}
	if _, err := writer.AddRole(t.Context(), role, authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.AddMembership(t.Context(), "alice", role, authz.Window{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other engine to see the membership", held)
}

// eventually asks again and again until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// endListening has the server end the sessions that listen on a database.
func endListening(t *testing.T, database string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	tag, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN %'`)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("got %d sessions that listen, %v, want some", tag.RowsAffected(), err)
	}
}

// pooler stands before PostgreSQL and passes everything on but notifications.
type pooler struct {
	url   string
	eaten atomic.Int64
}

func startPooler(t *testing.T, database string) *pooler {
	t.Helper()
	target, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	through := *target
	through.Host = listener.Addr().String()
	p := &pooler{url: through.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client, target.Host)
		}
	}()
	return p
}

// serve passes a connection on until either side ends it.
func (p *pooler) serve(client net.Conn, address string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	// A message is its type, its length with that of the length itself, and the rest.
	const notification, header = 'A', 5
	message := make([]byte, header)
	for {
		if _, err := io.ReadFull(server, message[:header]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(message[1:header])) + 1
		message = append(message[:header], make([]byte, size-header)...)
		if _, err := io.ReadFull(server, message[header:]); err != nil {
			return
		}
		if message[0] == notification {
			p.eaten.Add(1)
			continue
		}
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}
