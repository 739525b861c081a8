package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// RegisterKeys makes a key of each secret, and has new tenants sealed with the first.
func (s *Store) RegisterKeys(ctx context.Context, secrets ...string) error {
	salt := make([]byte, seal.SaltBytes)
	rand.Read(salt)
	tx, err := s.db.begin(ctx)
	if err != nil {
		return err
	}
	defer tx.rollback(ctx)
	err = tx.SetEncryption(ctx, postgres.SetEncryptionParams{SealedWith: "k1", Salt: base64.RawURLEncoding.EncodeToString(salt)})
	if err != nil {
		return err
	}
	for i, secret := range secrets {
		stretched, err := seal.Stretch(secret, salt, seal.MinIterations)
		if err != nil {
			return err
		}
		err = tx.CreateEncryptionKey(ctx, postgres.CreateEncryptionKeyParams{
			Number: int64(i + 1), Iterations: seal.MinIterations, CheckValue: stretched.Check(),
		})
		if err != nil {
			return err
		}
	}
	return tx.commit(ctx)
}

// CutConnections gives all connections up, as those of a host that has gone silent.
func (s *Store) CutConnections() { s.db.(*postgresDB).pool.current.Load().cut() }

// SetSealing says which key the values of a tenant, and the installation's, are sealed with
// from now on, and which others they may still be sealed with.
func (s *Store) SetSealing(ctx context.Context, tenant, with string, also ...string) error {
	state := sealing{with: with, also: also}
	installation, err := s.db.statements().Encryption(ctx)
	if err != nil {
		return err
	}
	err = s.db.statements().SetEncryption(ctx, postgres.SetEncryptionParams{
		SealedWith: state.with, SealedAlso: state.alsoText(), Salt: installation.Salt, Turn: installation.Turn,
	})
	if err != nil {
		return err
	}
	return classify(ctx, s.db.statements().SetTenantSealing(ctx, postgres.SetTenantSealingParams{
		Tenant: tenant, SealedWith: state.with, SealedAlso: state.alsoText(),
	}), "say how a tenant is sealed")
}

// ProbeReplicas finds out now which replicas are of use, and returns why the first one is
// not.
func (s *Store) ProbeReplicas(ctx context.Context) (err error) {
	for _, r := range s.replicas.all {
		err = cmp.Or(err, s.replicas.probe(ctx, r))
	}
	return err
}

// SetGrace replaces what EnableEncryption waits for processes without secrets.
func (s *Store) SetGrace(grace time.Duration) { s.grace = grace }

// Hold holds a tenant as what writes to it does, and has fn called once it has found out how
// the tenant is sealed.
func (s *Store) Hold(ctx context.Context, tenant string, fn func()) error {
	return s.inTransaction(ctx, "hold a tenant", func(tx transaction) (bool, error) {
		_, err := s.vault.hold(ctx, interrupted{tx, fn}, tenant)
		return false, err
	})
}

type interrupted struct {
	transaction
	held func()
}

func (t interrupted) HoldTenantSealing(ctx context.Context, tenant postgres.HoldTenantSealingParams) (postgres.HoldTenantSealingRow, error) {
	defer t.held()
	return t.transaction.HoldTenantSealing(ctx, tenant)
}
