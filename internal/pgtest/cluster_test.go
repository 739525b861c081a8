//go:build unix

package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/internal/pgtest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	pgtest.RequirePrograms(t)
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	started := func(n *pgtest.Node, err error) *pgtest.Node {
		t.Helper()
		must(err)
		t.Cleanup(func() {
			if err := n.Remove(); err != nil {
				t.Error(err)
			}
		})
		return n
	}
	primary := started(pgtest.StartPrimary(ctx, pgtest.NodeConfig{}))
	standby := started(primary.StartStandby(ctx, pgtest.NodeConfig{Settings: []string{"max_standby_streaming_delay=1s"}}))
	database, err := primary.CreateDatabase(ctx)
	must(err)
	count := func(n *pgtest.Node) (count int) {
		t.Helper()
		conn, err := pgx.Connect(ctx, n.URL(database))
		must(err)
		defer func() { _ = conn.Close(ctx) }()
		must(conn.QueryRow(ctx, "SELECT count(*) FROM kept").Scan(&count))
		return count
	}
	write := func(n *pgtest.Node, sql string) {
		t.Helper()
		conn, err := pgx.Connect(ctx, n.URL(database))
		must(err)
		defer func() { _ = conn.Close(ctx) }()
		_, err = conn.Exec(ctx, sql)
		must(err)
	}
	expect := func(n *pgtest.Node, want int, when string) {
		t.Helper()
		if got := count(n); got != want {
			t.Errorf("%s: %d rows, want %d", when, got, want)
		}
	}

	write(primary, "CREATE TABLE kept (id bigint)")
	must(standby.CatchUp(ctx))
	expect(standby, 0, "caught up")

	must(standby.PauseReplay(ctx))
	write(primary, "INSERT INTO kept VALUES (1)")
	expect(standby, 0, "paused")
	must(standby.ResumeReplay(ctx))
	must(standby.CatchUp(ctx))
	expect(standby, 1, "resumed")

	primary.Kill()
	must(primary.Start(ctx))
	expect(primary, 1, "killed and started again")
	standby.Stop()
	write(primary, "INSERT INTO kept VALUES (2)")
	must(standby.Start(ctx))
	must(standby.CatchUp(ctx))
	expect(standby, 2, "stopped and started again")

	primary.Kill()
	must(standby.Promote(ctx))
	write(standby, "INSERT INTO kept VALUES (3)")
	expect(standby, 3, "promoted")
}
