package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

const (
	// probeEvery is how often a replica is looked at, and so how long one that failed is
	// left alone at most, once it is well again.
	probeEvery = time.Second
	// probeTimeout is how long a replica may take to answer a probe.
	probeTimeout = 2 * time.Second
	// replicaTimeout bounds how long a read waits for a replica before it goes to the
	// primary, but for the answer itself: that is given up when a probe fails.
	replicaTimeout = time.Second
	// catchUpTimeout is how long a read waits for a replica to have everything, which it
	// hardly ever has at once while somebody writes; catchUpPoll is how often it looks.
	catchUpTimeout = 50 * time.Millisecond
	catchUpPoll    = 5 * time.Millisecond
)

// ReplicaReads counts the reads that replicas were asked for.
type ReplicaReads struct {
	// Answered were answered by a replica. The primary answered the others: of Behind the
	// replica did not have what was wanted, of Failed none was of use.
	Answered, Behind, Failed uint64
}

// ReplicaReads returns the counts since Open.
func (s *Store) ReplicaReads() ReplicaReads {
	if s.replicas == nil {
		return ReplicaReads{}
	}
	return ReplicaReads{
		Answered: s.replicas.answered.Load(), Behind: s.replicas.behind.Load(), Failed: s.replicas.failed.Load(),
	}
}

// ViewAnywhere implements store.Store.
func (s *Store) ViewAnywhere(ctx context.Context, tenant string, wanted store.Wanted, fn func(store.Reader) error) error {
	if s.replicas != nil {
		answered, err := s.replicas.view(ctx, tenant, wanted, func(q postgres.Querier) error {
			q, err := s.vault.readingReplica(ctx, q, tenant)
			if err != nil {
				return err
			}
			return fn(reader{queries: q, tenant: tenant})
		})
		if answered {
			return err
		}
	}
	return s.View(ctx, tenant, fn)
}

// replicas are streaming replicas of the primary. Each read asks the primary where it
// stands, and a replica answers only where it stands there, too: no time that a replica
// may lag goes into an answer.
type replicas struct {
	primary guarded
	all     []*replica
	turn    atomic.Uint32
	log     *slog.Logger

	answered, behind, failed atomic.Uint64

	stop context.CancelFunc
	done sync.WaitGroup
}

// replica is one of them.
type replica struct {
	name string
	// pool is for reads, and probes for finding out about the replica while reads have all
	// connections of the other.
	pool, probes *pgxpool.Pool
	// up is nil while the replica is left alone.
	up atomic.Pointer[uptime]
}

// uptime is a time in which no probe fails; its end ends the reads that have begun in it.
type uptime struct {
	ctx context.Context
	end context.CancelFunc
}

// take gives a connection up at the end of the uptime, unless release, which releases it,
// is called before.
func (u *uptime) take(conn *pgxpool.Conn) (release func()) {
	// The queries on it have contexts of their own.
	of := conn.Conn()
	stop := context.AfterFunc(u.ctx, func() { cut(of) })
	return func() {
		if !stop() {
			// Nobody is to get a connection that is about to fail.
			_ = conn.Conn().Close(u.ctx)
		}
		conn.Release()
	}
}

func openReplicas(db database, how Config) (*replicas, error) {
	primary, ok := db.(*postgresDB)
	if !ok {
		return nil, fault.Invalid("replicas: an SQLite database has none")
	}
	log := cmp.Or(how.Logger, slog.Default())
	ctx, stop := context.WithCancel(context.Background())
	rs := &replicas{primary: guarded{pool: primary.pool, reading: true}, log: log, stop: stop}
	for i, url := range how.Replicas {
		r, err := openReplica(ctx, fmt.Sprintf("replica-%d", i+1), url, how.tracer())
		if err != nil {
			rs.close()
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		rs.all = append(rs.all, r)
	}
	for _, r := range rs.all {
		rs.done.Go(func() { rs.watch(ctx, r) })
	}
	return rs, nil
}

// openReplica connects in the background.
func openReplica(ctx context.Context, name, url string, spans pgx.QueryTracer) (*replica, error) {
	r := &replica{name: name}
	config, err := postgresConfig(url)
	if err != nil {
		return r, err
	}
	config.MinIdleConns = 1
	config.ConnConfig.Tracer = spans
	if r.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return r, classify(ctx, err, "open the pool")
	}
	config = config.Copy()
	config.ConnConfig.Tracer = nil
	config.MinIdleConns, config.MinConns, config.MaxConns = 0, 0, 1
	if r.probes, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		r.pool.Close()
		return r, classify(ctx, err, "open the pool")
	}
	return r, nil
}

func (rs *replicas) close() {
	rs.stop()
	rs.done.Wait()
	for _, r := range rs.all {
		r.probes.Close()
		r.pool.Close()
	}
}

