package sqlstore

import (
	"context"

	"github.com/gatehouse/gatehouse/gen/postgres"
)

// This file seals roles. Other tables refer to a row of roles, so it is changed in its
// place.

const rolesTable = "roles"

// roleContent is what is only read back of a role.
type roleContent struct {
	Description string `json:"description"`
}

func roleIdentity(row postgres.Role) []string { return []string{row.Name, row.Scopes} }

// openRole opens a row of roles.
func (q *sealed) openRole(row postgres.Role) (postgres.Role, error) {
	content := roleContent{Description: row.Description}
	if err := q.openRow(rolesTable, roleIdentity(row), row.Seal, &content); err != nil {
		return postgres.Role{}, err
	}
	row.Description, row.Seal = content.Description, ""
	return row, nil
}

// sealRole is a row of roles as it is written.
func (q *sealed) sealRole(row postgres.Role) (postgres.Role, error) {
	var err error
	if row.Seal, err = q.rowSeal(rolesTable, roleIdentity(row), roleContent{Description: row.Description}); err != nil {
		return postgres.Role{}, err
	}
	if row.Seal != "" {
		row.Description = ""
	}
	return row, nil
}

func (q *sealed) CreateRole(ctx context.Context, role postgres.CreateRoleParams) (int64, error) {
	row, err := q.sealRole(postgres.Role{Tenant: role.Tenant, Name: role.Name, Description: role.Description})
	if err != nil {
		return 0, err
	}
	return q.Querier.CreateRole(ctx, postgres.CreateRoleParams{
		Tenant:      row.Tenant,
		Name:        row.Name,
		Description: row.Description,
		Seal:        row.Seal,
	})
}

func (q *sealed) SetRole(ctx context.Context, role postgres.SetRoleParams) (int64, error) {
	before, err := q.Role(ctx, postgres.RoleParams{Tenant: role.Tenant, Name: role.Name})
	if err != nil {
		return 0, err
	}
	if len(before) > 0 && before[0].Description == role.Description && before[0].Scopes == role.Scopes {
		return 0, nil
	}
	row, err := q.sealRole(postgres.Role(role))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetRole(ctx, postgres.SetRoleParams(row))
}

func (q *sealed) SetRoleDescription(ctx context.Context, role postgres.SetRoleDescriptionParams) (int64, error) {
	before, err := q.Role(ctx, postgres.RoleParams{Tenant: role.Tenant, Name: role.Name})
	if err != nil || len(before) == 0 {
		return 0, err
	}
	return q.SetRole(ctx, postgres.SetRoleParams{
		Tenant:      role.Tenant,
		Name:        role.Name,
		Description: role.Description,
		Scopes:      before[0].Scopes,
	})
}

func (q *sealed) Role(ctx context.Context, role postgres.RoleParams) ([]postgres.RoleRow, error) {
	rows, err := q.Querier.Role(ctx, role)
	if err != nil || len(rows) == 0 {
		return rows, err
	}
	// They are one row of roles, each with another parent.
	opened, err := q.openRole(postgres.Role{
		Name:        role.Name,
		Description: rows[0].Description,
		Scopes:      rows[0].Scopes,
		Seal:        rows[0].Seal,
	})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Description, rows[i].Seal = opened.Description, ""
	}
	return rows, nil
}

func (q *sealed) Roles(ctx context.Context, page postgres.RolesParams) ([]postgres.RolesRow, error) {
	rows, err := q.Querier.Roles(ctx, page)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		role, err := q.openRole(postgres.Role{Name: row.Name, Description: row.Description, Scopes: row.Scopes, Seal: row.Seal})
		if err != nil {
			return nil, err
		}
		rows[i].Description, rows[i].Seal = role.Description, ""
	}
	return rows, nil
}

// AllRoles opens the roles, though it gives their names alone, so that no policy is made
// of damaged ones.
func (q *sealed) AllRoles(ctx context.Context, all postgres.AllRolesParams) ([]string, error) {
	var names []string
	err := scan(func(last postgres.RolesRow) ([]postgres.RolesRow, error) {
		// No name begins with an empty prefix, so built-in roles are listed too.
		return q.Roles(ctx, postgres.RolesParams{Tenant: all.Tenant, After: last.Name, MaxRows: scanRows})
	}, func(row postgres.RolesRow) error {
		names = append(names, row.Name)
		return nil
	})
	return names, err
}
