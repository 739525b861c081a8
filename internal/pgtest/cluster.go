//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const requireVariable = "GATEHOUSE_TEST_REQUIRE_PROGRAMS"

// RequirePrograms skips the test where PostgreSQL's programs are not on this machine,
// or fails it where GATEHOUSE_TEST_REQUIRE_PROGRAMS is true, as it is in CI.
func RequirePrograms(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("pgtest: skipped, because -short leaves PostgreSQL out")
	}
	_, err := findPrograms()
	if err == nil {
		return
	}
	message := fmt.Sprintf("pgtest: %v: apt-get install postgresql", err)
	if os.Getenv(requireVariable) == "true" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// NodeConfig says how a Node runs. The zero value is good for most tests.
type NodeConfig struct {
	// Folder is where the node makes a folder of its own, such as a small tmpfs. Every
	// user must be able to enter it. Empty means the system's temporary folder.
	Folder string
	// Settings are of postgresql.conf, as name=value. Without them a node would lose data
	// with the machine's power, though not with its processes.
	Settings []string
}

// Node is one PostgreSQL server of a cluster, run by the programs on this machine: a
// primary or a standby, on a port that it keeps. Its methods must not be called by two
// goroutines at once, but for URL.
type Node struct {
	cluster  cluster
	port     string
	settings []string
	// of is the primary that a standby was made from; nil for a primary.
	of *Node

	// lifeline and ended are those of the running server; nil while there is none.
	lifeline io.WriteCloser
	ended    <-chan struct{}
}

// StartPrimary makes a server with empty databases and waits until it answers. Remove
// it in the end.
func StartPrimary(ctx context.Context, config NodeConfig) (*Node, error) {
	n, err := newNode(config)
	if err != nil {
		return nil, err
	}
	n.cluster.password = rand.Text()
	if err := n.cluster.init(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: %w", err), n.Remove())
	}
	return n.startAnywhere(ctx)
}

// StartStandby makes a streaming standby of the node, which must be running, and waits
// until it answers. It follows the node's port, wherever that leads.
func (n *Node) StartStandby(ctx context.Context, config NodeConfig) (*Node, error) {
	s, err := newNode(config)
	if err != nil {
		return nil, err
	}
	s.of, s.cluster.password = n, n.cluster.password
	if os.Geteuid() == 0 {
		if err := s.cluster.dropRoot(); err != nil {
			return nil, errors.Join(fmt.Errorf("pgtest: %w", err), s.Remove())
		}
	}
	cmd := s.cluster.command(ctx, filepath.Join(s.cluster.bin, "pg_basebackup"), "--pgdata=data", "--dbname="+n.URL("postgres"),
		"--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgtest: pg_basebackup: %w: %s", err, out), s.Remove())
	}
	return s.startAnywhere(ctx)
}

func newNode(config NodeConfig) (*Node, error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	folder, err := os.MkdirTemp(config.Folder, "pgtest-")
	if err != nil {
		return nil, fmt.Errorf("pgtest: make a folder: %w", err)
	}
	// A standby that was away for long still finds what it missed.
	settings := append(append([]string{}, forgetful...), "-c", "wal_keep_size=256MB")
	for _, setting := range config.Settings {
		settings = append(settings, "-c", setting)
	}
	return &Node{cluster: cluster{bin: bin, folder: folder}, settings: settings}, nil
}

// startAnywhere starts a new node on a free port.
func (n *Node) startAnywhere(ctx context.Context) (*Node, error) {
	var err error
	for range portTries {
		if n.port, err = freePort(); err != nil {
			break
		}
		if err = n.try(ctx); err == nil {
			return n, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("pgtest: start PostgreSQL: %w: %s", err, n.log()), n.Remove())
}

// Start starts a node again that was killed or stopped, on its old port, and waits until
// it answers.
func (n *Node) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		// What a killed server leaves behind may keep the next one from starting for a moment.
		err := n.try(ctx)
		if err == nil {
			return nil
		}
		if ended := waitFor(ctx, readyPoll); ended != nil {
			return fmt.Errorf("pgtest: start PostgreSQL again: %w: %s", err, n.log())
		}
	}
}

