package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	state := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		name  string
		ctx   context.Context
		err   error
		code  fault.Code
		retry bool
		// unknown is whether as COMMIT's error it leaves the outcome open.
		unknown bool
	}{
		{name: "serialization failure", err: state("40001"), code: fault.CodeUnavailable, retry: true},
		{name: "deadlock", err: state("40P01"), code: fault.CodeUnavailable, retry: true},
		{name: "unique violation", err: state("23505"), code: fault.CodeInternal},
		{name: "foreign key violation", err: state("23503"), code: fault.CodeInternal},
		{name: "syntax error", err: state("42601"), code: fault.CodeInternal, unknown: true},
		{name: "server shuts down", err: state("57P01"), code: fault.CodeUnavailable, unknown: true},
		{name: "server starts", err: state("57P03"), code: fault.CodeUnavailable, unknown: true},
		{name: "too many connections", err: state("53300"), code: fault.CodeUnavailable, unknown: true},
		{name: "disk fails", err: state("58030"), code: fault.CodeUnavailable, unknown: true},
		{name: "connection failure", err: state("08006"), code: fault.CodeUnavailable, unknown: true},
		{name: "server became a replica", err: state("25006"), code: fault.CodeUnavailable, unknown: true},
		{name: "end of stream", err: io.ErrUnexpectedEOF, code: fault.CodeUnavailable, unknown: true},
		{name: "connection closed", err: pgconn.ErrConnClosed, code: fault.CodeUnavailable, unknown: true},
		{name: "connection reset", err: &net.OpError{Op: "read", Err: errors.New("reset")}, code: fault.CodeUnavailable, unknown: true},
		{name: "connection closed", err: closedConn{}, code: fault.CodeUnavailable, unknown: true},
		{name: "connection closed before", err: errors.Join(errRolledBack, closedConn{}), code: fault.CodeUnavailable},
		{name: "turned into a rollback", err: pgx.ErrTxCommitRollback, code: fault.CodeInternal},
		{name: "transaction over", err: sql.ErrTxDone, code: fault.CodeInternal},
		{name: "anything else", err: errors.New("else"), code: fault.CodeInternal, unknown: true},
		{name: "context ended", ctx: ended, err: io.EOF, code: fault.CodeInternal, unknown: true},
		{name: "context ended, serialization failure", ctx: ended, err: state("40001"), code: fault.CodeInternal},
	} {
		ctx := t.Context()
		if c.ctx != nil {
			ctx = c.ctx
		}
		got := classify(ctx, c.err, "test")
		if fault.CodeOf(got) != c.code || errors.Is(got, store.ErrRetry) != c.retry || !errors.Is(got, c.err) {
			t.Errorf("%s: got %v, code %v; want code %v, retry %v", c.name, got, fault.CodeOf(got), c.code, c.retry)
		}
		if errors.Is(got, context.Canceled) != (c.ctx != nil) {
			t.Errorf("%s: got %v, want the context's error: %v", c.name, got, c.ctx != nil)
		}

		got = classifyCommit(ctx, c.err)
		want := c.code
		if c.unknown {
			want = fault.CodeUnavailable
		}
		if fault.CodeOf(got) != want || errors.Is(got, store.ErrRetry) != c.retry || !errors.Is(got, c.err) {
			t.Errorf("%s in COMMIT: got %v, code %v; want code %v, retry %v", c.name, got, fault.CodeOf(got), want, c.retry)
		}
		if f, ok := errors.AsType[*fault.Error](got); (ok && f.Unknown) != c.unknown {
			t.Errorf("%s in COMMIT: got unknown %v, want %v", c.name, !c.unknown, c.unknown)
		}
	}
	if err := errors.Join(classify(ended, nil, "test"), classifyCommit(ended, nil)); err != nil {
		t.Errorf("got %v for no error", err)
	}
}

// closedConn is as pgx's error for a connection that is closed: when a statement is to be
// sent, and as well when its answer does not come.
type closedConn struct{}

func (closedConn) Error() string     { return "conn closed" }
func (closedConn) SafeToRetry() bool { return true }
func (closedConn) Unwrap() error     { return pgconn.ErrConnClosed }

// TestClassifySQLite makes the driver's errors, whose type cannot be made by hand.
func TestClassifySQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.sqlite3")
	open := func(dsn string) *sql.DB {
		db, err := openSQLitePool(dsn, 1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	exec := func(db *sql.DB, query string) error {
		_, err := db.ExecContext(t.Context(), query)
		return err
	}
	db := open(writerDSN(path))
	if err := exec(db, "CREATE TABLE t (id text NOT NULL PRIMARY KEY) STRICT"); err != nil {
		t.Fatal(err)
	}
	if err := exec(db, "INSERT INTO t VALUES ('a')"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	busy := exec(open(sqliteDSN(path, nil)), "INSERT INTO t VALUES ('b')")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	closed := open(writerDSN(path))
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name   string
		err    error
		code   fault.Code
		retry  bool
		unique bool
	}{
		{name: "busy", err: busy, code: fault.CodeUnavailable, retry: true},
		{name: "primary key", err: exec(db, "INSERT INTO t VALUES ('a')"), unique: true},
		{name: "null", err: exec(db, "INSERT INTO t VALUES (NULL)")},
		{name: "syntax", err: exec(db, "INSERT")},
		{name: "write by a reader", err: exec(open(readerDSN(path)), "INSERT INTO t VALUES ('b')")},
		{name: "missing folder", err: exec(open(writerDSN(filepath.Join(path, "x"))), "SELECT 1"), code: fault.CodeUnavailable},
		{name: "closed", err: exec(closed, "SELECT 1"), code: fault.CodeUnavailable},
	} {
		got := classify(t.Context(), c.err, "test")
		if c.err == nil || fault.CodeOf(got) != c.code || errors.Is(got, store.ErrRetry) != c.retry {
			t.Errorf("%s: got %v, code %v; want code %v, retry %v", c.name, got, fault.CodeOf(got), c.code, c.retry)
		}
		if isUniqueViolation(c.err) != c.unique {
			t.Errorf("%s: got unique violation %v, want %v", c.name, !c.unique, c.unique)
		}
	}
}

// A server that lets this process in no more, as with a password that was changed, is one
// that does not answer.
func TestRefusedLoginIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		server := pgproto3.NewBackend(conn, conn)
		if _, err := server.ReceiveStartupMessage(); err == nil {
			server.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01"})
			_ = server.Flush()
		}
	}()
	_, err = pgconn.Connect(t.Context(), "postgres://user@"+l.Addr().String()+"/db?sslmode=disable")
	if sqlState(err) != "28P01" {
		t.Fatalf("got %v, want the server's refusal", err)
	}
	if got := classify(t.Context(), err, "test"); fault.CodeOf(got) != fault.CodeUnavailable || errors.Is(got, errLost) {
		t.Errorf("got %v, want that the database does not answer", got)
	}
}
