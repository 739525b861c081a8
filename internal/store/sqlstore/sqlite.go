package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	// The driver's name is "sqlite".
	_ "modernc.org/sqlite"

	"github.com/gatehouse/gatehouse/gen/bridge"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/gen/sqlite"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// sqliteDB is a SQLite file behind two pools: one connection that writes, and
// several that cannot. Writers of this process so wait for each other in Go, where
// a context can end the wait, and readers never wait for a writer (WAL).
type sqliteDB struct {
	readers, writer *sql.DB
	// read and write are prepared: database/sql compiles each once for every
	// connection, and the driver runs the compiled statement again.
	read, write *sqlite.Queries
}

var _ database = (*sqliteDB)(nil)

// openSQLite opens a file. Where it is to erase, nothing is left in the file of what this
// process replaces or deletes.
func openSQLite(ctx context.Context, path string, erase bool) (*sqliteDB, error) {
	path, err := createFile(path)
	if err != nil {
		return nil, err
	}
	db := &sqliteDB{}
	var erasing []string
	if erase {
		erasing = []string{"secure_delete(1)"}
	}
	if db.writer, err = openSQLitePool(writerDSN(path, erasing...), 1); err != nil {
		return nil, err
	}
	if _, _, err := migrateSQLite(ctx, db.writer); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if db.readers, err = openSQLitePool(readerDSN(path), max(4, runtime.NumCPU())); err != nil {
		return nil, errors.Join(err, db.close())
	}
	if db.write, err = sqlite.Prepare(ctx, db.writer); err != nil {
		return nil, errors.Join(classify(ctx, err, "prepare the queries"), db.close())
	}
	if db.read, err = sqlite.Prepare(ctx, db.readers); err != nil {
		return nil, errors.Join(classify(ctx, err, "prepare the queries"), db.close())
	}
	return db, nil
}

// createFile returns the file's absolute path. A file that is not there is made
// for the owner alone; SQLite gives its companions (-wal, -shm) the same mode.
func createFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the database file: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", fmt.Errorf("open the database file: %w", err)
	}
	if err := file.Close(); err != nil {
		return "", fmt.Errorf("open the database file: %w", err)
	}
	return path, nil
}

func openSQLitePool(dsn string, connections int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open the database file: %w", err)
	}
	db.SetMaxOpenConns(connections)
	// A connection holds compiled statements, so none is given up while idle.
	db.SetMaxIdleConns(connections)
	return db, nil
}

// writerDSN and readerDSN carry the pragmas, so that every connection of a pool
// has them. The driver sets busy_timeout first: the switch to WAL may wait for
// another process.
func writerDSN(path string, more ...string) string {
	pragmas := append([]string{"busy_timeout(5000)", "journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)"}, more...)
	return sqliteDSN(path, url.Values{"_txlock": {"immediate"}, "_pragma": pragmas})
}

func readerDSN(path string) string {
	return sqliteDSN(path, url.Values{
		"mode":    {"ro"},
		"_pragma": {"busy_timeout(5000)", "query_only(1)"},
	})
}

// sqliteDSN needs an absolute path, and the prefix "file:" without which SQLite
// would take the parameters for a part of the name.
func sqliteDSN(path string, parameters url.Values) string {
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + parameters.Encode()
}

func (db *sqliteDB) queries() postgres.Querier { return bridge.SQLite{Queries: db.read} }

func (db *sqliteDB) statements() postgres.Querier { return bridge.SQLite{Queries: db.write} }

func (db *sqliteDB) view(ctx context.Context, fn func(postgres.Querier) error) error {
	// A read-only transaction is a deferred one in spite of _txlock: its snapshot
	// is that of its first query.
	tx, err := db.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return classify(ctx, err, "begin a view")
	}
	defer func() { _ = tx.Rollback() }()
	return fn(bridge.SQLite{Queries: db.read.WithTx(tx)})
}

func (db *sqliteDB) begin(ctx context.Context) (transaction, error) {
	tx, err := db.writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &sqliteTx{bridge.SQLite{Queries: db.write.WithTx(tx)}, tx}, nil
}

func (db *sqliteDB) connections() Connections {
	return Connections{Readers: db.readers.Stats().MaxOpenConnections, Writers: db.writer.Stats().MaxOpenConnections}
}

func (db *sqliteDB) ping(ctx context.Context) error {
	// A ping of the driver does not touch the file, and this does.
	var one int
	return db.readers.QueryRowContext(ctx, "SELECT 1 FROM sqlite_master LIMIT 1").Scan(&one)
}

// forget empties the write-ahead log. The file has nothing to forget: see openSQLite.
func (db *sqliteDB) forget(ctx context.Context) error {
	// It does what it can where others are reading, and says so in its result.
	_, err := db.writer.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return classify(ctx, err, "empty the write-ahead log")
}

// announce does nothing, for watch hears nothing.
func (db *sqliteDB) announce() {}

// purge writes the file anew, without the free pages and the free parts of pages that
// deleted rows still stand in, and empties the log of changes, in which it did so.
func (db *sqliteDB) purge(ctx context.Context) error {
	const doing = "rewrite the database file"
	err := retry(ctx, func() error {
		_, err := db.writer.ExecContext(ctx, "VACUUM")
		return classify(ctx, err, doing)
	})
	if err != nil {
		return err
	}
	return retry(ctx, func() error {
		var unfinished, pages, moved int
		err := db.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&unfinished, &pages, &moved)
		if err == nil && unfinished != 0 {
			return fault.Unavailable(fmt.Errorf("%s: a snapshot is being read: %w", doing, store.ErrRetry), "the database is busy")
		}
		return classify(ctx, err, doing)
	})
}

func (db *sqliteDB) close() error {
	// The writer goes last: only it can fold the WAL into the file.
	return errors.Join(closePool(db.readers), closePool(db.writer))
}

// closePool closes db after everything that runs on it has ended, which
// database/sql by itself does not wait for.
func closePool(db *sql.DB) error {
	if db == nil {
		return nil
	}
	for range db.Stats().MaxOpenConnections {
		conn, err := db.Conn(context.Background())
		if err != nil {
			break
		}
		defer func() { _ = conn.Close() }()
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close the database file: %w", err)
	}
	return nil
}

// sqliteTx is a write transaction. database/sql rolls it back when its context
// ends.
type sqliteTx struct {
	bridge.SQLite
	tx *sql.Tx
}

func (t *sqliteTx) pipeline(_ context.Context, fn func(postgres.Querier) error) error { return fn(t) }

func (t *sqliteTx) commit(ctx context.Context) error {
	err := t.tx.Commit()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// database/sql looks at the context before it commits, and never during it.
		err = fmt.Errorf("%w: %w", errRolledBack, err)
	}
	return classifyCommit(ctx, err)
}

func (t *sqliteTx) rollback(context.Context) { _ = t.tx.Rollback() }
