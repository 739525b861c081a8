// Package sqlstore keeps tenants in PostgreSQL or SQLite. It implements
// store.Store once, over the queries that sqlc generated for PostgreSQL; gen/bridge
// gives SQLite's the same form.
//
// Start at [Open]. What differs between the engines is in postgres.go and
// sqlite.go, behind the interface database; the write path that they share is in
// update.go, and drivers' errors get their meaning in errors.go alone.
package sqlstore

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// cleanupTimeout bounds what must happen even when the caller has gone: a COMMIT
// that has begun, a ROLLBACK.
const cleanupTimeout = 10 * time.Second

// Config says where the database is.
type Config struct {
	// URL is postgres://…, postgresql://…, or a SQLite file: sqlite:PATH, a plain
	// path, or as SQLAlchemy has it, sqlite:///relative and sqlite:////absolute. A
	// path is taken as it is: nothing in it is decoded or split off.
	URL string
	// ListenURL is a way to the same PostgreSQL for LISTEN alone, where URL leads through a
	// pooler that would hear nothing. Empty means URL.
	ListenURL string
	// AutoMigrate lets Open bring an empty or older PostgreSQL schema up to date;
	// without it Open refuses such a schema. SQLite files are always brought up to
	// date.
	AutoMigrate bool
	// Encryption says what the process can open of a sealed database.
	Encryption Encryption
	// Replicas are URLs of streaming replicas of a PostgreSQL database, which may answer
	// ViewAnywhere. They need not be up.
	Replicas []string
	// Logger is told of replicas that are of no use; nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes spans of PostgreSQL's statements; nil means none.
	TracerProvider trace.TracerProvider
}

// Store is a store.Store in a SQL database.
type Store struct {
	db      database
	dialect string
	vault   *vault
	// replicas is nil where there are none.
	replicas *replicas
	// rotationDue is RotationDue.
	rotationDue bool
	// grace is how long EnableEncryption waits for processes without secrets.
	grace time.Duration
	// decisions counts those that were given an id.
	decisions atomic.Uint32
	// events makes rows of audit events.
	events eventRows
	counts counts
}

var _ store.Store = (*Store)(nil)

// database is what the two engines do differently.
type database interface {
	// queries runs each query by itself, for reading.
	queries() postgres.Querier
	// statements runs each query by itself, for writing too.
	statements() postgres.Querier
	// view runs fn on one snapshot.
	view(ctx context.Context, fn func(postgres.Querier) error) error
	// begin starts a write transaction.
	begin(ctx context.Context) (transaction, error)
	ping(ctx context.Context) error
	// connections is Store.Connections.
	connections() Connections
	// watch is Store.Watch.
	watch(ctx context.Context, changed func()) error
	// forget removes what files hold of values that were replaced, as far as that can be
	// done while others use them.
	forget(ctx context.Context) error
	// announce has the watchers of other processes called, if they are not anyhow.
	announce()
	// purge drops what the database keeps of rows as they were before they were changed
	// or deleted, as far as it can. Its error is classified.
	purge(ctx context.Context) error
	close() error
}

// transaction is one write transaction. Its queries return drivers' errors.
type transaction interface {
	postgres.Querier
	// pipeline runs the queries of fn, which return nothing, in as few round trips as it
	// can.
	pipeline(ctx context.Context, fn func(postgres.Querier) error) error
	// commit returns a classified error: one that does not wrap store.ErrRetry may
	// stand for a transaction that did commit.
	commit(ctx context.Context) error
	// rollback does nothing after commit.
	rollback(ctx context.Context)
}

