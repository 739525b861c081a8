package sqlstore

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/sony/gobreaker/v2"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// acquireTimeout bounds how long a connection is waited for, be they all in use or the
// database out of reach.
const acquireTimeout = 2 * time.Second

// answerGrace is how long what is under way when an outage begins may still get its answer.
// Then its connection is given up: a host that has gone silent would keep it waiting, and
// those that wait for it, for as long as the caller has.
const answerGrace = 5 * time.Second

// trustFor is how long a connection may be idle and is given out without being asked.
const trustFor = time.Second

// guardedPool gives out a pool's connections, unless the database does not answer.
type guardedPool struct {
	config  *pgxpool.Config
	hosts   *hosts
	breaker *breaker
	// current is replaced when the breaker opens: what waits for an answer that will not
	// come keeps its connection, and no other waiting, once there are answers again.
	current atomic.Pointer[generation]
	closing sync.WaitGroup // former pools
	// mu guards closed, after which there are no more pools.
	mu     sync.Mutex
	closed bool
	// waits and waitTime are those of former pools, in nanoseconds.
	waits, waitTime atomic.Int64
	// resetAt is when the connections were last given up for a new primary.
	resetAt atomic.Int64
}

// generation is the pool of the time between two outages.
type generation struct {
	*pgxpool.Pool
	mu    sync.Mutex
	conns map[*pgx.Conn]struct{}
}

// newGeneration begins with an empty pool.
func newGeneration(ctx context.Context, config *pgxpool.Config) (*generation, error) {
	g := &generation{conns: map[*pgx.Conn]struct{}{}}
	config = config.Copy()
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.conns[conn] = struct{}{}
		return nil
	}
	config.BeforeClose = func(conn *pgx.Conn) {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, conn)
	}
	var err error
	g.Pool, err = pgxpool.NewWithConfig(ctx, config)
	return g, err
}

// retire closes the pool, when all its connections have been given back. Those that have
// not been by then are cut after answerGrace.
func (g *generation) retire() {
	late := time.AfterFunc(answerGrace, g.cut)
	defer late.Stop()
	g.Close()
}

func (g *generation) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		cut(conn)
	}
}

// cut has what runs on a connection fail now, or what comes next.
func cut(conn *pgx.Conn) { _ = conn.PgConn().Conn().SetDeadline(time.Unix(1, 0)) }

// isCut tells the error of a connection that was cut, where the context goes on.
func isCut(err error) bool {
	var connect *pgconn.ConnectError
	return errors.Is(err, os.ErrDeadlineExceeded) && !errors.As(err, &connect)
}

// openPool has what its connections run seen by spans, too, unless that is nil.
func openPool(ctx context.Context, config *pgxpool.Config, at *hosts, spans pgx.QueryTracer) (*guardedPool, error) {
	p := &guardedPool{config: config, hosts: at}
	p.breaker = newBreaker(p.replace, p.abandon)
	config.ConnConfig.Tracer = p.breaker
	if spans != nil {
		config.ConnConfig.Tracer = multitracer.New(p.breaker, spans)
	}
	config.BeforeConnect = func(ctx context.Context, connecting *pgx.ConnConfig) error {
		reach(ctx)
		at.order(connecting)
		return nil
	}
	config.ShouldPing = func(ctx context.Context, of pgxpool.ShouldPingParams) bool {
		ask := of.IdleDuration > trustFor || p.breaker.doubts(of.IdleDuration) || isStirred(of.Conn.PgConn().Conn())
		if ask {
			reach(ctx)
		}
		return ask
	}
	pool, err := newGeneration(ctx, config)
	p.current.Store(pool)
	return p, err
}