// watch probes a replica until ctx ends.
func (rs *replicas) watch(ctx context.Context, r *replica) {
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	var problem string
	for {
		err := rs.probe(ctx, r)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err == nil && problem != "":
			problem = ""
			rs.log.InfoContext(ctx, "a replica is of use again", "replica", r.name)
		case err != nil && err.Error() != problem:
			problem = err.Error()
			rs.log.WarnContext(ctx, "a replica is of no use, and the primary answers", "replica", r.name, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probe finds out whether a replica is of use, and has it asked or left alone.
func (rs *replicas) probe(ctx context.Context, r *replica) error {
	probing, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	there, err := standingOf(probing, r.probes, "")
	if err == nil {
		// Where the primary does not answer, nobody asks a replica.
		if primary, err := standingOf(probing, rs.primary, ""); err == nil && !there.follows(primary) {
			return r.leave(errStranger)
		}
		if r.up.Load() == nil {
			ctx, end := context.WithCancel(ctx)
			r.up.Store(&uptime{ctx, end})
		}
		return nil
	}
	return r.leave(err)
}

// leave ends an uptime because of an error, which it returns.
func (r *replica) leave(err error) error {
	if up := r.up.Swap(nil); up != nil {
		up.end()
	}
	return err
}

// next is the replica whose turn it is, of those that are up; nil for none.
func (rs *replicas) next() (*replica, *uptime) {
	turn := rs.turn.Add(1)
	for i := range uint32(len(rs.all)) {
		r := rs.all[(turn+i)%uint32(len(rs.all))]
		if up := r.up.Load(); up != nil {
			return r, up
		}
	}
	return nil, nil
}

// view runs fn on one snapshot of a replica, and reports whether that is the answer, with
// its error. Else the primary is to be asked.
func (rs *replicas) view(ctx context.Context, tenant string, wanted store.Wanted, fn func(postgres.Querier) error) (bool, error) {
	r, up := rs.next()
	if r == nil {
		rs.failed.Add(1)
		return false, nil
	}
	primary, err := standingOf(ctx, rs.primary, tenant)
	if err != nil {
		return false, nil
	}
	err = r.view(ctx, up, tenant, primary, wanted, fn)
	switch {
	case err == nil, isAnswer(err):
		rs.answered.Add(1)
		return true, err
	case errors.Is(err, errBehind):
		rs.behind.Add(1)
	case errors.Is(err, errBusy):
		rs.failed.Add(1)
	case ctx.Err() == nil:
		rs.failed.Add(1)
		// The reads that go on there may do so: it may be this one's fault.
		r.up.CompareAndSwap(up, nil)
	}
	return false, nil
}

// isAnswer reports whether an error says something about what was asked for.
func isAnswer(err error) bool {
	switch fault.CodeOf(err) {
	case fault.CodeInternal, fault.CodeUnavailable:
		return false
	}
	return true
}

func (r *replica) view(ctx context.Context, up *uptime, tenant string, primary standing, wanted store.Wanted, fn func(postgres.Querier) error) error {
	conn, err := r.await(ctx, tenant, primary, wanted)
	if err != nil {
		return err
	}
	defer up.take(conn)()
	// A replica goes forward only, so this snapshot has what was there before it.
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := cleanupContext(ctx)
		defer cancel()
		_ = tx.Rollback(ctx)
	}()
	return fn(postgres.New(tx))
}

// await returns a connection once the replica has what is wanted of where the primary
// stands, and else errBehind, or errBusy.
func (r *replica) await(ctx context.Context, tenant string, primary standing, wanted store.Wanted) (_ *pgxpool.Conn, err error) {
	if stat := r.pool.Stat(); stat.AcquiredConns() >= stat.MaxConns() {
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Release()
		}
	}()
	for end := time.Now().Add(catchUpTimeout); ; {
		here, err := standingOf(ctx, conn, tenant)
		switch {
		case err != nil:
			return nil, err
		case !here.follows(primary):
			return nil, errStranger
		case here.schema == primary.schema && wanted == store.WantRevision && here.revision >= primary.revision,
			here.position >= primary.position:
			return conn, nil
		case wanted == store.WantRevision || time.Now().After(end):
			return nil, errBehind
		}
		if err := wait(ctx, catchUpPoll); err != nil {
			return nil, err
		}
	}
}

var (
	errBehind   = errors.New("the replica is behind")
	errBusy     = errors.New("all connections to the replica are in use")
	errStranger = errors.New("this is no replica of the primary, as it is now: another database, another timeline, or promoted")
)

// standing is where a server is in the history of its cluster.
type standing struct {
	// system is the cluster's, and database and tenants are object ids there.
	system, database, tenants int64
	timeline                  int64
	// started, in microseconds, tells the servers of a cluster apart.
	started    int64
	recovering bool
	// position is what of the WAL is on the primary's disk, or was replayed, in bytes.
	position int64
	// schema is the schema's version, and revision a tenant's; 0 without it.
	schema, revision int64
}

// follows reports whether a server is a replica of the primary, or the primary itself. One
// that follows a former primary, or was promoted beside this one, may have what never
// came here, and lack what did. After a promotion, a replica is told by its timeline only
// from its next restart point.
func (s standing) follows(primary standing) bool {
	return s.system == primary.system && s.database == primary.database && s.tenants == primary.tenants &&
		s.timeline == primary.timeline && !primary.recovering && (s.recovering || s.started == primary.started)
}

func standingOf(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, tenant string) (s standing, err error) {
	err = db.QueryRow(ctx, `
SELECT (SELECT system_identifier FROM pg_control_system()), d.oid::bigint, 'tenants'::regclass::oid::bigint,
    CASE WHEN r.recovering THEN (SELECT timeline_id FROM pg_control_checkpoint())
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::bigint END,
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, r.recovering,
    (CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint,
    (SELECT max(version_id) FROM goose_db_version), coalesce((SELECT revision FROM tenants WHERE id = $1), 0)
FROM pg_database d, (SELECT pg_is_in_recovery() AS recovering) r
WHERE d.datname = current_database()`, tenant).
		Scan(&s.system, &s.database, &s.tenants, &s.timeline, &s.started, &s.recovering, &s.position, &s.schema, &s.revision)
	return s, err
}
