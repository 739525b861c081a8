// Package engine is Gatehouse in process: every use case of the service as a
// method, with the same checks, the same audit and the same database.
//
// Open an Engine on a database, take a Tenant from it, and ask. The HTTP server is
// a thin shell around this package; what it answers is decided here. The engine
// reads no environment and starts nothing that Close does not end.
package engine

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// The kinds of error that the engine's methods return, for errors.Is. An error
// that is none of them is a fault of the engine's or of its database.
const (
	ErrInvalid         = fault.CodeInvalid
	ErrUnauthenticated = fault.CodeUnauthenticated
	ErrForbidden       = fault.CodeForbidden
	ErrNotFound        = fault.CodeNotFound
	ErrConflict        = fault.CodeConflict
	ErrUnavailable     = fault.CodeUnavailable
)

// Config says where an Engine keeps its data and how it behaves.
type Config struct {
	// Database is "postgres://…", "sqlite:PATH" or a file's path. Required. An
	// SQLite file is created (mode 0600) and migrated as needed.
	Database string

	// Replicas are the URLs of streaming replicas of a PostgreSQL database. They may answer
	// lists, searches and the pages of the audit and decision logs, where they have all
	// that the database itself has; else it answers. They need not be up.
	Replicas []string
	// ListenDatabase is another "postgres://…" to the same database, without a pooler in
	// transaction mode between, to hear of other servers' changes by; empty means
	// Database. Without it they are seen a poll later.
	ListenDatabase string

	// AutoMigrate lets Open bring a PostgreSQL database to this release's schema;
	// without it, Open refuses an older one. See Migrate.
	AutoMigrate bool

	// OpenRegistration lets any UUID4 open its own, empty tenant on its first
	// write. Without it only keys made by CreateClientKey authenticate.
	OpenRegistration bool

	// Encryption says how the database is sealed; the zero value leaves it plain.
	Encryption EncryptionConfig

	// DisableAudit leaves the audit log unwritten.
	DisableAudit bool

	// AuditDecisions says which decisions go to the decision log: DecisionsDenied,
	// DecisionsAll, or DecisionsOff, as empty does too. See LoggedDecisions.
	AuditDecisions string

	// AuditDecisionsRetention is how long a decision stays in the log; 0 is for ever.
	AuditDecisionsRetention time.Duration

	// MaxStaleness is how long decisions go on from memory while the database is
	// away; 0 means that they do not.
	MaxStaleness time.Duration

	// CacheSizeMB is about how much memory may be taken by what is kept of the database:
	// users, nodes, policies, client keys and tokens; in MiB, 0 means 256.
	CacheSizeMB int

	// MaxWaiting bounds how many decisions wait for the database at once, for what is not
	// in memory, and those of one tenant by three quarters of it: one more fails with
	// ErrBusy. 0 means no bound.
	MaxWaiting int

	// Sessions says how sessions live.
	Sessions SessionConfig

	// Tokens says how long access and refresh tokens are good.
	Tokens TokenConfig

	// Issuer is who issues tokens, as their iss says; empty means "gatehouse". The
	// tokens of another issuer are not taken.
	Issuer string

	// TokenAlgorithm signs tokens: HS256, RS256, ES256 or EdDSA (RFC 7518); empty means
	// that of the newest key, or HS256 without one. Tokens that another has signed stay
	// good until they expire.
	TokenAlgorithm string

	// TokenSecret, of at least 32 bytes, is the HS256 key where it is not to be made and
	// kept in the database.
	TokenSecret []byte

	// AuditCheckpointFile is where the server appends the signed checkpoints of the
	// audit log, as JSON lines, a minute apart at least; empty for nowhere.
	AuditCheckpointFile string

	// Now is the clock; nil means time.Now. On PostgreSQL, sessions live by the
	// database's, which all servers share.
	Now func() time.Time

	// TracerProvider makes spans of the statements that PostgreSQL runs for what is in a
	// span already; nil means none.
	TracerProvider trace.TracerProvider

	// Logger takes what no caller is told; nil means slog.Default().
	Logger *slog.Logger

	// pollEvery is live.Config.PollEvery; tests set it.
	pollEvery time.Duration

	// sessionTime changes the time that sessions are judged at; tests set it.
	sessionTime func(time.Time) time.Time

	// writeDecisions writes the decision log; tests set it.
	writeDecisions writeDecisions
	// checkpointEvery is how often the checkpoint file is written; 0 means
	// checkpointFileEvery. Tests set it.
	checkpointEvery time.Duration
}

