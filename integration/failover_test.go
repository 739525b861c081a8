package integration_test

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// When the primary is gone and the standby is promoted, the server goes on without a
// restart, and with everything that it has confirmed.
func TestServerFollowsTheNewPrimary(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	database := startReplicated(t)
	key := uuid.NewString()
	i := servertest.Install(t, database.url)
	i.Must("migrate")
	server := i.Serve()
	server.Outage = true
	c := client(t, server, key)
	if _, err := c.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if _, err := c.AddMembership(ctx, fmt.Sprint("user", n), "editor", authz.Window{}); err != nil {
			t.Fatal(err)
		}
	}

	database.primary.crash()
	if _, err := c.AddMembership(ctx, "nobody", "editor", authz.Window{}); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("between the two: got %v, want ErrUnavailable", err)
	}
	database.promote()
	began := time.Now()
	servertest.Eventually(t, time.Minute, "the server writes to the new primary", func() bool {
		_, err := c.AddMembership(ctx, "later", "editor", authz.Window{})
		if err != nil && !errors.Is(err, sdk.ErrUnavailable) {
			t.Fatalf("got %v, want ErrUnavailable", err)
		}
		return err == nil
	})
	t.Logf("writes go on %v after the promotion", time.Since(began))
	got, err := c.Members(ctx, "editor", authz.Page{})
	if err != nil || len(got.Items) < 21 {
		t.Errorf("got %d members, %v; want 21", len(got.Items), err)
	}
}

// replicated is a primary and its synchronous standby, each on a socket in a folder.
type replicated struct {
	t                *testing.T
	postgres         postgreSQL
	primary, standby *cluster
	// url names both.
	url string
}

// postgreSQL are the programs of PostgreSQL, and whom they run as.
type postgreSQL struct {
	initdb, server, basebackup, ctl string
	credential                      *syscall.SysProcAttr
}

// cluster is a server that is running.
type cluster struct {
	folder, data string
	lifeline     io.Closer
	ended        chan struct{}
}

func startReplicated(t *testing.T) *replicated {
	t.Helper()
	initdb, err := filepath.EvalSymlinks(servertest.FindProgram(t, "postgresql", "initdb", newestInitdb()))
	if err != nil {
		t.Fatal(err)
	}
	bin := func(name string) string { return filepath.Join(filepath.Dir(initdb), name) }
	p := &replicated{t: t, postgres: postgreSQL{initdb: initdb, server: bin("postgres"), basebackup: bin("pg_basebackup"), ctl: bin("pg_ctl")}}
	var folder string
	folder, p.postgres.credential = folderForPostgreSQL(t)
	data := filepath.Join(folder, "primary")
	p.run(p.postgres.initdb, "--pgdata="+data, "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	p.primary = p.start(folder, data)
	p.run(bin("psql"), "-qh", folder, "-U", "postgres", "-c", "CREATE DATABASE gatehouse")
	folderOfStandby, _ := folderForPostgreSQL(t)
	data = filepath.Join(folderOfStandby, "standby")
	p.run(p.postgres.basebackup, "-h", folder, "-U", "postgres", "-D", data, "-R", "--checkpoint=fast", "--no-sync")
	p.standby = p.start(folderOfStandby, data)
	p.run(bin("psql"), "-qh", folder, "-U", "postgres", "-c", "ALTER SYSTEM SET synchronous_standby_names = '*'", "-c", "SELECT pg_reload_conf()")
	p.url = "postgres://postgres@/gatehouse?target_session_attrs=read-write&port=5432,5432&host=" +
		url.QueryEscape(folder+","+folderOfStandby)
	return p
}

func newestInitdb() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "/usr/lib/postgresql/bin/initdb"
	}
	return found[len(found)-1]
}

func (p *replicated) run(program string, args ...string) {
	p.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr, cmd.Dir = p.postgres.credential, os.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s: %v: %s", filepath.Base(program), err, out)
	}
}

// start starts a server that ends, as in a crash, when this process does.
func (p *replicated) start(folder, data string) *cluster {
	p.t.Helper()
	const guard = `exec 3<&0; "$@" 3<&- >/dev/null 2>&1 & server=$!; (read -r _ <&3; kill -QUIT $server) & wait $server`
	cmd := exec.Command("/bin/sh", "-c", guard, "guard", p.postgres.server, "-D", data, "-c", "listen_addresses=",
		"-c", "unix_socket_directories="+folder, "-c", "fsync=off", "-c", "port=5432")
	cmd.SysProcAttr, cmd.Dir = p.postgres.credential, folder
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	c := &cluster{folder: folder, data: data, lifeline: lifeline, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the guard's status says nothing
		close(c.ended)
	}()
	p.t.Cleanup(c.crash)
	servertest.Eventually(p.t, time.Minute, "the server answers", func() bool {
		ready := exec.Command(filepath.Join(filepath.Dir(p.postgres.ctl), "pg_isready"), "-qh", folder)
		return ready.Run() == nil
	})
	return c
}

// crash ends the server at once, and returns when it has ended.
func (c *cluster) crash() {
	_ = c.lifeline.Close()
	<-c.ended
}

func (p *replicated) promote() {
	p.t.Helper()
	p.run(p.postgres.ctl, "-D", p.standby.data, "-w", "-t", "60", "promote")
}

// folderForPostgreSQL makes a folder, with a path that a socket's name has room behind,
// for programs that refuse to run as root: root lends them another user.
func folderForPostgreSQL(t *testing.T) (folder string, as *syscall.SysProcAttr) {
	t.Helper()
	folder, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	as = &syscall.SysProcAttr{}
	if os.Geteuid() != 0 {
		return folder, as
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32) // they are numbers where there is root
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		if err := os.Chown(folder, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return folder, as
	}
	t.Fatal("root may not run PostgreSQL's programs, and there is no user postgres or nobody")
	return "", nil
}
