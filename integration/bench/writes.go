package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// manyWriters is how many write at once where not one does.
const manyWriters = 8

const createTable = "CREATE TABLE bench (tenant text NOT NULL, subject text NOT NULL, role text NOT NULL, PRIMARY KEY (tenant, subject, role))"

// writes compares memberships that are added, each in a transaction with its
// revision, change record and audit event, with single rows that the database's
// driver inserts, each in a transaction.
func writes(ctx context.Context, o options, d *databases) error {
	for _, kind := range kinds {
		title("Acknowledged writes on " + kind + ": a membership is added")
		g, err := d.open(ctx, kind, "writes")
		if err != nil {
			return err
		}
		insert, err := d.inserter(ctx, kind)
		if err != nil {
			return err
		}
		w := &writing{gatehouse: g, insert: insert}
		for range manyWriters {
			key, tenant, err := g.tenant(ctx)
			if err != nil {
				return err
			}
			if _, err := tenant.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
				return err
			}
			w.keys, w.tenants = append(w.keys, key), append(w.tenants, tenant)
		}
		if err := compare(ctx, o, "", w.contenders()); err != nil {
			return err
		}
	}
	return nil
}

// writing is what the contenders on one database share.
type writing struct {
	gatehouse *gatehouse
	insert    func(ctx context.Context, subject string) error
	keys      []string
	tenants   []*engine.Tenant
	users     atomic.Int64
}

func (w *writing) contenders() []contender {
	one, many := "driver, 1 writer", fmt.Sprintf("driver, %d writers", manyWriters)
	return []contender{
		{one, "", w.driver(1)},
		{"engine, 1 writer", one, w.engine(1, 1)},
		{"HTTP, 1 connection", one, w.http(1, 1)},
		{many, "", w.driver(manyWriters)},
		{fmt.Sprintf("engine, %d writers, 1 tenant", manyWriters), many, w.engine(manyWriters, 1)},
		{fmt.Sprintf("engine, %d writers, %[1]d tenants", manyWriters), many, w.engine(manyWriters, manyWriters)},
		{fmt.Sprintf("HTTP, %d connections, 1 tenant", manyWriters), many, w.http(manyWriters, 1)},
		{fmt.Sprintf("HTTP, %d connections, %[1]d tenants", manyWriters), many, w.http(manyWriters, manyWriters)},
	}
}

// user is a name that nobody had before.
func (w *writing) user() string { return fmt.Sprintf("user-%d@example.com", w.users.Add(1)) }

func (w *writing) driver(writers int) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		workers := make([]func() error, writers)
		for n := range workers {
			workers[n] = func() error { return w.insert(ctx, w.user()) }
		}
		return hammer(ctx, duration, workers)
	}
}

func (w *writing) engine(writers, tenants int) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		workers := make([]func() error, writers)
		for n := range workers {
			tenant := w.tenants[n%tenants]
			workers[n] = func() error {
				_, err := tenant.AddMembership(ctx, w.user(), "editor", authz.Window{})
				return err
			}
		}
		return hammer(ctx, duration, workers)
	}
}

func (w *writing) http(connections, tenants int) func(context.Context, time.Duration) (sample, error) {
	return func(ctx context.Context, duration time.Duration) (sample, error) {
		workers := make([]func() error, connections)
		for n := range workers {
			c, err := dial(ctx, w.gatehouse.address)
			if err != nil {
				return sample{}, err
			}
			defer c.close()
			key := w.keys[n%tenants]
			workers[n] = func() error {
				_, err := c.exchange(newRequest(http.MethodPost, "/api/membership/"+w.user()+"/editor", key))
				return err
			}
		}
		return hammer(ctx, duration, workers)
	}
}

// inserter returns what inserts one row in one transaction, through the driver that
// Gatehouse uses and with the settings that it uses.
func (d *databases) inserter(ctx context.Context, kind string) (func(ctx context.Context, subject string) error, error) {
	database, err := d.newDatabase(ctx, kind, "driver")
	if err != nil {
		return nil, err
	}
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		return d.sqliteInserter(ctx, path)
	}
	return d.postgresInserter(ctx, database)
}

func (d *databases) sqliteInserter(ctx context.Context, path string) (func(context.Context, string) error, error) {
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	d.atEnd(func() { report(db.Close()) })
	if _, err := db.ExecContext(ctx, createTable); err != nil {
		return nil, fmt.Errorf("create the driver's table: %w", err)
	}
	insert, err := db.PrepareContext(ctx, "INSERT INTO bench VALUES ('tenant', ?, 'editor')")
	if err != nil {
		return nil, fmt.Errorf("prepare the driver's insert: %w", err)
	}
	return func(ctx context.Context, subject string) error {
		return inTransaction(ctx, db, func(tx *sql.Tx) error {
			_, err := tx.StmtContext(ctx, insert).ExecContext(ctx, subject)
			return err
		})
	}, nil
}

func inTransaction(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (d *databases) postgresInserter(ctx context.Context, database string) (func(context.Context, string) error, error) {
	config, err := pgxpool.ParseConfig(database)
	if err != nil {
		return nil, fmt.Errorf("read the database's URL: %w", err)
	}
	config.MaxConns = max(config.MaxConns, 2*manyWriters)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	d.atEnd(pool.Close)
	if _, err := pool.Exec(ctx, createTable); err != nil {
		return nil, fmt.Errorf("create the driver's table: %w", err)
	}
	return func(ctx context.Context, subject string) error {
		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if _, err := tx.Exec(ctx, "INSERT INTO bench VALUES ('tenant', $1, 'editor')", subject); err != nil {
			return err
		}
		return tx.Commit(ctx)
	}, nil
}
