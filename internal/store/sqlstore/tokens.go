package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/token"
)

// This file keeps families of tokens.

var _ store.TokenTx = (*sessionWriter)(nil)

// TokenFamily implements store.Tokens.
func (s *Store) TokenFamily(ctx context.Context, tenant, id string) (token.Family, bool, error) {
	return s.tokenFamily(ctx, tenant, func(q postgres.Querier) (postgres.TokenFamily, error) {
		return q.TokenFamily(ctx, postgres.TokenFamilyParams{Tenant: tenant, ID: id})
	})
}

// TokenFamilyByHandle implements store.Tokens.
func (s *Store) TokenFamilyByHandle(ctx context.Context, tenant, handle string) (token.Family, bool, error) {
	return s.tokenFamily(ctx, tenant, func(q postgres.Querier) (postgres.TokenFamily, error) {
		return q.TokenFamilyByHandle(ctx, postgres.TokenFamilyByHandleParams{Tenant: tenant, Handle: handle})
	})
}

func (s *Store) tokenFamily(ctx context.Context, tenant string, find func(postgres.Querier) (postgres.TokenFamily, error)) (family token.Family, found bool, err error) {
	err = s.read(ctx, tenant, func(q postgres.Querier) error {
		row, err := find(q)
		if err != nil {
			return unlessNoRows(ctx, err, "read a family of tokens")
		}
		family, found = familyOf(row), true
		return nil
	})
	return family, found, err
}

// UpdateTokens implements store.Tokens.
func (s *Store) UpdateTokens(ctx context.Context, tenant string, fn func(store.TokenTx) error) error {
	return s.updateUnrevised(ctx, tenant, "begin a change of tokens", func(w *sessionWriter) error { return fn(w) })
}

// DeleteTokenFamilies implements store.Tokens.
func (s *Store) DeleteTokenFamilies(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	const doing = "delete old tokens"
	err = retry(ctx, func() error {
		rows, err := s.db.statements().DeleteTokenFamilies(ctx, postgres.DeleteTokenFamiliesParams{Before: micros(before), MaxRows: maxRows(limit)})
		deleted = int(rows)
		return classify(ctx, err, doing)
	})
	return deleted, err
}

// CreateTokenFamily implements store.TokenTx.
func (w *sessionWriter) CreateTokenFamily(ctx context.Context, family token.Family) error {
	if family.Subject != "" {
		if err := w.needLock(family.Subject); err != nil {
			return err
		}
	}
	err := w.queries.CreateTokenFamily(ctx, postgres.CreateTokenFamilyParams(familyRow(w.tenant, family)))
	_, err = w.wrote(ctx, 1, err, "create a family of tokens")
	return err
}

// RefreshTokenFamily implements store.TokenTx.
func (w *sessionWriter) RefreshTokenFamily(ctx context.Context, superseded string, family token.Family) (bool, error) {
	rows, err := w.queries.RefreshTokenFamily(ctx, postgres.RefreshTokenFamilyParams{
		Tenant:      w.tenant,
		ID:          family.ID,
		Superseded:  superseded,
		Current:     family.Current,
		RefreshedAt: micros(family.RefreshedAt),
		ExpiresAt:   micros(family.ExpiresAt),
		TokensUntil: micros(family.TokensUntil),
	})
	return w.wrote(ctx, rows, err, "refresh a family of tokens")
}

// EndTokenFamily implements store.TokenTx.
func (w *sessionWriter) EndTokenFamily(ctx context.Context, id string, at time.Time, reason authz.SessionEnd) (bool, error) {
	rows, err := w.queries.EndTokenFamily(ctx, postgres.EndTokenFamilyParams{
		Tenant: w.tenant, ID: id, EndedAt: endedMicros(at), EndReason: string(reason),
	})
	return w.wrote(ctx, rows, err, "end a family of tokens")
}

// EndUserTokens implements store.Tx.
func (w *writer) EndUserTokens(ctx context.Context, user string, at time.Time, reason authz.SessionEnd) ([]token.Family, error) {
	rows, err := w.queries.EndTokenFamiliesOfUser(ctx, postgres.EndTokenFamiliesOfUserParams{
		Tenant: w.tenant, Subject: user, EndedAt: endedMicros(at), EndReason: string(reason),
	})
	if _, err := w.wrote(ctx, int64(len(rows)), err, "end a user's tokens"); err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b postgres.TokenFamily) int { return cmp.Compare(a.ID, b.ID) })
	families := make([]token.Family, len(rows))
	for i, row := range rows {
		families[i] = familyOf(row)
	}
	return families, nil
}

func familyRow(tenant string, family token.Family) postgres.TokenFamily {
	return postgres.TokenFamily{
		Tenant:      tenant,
		ID:          family.ID,
		ClientKey:   family.ClientKey,
		Subject:     family.Subject,
		Abilities:   family.Abilities,
		Handle:      family.Handle,
		Current:     family.Current,
		Generation:  family.Generation,
		CreatedAt:   micros(family.CreatedAt),
		RefreshedAt: micros(family.RefreshedAt),
		ExpiresAt:   micros(family.ExpiresAt),
		TokensUntil: micros(family.TokensUntil),
		EndedAt:     endMicros(family.EndedAt),
		EndReason:   string(family.EndReason),
	}
}

func familyOf(row postgres.TokenFamily) token.Family {
	return token.Family{
		ID:          row.ID,
		ClientKey:   row.ClientKey,
		Subject:     row.Subject,
		Abilities:   row.Abilities,
		Handle:      row.Handle,
		Current:     row.Current,
		Generation:  row.Generation,
		CreatedAt:   timeOf(row.CreatedAt),
		RefreshedAt: timeOf(row.RefreshedAt),
		ExpiresAt:   timeOf(row.ExpiresAt),
		TokensUntil: timeOf(row.TokensUntil),
		EndedAt:     endOf(row.EndedAt),
		EndReason:   authz.SessionEnd(row.EndReason),
	}
}
