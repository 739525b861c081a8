package wire_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/integration/faults/wire"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// line is a wire to a database with a table, and the database itself.
type line struct {
	t    *testing.T
	wire *wire.Wire
	url  string
	past *pgx.Conn
}

func newLine(t *testing.T) line {
	t.Helper()
	database := pgtest.URL(t)
	at, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wire.Start(at.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	l := line{t: t, wire: w, past: connect(t, database)}
	if l.url, err = w.URL(database); err != nil {
		t.Fatal(err)
	}
	if _, err := l.past.Exec(t.Context(), "CREATE TABLE notes (id bigint PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	return l
}

func connect(t *testing.T, database string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// insert writes a row in a transaction.
func insert(ctx context.Context, conn *pgx.Conn, id int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO notes VALUES ($1)", id)
		return err
	})
}

func (l line) wantRows(want int) {
	l.t.Helper()
	var got int
	if err := l.past.QueryRow(l.t.Context(), "SELECT count(*) FROM notes").Scan(&got); err != nil || got != want {
		l.t.Errorf("rows: got %d, %v, want %d", got, err, want)
	}
}

func TestCutCommits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		moment wire.Moment
		rows   int
	}{
		"before the commit nothing is kept": {wire.BeforeCommit, 0},
		"after the commit all is kept":      {wire.AfterCommit, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t)
			l.wire.CutCommits(c.moment, 1)
			if err := insert(t.Context(), connect(t, l.url), 1); err == nil {
				t.Error("got an answer to a commit that was cut")
			}
			if got := l.wire.CommitsCut(); got != 1 {
				t.Errorf("commits that were cut: got %d, want 1", got)
			}
			l.wantRows(c.rows)
			if err := insert(t.Context(), connect(t, l.url), 2); err != nil {
				t.Errorf("the commit after: %v", err)
			}
			l.wantRows(c.rows + 1)
		})
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	conn := connect(t, l.url)
	l.wire.Cut()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection goes on over a wire that is cut")
	}
	if _, err := pgx.Connect(t.Context(), l.url); err == nil {
		t.Error("a connection was made over a wire that is cut")
	}
	l.wire.Mend()
	if err := connect(t, l.url).Ping(t.Context()); err != nil {
		t.Errorf("mended: %v", err)
	}
}

func TestSilenceKeepsWhatComesUntilItIsMended(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	conn := connect(t, l.url)
	l.wire.Silence()
	done := make(chan error)
	go func() { done <- insert(context.Background(), conn, 1) }()
	select {
	case err := <-done:
		t.Fatalf("got an answer in silence: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	l.wantRows(0)
	l.wire.Mend()
	if err := <-done; err != nil {
		t.Errorf("mended: %v", err)
	}
	l.wantRows(1)
}

func TestDelay(t *testing.T) {
	t.Parallel()
	l := newLine(t)
	conn := connect(t, l.url)
	const delay = 200 * time.Millisecond
	l.wire.Delay(delay)
	began := time.Now()
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := time.Since(began); got < delay {
		t.Errorf("an answer came after %v, want %v and more", got, delay)
	}
}

// What a server says before it closes a connection must not be lost.
func TestLastWordsArrive(t *testing.T) {
	t.Parallel()
	const words = "there are too many connections"
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		if conn, err := server.Accept(); err == nil {
			_, _ = io.WriteString(conn, words)
			_ = conn.Close()
		}
	}()
	w, err := wire.Start(server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	conn, err := net.Dial("tcp", w.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); string(got) != words || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v, want %q", got, err, words)
	}
}
