package integration_test

import (
	"database/sql"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/pressly/goose/v3"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/schema"
	"github.com/gatehouse/gatehouse/sdk"
)

// docs/operations.md promises what these tests hold: while a later release's schema
// comes under them, servers go on.

func TestServersGoOnWhileALaterReleaseMigrates(t *testing.T) {
	t.Parallel()
	i := servertest.Install(t, pgtest.URL(t))
	i.Must("migrate")
	one, other := i.Serve(), i.Serve()
	key := uuid.NewString()
	traffic := startTraffic(t, client(t, one, key), client(t, one, key), client(t, other, key), client(t, other, key))
	traffic.goesOn("before")

	db := openPostgres(t, i.Database)
	tables := tablesOf(t, db)
	// All that an additive migration does to what is there.
	for _, table := range tables {
		for _, statement := range []string{
			"ALTER TABLE %s ADD COLUMN later_note text",
			"ALTER TABLE %s ADD COLUMN later_count bigint NOT NULL DEFAULT 0",
		} {
			execute(t, db, fmt.Sprintf(statement, table))
		}
	}
	execute(t, db, "CREATE TABLE later (tenant text NOT NULL, id text NOT NULL, PRIMARY KEY (tenant, id))")
	traffic.goesOn("while it migrates")
	newerSchema(t, i)
	traffic.goesOn("after")

	// A server of before does not come back, and those that run are none the worse.
	i.Fails("use a newer gatehouse", "serve")
	traffic.goesOn("still")
	traffic.stop()
	t.Logf("%d calls while %d tables got two columns each", traffic.calls.Load(), len(tables))
}

func TestNewServerRefusesTheSchemaOfBeforeWhileItsServersGoOn(t *testing.T) {
	t.Parallel()
	i := servertest.Install(t, pgtest.URL(t))
	i.Must("migrate")
	traffic := startTraffic(t, newClient(t, i.Serve()))
	// Now the running server is to the database what one of the release before is.
	execute(t, openPostgres(t, i.Database), "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
	i.Fails("run `gatehouse migrate`", "serve")
	traffic.goesOn("after the refusal")
}

func TestTwoNewServersMigrateTheSchemaOfBeforeAtOnce(t *testing.T) {
	t.Parallel()
	i := servertest.Install(t, pgtest.URL(t))
	db := openPostgres(t, i.Database)
	migrations, err := fs.Sub(schema.Migrations, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	sources := provider.ListSources()
	latest := sources[len(sources)-1].Version
	if _, err := provider.UpTo(t.Context(), sources[len(sources)-2].Version); err != nil {
		t.Fatal(err)
	}
	i.Fails("run `gatehouse migrate`", "serve")

	migrating := i.With("AUTH_AUTO_MIGRATE=true")
	servers := []*process{migrating.Start(), migrating.Start()}
	key := uuid.NewString()
	var clients []*sdk.Client
	for _, server := range servers {
		server.Ready()
		clients = append(clients, client(t, server, key))
	}
	startTraffic(t, clients...).goesOn("of both")
	if got, want := i.Must("migrate"), fmt.Sprintf("schema version %d: nothing to do\n", latest); got != want {
		t.Errorf("migrate: got %q, want %q", got, want)
	}
}

func openPostgres(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// tablesOf names every table but goose's.
func tablesOf(t *testing.T, db *sql.DB) []string {
	t.Helper()
	var names string
	const query = `SELECT string_agg(tablename, ',') FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'goose_db_version'`
	if err := db.QueryRowContext(t.Context(), query).Scan(&names); err != nil {
		t.Fatal(err)
	}
	return strings.Split(names, ",")
}
