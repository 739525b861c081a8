package faults_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse/gatehouse/integration/faults/history"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestConnectionsExhausted(t *testing.T) {
	const slots = 60
	_, database := startPostgreSQL(t, fmt.Sprint("max_connections=", slots))
	i := servertest.Install(t, database)
	r := startRig(t, i, i)
	g := greedy{t: t, url: database + "&application_name=greedy"}
	// What the servers hold stays theirs.
	g.take()
	r.after(500)
	// Then they lose it, for longer than answers from memory may go on.
	r.until("every connection is the greedy client's", func() bool {
		g.endOthers()
		g.take()
		return len(g.held) == slots
	})
	r.outlastMemory(r.sites...)
	r.isHealed()
	g.release()
	if v := r.finish(); v.Stale == 0 {
		t.Error("no answer says that it is stale")
	}
}

// greedy takes a server's connections and keeps them.
type greedy struct {
	t    *testing.T
	url  string
	held []*pgx.Conn
}

// take takes every connection that is free.
func (g *greedy) take() {
	g.t.Helper()
	const tooMany = "53300"
	for {
		conn, err := pgx.Connect(g.t.Context(), g.url)
		if failure, answered := errors.AsType[*pgconn.PgError](err); answered && failure.Code == tooMany {
			return
		}
		if err != nil {
			g.t.Fatal(err)
		}
		g.held = append(g.held, conn)
	}
}

// endOthers ends the connections of everybody else.
func (g *greedy) endOthers() {
	g.t.Helper()
	_, err := g.held[0].Exec(g.t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND application_name <> 'greedy'`)
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *greedy) release() {
	g.t.Helper()
	for _, conn := range g.held {
		if err := conn.Close(g.t.Context()); err != nil {
			g.t.Error(err)
		}
	}
	g.held = nil
}

func TestDiskFull(t *testing.T) {
	const crashShutdown = "57P02"
	disk := mountDisk(t, "192m")
	// The log of what was done is kept only as long as it must be.
	node, name := startPrimary(t, pgtest.NodeConfig{Folder: disk, Settings: []string{"wal_keep_size=0", "min_wal_size=32MB", "max_wal_size=64MB"}})
	i := servertest.Install(t, node.URL(name))
	r := startRig(t, i, i)

	// First there is no room for rows, but for the log of what is done: nearly a whole file.
	for _, statement := range []string{"CHECKPOINT", "SELECT pg_switch_wal()"} {
		if err := node.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	r.after(50)
	free := fill(t, disk)
	for _, s := range r.sites {
		r.refuses(s, "SetMembership")
		for _, name := range []string{"UserHasPermission", "Evaluate", "Members"} {
			r.goesOn(s, name)
		}
	}
	free()
	r.inFullService()

	// Then there is none for the log of what is done, without which PostgreSQL ends.
	free = fill(t, disk)
	r.until("PostgreSQL panics", func() bool {
		err := node.Exec(t.Context(), "SELECT pg_switch_wal()")
		failure, answered := errors.AsType[*pgconn.PgError](err)
		return err != nil && (!answered || failure.Code == crashShutdown)
	})
	r.after(300)
	free()
	node.Kill()
	startAgain(t, node)
	r.isHealed()
	r.finish()
}

// mountDisk mounts a small disk, in memory, for as long as the test runs.
func mountDisk(t *testing.T, size string) string {
	t.Helper()
	program := servertest.FindProgram(t, "mount", "mount")
	// The server's user must be able to enter it, as it is not one of the test's folders.
	folder, err := os.MkdirTemp("", "gatehouse-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(folder) })
	out, err := exec.Command(program, "-t", "tmpfs", "-o", "mode=755,size="+size, "tmpfs", folder).CombinedOutput()
	if err != nil {
		const unable = "a disk cannot be mounted, for which root is needed: %v: %s"
		if os.Getenv("GATEHOUSE_TEST_REQUIRE_PROGRAMS") == "true" {
			t.Fatalf(unable, err, out)
		}
		t.Skipf(unable, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", folder).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return folder
}

// fill takes all the room that a disk has left.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	name := filepath.Join(disk, "filler")
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(make([]byte, 64<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTwoServersOnOneSQLiteFile(t *testing.T) {
	i := servertest.InstallSQLite(t)
	r := startRig(t, i, i)
	for _, s := range r.sites {
		s.process.Kill()
		r.after(300)
		s.serve()
	}
	r.isHealed()
	r.finish()
}

// goesOn waits until a server has answered a few more of a kind of request, and refused
// none.
func (r *rig) goesOn(s *site, name string) {
	r.t.Helper()
	asked := history.Asked{Server: s.name, Name: name}
	before := max(0, r.load.recorder.Streaks()[asked])
	r.until(s.name+" goes on to answer "+name, func() bool { return r.load.recorder.Streaks()[asked] >= before+fullStreak })
}
