// Package servertest gives tests the real program in processes of its own.
//
// [Run] builds it, in a package's TestMain. An [Installation] and a [Process] stand for
// what an operator has: a database with settings, and a server on it.
package servertest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// CommandTimeout bounds what should end by itself.
const CommandTimeout = time.Minute

// Installation is a database, and the program with the settings for it.
type Installation struct {
	// T is the test that it is made for.
	T *testing.T
	// Home is a folder with nothing else in it.
	Home string
	// Database is a URL as AUTH_DATABASE_URL and the engine take it.
	Database string
	// Settings are of the form NAME=value.
	Settings []string
}

// Install returns an installation on a database that is there.
func Install(t *testing.T, database string, settings ...string) Installation {
	t.Helper()
	return Installation{T: t, Home: t.TempDir(), Database: database, Settings: settings}
}

// InstallSQLite returns an installation with an SQLite file of its own.
func InstallSQLite(t *testing.T, settings ...string) Installation {
	t.Helper()
	return Install(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.sqlite3"), settings...)
}

// With is the same installation with more settings.
func (i Installation) With(settings ...string) Installation {
	i.Settings = append(i.Settings[:len(i.Settings):len(i.Settings)], settings...)
	return i
}

// Outcome is how a command ended.
type Outcome struct {
	Stdout, Stderr string
	Code           int
}

// Command is the program with arguments, not yet started. ctx bounds its life.
func (i Installation) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, Program("cmd/gatehouse"), args...)
	cmd.Dir = i.Home
	cmd.Env = append([]string{"HOME=" + i.Home, "AUTH_DATABASE_URL=" + i.Database, "AUTH_SERVER_PORT=0"}, i.Settings...)
	return cmd
}

// Run runs a command to its end.
func (i Installation) Run(args ...string) Outcome {
	i.T.Helper()
	ctx, cancel := context.WithTimeout(i.T.Context(), CommandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := i.Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		i.T.Fatalf("%q: %v", args, err)
	}
	return Outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Must runs a command that succeeds and returns its standard output.
func (i Installation) Must(args ...string) string {
	i.T.Helper()
	got := i.Run(args...)
	if got.Code != 0 {
		i.T.Fatalf("%q: got %+v, want code 0", args, got)
	}
	return got.Stdout
}

// Fails runs a command that must fail and say something.
func (i Installation) Fails(say string, args ...string) {
	i.T.Helper()
	got := i.Run(args...)
	if got.Code != 1 || strings.Count(got.Stderr, "\n") != 1 || !strings.Contains(got.Stderr, say) {
		i.T.Errorf("%q: got %+v, want code 1 and one line with %q", args, got, say)
	}
}

// Process is gatehouse serve.
type Process struct {
	t   *testing.T
	cmd *exec.Cmd
	// URL is where it serves, once Ready has returned.
	URL    string
	Stdout *bufio.Reader
	// Stderr may be read when the server has ended.
	Stderr bytes.Buffer
	ended  chan struct{}
	// Outage says that the test takes the database away, so that errors are logged.
	Outage bool
}

// Serve starts a server and waits until it serves. It is stopped with the test, and
// must not have logged an error.
func (i Installation) Serve() *Process {
	i.T.Helper()
	p := i.Start()
	p.Ready()
	return p
}

// Start starts a server and does not wait for it.
func (i Installation) Start() *Process {
	i.T.Helper()
	p := &Process{t: i.T, cmd: i.Command(context.Background(), "serve"), ended: make(chan struct{})}
	p.cmd.Stderr = &p.Stderr
	stdout, stdoutOfChild, err := os.Pipe()
	if err != nil {
		i.T.Fatal(err)
	}
	p.cmd.Stdout, p.Stdout = stdoutOfChild, bufio.NewReader(stdout)
	if err := errors.Join(p.cmd.Start(), stdoutOfChild.Close()); err != nil {
		i.T.Fatalf("start the server: %v", err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState has what there is to know
		close(p.ended)
	}()
	i.T.Cleanup(func() {
		p.Kill()
		_ = stdout.Close()
		for line := range strings.Lines(p.Stderr.String()) {
			if strings.Contains(line, `"level":"ERROR"`) && !p.Outage || strings.HasPrefix(line, "panic") {
				i.T.Errorf("the server's log has %s", line)
			}
		}
	})
	return p
}

// Ready waits until the server has printed its address.
func (p *Process) Ready() {
	p.t.Helper()
	p.URL = p.ReadLine()
}

// ReadLine returns the next line that the server prints.
func (p *Process) ReadLine() string {
	p.t.Helper()
	line, err := p.Stdout.ReadString('\n')
	if err != nil {
		p.Kill()
		p.t.Fatalf("the server has ended: %v; it said %s", err, &p.Stderr)
	}
	return strings.TrimSpace(line)
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// HasEnded tells whether the server is gone.
func (p *Process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Kill ends the server as a crash does, and returns when it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// Terminate asks the server to end.
func (p *Process) Terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("terminate the server: %v", err)
	}
}

// WantSuccess waits for the end of a server that was asked to.
func (p *Process) WantSuccess() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(CommandTimeout):
		p.t.Fatal("the server did not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != 0 {
		p.t.Errorf("exit code: got %d, want 0; it said %s", got, &p.Stderr)
	}
}

// Eventually asks again and again until condition holds, and fails after within.
func Eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(within)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !condition() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
