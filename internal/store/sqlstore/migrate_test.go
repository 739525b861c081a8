package sqlstore_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
	"github.com/gatehouse/gatehouse/schema"
)

// engine is where the tests of this file run.
type engine struct {
	dialect string
	// driver is database/sql's name for what speaks to newURL's databases.
	driver string
	newURL func(t *testing.T) string
}

var engines = []engine{
	{"sqlite", "sqlite", func(t *testing.T) string { return filepath.Join(t.TempDir(), "gatehouse.sqlite3") }},
	{"postgresql", "pgx", func(t *testing.T) string { return pgtest.URL(t) }},
}

func onBoth(t *testing.T, test func(t *testing.T, e engine)) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.dialect, func(t *testing.T) {
			t.Parallel()
			test(t, e)
		})
	}
}

// latest is the newest migration's version.
const latest = 8

func TestMigrate(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		url := e.newURL(t)
		for _, want := range [][2]int64{{0, latest}, {latest, latest}} {
			from, to, err := sqlstore.Migrate(t.Context(), url)
			if err != nil || from != want[0] || to != want[1] {
				t.Fatalf("got %d to %d, error %v; want %d to %d", from, to, err, want[0], want[1])
			}
		}
		s := open(t, sqlstore.Config{URL: url})
		if got := s.Dialect(); got != e.dialect {
			t.Errorf("got dialect %q, want %q", got, e.dialect)
		}
	})
}

// TestMigrateKeepsData brings a database with data from the first version to the
// newest, and takes it all the way down.
func TestMigrateKeepsData(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx, url := t.Context(), e.newURL(t)
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		dialect := map[string]goose.Dialect{"sqlite": goose.DialectSQLite3, "postgresql": goose.DialectPostgres}[e.dialect]
		migrations, err := fs.Sub(schema.Migrations, map[string]string{"sqlite": "sqlite", "postgresql": "postgres"}[e.dialect])
		if err != nil {
			t.Fatal(err)
		}
		provider, err := goose.NewProvider(dialect, db, migrations, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.UpTo(ctx, 1); err != nil {
			t.Fatal(err)
		}
		for _, statement := range []string{
			"INSERT INTO tenants (id, revision, created_at) VALUES ('t', 7, 1)",
			"INSERT INTO roles (tenant, name, description) VALUES ('t', 'editor', 'edits')",
			"INSERT INTO grants (tenant, role, permission) VALUES ('t', 'editor', 'post:*')",
			`INSERT INTO memberships (tenant, subject_type, subject, node_type, node_id, role, not_before, expires_at)
				VALUES ('t', 'user', 'ann', 'tenant', '', 'editor', 5, 9)`,
		} {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		if from, to, err := sqlstore.Migrate(ctx, url); err != nil || from != 1 || to != latest {
			t.Fatalf("got %d to %d, error %v; want 1 to %d", from, to, err, latest)
		}
		r := storetest.Reader(open(t, sqlstore.Config{URL: url}), "t")
		revision, err := r.Revision(ctx)
		if err != nil || revision != 7 {
			t.Errorf("got revision %d, %v; want 7", revision, err)
		}
		policy, err := r.Policy(ctx)
		if want := []authz.RoleSpec{{Name: "editor", Grants: []authz.Grant{{Permission: "post:*"}}}}; err != nil || !reflect.DeepEqual(policy, want) {
			t.Errorf("got policy %+v, %v; want %+v", policy, err, want)
		}
		holdings, err := r.Holdings(ctx, "ann")
		want := []authz.Holding{{Role: "editor", Node: authz.Root, NotBeforeMicros: 5, ExpiresAtMicros: 9}}
		if err != nil || !reflect.DeepEqual(holdings, want) {
			t.Errorf("got holdings %+v, %v; want %+v", holdings, err, want)
		}
		if _, err := provider.DownTo(ctx, 0); err != nil {
			t.Errorf("down: %v", err)
		}
	})
}

func TestMigrateAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		url := e.newURL(t)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: url, AutoMigrate: true})
				if err != nil {
					t.Errorf("Open: %v (%v)", err, errors.Unwrap(err))
					return
				}
				if err := s.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
			group.Go(func() {
				if _, to, err := sqlstore.Migrate(t.Context(), url); err != nil || to != latest {
					t.Errorf("Migrate: got %d, %v (%v); want %d", to, err, errors.Unwrap(err), latest)
				}
			})
		}
		group.Wait()
	})
}

func TestNewerSchemaIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		url := e.newURL(t)
		if _, _, err := sqlstore.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)"); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, migrate := range []bool{false, true} {
			_, err = sqlstore.Open(t.Context(), sqlstore.Config{URL: url, AutoMigrate: migrate})
			if err == nil || !strings.Contains(err.Error(), "9999") {
				t.Errorf("Open: got error %v, want one that names version 9999", err)
			}
		}
		if _, _, err := sqlstore.Migrate(t.Context(), url); err == nil || !strings.Contains(err.Error(), "9999") {
			t.Errorf("Migrate: got error %v, want one that names version 9999", err)
		}
	})
}

func TestPostgreSQLIsNotMigratedUnasked(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	_, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: url})
	if err == nil || !strings.Contains(err.Error(), "gatehouse migrate") {
		t.Fatalf("got error %v, want one that says what to run", err)
	}
	if from, _, err := sqlstore.Migrate(t.Context(), url); err != nil || from != 0 {
		t.Errorf("got version %d, error %v; want an untouched database", from, err)
	}
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{
		"plain", "with space", "per%20cent", "question?mode=memory", "hash#tag", "ünï", "semi;colon&and=", "quo'te", "a:b", "50%",
	} {
		for _, form := range []string{"", "sqlite:", "sqlite:///"} {
			path := filepath.Join(folder, form[:min(len(form), 6)]+strings.Repeat("_", len(form))+name)
			open(t, sqlstore.Config{URL: form + path})
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s%s: %v", form, name, err)
				continue
			}
			if got := info.Mode().Perm(); got != 0o600 {
				t.Errorf("%s: got mode %o, want 600", name, got)
			}
			wal, err := os.Stat(path + "-wal")
			if err != nil || wal.Mode().Perm() != 0o600 {
				t.Errorf("%s: got WAL %v, %v, want one of mode 600", name, wal, err)
			}
		}
	}
}

func TestSQLiteRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, url := range []string{"sqlite:///three.db", "sqlite:one.db", "none.db", "./dot.db"} {
		s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: url})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	got, err := filepath.Glob("*.db")
	if err != nil || len(got) != 4 {
		t.Errorf("got %v, %v, want the four files and no WAL left over", got, err)
	}
}

func TestSQLiteFileThatIsNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{path, t.TempDir(), filepath.Join(t.TempDir(), "missing", "file")} {
		if s, err := sqlstore.Open(t.Context(), sqlstore.Config{URL: url}); err == nil {
			t.Errorf("%s: got no error, want one", url)
			_ = s.Close()
		}
	}
}

func TestUnusableURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"",
		"mysql://root:hunter2@localhost/db",
		"postgresql+psycopg2://root:hunter2@localhost/db",
		"postgres://root:hunter2%zz@localhost/db",
		"postgres://root:hunter2@localhost:port/db",
		"postgres://root:hunter2 @[::1/db",
		"postgres://root:hunter2@localhost/db?pool_max_conns=-1",
		"postgres://root@localhost/db?password=hunter2&sslmode=nonsense",
		"postgres://root:hunter2@localhost/db?sslrootcert=/nonexistent&sslmode=verify-full",
		"sqlite://",
		"sqlite:///",
		"sqlite://host/hunter2",
		"sqlite:///:memory:",
		"sqlite::memory:",
		":memory:",
		"sqlite:a\x00b",
	} {
		_, openErr := sqlstore.Open(t.Context(), sqlstore.Config{URL: url})
		_, _, migrateErr := sqlstore.Migrate(t.Context(), url)
		for _, err := range []error{openErr, migrateErr} {
			if fault.CodeOf(err) != fault.CodeInvalid {
				t.Errorf("%q: got error %v, want an invalid input", url, err)
				continue
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(e.Error(), "hunter2") {
					t.Errorf("%q: the error holds the password: %v", url, e)
				}
			}
		}
		if scheme, _, ok := strings.Cut(url, "+psycopg2://"); ok && !strings.Contains(openErr.Error(), scheme+"+psycopg2") {
			t.Errorf("%q: got error %v, want one that names the scheme", url, openErr)
		}
	}
}
