package sqlstore

import (
	"context"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file keeps the keys that sign tokens, of all tenants.

// SigningKeys implements store.Sessions.
func (s *Store) SigningKeys(ctx context.Context, use string) ([]store.SigningKey, error) {
	var rows []postgres.SigningKey
	err := s.readInstallation(ctx, func(q postgres.Querier) (err error) {
		rows, err = q.SigningKeys(ctx, postgres.SigningKeysParams{Purpose: use})
		return classify(ctx, err, "list the signing keys")
	})
	if err != nil {
		return nil, err
	}
	keys := make([]store.SigningKey, len(rows))
	for i, row := range rows {
		keys[i] = store.SigningKey{
			Use:       row.Purpose,
			Number:    row.Number,
			ID:        row.ID,
			Algorithm: row.Algorithm,
			Material:  row.Material,
			CreatedAt: timeOf(row.CreatedAt),
			SignsFrom: timeOf(row.SignsFrom),
		}
	}
	return keys, nil
}

// CreateSigningKey implements store.Sessions.
func (s *Store) CreateSigningKey(ctx context.Context, key store.SigningKey) (bool, error) {
	const doing = "create a signing key"
	var created bool
	err := s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		q, err := s.vault.holdInstallation(ctx, tx)
		if err != nil {
			return false, err
		}
		rows, err := q.CreateSigningKey(ctx, postgres.CreateSigningKeyParams{
			Purpose:   key.Use,
			Number:    key.Number,
			ID:        key.ID,
			Algorithm: key.Algorithm,
			Material:  key.Material,
			CreatedAt: micros(key.CreatedAt),
			SignsFrom: micros(key.SignsFrom),
		})
		created = rows > 0
		return created, classify(ctx, err, doing)
	})
	return created, err
}

// DeleteSigningKeys implements store.Sessions.
func (s *Store) DeleteSigningKeys(ctx context.Context, use string, upTo int64) error {
	_, err := s.swap(ctx, "delete signing keys", func(q postgres.Querier) (int64, error) {
		return q.DeleteSigningKeys(ctx, postgres.DeleteSigningKeysParams{Purpose: use, UpTo: upTo})
	})
	return err
}
