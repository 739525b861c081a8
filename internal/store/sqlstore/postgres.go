package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
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

// How a connection whose peer is silent is found out: see boundSilence for what was sent.
const userTimeout = 15 * time.Second

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}

// Bounds that the server keeps, should this process be out of reach while it holds a
// lock. They are set with every transaction, and not with the connection, so that they
// work through a pooler as well. Where the URL sets one, that one stands.
var transactionBounds = []struct{ parameter, bound string }{
	{"statement_timeout", "60s"},
	{"idle_in_transaction_session_timeout", "10s"},
}

// postgresDB is a PostgreSQL database behind a pool.
type postgresDB struct {
	pool     *guardedPool
	notifier *notifier
	// listening is how watch connects, and listeningHosts where to.
	listening      *pgx.ConnConfig
	listeningHosts *hosts
	// bounds are the statements that set transactionBounds.
	bounds string
}

var _ database = (*postgresDB)(nil)

// openPostgres opens the database of a URL.
func openPostgres(ctx context.Context, url string, how Config) (*postgresDB, error) {
	config, err := postgresConfig(url)
	if err != nil {
		return nil, err
	}
	if config.ConnConfig.ValidateConnect == nil {
		// A standby answers, too, and what it says may be of long ago.
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	at := &hosts{}
	listening, listeningAt := config.ConnConfig.Copy(), at
	if how.ListenURL != "" {
		direct, err := postgresConfig(how.ListenURL)
		if err != nil {
			return nil, fmt.Errorf("for LISTEN: %w", err)
		}
		listening, listeningAt = direct.ConnConfig, &hosts{}
	}
	if err := preparePostgres(ctx, config.ConnConfig.Copy(), at, how.AutoMigrate); err != nil {
		return nil, err
	}
	pool, err := openPool(ctx, config, at, how.tracer())
	if err != nil {
		return nil, classify(ctx, err, "open the pool")
	}
	db := &postgresDB{pool: pool, listening: listening, listeningHosts: listeningAt, bounds: boundsBeside(config.ConnConfig.RuntimeParams)}
	db.notifier = startNotifier(guarded{pool: pool})
	return db, nil
}

// boundsBeside returns the statements that set the bounds which the URL does not.
func boundsBeside(given map[string]string) string {
	var statements strings.Builder
	for _, b := range transactionBounds {
		if _, ok := given[b.parameter]; !ok {
			fmt.Fprintf(&statements, "; set local %s = '%s'", b.parameter, b.bound)
		}
	}
	return statements.String()
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
	config.ConnConfig.DialFunc = dialer.DialContext
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

// dialer makes connections that do not wait for ever for a peer that is gone.
var dialer = net.Dialer{
	KeepAliveConfig: keepAlive,
	Control: func(network, _ string, socket syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		return boundSilence(socket, userTimeout)
	},
}

func (db *postgresDB) queries() postgres.Querier {
	return postgres.New(guarded{pool: db.pool, reading: true})
}

func (db *postgresDB) statements() postgres.Querier { return postgres.New(guarded{pool: db.pool}) }

func (db *postgresDB) view(ctx context.Context, fn func(postgres.Querier) error) error {
	tx, err := db.open(ctx, "begin isolation level repeatable read read only")
	if err != nil {
		return classify(ctx, err, "begin a view")
	}
	defer tx.rollback(ctx)
	return fn(tx)
}

func (db *postgresDB) begin(ctx context.Context) (transaction, error) {
	// READ COMMITTED is enough: RaiseRevision locks the tenant's row, and every
	// statement after it sees what the writers before have committed.
	tx, err := db.open(ctx, "begin isolation level read committed read write")
	if sqlState(err) == notSupported {
		// A standby does not begin to write.
		db.pool.abandon()
		return nil, fault.Unavailable(lostError{err}, "the database is read-only")
	}
	return tx, err
}

// open begins a transaction on a connection that it holds until its end.
func (db *postgresDB) open(ctx context.Context, begin string) (*postgresTx, error) {
	conn, err := db.pool.acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin + db.bounds})
	if err != nil {
		conn.Release()
		return nil, err
	}
	return &postgresTx{postgres.New(tx), tx, conn}, nil
}

func (db *postgresDB) connections() Connections {
	return Connections{Readers: int(db.pool.config.MaxConns)}
}

func (db *postgresDB) ping(ctx context.Context) error {
	_, err := guarded{pool: db.pool, reading: true}.Exec(ctx, "SELECT 1")
	return err
}

// forget does nothing: only VACUUM FULL would, which keeps everybody waiting.
func (db *postgresDB) forget(context.Context) error { return nil }

func (db *postgresDB) announce() { db.notifier.committed() }

// purge makes what rows were unreadable, and its place free; every row having been
// written, the planner's statistics are due as well. A table of another owner is left out,
// with a warning that the server logs. What the bytes of a freed place are until it is
// used again, only VACUUM FULL would settle, which keeps everybody out.
func (db *postgresDB) purge(ctx context.Context) error {
	_, err := guarded{pool: db.pool}.Exec(ctx, "VACUUM (ANALYZE) "+strings.Join(sealedTables, ", "))
	return classify(ctx, err, "vacuum the tables")
}

func (db *postgresDB) close() error {
	db.notifier.close()
	db.pool.close()
	return nil
}

// postgresTx is a transaction with the connection that it alone uses.
type postgresTx struct {
	*postgres.Queries
	tx   pgx.Tx
	conn *pgxpool.Conn
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
	if t.tx.Conn().IsClosed() {
		return classifyCommit(ctx, errors.Join(errRolledBack, pgconn.ErrConnClosed))
	}
	// A caller that goes away now would leave the outcome unknown for nothing.
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	defer t.conn.Release()
	return classifyCommit(ctx, t.tx.Commit(ctx))
}

// rollback ends the transaction unless it has ended. The driver gives up a connection
// that cannot be rolled back, so its error needs no handling.
func (t *postgresTx) rollback(ctx context.Context) {
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	_ = t.tx.Rollback(ctx)
	t.conn.Release()
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
