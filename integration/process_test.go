package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commandTimeout bounds what should end by itself.
const commandTimeout = time.Minute

// installation is a database, and the program with the settings for it.
type installation struct {
	t *testing.T
	// home is a folder with nothing else in it.
	home string
	// database is a URL as AUTH_DATABASE_URL and the engine take it.
	database string
	// settings are of the form NAME=value.
	settings []string
}

func install(t *testing.T, database string, settings ...string) installation {
	t.Helper()
	return installation{t: t, home: t.TempDir(), database: database, settings: settings}
}

func installSQLite(t *testing.T, settings ...string) installation {
	t.Helper()
	return install(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.sqlite3"), settings...)
}

// with is the same installation with more settings.
func (i installation) with(settings ...string) installation {
	i.settings = append(i.settings[:len(i.settings):len(i.settings)], settings...)
	return i
}

// outcome is how a command ended.
type outcome struct {
	stdout, stderr string
	code           int
}

func (i installation) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, programs["../cmd/gatehouse"], args...)
	cmd.Dir = i.home
	cmd.Env = append([]string{"HOME=" + i.home, "AUTH_DATABASE_URL=" + i.database, "AUTH_SERVER_PORT=0"}, i.settings...)
	return cmd
}

// run runs a command to its end.
func (i installation) run(args ...string) outcome {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := i.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		i.t.Fatalf("%q: %v", args, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that succeeds and returns its standard output.
func (i installation) must(args ...string) string {
	i.t.Helper()
	got := i.run(args...)
	if got.code != 0 {
		i.t.Fatalf("%q: got %+v, want code 0", args, got)
	}
	return got.stdout
}

// fails runs a command that must fail and say something.
func (i installation) fails(say string, args ...string) {
	i.t.Helper()
	got := i.run(args...)
	if got.code != 1 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, say) {
		i.t.Errorf("%q: got %+v, want code 1 and one line with %q", args, got, say)
	}
}

// process is gatehouse serve.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	// url is where it serves, once ready has returned.
	url    string
	stdout io.Reader
	// stderr may be read when ended is closed.
	stderr bytes.Buffer
	ended  chan struct{}
	// outage says that the test takes the database away, so that errors are logged.
	outage bool
}

// serve starts a server and waits until it serves. It is stopped with the test, and
// must not have logged an error.
func (i installation) serve() *process {
	i.t.Helper()
	p := i.start()
	p.ready()
	return p
}

// start starts a server and does not wait for it.
func (i installation) start() *process {
	i.t.Helper()
	p := &process{t: i.t, cmd: i.command(context.Background(), "serve"), ended: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	stdout, stdoutOfChild, err := os.Pipe()
	if err != nil {
		i.t.Fatal(err)
	}
	p.cmd.Stdout, p.stdout = stdoutOfChild, stdout
	if err := errors.Join(p.cmd.Start(), stdoutOfChild.Close()); err != nil {
		i.t.Fatalf("start the server: %v", err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState has what there is to know
		close(p.ended)
	}()
	i.t.Cleanup(func() {
		p.kill()
		_ = stdout.Close()
		for line := range strings.Lines(p.stderr.String()) {
			if strings.Contains(line, `"level":"ERROR"`) && !p.outage || strings.HasPrefix(line, "panic") {
				i.t.Errorf("the server's log has %s", line)
			}
		}
	})
	return p
}

// ready waits until the server has printed its address.
func (p *process) ready() {
	p.t.Helper()
	line, err := bufio.NewReader(p.stdout).ReadString('\n')
	if err != nil {
		p.kill()
		p.t.Fatalf("the server did not start: %v; it said %s", err, &p.stderr)
	}
	p.url = strings.TrimSpace(line)
}

// kill ends the server as a crash does, and returns when it has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// terminate asks the server to end.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("terminate the server: %v", err)
	}
}

// wantSuccess waits for the end of a server that was asked to.
func (p *process) wantSuccess() {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(commandTimeout):
		p.t.Fatal("the server did not end")
	}
	if got := p.cmd.ProcessState.ExitCode(); got != 0 {
		p.t.Errorf("exit code: got %d, want 0; it said %s", got, &p.stderr)
	}
}

// eventually asks again and again until condition holds, and fails after within.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
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
