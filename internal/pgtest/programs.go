//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

const (
	superuser = "postgres"
	// portTries is how often a port may be lost to another program between
	// choosing it and listening on it.
	portTries = 3
)

// guard runs the server, and sends it the signals that its standard input names. When
// that ends, as it does when this process ends in whatever way, so do the server and its
// folder: no test leaves one behind. SIGQUIT is PostgreSQL's immediate shutdown.
const guard = `
exec 3<&0
"$@" >>server.log 2>&1 3<&- &
server=$!
(while read -r signal; do kill -$signal $server; done <&3; : >abandoned; kill -QUIT $server) &
lifeline=$!
wait $server
kill $lifeline 2>/dev/null
if [ -e abandoned ]; then cd / && rm -rf "$FOLDER"; fi
`

// startPrograms makes a cluster in a temporary folder and serves it on a loopback
// port. PostgreSQL refuses to run as root, so root lends it another user.
func startPrograms(ctx context.Context, settings []string) (_ *Server, from string, err error) {
	bin, err := findPrograms()
	if err != nil {
		return nil, "", err
	}
	for range portTries {
		var server *Server
		if server, err = startCluster(ctx, bin, settings); err != nil {
			return nil, "", err
		}
		if _, err = server.waitUntilReady(ctx); err == nil {
			return server, "programs in " + bin, nil
		}
		err = errors.Join(err, server.Stop())
	}
	return nil, "", err
}

func startCluster(ctx context.Context, bin string, settings []string) (*Server, error) {
	folder, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	c := cluster{bin: bin, folder: folder, password: rand.Text()}
	if err := c.init(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	server, err := c.serve(ctx, settings)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return server, nil
}

func findPrograms() (bin string, err error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), "postgres")); err == nil {
				return filepath.Dir(path), nil
			}
		}
	}
	// Debian keeps them apart, one folder for each major version.
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no initdb in PATH or /usr/lib/postgresql")
	}
	major := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return major(a) - major(b) })
	return filepath.Dir(newest), nil
}

type cluster struct {
	bin, folder, password string
	// credential is whom the programs run as; nil for this process's user.
	credential *syscall.Credential
}

func (c *cluster) init(ctx context.Context) error {
	if os.Geteuid() == 0 {
		if err := c.dropRoot(); err != nil {
			return err
		}
	}
	passwordFile := filepath.Join(c.folder, "password")
	if err := os.WriteFile(passwordFile, []byte(c.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password: %w", err)
	}
	if c.credential != nil {
		if err := os.Chown(passwordFile, int(c.credential.Uid), int(c.credential.Gid)); err != nil {
			return fmt.Errorf("write the password: %w", err)
		}
	}
	// "password" instead of SCRAM: tests open many connections, over loopback alone.
	cmd := c.command(ctx, filepath.Join(c.bin, "initdb"), "--pgdata=data", "--username="+superuser,
		"--pwfile="+passwordFile, "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// dropRoot picks a user for the programs and gives it the folder.
func (c *cluster) dropRoot() error {
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		if err != nil {
			continue
		}
		c.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(c.folder, int(uid), int(gid)); err != nil {
			return fmt.Errorf("give %s the folder: %w", name, err)
		}
		return nil
	}
	return errors.New("root may not run PostgreSQL, and there is no user postgres or nobody")
}

// serve starts the server on a free port, and does not wait for it.
func (c *cluster) serve(ctx context.Context, settings []string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	lifeline, ended, err := c.listen(ctx, port, settings)
	if err != nil {
		return nil, err
	}
	return &Server{
		admin: c.url(port),
		ended: ended,
		stop: func() error {
			// The pipe is closed already where the server ended by itself.
			_ = lifeline.Close()
			<-ended
			return os.RemoveAll(c.folder)
		},
	}, nil
}

// listen starts the server on a port, and does not wait for it. lifeline takes signals,
// a line for each; when it is closed, the server ends and its folder goes. ended is closed
// when the server has ended.
func (c *cluster) listen(ctx context.Context, port string, settings []string) (lifeline io.WriteCloser, ended <-chan struct{}, err error) {
	args := append([]string{"-c", guard, "guard", filepath.Join(c.bin, "postgres"), "-D", "data",
		"-c", "listen_addresses=127.0.0.1", "-c", "port=" + port, "-c", "unix_socket_directories="}, settings...)
	// The server outlives ctx, which is only for starting it.
	cmd := c.command(context.WithoutCancel(ctx), "/bin/sh", args...)
	if lifeline, err = cmd.StdinPipe(); err != nil {
		return nil, nil, fmt.Errorf("start the server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the server: %w", err)
	}
	done := make(chan struct{})
	go func() {
		// The guard's status is not the server's, and says nothing.
		_ = cmd.Wait()
		close(done)
	}()
	return lifeline, done, nil
}

// url is that of the database that initdb makes.
func (c *cluster) url(port string) *url.URL {
	return &url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(superuser, c.password),
		Host:     net.JoinHostPort("127.0.0.1", port),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
}

// command runs in the folder, as the cluster's user, and out of the terminal's
// process group, so that an interrupt ends the tests and not the server below them.
func (c *cluster) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.folder
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "FOLDER=" + c.folder, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.credential}
	return cmd
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return port, nil
}
