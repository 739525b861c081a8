package sqlstore

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// Limits of the pool where the URL does not set them (pool_max_conns and so on, as
// pgxpool has them).
const (
	poolMinSize      = 16
	poolPerCPU       = 4
	connectTimeout   = 5 * time.Second
	healthPeriod     = 30 * time.Second
	maxIdleTime      = 5 * time.Minute
	applicationName  = "gatehouse"
	applicationParam = "application_name"
)

// postgresDB is a PostgreSQL database behind a pool.
type postgresDB struct {
	pool     *pgxpool.Pool
	notifier *notifier
}

var _ database = (*postgresDB)(nil)

func openPostgres(ctx context.Context, url string, how Config) (*postgresDB, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	if how.TracerProvider != nil {
		config.ConnConfig.Tracer = tracer{how.TracerProvider.Tracer("github.com/gatehouse/gatehouse/internal/store/sqlstore")}
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, classify(ctx, err, "open the pool")
	}
	if err := preparePostgres(ctx, config.ConnConfig, how.AutoMigrate); err != nil {
		pool.Close()
		return nil, err
	}
	return &postgresDB{pool: pool, notifier: startNotifier(pool)}, nil
}

// postgresConfig does not wrap the driver's error, which repeats parts of the URL.
func postgresConfig(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fault.Invalid("database URL: PostgreSQL's driver does not accept its host, port, TLS files or parameters")
	}
	set := config.ConnConfig.Config.RuntimeParams
	if _, ok := set[applicationParam]; !ok {
		set[applicationParam] = applicationName
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	given, err := givenParameters(url)
	if err != nil {
		return nil, err
	}
	if !given("pool_max_conns") {
		config.MaxConns = max(poolMinSize, int32(poolPerCPU*runtime.NumCPU()))
	}
	if !given("pool_health_check_period") {
		config.HealthCheckPeriod = healthPeriod
	}
	if !given("pool_max_conn_idle_time") {
		config.MaxConnIdleTime = maxIdleTime
	}
	if !given("pool_max_conn_lifetime_jitter") {
		// Connections of one start are not all replaced at one moment.
		config.MaxConnLifetimeJitter = config.MaxConnLifetime / 10
	}
	return config, nil
}

func (db *postgresDB) queries() postgres.Querier { return postgres.New(db.pool) }

func (db *postgresDB) statements() postgres.Querier { return db.queries() }

func (db *postgresDB) view(ctx context.Context, fn func(postgres.Querier) error) error {
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return classify(ctx, err, "begin a view")
	}
	defer rollbackPostgres(ctx, tx)
	return fn(postgres.New(tx))
}

func (db *postgresDB) begin(ctx context.Context) (transaction, error) {
	// READ COMMITTED is enough: RaiseRevision locks the tenant's row, and every
	// statement after it sees what the writers before have committed.
	tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return nil, err
	}
	return &postgresTx{postgres.New(tx), tx}, nil
}

func (db *postgresDB) ping(ctx context.Context) error { return db.pool.Ping(ctx) }

// forget does nothing: only VACUUM FULL would, which keeps everybody waiting.
func (db *postgresDB) forget(context.Context) error { return nil }

func (db *postgresDB) announce() { db.notifier.committed() }

// purge makes what rows were unreadable, and its place free; every row having been
// written, the planner's statistics are due as well. A table of another owner is left out,
// with a warning that the server logs. What the bytes of a freed place are until it is
// used again, only VACUUM FULL would settle, which keeps everybody out.
func (db *postgresDB) purge(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, "VACUUM (ANALYZE) "+strings.Join(sealedTables, ", "))
	return classify(ctx, err, "vacuum the tables")
}

func (db *postgresDB) close() error {
	db.notifier.close()
	db.pool.Close()
	return nil
}

type postgresTx struct {
	*postgres.Queries
	tx pgx.Tx
}

func (t *postgresTx) pipeline(ctx context.Context, fn func(postgres.Querier) error) error {
	var batch batchRecorder
	if err := fn(postgres.New(&batch)); err != nil {
		return err
	}
	return t.tx.SendBatch(ctx, &batch.Batch).Close()
}

func (t *postgresTx) commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return classifyCommit(ctx, errors.Join(errRolledBack, err))
	}
	// A caller that goes away now would leave the outcome unknown for nothing.
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	return classifyCommit(ctx, t.tx.Commit(ctx))
}

func (t *postgresTx) rollback(ctx context.Context) { rollbackPostgres(ctx, t.tx) }

// rollbackPostgres ends tx unless it has ended. The driver gives up a connection
// that cannot be rolled back, so its error needs no handling.
func rollbackPostgres(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	_ = tx.Rollback(ctx)
}

// batchRecorder collects statements for one round trip. It stands where sqlc's
// queries expect a connection, for those that return nothing.
type batchRecorder struct{ pgx.Batch }

func (b *batchRecorder) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	b.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

func (b *batchRecorder) Query(context.Context, string, ...any) (pgx.Rows, error) {
	return nil, errors.ErrUnsupported
}

// QueryRow is never called: the compiler wants it.
func (b *batchRecorder) QueryRow(context.Context, string, ...any) pgx.Row { return nil }
