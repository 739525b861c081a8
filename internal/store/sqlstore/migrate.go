package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/schema"
)

// How long to wait for another program that migrates the same database.
const (
	lockPollSeconds    = 1
	lockPolls          = 300
	maxMigrationsTries = 5
)

// Migrate brings the database's schema up to date and returns its version before
// and after. It refuses a newer schema. Any number of programs may migrate one
// database at the same time.
func Migrate(ctx context.Context, url string) (from, to int64, err error) {
	target, err := parseURL(url)
	if err != nil {
		return 0, 0, err
	}
	if target.dialect == dialectSQLite {
		path, err := createFile(target.location)
		if err != nil {
			return 0, 0, err
		}
		db, err := openSQLitePool(writerDSN(path), 1)
		if err != nil {
			return 0, 0, err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		return migrateSQLite(ctx, db)
	}
	config, err := postgresConfig(target.location)
	if err != nil {
		return 0, 0, err
	}
	db := stdlib.OpenDB(*config.ConnConfig, stdlib.OptionBeforeConnect(new(hosts).beforeConnect))
	defer func() { err = errors.Join(err, db.Close()) }()
	return migratePostgres(ctx, db)
}

// preparePostgres checks the schema's version on a connection of its own, and
// migrates if that is allowed.
func preparePostgres(ctx context.Context, config *pgx.ConnConfig, at *hosts, autoMigrate bool) error {
	db := stdlib.OpenDB(*config, stdlib.OptionBeforeConnect(at.beforeConnect))
	defer func() { _ = db.Close() }()
	if autoMigrate {
		_, _, err := migratePostgres(ctx, db)
		return err
	}
	m, err := newMigrator(goose.DialectPostgres, db)
	if err != nil {
		return err
	}
	version, err := m.version(ctx)
	if err != nil {
		return err
	}
	if version < m.latest {
		return fault.Conflict("the database's schema is at version %d and this program needs %d: run `gatehouse migrate`", version, m.latest)
	}
	return nil
}

func migratePostgres(ctx context.Context, db *sql.DB) (from, to int64, err error) {
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPollSeconds, lockPolls))
	if err != nil {
		return 0, 0, fmt.Errorf("make the migration lock: %w", err)
	}
	m, err := newMigrator(goose.DialectPostgres, db, goose.WithSessionLocker(locker))
	if err != nil {
		return 0, 0, err
	}
	return m.up(ctx)
}

// migrateSQLite does without a lock, for a file has none that goose knows: two
// programs may both begin, and the one that comes second fails, because each
// migration is one immediate transaction. It then finds the work done.
func migrateSQLite(ctx context.Context, db *sql.DB) (from, to int64, err error) {
	m, err := newMigrator(goose.DialectSQLite3, db)
	if err != nil {
		return 0, 0, err
	}
	for try := 1; ; try++ {
		from, to, err = m.up(ctx)
		if err == nil || try == maxMigrationsTries || errors.Is(err, fault.CodeConflict) {
			return from, to, err
		}
		if ended := pause(ctx, try); ended != nil {
			return 0, 0, fmt.Errorf("migrate: %w (%w)", ended, err)
		}
	}
}

// migrator applies the embedded migrations of one engine.
type migrator struct {
	db       *sql.DB
	provider *goose.Provider
	// latest is the version that this program knows.
	latest int64
	// hasVersions asks whether the table of versions is there.
	hasVersions string
}

func newMigrator(dialect goose.Dialect, db *sql.DB, options ...goose.ProviderOption) (*migrator, error) {
	folder := "postgres"
	hasVersions := `SELECT to_regclass('` + goose.DefaultTablename + `') IS NOT NULL`
	if dialect == goose.DialectSQLite3 {
		folder = "sqlite"
		hasVersions = `SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = '` + goose.DefaultTablename + `'`
	}
	migrations, err := fs.Sub(schema.Migrations, folder)
	if err != nil {
		return nil, fmt.Errorf("find the migrations: %w", err)
	}
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	provider, err := goose.NewProvider(dialect, db, migrations, options...)
	if err != nil {
		return nil, fmt.Errorf("read the migrations: %w", err)
	}
	sources := provider.ListSources()
	return &migrator{
		db:          db,
		provider:    provider,
		latest:      sources[len(sources)-1].Version,
		hasVersions: hasVersions,
	}, nil
}

// version reads the schema's version, 0 for an empty database, and refuses one
// that is newer than this program. Unlike goose's own it writes nothing.
func (m *migrator) version(ctx context.Context) (int64, error) {
	const doing = "read the schema's version"
	var there bool
	if err := m.db.QueryRowContext(ctx, m.hasVersions).Scan(&there); err != nil {
		return 0, classify(ctx, err, doing)
	}
	if !there {
		return 0, nil
	}
	var version sql.NullInt64
	err := m.db.QueryRowContext(ctx, "SELECT max(version_id) FROM "+goose.DefaultTablename).Scan(&version)
	if err != nil {
		return 0, classify(ctx, err, doing)
	}
	if version.Int64 > m.latest {
		return 0, fault.Conflict("the database's schema is at version %d, which is newer than this program's %d: use a newer gatehouse", version.Int64, m.latest)
	}
	return version.Int64, nil
}

func (m *migrator) up(ctx context.Context) (from, to int64, err error) {
	from, err = m.version(ctx)
	if err != nil || from == m.latest {
		return from, from, err
	}
	if _, err := m.provider.Up(ctx); err != nil {
		return from, from, classify(ctx, err, "migrate the database's schema")
	}
	return from, m.latest, nil
}
