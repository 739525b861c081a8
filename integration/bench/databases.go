package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"
	// The driver's name is "sqlite".
	_ "modernc.org/sqlite"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/server"
)

// databases hands out empty databases of both kinds, and takes them back at the end.
type databases struct {
	folder   string
	postgres *pgtest.Server
	// descriptions say what is measured, a line each.
	descriptions []string
	closers      []func()
}

// kinds are the databases' names in the report.
var kinds = []string{"SQLite", "PostgreSQL"}

func openDatabases(ctx context.Context) (*databases, error) {
	folder, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	d := &databases{folder: folder}
	d.atEnd(func() { _ = os.RemoveAll(folder) })
	if d.postgres, err = pgtest.StartDurable(ctx); err != nil {
		d.close()
		return nil, err
	}
	d.atEnd(func() { report(d.postgres.Stop()) })
	if err := d.describe(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *databases) atEnd(f func()) { d.closers = append(d.closers, f) }

func (d *databases) close() {
	for n := range d.closers {
		d.closers[len(d.closers)-1-n]()
	}
	d.closers = nil
}

// report says what went wrong where nothing else can be done about it.
func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

func (d *databases) describe(ctx context.Context) error {
	db, err := openSQLite(filepath.Join(d.folder, "describe.sqlite3"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var version string
	if err := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return fmt.Errorf("ask SQLite for its version: %w", err)
	}
	d.descriptions = append(d.descriptions, fmt.Sprintf("SQLite %s: journal_mode WAL, synchronous FULL", version))

	database, err := d.newPostgreSQL(ctx)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return fmt.Errorf("open PostgreSQL: %w", err)
	}
	defer pool.Close()
	var fsync, commit, pages string
	err = pool.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('fsync'),
		current_setting('synchronous_commit'), current_setting('full_page_writes')`).Scan(&version, &fsync, &commit, &pages)
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its settings: %w", err)
	}
	d.descriptions = append(d.descriptions,
		fmt.Sprintf("PostgreSQL %s: fsync %s, synchronous_commit %s, full_page_writes %s", version, fsync, commit, pages))
	return nil
}

// newDatabase returns the URL of an empty database of a kind.
func (d *databases) newDatabase(ctx context.Context, kind, name string) (string, error) {
	if kind == "SQLite" {
		return "sqlite:" + filepath.Join(d.folder, name+".sqlite3"), nil
	}
	return d.newPostgreSQL(ctx)
}

func (d *databases) newPostgreSQL(ctx context.Context) (string, error) {
	database, drop, err := d.postgres.NewDatabase(ctx)
	if err != nil {
		return "", err
	}
	d.atEnd(drop)
	return database, nil
}

// openSQLite opens a file as Gatehouse opens it for writing: see
// internal/store/sqlstore.
func openSQLite(path string) (*sql.DB, error) {
	parameters := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()+"?"+parameters.Encode())
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	return db, nil
}

// gatehouse is an engine with a server on it.
type gatehouse struct {
	kind, database string
	engine         *engine.Engine
	address        string
	stop           func()
}

// openGatehouse opens an engine on a database and serves it on a loopback port. The
// log is off, as it is in production for what succeeds.
func openGatehouse(ctx context.Context, kind, database string, change ...func(*engine.Config)) (*gatehouse, error) {
	logger := slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn}))
	config := engine.Config{Database: database, AutoMigrate: true, Logger: logger}
	for _, f := range change {
		f(&config)
	}
	e, err := engine.Open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the engine on %s: %w", kind, err)
	}
	// The limit is the default of `gatehouse serve`.
	handler, err := server.New(server.Config{Engine: e, Logger: logger, AuthFailureLimit: 60})
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- handler.Serve(serving, listener) }()
	return &gatehouse{kind: kind, database: database, engine: e, address: listener.Addr().String(), stop: func() {
		cancel()
		report(errors.Join(<-served, e.Close()))
	}}, nil
}

// open opens a Gatehouse on a new database, for the rest of the run.
func (d *databases) open(ctx context.Context, kind, name string, change ...func(*engine.Config)) (*gatehouse, error) {
	database, err := d.newDatabase(ctx, kind, name)
	if err != nil {
		return nil, err
	}
	g, err := openGatehouse(ctx, kind, database, change...)
	if err == nil {
		d.atEnd(g.stop)
	}
	return g, err
}

// tenant makes a client key and returns it with its tenant.
func (g *gatehouse) tenant(ctx context.Context) (key string, _ *engine.Tenant, _ error) {
	key, info, err := g.engine.CreateClientKey(ctx, engine.ClientKeyOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("make a client key on %s: %w", g.kind, err)
	}
	return key, g.engine.Tenant(info.Tenant), nil
}
