package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

// Through a pooler that gives each transaction another connection everything works, and
// what one server has written the others see by their poll.
func TestPgBouncerInTransactionMode(t *testing.T) {
	t.Parallel()
	program := servertest.FindProgram(t, "pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer")
	for _, mode := range []string{"exec", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			direct := pgtest.URL(t)
			servertest.Install(t, direct).Must("migrate")
			i := servertest.Install(t, startPgBouncer(t, program, direct)+"&default_query_exec_mode="+mode)
			key := uuid.NewString()
			one, deaf := client(t, i.Serve(), key), client(t, i.Serve(), key)
			listening := client(t, i.With("AUTH_POSTGRESQL_LISTEN_URL="+direct).Serve(), key)

			if _, err := one.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := one.AddPermission(ctx, "editor", "edit"); err != nil {
				t.Fatal(err)
			}
			// Each has the tenant in memory, and so has to find out.
			for _, c := range []interface {
				UserHasPermission(context.Context, string, string) (authz.Decision, error)
			}{deaf, listening} {
				if d, err := c.UserHasPermission(ctx, "alice", "edit"); err != nil || d.Allowed {
					t.Fatalf("before: got %+v, %v, want denied", d, err)
				}
			}
			if _, err := one.AddMembership(ctx, "alice", "editor", authz.Window{}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			servertest.Eventually(t, 10*time.Second, "both other servers allow", func() bool {
				here, err := deaf.UserHasPermission(ctx, "alice", "edit")
				there, errThere := listening.UserHasPermission(ctx, "alice", "edit")
				if err != nil || errThere != nil {
					t.Fatal(err, errThere)
				}
				return here.Allowed && there.Allowed
			})
			t.Logf("seen by the other servers after %v", time.Since(began))

			session, err := one.CreateSession(ctx, authz.NewSession{User: "alice", IP: "192.0.2.1", UserAgent: "test"})
			if err != nil {
				t.Fatal(err)
			}
			token := session.Token
			for n := range 20 {
				c := one
				if n%2 == 1 {
					c = deaf
				}
				rotated, err := c.RotateSession(ctx, authz.PresentedSession{Token: token, IP: "192.0.2.1", UserAgent: "test"})
				if err != nil {
					t.Fatalf("rotation %d: %v", n, err)
				}
				token = rotated.Token
			}
			for n := range 20 {
				if _, err := deaf.AddMembership(ctx, fmt.Sprint("user", n), "editor", authz.Window{}); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := one.Members(ctx, "editor", authz.Page{}); err != nil || len(got.Items) != 21 {
				t.Errorf("got %d members, %v; want 21", len(got.Items), err)
			}
		})
	}
}

// startPgBouncer runs it as docs/postgresql.md has it, on a socket in a folder, in front
// of a database, and returns the URL that leads through it.
func startPgBouncer(t *testing.T, program, database string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/postgresql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```ini\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("docs/postgresql.md has no configuration of PgBouncer")
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	folder, credential := folderForPostgreSQL(t)
	password, _ := u.User.Password()
	configuration := strings.NewReplacer(
		"host=db.example.com", fmt.Sprintf("host=%s port=%s dbname=%s user=%s password=%s",
			u.Hostname(), u.Port(), strings.TrimPrefix(u.Path, "/"), u.User.Username(), password),
		"auth_type = scram-sha-256", "auth_type = any",
		"auth_file = /etc/pgbouncer/userlist.txt", "unix_socket_dir = "+folder,
		"listen_addr = 127.0.0.1", "listen_addr =",
	).Replace(block)
	file := filepath.Join(folder, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(configuration), 0o644); err != nil {
		t.Fatal(err)
	}
	bouncer := exec.Command(program, file)
	bouncer.SysProcAttr = credential
	var said bytes.Buffer
	bouncer.Stderr = &said
	if err := bouncer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = bouncer.Process.Kill()
		_ = bouncer.Wait()
		if t.Failed() {
			t.Logf("pgbouncer said %s", &said)
		}
	})
	servertest.Eventually(t, 30*time.Second, "pgbouncer answers", func() bool {
		conn, err := net.Dial("unix", filepath.Join(folder, ".s.PGSQL.6432"))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return "postgres://gatehouse@/gatehouse?port=6432&host=" + url.QueryEscape(folder)
}