// Open connects to the database and makes sure that its schema is the one that
// this program knows, and that it is sealed as the settings say. A schema newer than
// that is refused.
func Open(ctx context.Context, config Config) (*Store, error) {
	target, err := parseURL(config.URL)
	if err != nil {
		return nil, err
	}
	s := &Store{dialect: target.dialect, vault: newVault(config.Encryption), grace: 3 * admission, counts: newCounts()}
	if target.dialect == dialectSQLite {
		s.db, err = openSQLite(ctx, target.location, config.Encryption.Unfit)
	} else {
		s.db, err = openPostgres(ctx, target.location, config)
	}
	if err != nil {
		return nil, err
	}
	if !config.Encryption.Unfit {
		if err := s.fit(ctx, config.Encryption.Enabled); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if len(config.Replicas) > 0 {
		if s.replicas, err = openReplicas(s.db, config); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// Dialect names the engine: "sqlite" or "postgresql".
func (s *Store) Dialect() string { return s.dialect }

// Connections says how many connections there can be: those that read, and those that
// write alone; 0 where the first write too.
type Connections struct{ Readers, Writers int }

// Connections returns the sizes of the pools.
func (s *Store) Connections() Connections { return s.db.connections() }

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.ping(ctx); err != nil {
		return classify(ctx, err, "ping the database")
	}
	return s.vault.admit(ctx, s.db.queries())
}

// Close implements store.Store. What begins after it fails with
// fault.CodeUnavailable.
func (s *Store) Close() error {
	if s.replicas != nil {
		s.replicas.close()
	}
	return s.db.close()
}

// View implements store.Store.
func (s *Store) View(ctx context.Context, tenant string, fn func(store.Reader) error) error {
	return s.view(ctx, func(q postgres.Querier) error {
		q, err := s.vault.reading(ctx, q, tenant)
		if err != nil {
			return err
		}
		return fn(reader{queries: q, tenant: tenant})
	})
}

// view runs fn on one snapshot, and again on another where the connection broke.
func (s *Store) view(ctx context.Context, fn func(postgres.Querier) error) error {
	return retry(ctx, func() error { return s.db.view(ctx, fn) })
}

// read runs fn, which reads once, on what opens a tenant's values.
func (s *Store) read(ctx context.Context, tenant string, fn func(postgres.Querier) error) error {
	open := func(q postgres.Querier) error {
		q, err := s.vault.reading(ctx, q, tenant)
		if err != nil {
			return err
		}
		return fn(q)
	}
	if !s.vault.opens() {
		return open(s.db.queries())
	}
	return s.view(ctx, open)
}

// readInstallation is read for the installation's own values.
func (s *Store) readInstallation(ctx context.Context, fn func(postgres.Querier) error) error {
	return s.view(ctx, func(q postgres.Querier) error {
		row, err := q.Encryption(ctx)
		if err != nil {
			return classify(ctx, err, "find out how the installation is sealed")
		}
		if q, err = s.vault.queries(ctx, q, "", sealingOf(row.SealedWith, row.SealedAlso)); err != nil {
			return err
		}
		return fn(q)
	})
}

// Revisions implements store.Store.
func (s *Store) Revisions(ctx context.Context, tenants []string) (map[string]int64, error) {
	if err := s.vault.admit(ctx, s.db.queries()); err != nil {
		return nil, err
	}
	rows, err := s.db.queries().Revisions(ctx, postgres.RevisionsParams{Tenants: jsonList(tenants)})
	if err != nil {
		return nil, classify(ctx, err, "read the revisions")
	}
	revisions := make(map[string]int64, len(rows))
	for _, row := range rows {
		revisions[row.ID] = row.Revision
	}
	return revisions, nil
}

// ClientKeyByHash implements store.Store.
func (s *Store) ClientKeyByHash(ctx context.Context, hash string) (store.ClientKey, error) {
	row, err := s.db.queries().ClientKeyByHash(ctx, postgres.ClientKeyByHashParams{Hash: hash})
	return foundKey(ctx, row, err)
}

// ClientKeyByFingerprint implements store.Store.
func (s *Store) ClientKeyByFingerprint(ctx context.Context, fingerprint string) (store.ClientKey, error) {
	row, err := s.db.queries().ClientKeyByFingerprint(ctx, postgres.ClientKeyByFingerprintParams{Fingerprint: fingerprint})
	return foundKey(ctx, row, err)
}

// ClientKeys implements store.Store.
func (s *Store) ClientKeys(ctx context.Context, after store.ClientKey, limit int) ([]store.ClientKey, error) {
	rows, err := s.db.queries().ClientKeys(ctx, postgres.ClientKeysParams{
		AfterTenant:      after.Tenant,
		AfterFingerprint: after.Fingerprint,
		MaxRows:          maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "list the client keys")
	}
	keys := make([]store.ClientKey, len(rows))
	for i, row := range rows {
		keys[i] = clientKey(row)
	}
	return keys, nil
}

func foundKey(ctx context.Context, row postgres.ClientKey, err error) (store.ClientKey, error) {
	switch {
	case isNoRows(err):
		return store.ClientKey{}, fault.NotFound("no such client key")
	case err != nil:
		return store.ClientKey{}, classify(ctx, err, "find a client key")
	}
	return clientKey(row), nil
}

func clientKey(row postgres.ClientKey) store.ClientKey {
	return store.ClientKey{
		Hash:        row.Hash,
		Fingerprint: row.Fingerprint,
		Tenant:      row.Tenant,
		Name:        row.Name,
		Abilities:   row.Abilities,
		CreatedAt:   timeOf(row.CreatedAt),
		ExpiresAt:   endOf(row.ExpiresAt),
		RevokedAt:   timeOf(row.RevokedAt),
		Lifetime:    time.Duration(row.Lifetime) * time.Microsecond,
	}
}

// maxRows keeps a limit below zero from meaning "all", as it does on SQLite.
func maxRows(limit int) int64 { return int64(max(limit, 0)) }

// cleanupContext outlives ctx by a bounded time.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
