package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	urlVariable   = "GATEHOUSE_TEST_POSTGRES_URL"
	imageVariable = "GATEHOUSE_TEST_POSTGRES_IMAGE"
	defaultImage  = "postgres:17-alpine"

	connectTimeout = 5 * time.Second
	readyTimeout   = time.Minute
	readyPoll      = 50 * time.Millisecond
)

// Settings of a server that is started here. Both give room to tests that run in
// parallel.
var (
	// forgetful is fast. Never use it for data that matters.
	forgetful = []string{"-c", "max_connections=300", "-c", "fsync=off", "-c", "full_page_writes=off"}
	// durable has PostgreSQL's own defaults, which Docker's module overrides.
	durable = []string{"-c", "max_connections=300", "-c", "fsync=on", "-c", "full_page_writes=on"}
)

// Server is a PostgreSQL server for tests.
type Server struct {
	// admin is the URL of a database that is there, for creating others.
	admin *url.URL
	// ended is closed when a server that this process started has ended; nil where
	// that cannot be known.
	ended <-chan struct{}
	stop  func() error
	once  sync.Once
}

// Start finds or starts a server and says on standard error, in one line, which.
// A server that it starts would lose data with the machine's power.
func Start(ctx context.Context) (*Server, error) { return start(ctx, forgetful) }

// StartDurable is Start for measurements: a server that it starts keeps what it has
// confirmed, as one in production does.
func StartDurable(ctx context.Context) (*Server, error) { return start(ctx, durable) }

func start(ctx context.Context, settings []string) (*Server, error) {
	if raw := os.Getenv(urlVariable); raw != "" {
		admin, err := url.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("pgtest: %s is not a URL", urlVariable)
		}
		version, err := serverVersion(ctx, admin)
		if err != nil {
			return nil, fmt.Errorf("pgtest: the server that %s names does not answer: %s", urlVariable, oneLine(err))
		}
		announce(version, urlVariable, nil)
		return &Server{admin: admin, stop: func() error { return nil }}, nil
	}

	var reasons []string
	for _, source := range []struct {
		name  string
		start func(ctx context.Context, settings []string) (server *Server, from string, err error)
	}{
		{"Docker", startContainer},
		{"programs", startPrograms},
	} {
		server, from, err := source.start(ctx, settings)
		if err != nil {
			reasons = append(reasons, source.name+": "+oneLine(err))
			continue
		}
		version, err := server.waitUntilReady(ctx)
		if err != nil {
			reasons = append(reasons, source.name+": "+oneLine(errors.Join(err, server.Stop())))
			continue
		}
		announce(version, from, reasons)
		return server, nil
	}
	return nil, fmt.Errorf("pgtest: no PostgreSQL: %s is not set; %s", urlVariable, strings.Join(reasons, "; "))
}

// NewDatabase creates an empty database. drop removes it, even while somebody is
// connected.
func (s *Server) NewDatabase(ctx context.Context) (url string, drop func(), err error) {
	name := "gatehouse_test_" + strings.ToLower(rand.Text())
	if err := s.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, fmt.Errorf("pgtest: create a database: %w", err)
	}
	database := *s.admin
	database.Path = "/" + name
	return database.String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		if err := s.exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest: drop a database:", err)
		}
	}, nil
}

// Stop ends a server that Start started, and leaves any other alone.
func (s *Server) Stop() error {
	var err error
	s.once.Do(func() { err = s.stop() })
	if err != nil {
		return fmt.Errorf("pgtest: stop PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.admin.String())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// waitUntilReady waits for an answer over TCP. The words "ready to accept
// connections" in the log may be those of the server that only initialises.
func (s *Server) waitUntilReady(ctx context.Context) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		if version, err = serverVersion(ctx, s.admin); err == nil {
			return version, nil
		}
		select {
		case <-poll.C:
		case <-s.ended:
			return "", errors.New("ended while it started")
		case <-ctx.Done():
			return "", fmt.Errorf("did not become ready: %w", err)
		}
	}
}

func serverVersion(ctx context.Context, admin *url.URL) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin.String())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	version, _, _ := strings.Cut(conn.PgConn().ParameterStatus("server_version"), " ")
	return version, nil
}

func announce(version, from string, reasons []string) {
	why := ""
	if len(reasons) > 0 {
		why = " (" + strings.Join(reasons, "; ") + ")"
	}
	fmt.Fprintf(os.Stderr, "pgtest: PostgreSQL %s from %s%s\n", version, from, why)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