// Engine is an open database with every use case on it. It is safe for use by
// many goroutines.
type Engine struct {
	store            *sqlstore.Store
	connections      sqlstore.Connections // the store's
	live             *live.Live
	stop             context.CancelFunc
	running          sync.WaitGroup // ends after stop
	openRegistration bool
	audit            bool
	clock            func() time.Time
	log              *slog.Logger

	sessions    SessionConfig
	sessionTime func(time.Time) time.Time
	issuer      string
	// signing are the keys of session tokens, and access those of access tokens.
	signing, access *keyring

	// decisions is nil where none are logged.
	decisions *decisionLog
	// decisionRetention is Config.AuditDecisionsRetention.
	decisionRetention time.Duration
	sequencer         *sequencer
	// house is held by the server that sweeps.
	house *lease
	// checkpointEvery is Config.checkpointEvery.
	checkpointEvery time.Duration

	// maxStaleness is Config.MaxStaleness.
	maxStaleness time.Duration

	// keys are the client keys that were asked for, by hash, and families those of the
	// access tokens.
	keys     *heard[keyHash, store.ClientKey]
	families *heard[familyID, accessFamily]
	tokens   TokenConfig
	// verified holds the access tokens whose signature has been verified.
	verified *otter.Cache[keyHash, verifiedToken]

	counts counts
}

// sqlitePollEvery is how often an SQLite file is looked at for the changes of other
// processes: it costs little there, and nothing else tells of them.
const sqlitePollEvery = 100 * time.Millisecond

const defaultCacheSizeMB = 256

