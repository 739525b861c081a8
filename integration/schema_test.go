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
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestServerRefusesAPostgreSQLThatIsNotMigrated(t *testing.T) {
	t.Parallel()
	i := servertest.Install(t, pgtest.URL(t))
	i.Fails("run `gatehouse migrate`", "serve")
	i.Fails("run `gatehouse migrate`", "client", "create")
	if got, want := i.Must("migrate"), "schema version 0 -> 8\n"; got != want {
		t.Errorf("migrate: got %q, want %q", got, want)
	}
	if got, want := i.Must("migrate"), "schema version 8: nothing to do\n"; got != want {
		t.Errorf("migrate again: got %q, want %q", got, want)
	}
	wantServing(t, i.Serve())
}

func TestServerRefusesANewerSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		i.Must("migrate")
		newerSchema(t, i)
		for _, settings := range []string{"AUTH_AUTO_MIGRATE=false", "AUTH_AUTO_MIGRATE=true"} {
			i.With(settings).Fails("use a newer gatehouse", "serve")
		}
		i.Fails("use a newer gatehouse", "migrate")
	})
}

func TestServerMigratesPostgreSQLWhereItMay(t *testing.T) {
	t.Parallel()
	i := servertest.Install(t, pgtest.URL(t), "AUTH_AUTO_MIGRATE=true")
	wantServing(t, i.Serve())
	wantServing(t, i.Serve())
}

func TestTwoServersMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for name, i := range map[string]installation{
		"SQLite":     servertest.InstallSQLite(t),
		"PostgreSQL": servertest.Install(t, pgtest.URL(t), "AUTH_AUTO_MIGRATE=true"),
	} {
		servers := []*process{i.Start(), i.Start(), i.Start()}
		for _, server := range servers {
			server.Ready()
			wantServing(t, server)
		}
		if got, want := i.Must("migrate"), "schema version 8: nothing to do\n"; got != want {
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
	driver, source := "pgx", i.Database
	if path, ok := strings.CutPrefix(i.Database, "sqlite:"); ok {
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
