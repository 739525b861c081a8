package integration_test

import (
	"database/sql"
	"strings"
	"testing"

	// The drivers' names are "pgx" and "sqlite".
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

func TestServerRefusesAPostgreSQLThatIsNotMigrated(t *testing.T) {
	t.Parallel()
	i := install(t, pgtest.URL(t))
	i.fails("run `gatehouse migrate`", "serve")
	i.fails("run `gatehouse migrate`", "client", "create")
	if got, want := i.must("migrate"), "schema version 0 -> 7\n"; got != want {
		t.Errorf("migrate: got %q, want %q", got, want)
	}
	if got, want := i.must("migrate"), "schema version 7: nothing to do\n"; got != want {
		t.Errorf("migrate again: got %q, want %q", got, want)
	}
	wantServing(t, i.serve())
}

func TestServerRefusesANewerSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		i.must("migrate")
		newerSchema(t, i)
		for _, settings := range []string{"AUTH_AUTO_MIGRATE=false", "AUTH_AUTO_MIGRATE=true"} {
			i.with(settings).fails("use a newer gatehouse", "serve")
		}
		i.fails("use a newer gatehouse", "migrate")
	})
}

func TestServerMigratesPostgreSQLWhereItMay(t *testing.T) {
	t.Parallel()
	i := install(t, pgtest.URL(t), "AUTH_AUTO_MIGRATE=true")
	wantServing(t, i.serve())
	wantServing(t, i.serve())
}

func TestTwoServersMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for name, i := range map[string]installation{
		"SQLite":     installSQLite(t),
		"PostgreSQL": install(t, pgtest.URL(t), "AUTH_AUTO_MIGRATE=true"),
	} {
		servers := []*process{i.start(), i.start(), i.start()}
		for _, server := range servers {
			server.ready()
			wantServing(t, server)
		}
		if got, want := i.must("migrate"), "schema version 7: nothing to do\n"; got != want {
			t.Errorf("%s: migrate: got %q, want %q", name, got, want)
		}
	}
}

func wantServing(t *testing.T, server *process) {
	t.Helper()
	c := newClient(t, server)
	if _, err := c.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
		t.Errorf("a write: %v", err)
	}
	if health, err := c.Health(t.Context()); err != nil || health.Status != "healthy" {
		t.Errorf("health: got %+v, %v, want healthy", health, err)
	}
}

// newerSchema makes the database look like one that a later release has migrated.
func newerSchema(t *testing.T, i installation) {
	t.Helper()
	const statement = "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)"
	driver, source := "pgx", i.database
	if path, ok := strings.CutPrefix(i.database, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