// Open opens the database. It fails rather than work on a schema that is not
// this release's.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{
		openRegistration: cfg.OpenRegistration,
		audit:            !cfg.DisableAudit,
		maxStaleness:     cfg.MaxStaleness,
		clock:            cfg.Now,
		log:              logger(cfg),
		sessionTime:      cfg.sessionTime,
		issuer:           cmp.Or(cfg.Issuer, defaultIssuer),

		counts: newCounts(),

		decisionRetention: cfg.AuditDecisionsRetention,
		checkpointEvery:   cmp.Or(cfg.checkpointEvery, checkpointFileEvery),
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	encryption, err := cfg.Encryption.forStore()
	if err != nil {
		return nil, err
	}
	if e.sessions, err = cfg.Sessions.withDefaults(); err != nil {
		return nil, err
	}
	if cfg.AuditDecisionsRetention < 0 {
		return nil, fault.Invalid("retention of decisions: must not be negative")
	}
	if cfg.writeDecisions == nil {
		cfg.writeDecisions = func(ctx context.Context, batch []store.TenantDecision) error {
			return e.store.AppendDecisions(ctx, batch)
		}
	}
	if e.decisions, err = newDecisionLog(cfg.AuditDecisions, e.log, cfg.writeDecisions); err != nil {
		return nil, err
	}
	if e.tokens, err = cfg.Tokens.withDefaults(); err != nil {
		return nil, err
	}
	if err := checkCheckpointFile(cfg.AuditCheckpointFile); err != nil {
		return nil, err
	}
	// An eighth is for who may call, in three tables, and the rest for decisions.
	cacheBytes := cmp.Or(cfg.CacheSizeMB, defaultCacheSizeMB) << 20
	mostHeard := cacheBytes / 8 / 3 / heardEntry
	if e.keys, err = newHeard[keyHash, store.ClientKey](mostHeard, cfg.MaxStaleness); err != nil {
		return nil, err
	}
	if e.families, err = newHeard[familyID, accessFamily](mostHeard, cfg.MaxStaleness); err != nil {
		return nil, err
	}
	if e.verified, err = otter.New(&otter.Options[keyHash, verifiedToken]{MaximumSize: mostHeard, StatsRecorder: stats.NewCounter()}); err != nil {
		return nil, err
	}
	if e.signing, err = newKeyring(UseSession, cfg.TokenAlgorithm, cfg.TokenSecret); err != nil {
		return nil, err
	}
	if e.access, err = newKeyring(UseAccess, cfg.TokenAlgorithm, cfg.TokenSecret); err != nil {
		return nil, err
	}
	if e.store, err = sqlstore.Open(ctx, sqlstore.Config{
		URL: cfg.Database, ListenURL: cfg.ListenDatabase, AutoMigrate: cfg.AutoMigrate, Encryption: encryption,
		Replicas: cfg.Replicas, Logger: e.log, TracerProvider: cfg.TracerProvider,
	}); err != nil {
		return nil, err
	}
	warnOfSecret(e.log, encryption.Secret)
	if e.store.RotationDue() {
		e.log.Warn("the database is sealed with a previous secret: run `gatehouse encryption rotate`")
	}
	e.connections = e.store.Connections()
	if cfg.pollEvery == 0 && e.store.Dialect() == "sqlite" {
		cfg.pollEvery = sqlitePollEvery
	}
	e.live, err = live.New(e.store, live.Config{
		MaxStaleness: cfg.MaxStaleness, CacheBytes: uint64(cacheBytes / 8 * 7), PollEvery: cfg.pollEvery, Logger: e.log,
		MaxWaiting: cfg.MaxWaiting, MaxReading: max(1, e.connections.Readers*5/8),
	})
	if err != nil {
		return nil, errors.Join(err, e.store.Close())
	}
	e.signing.db, e.access.db = e.store, e.store
	e.sequencer = &sequencer{
		store: e.store, now: e.sessionNow, lease: e.newLease(auditLease, auditTerm), begun: time.Now(), file: cfg.AuditCheckpointFile,
	}
	e.house = e.newLease(houseLease, houseTerm)
	if err := e.readSigningKeys(ctx); err != nil {
		e.live.Close()
		return nil, errors.Join(err, e.store.Close())
	}
	e.start()
	return e, nil
}

func logger(cfg Config) *slog.Logger {
	if cfg.Logger == nil {
		return slog.Default()
	}
	return cfg.Logger
}

// Migrate brings a database to this release's schema and returns the schema
// versions before and after. Servers may run meanwhile.
func Migrate(ctx context.Context, database string) (from, to int64, err error) {
	return sqlstore.Migrate(ctx, database)
}

// Close waits for what is running and lets go of the database.
func (e *Engine) Close() error {
	e.stop()
	e.running.Wait()
	e.live.Close()
	return e.store.Close()
}

// start begins what goes on until Close.
func (e *Engine) start() {
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	// The database's word that something has changed brings the poll forward. It ends
	// with ctx alone, so its error says nothing.
	e.running.Go(func() { _ = e.store.Watch(ctx, e.live.Hint) })
	e.running.Go(func() {
		e.every(ctx, readKeysEvery, "read the signing keys", func(ctx context.Context) error {
			for _, ring := range e.rings() {
				if _, err := ring.read(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	})
	e.running.Go(func() { e.sequencer.run(ctx, e) })
	e.running.Go(func() { e.holdHouse(ctx) })
	e.running.Go(func() { e.keepHouse(ctx) })
	if e.decisions != nil {
		e.running.Go(func() { e.decisions.run(ctx) })
	}
}

// Health says how the database is.
type Health struct {
	// Database is "sqlite" or "postgresql".
	Database string
	// Latency is what the database took to answer.
	Latency time.Duration
	// Err is why it did not; nil where it did.
	Err error
}

// Health asks the database for a sign of life.
func (e *Engine) Health(ctx context.Context) Health {
	start := time.Now()
	err := e.store.Ping(ctx)
	return Health{Database: e.store.Dialect(), Latency: time.Since(start), Err: err}
}

// now is the clock's time as the database keeps it: UTC, in microseconds.
func (e *Engine) now() time.Time { return e.clock().UTC().Truncate(time.Microsecond) }
