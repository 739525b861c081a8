package sqlstore

import (
	"context"
	"strconv"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals families of tokens.

var tokenFamiliesSubject = seal.Column{Table: "token_families", Name: "subject"}

// tokenFamilyIdentity leaves out what single statements change: the family's state.
func tokenFamilyIdentity(row postgres.TokenFamily) []string {
	return []string{row.ID, row.ClientKey, row.Subject, row.Abilities, row.Handle, strconv.FormatInt(row.CreatedAt, 10)}
}

// openTokenFamily opens a row of token_families.
func (q *sealed) openTokenFamily(row postgres.TokenFamily) (postgres.TokenFamily, error) {
	var err error
	if row.Subject, err = q.openSome(tokenFamiliesSubject, row.Subject, row.Seal); err != nil {
		return postgres.TokenFamily{}, err
	}
	if err := q.openRow(tokenFamiliesSubject.Table, tokenFamilyIdentity(row), row.Seal, &struct{}{}); err != nil {
		return postgres.TokenFamily{}, err
	}
	row.Seal = ""
	return row, nil
}

// sealTokenFamily is a row of token_families as it is written.
func (q *sealed) sealTokenFamily(row postgres.TokenFamily) (postgres.TokenFamily, error) {
	var err error
	if row.Seal, err = q.rowSeal(tokenFamiliesSubject.Table, tokenFamilyIdentity(row), struct{}{}); err != nil {
		return postgres.TokenFamily{}, err
	}
	row.Subject, err = q.someName(tokenFamiliesSubject, row.Subject)
	return row, err
}

func (q *sealed) CreateTokenFamily(ctx context.Context, family postgres.CreateTokenFamilyParams) error {
	row, err := q.sealTokenFamily(postgres.TokenFamily(family))
	if err != nil {
		return err
	}
	return q.Querier.CreateTokenFamily(ctx, postgres.CreateTokenFamilyParams(row))
}

func (q *sealed) TokenFamily(ctx context.Context, family postgres.TokenFamilyParams) (postgres.TokenFamily, error) {
	row, err := q.Querier.TokenFamily(ctx, family)
	if err != nil {
		return postgres.TokenFamily{}, err
	}
	return q.openTokenFamily(row)
}

func (q *sealed) TokenFamilyByHandle(ctx context.Context, family postgres.TokenFamilyByHandleParams) (postgres.TokenFamily, error) {
	row, err := q.Querier.TokenFamilyByHandle(ctx, family)
	if err != nil {
		return postgres.TokenFamily{}, err
	}
	return q.openTokenFamily(row)
}

// EndTokenFamiliesOfUser ends each family once: what has ended is not found again.
func (q *sealed) EndTokenFamiliesOfUser(ctx context.Context, end postgres.EndTokenFamiliesOfUserParams) ([]postgres.TokenFamily, error) {
	forms, err := q.inTurn(tokenFamiliesSubject, end.Subject)
	if err != nil {
		return nil, err
	}
	var all []postgres.TokenFamily
	for _, end.Subject = range forms {
		rows, err := q.Querier.EndTokenFamiliesOfUser(ctx, end)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row, err = q.openTokenFamily(row); err != nil {
				return nil, err
			}
			all = append(all, row)
		}
	}
	return all, nil
}
