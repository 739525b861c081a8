package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals grants.

var grantsPermission = seal.Column{Table: "grants", Name: "permission"}

// grantContent is what is only read back of a grant.
type grantContent struct {
	Condition string `json:"condition"`
}

func grantIdentity(role, permission string) []string { return []string{role, permission} }

// openGrant opens a row of grants.
func (q *sealed) openGrant(row postgres.Grant) (postgres.Grant, error) {
	permission, err := q.openName(grantsPermission, row.Permission, row.Seal)
	if err != nil {
		return postgres.Grant{}, err
	}
	content := grantContent{Condition: row.Condition}
	if err := q.openRow(grantsPermission.Table, grantIdentity(row.Role, permission), row.Seal, &content); err != nil {
		return postgres.Grant{}, err
	}
	row.Permission, row.Condition, row.Seal = permission, content.Condition, ""
	return row, nil
}

// sealGrant is a row of grants as it is written.
func (q *sealed) sealGrant(row postgres.Grant) (postgres.Grant, error) {
	var err error
	if row.Seal, err = q.rowSeal(grantsPermission.Table, grantIdentity(row.Role, row.Permission), grantContent{Condition: row.Condition}); err != nil {
		return postgres.Grant{}, err
	}
	if row.Seal != "" {
		row.Condition = ""
	}
	row.Permission, err = q.name(grantsPermission, row.Permission)
	return row, err
}

func (q *sealed) SetGrant(ctx context.Context, grant postgres.SetGrantParams) (int64, error) {
	before, err := q.Grant(ctx, postgres.GrantParams{Tenant: grant.Tenant, Role: grant.Role, Permission: grant.Permission})
	switch {
	case err == nil && before.Condition == grant.Condition:
		return 0, nil
	case err == nil:
		if _, err := q.DeleteGrant(ctx, postgres.DeleteGrantParams{Tenant: grant.Tenant, Role: grant.Role, Permission: grant.Permission}); err != nil {
			return 0, err
		}
	case !isNoRows(err):
		return 0, err
	}
	row, err := q.sealGrant(postgres.Grant(grant))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetGrant(ctx, postgres.SetGrantParams(row))
}

func (q *sealed) DeleteGrant(ctx context.Context, grant postgres.DeleteGrantParams) (int64, error) {
	return q.each(grantsPermission, grant.Permission, func(form string) (int64, error) {
		return q.Querier.DeleteGrant(ctx, postgres.DeleteGrantParams{Tenant: grant.Tenant, Role: grant.Role, Permission: form})
	})
}

func (q *sealed) Grant(ctx context.Context, grant postgres.GrantParams) (postgres.GrantRow, error) {
	row, err := byName(q, grantsPermission, grant.Permission, func(form string) (postgres.GrantRow, error) {
		return q.Querier.Grant(ctx, postgres.GrantParams{Tenant: grant.Tenant, Role: grant.Role, Permission: form})
	})
	if err != nil {
		return postgres.GrantRow{}, err
	}
	return q.openGrantRow(grant.Role, row)
}

// openGrantRow opens what queries read of a row of grants.
func (q *sealed) openGrantRow(role string, row postgres.GrantRow) (postgres.GrantRow, error) {
	grant, err := q.openGrant(postgres.Grant{Role: role, Permission: row.Permission, Condition: row.Condition, Seal: row.Seal})
	return postgres.GrantRow{Permission: grant.Permission, Condition: grant.Condition}, err
}

// Grants reads all grants of the role to put them in order.
func (q *sealed) Grants(ctx context.Context, page postgres.GrantsParams) ([]postgres.GrantsRow, error) {
	found := first[postgres.GrantsRow]{
		max:     page.MaxRows,
		compare: func(a, b postgres.GrantsRow) int { return strings.Compare(a.Permission, b.Permission) },
	}
	err := scan(func(last postgres.GrantsRow) ([]postgres.GrantsRow, error) {
		return q.Querier.Grants(ctx, postgres.GrantsParams{Tenant: page.Tenant, Role: page.Role, After: last.Permission, MaxRows: scanRows})
	}, func(row postgres.GrantsRow) error {
		grant, err := q.openGrantRow(page.Role, postgres.GrantRow(row))
		if err == nil && grant.Permission > page.After {
			found.add(postgres.GrantsRow(grant))
		}
		return err
	})
	return found.list(), err
}

func (q *sealed) AllGrants(ctx context.Context, all postgres.AllGrantsParams) ([]postgres.AllGrantsRow, error) {
	rows, err := q.Querier.AllGrants(ctx, all)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		grant, err := q.openGrantRow(row.Role, postgres.GrantRow{Permission: row.Permission, Condition: row.Condition, Seal: row.Seal})
		if err != nil {
			return nil, err
		}
		rows[i].Permission, rows[i].Condition, rows[i].Seal = grant.Permission, grant.Condition, ""
	}
	slices.SortFunc(rows, func(a, b postgres.AllGrantsRow) int {
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Permission, b.Permission))
	})
	return rows, nil
}

// eachGrant reads all grants of the tenant, in no order of their permissions.
func (q *sealed) eachGrant(ctx context.Context, tenant string, use func(postgres.Grant)) error {
	return scan(func(last postgres.Grant) ([]postgres.Grant, error) {
		return q.Querier.SealedGrants(ctx, postgres.SealedGrantsParams{
			Tenant:          tenant,
			AfterRole:       last.Role,
			AfterPermission: last.Permission,
			MaxRows:         scanRows,
		})
	}, func(row postgres.Grant) error {
		grant, err := q.openGrant(row)
		if err == nil {
			use(grant)
		}
		return err
	})
}