// replace begins with an empty pool. Who has a connection of the former keeps it, for
// answerGrace at most.
func (p *guardedPool) replace(isSilent bool) {
	if isSilent {
		p.hosts.distrust()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	pool, err := newGeneration(context.Background(), p.config)
	if err != nil {
		return // the same configuration was good before
	}
	former := p.current.Swap(pool)
	stat := former.Stat()
	p.waits.Add(stat.EmptyAcquireCount())
	p.waitTime.Add(int64(stat.EmptyAcquireWaitTime()))
	p.closing.Go(former.retire)
}

// close waits until every connection has been given back.
func (p *guardedPool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.current.Load().Close()
	p.closing.Wait()
}

// resetEvery is the least time between two resets of the pool.
const resetEvery = time.Second

// abandon gives up all connections, those in use when they are done: the server is no
// longer the primary, and the next connection finds the one that is.
func (p *guardedPool) abandon() {
	now := int64(time.Since(p.breaker.since))
	last := p.resetAt.Load()
	if (last == 0 || now-last >= int64(resetEvery)) && p.resetAt.CompareAndSwap(last, now) {
		p.current.Load().Reset()
	}
}

// acquisition is one try to get a connection, as its context holds it.
type acquisition struct {
	// reached is whether it came to ask the server anything; else it only waited for its
	// turn.
	reached atomic.Bool
}

type acquisitionKey struct{}

// reach notes that the server is asked something for whoever acquires a connection.
func reach(ctx context.Context) {
	if a, ok := ctx.Value(acquisitionKey{}).(*acquisition); ok {
		a.reached.Store(true)
	}
}

// acquire returns a connection, which the caller releases. Its error is the driver's, or
// has a code.
func (p *guardedPool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	done, err := p.breaker.cb.Allow()
	if err != nil {
		return nil, fault.Unavailable(err, "the database does not answer")
	}
	var a acquisition
	bounded, cancel := context.WithTimeout(context.WithValue(ctx, acquisitionKey{}, &a), acquireTimeout)
	defer cancel()
	began := time.Now()
	conn, err := p.current.Load().Acquire(bounded)
	if err != nil && bounded.Err() != nil && !a.reached.Load() {
		done(errNoVerdict)
		if ctx.Err() == nil {
			err = fault.Unavailable(err, "all connections to the database are in use")
		}
		return nil, err
	}
	done(p.breaker.judge(bounded, began, err))
	return conn, err
}

// guarded runs single statements, each on a connection of its own.
type guarded struct {
	pool *guardedPool
	// reading says that a statement may run twice, as it does where a connection breaks
	// before its first row.
	reading bool
}

var _ postgres.DBTX = guarded{}

// on runs work with a connection, which work releases unless it fails.
func (g guarded) on(ctx context.Context, work func(*pgxpool.Conn) error) error {
	once := func() error {
		conn, err := g.pool.acquire(ctx)
		if err != nil {
			return err
		}
		if err := work(conn); err != nil {
			conn.Release()
			return err
		}
		return nil
	}
	if !g.reading {
		return once()
	}
	return retry(ctx, func() error { return markLost(once()) })
}

// Exec implements postgres.DBTX.
func (g guarded) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	err = g.on(ctx, func(conn *pgxpool.Conn) error {
		if tag, err = conn.Exec(ctx, sql, args...); err == nil {
			conn.Release()
		}
		return err
	})
	return tag, err
}

// Query implements postgres.DBTX. It looks for the first row, for that is where an error
// comes.
func (g guarded) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	var held *heldRows
	err := g.on(ctx, func(conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		held = &heldRows{Rows: rows, conn: conn, peeked: true, any: rows.Next()}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// QueryRow implements postgres.DBTX.
func (g guarded) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return lazyRow(func(into ...any) error {
		return g.on(ctx, func(conn *pgxpool.Conn) error {
			err := conn.QueryRow(ctx, sql, args...).Scan(into...)
			if err == nil {
				conn.Release()
			}
			return err
		})
	})
}

// heldRows hold a connection until they are closed.
type heldRows struct {
	pgx.Rows
	conn *pgxpool.Conn
	// peeked says that any is what Next returns next.
	peeked, any bool
}

// Next implements pgx.Rows.
func (r *heldRows) Next() bool {
	if r.peeked {
		r.peeked = false
		return r.any
	}
	return r.Rows.Next()
}

// Close implements pgx.Rows.
func (r *heldRows) Close() {
	r.Rows.Close()
	r.conn.Release()
}

// lazyRow is a row that is asked for by the function that scans it.
type lazyRow func(into ...any) error

// Scan implements pgx.Row.
func (r lazyRow) Scan(into ...any) error { return r(into...) }

// errLost marks an error of a connection that broke before anything was committed: the
// same work may succeed on another.
var errLost = errors.New("the connection was lost")

// lostError is an error that errLost marks.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func (e lostError) Is(target error) bool { return target == errLost }

func markLost(err error) error {
	if isLost(err) {
		return lostError{err}
	}
	return err
}

// DatabaseStats are facts about the connections to one database.
type DatabaseStats struct {
	// Database is "primary".
	Database string
	// Breaker is 0 while it is closed, 1 half open, 2 open; Opened is how often it has
	// opened.
	Breaker int
	Opened  uint64
	// Idle and InUse are connections that there are, MaxConnections how many there can be.
	Idle, InUse, MaxConnections int32
	// Waits is how often a connection was not there at once, and WaitTime for how long in
	// all.
	Waits    int64
	WaitTime time.Duration
}

// Databases returns facts about the connections to each database; none for SQLite.
func (s *Store) Databases() []DatabaseStats {
	db, ok := s.db.(*postgresDB)
	if !ok {
		return nil
	}
	return []DatabaseStats{db.pool.stats("primary")}
}

func (p *guardedPool) stats(name string) DatabaseStats {
	now := p.current.Load().Stat()
	return DatabaseStats{
		Database: name,
		Breaker:  breakerStates[p.breaker.cb.State()], Opened: p.breaker.opened.Load(),
		Idle: now.IdleConns(), InUse: now.AcquiredConns(), MaxConnections: now.MaxConns(),
		Waits: p.waits.Load() + now.EmptyAcquireCount(), WaitTime: time.Duration(p.waitTime.Load()) + now.EmptyAcquireWaitTime(),
	}
}

var breakerStates = map[gobreaker.State]int{gobreaker.StateClosed: 0, gobreaker.StateHalfOpen: 1, gobreaker.StateOpen: 2}
