package engine

import (
	"context"
	"log/slog"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// EncryptionConfig says how the database is to be sealed, and with which secrets. A
// database that it does not fit is refused by Open; see OpenEncryption.
type EncryptionConfig struct {
	// Enabled has names and personal data sealed. An empty database is sealed from its
	// start; another one by Encryption.Enable.
	Enabled bool
	// Secret is what the key that seals derives from, Previous what those of rows that are
	// not sealed with it yet do. Without Enabled they open what is sealed meanwhile.
	Secret   string
	Previous []string
}

// EncryptionStatus is what is sealed with what.
type EncryptionStatus = sqlstore.EncryptionStatus

// Encryption changes what a database is sealed with, while engines use it. Each change
// can be stopped anywhere, and goes on where it was when it is made again.
type Encryption struct {
	store *sqlstore.Store
	log   *slog.Logger
}

// OpenEncryption opens a database that need not fit cfg.Encryption yet. It looks at
// Database, AutoMigrate, Encryption and Logger alone.
func OpenEncryption(ctx context.Context, cfg Config) (*Encryption, error) {
	encryption := sqlstore.Encryption{Unfit: true, Secret: cfg.Encryption.Secret, Previous: cfg.Encryption.Previous}
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: cfg.Database, AutoMigrate: cfg.AutoMigrate, Encryption: encryption})
	if err != nil {
		return nil, err
	}
	e := &Encryption{store: store, log: logger(cfg)}
	warnOfSecret(e.log, cfg.Encryption.Secret)
	return e, nil
}

// Status counts what is sealed with what.
func (e *Encryption) Status(ctx context.Context) (EncryptionStatus, error) {
	return e.store.EncryptionStatus(ctx)
}

// Enable seals a plain database with the current secret. It first waits for engines that
// have no secret: from then on they answer ErrUnavailable. Like the others it tells
// progress how many rows of about how many are done, and reports whether there was
// anything to do.
func (e *Encryption) Enable(ctx context.Context, progress func(done, total int64)) (bool, error) {
	return e.change(ctx, "enable", e.store.EnableEncryption, progress)
}

// Rotate seals a sealed database with the current secret instead of a previous one, which
// nothing needs afterwards.
func (e *Encryption) Rotate(ctx context.Context, progress func(done, total int64)) (bool, error) {
	return e.change(ctx, "rotate", e.store.RotateEncryption, progress)
}

// Disable leaves everything plain.
func (e *Encryption) Disable(ctx context.Context, progress func(done, total int64)) (bool, error) {
	return e.change(ctx, "disable", e.store.DisableEncryption, progress)
}

func (e *Encryption) change(ctx context.Context, what string, run func(context.Context, sqlstore.Progress) (bool, error), progress func(done, total int64)) (bool, error) {
	changed, err := run(ctx, progress)
	if changed && err == nil {
		e.log.Info("encryption changed", "change", what)
	}
	return changed, err
}

// Close lets go of the database.
func (e *Encryption) Close() error { return e.store.Close() }

// weakSecret is the length in bytes below which a secret is easily guessed.
const weakSecret = 16

// forStore checks the configuration, and is what the store takes of it.
func (c EncryptionConfig) forStore() (sqlstore.Encryption, error) {
	if c.Enabled && c.Secret == "" {
		return sqlstore.Encryption{}, fault.Invalid("encryption: is enabled and has no secret")
	}
	return sqlstore.Encryption{Enabled: c.Enabled, Secret: c.Secret, Previous: c.Previous}, nil
}

func warnOfSecret(log *slog.Logger, secret string) {
	if secret != "" && len(secret) < weakSecret {
		log.Warn("the encryption secret is short, and so easily guessed", "advised_bytes", weakSecret)
	}
}