// try starts the server and waits until it answers. On an error none is running.
func (n *Node) try(ctx context.Context) (err error) {
	if n.lifeline, n.ended, err = n.cluster.listen(ctx, n.port, n.settings); err != nil {
		return err
	}
	server := &Server{admin: n.cluster.url(n.port), ended: n.ended}
	if _, err = server.waitUntilReady(ctx); err == nil {
		return nil
	}
	n.end("QUIT")
	return err
}

// Kill ends the server as a crash does, with SIGKILL, and waits until it is gone.
func (n *Node) Kill() { n.end("KILL") }

// Stop ends the server and its connections in order, with a fast shutdown, and waits
// until it is gone.
func (n *Node) Stop() { n.end("INT") }

// Remove ends the server, where it is running, and deletes its data.
func (n *Node) Remove() error {
	n.end("QUIT")
	if err := os.RemoveAll(n.cluster.folder); err != nil {
		return fmt.Errorf("pgtest: remove PostgreSQL: %w", err)
	}
	return nil
}

// end sends the server, where it is running, a signal and waits for its end.
func (n *Node) end(signal string) {
	if n.lifeline == nil {
		return
	}
	// One that has ended by itself takes no signal, and has closed the pipe.
	_, _ = io.WriteString(n.lifeline, signal+"\n")
	<-n.ended
	_ = n.lifeline.Close()
	n.lifeline, n.ended = nil, nil
}

// URL is that of one of the node's databases.
func (n *Node) URL(database string) string {
	url := n.cluster.url(n.port)
	url.Path = "/" + database
	return url.String()
}

// Address is where the node listens, as host:port.
func (n *Node) Address() string { return net.JoinHostPort("127.0.0.1", n.port) }

// CreateDatabase makes an empty database on a primary, and returns its name.
func (n *Node) CreateDatabase(ctx context.Context) (name string, err error) {
	name = "gatehouse_test_" + strings.ToLower(rand.Text())
	return name, n.Exec(ctx, "CREATE DATABASE "+name)
}

// Exec runs one statement as the superuser.
func (n *Node) Exec(ctx context.Context, sql string) error {
	if err := (&Server{admin: n.cluster.url(n.port)}).exec(ctx, sql); err != nil {
		return fmt.Errorf("pgtest: %s: %w", sql, err)
	}
	return nil
}

// Promote makes a primary of a standby, and returns once it takes writes.
func (n *Node) Promote(ctx context.Context) error {
	return n.Exec(ctx, "SELECT pg_promote(wait => true, wait_seconds => 60)")
}

// PauseReplay keeps a standby where it is, whatever it receives, and returns once
// nothing more is replayed.
func (n *Node) PauseReplay(ctx context.Context) error {
	if err := n.Exec(ctx, "SELECT pg_wal_replay_pause()"); err != nil {
		return err
	}
	return n.waitUntil(ctx, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
}

// ResumeReplay lets a standby go on.
func (n *Node) ResumeReplay(ctx context.Context) error {
	return n.Exec(ctx, "SELECT pg_wal_replay_resume()")
}

// CatchUp waits until a standby has replayed all that its primary has written by now.
func (n *Node) CatchUp(ctx context.Context) error {
	primary, err := pgx.Connect(ctx, n.of.URL("postgres"))
	if err != nil {
		return fmt.Errorf("pgtest: ask the primary how far it is: %w", err)
	}
	defer func() { _ = primary.Close(ctx) }()
	var written string
	if err := primary.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&written); err != nil {
		return fmt.Errorf("pgtest: ask the primary how far it is: %w", err)
	}
	return n.waitUntil(ctx, "SELECT pg_last_wal_replay_lsn() >= '"+written+"'::pg_lsn")
}

// waitUntil waits until a query says true.
func (n *Node) waitUntil(ctx context.Context, query string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, n.URL("postgres"))
	if err != nil {
		return fmt.Errorf("pgtest: %s: %w", query, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for {
		var done bool
		if err := conn.QueryRow(ctx, query).Scan(&done); err != nil {
			return fmt.Errorf("pgtest: %s: %w", query, err)
		}
		if done {
			return nil
		}
		if err := waitFor(ctx, readyPoll/5); err != nil {
			return fmt.Errorf("pgtest: %s: %w", query, err)
		}
	}
}

// log is the end of what the server has logged.
func (n *Node) log() string {
	const most = 2000
	text, err := os.ReadFile(filepath.Join(n.cluster.folder, "server.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

func waitFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
