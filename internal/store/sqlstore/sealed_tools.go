package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals tools, which the permissions that they define refer to, so that a row
// of tools is changed in its place. What is known of permissions is read here too.

const toolsTable = "tools"

var toolPermissionsPermission = seal.Column{Table: "tool_permissions", Name: "permission"}

// toolContent is what is only read back of a tool, and of a permission that one defines.
type toolContent struct {
	Description string `json:"description"`
}

// openTool opens a row of tools.
func (q *sealed) openTool(row postgres.Tool) (postgres.Tool, error) {
	content := toolContent{Description: row.Description}
	if err := q.openRow(toolsTable, []string{row.Name}, row.Seal, &content); err != nil {
		return postgres.Tool{}, err
	}
	row.Description, row.Seal = content.Description, ""
	return row, nil
}

// sealTool is a row of tools as it is written.
func (q *sealed) sealTool(row postgres.Tool) (postgres.Tool, error) {
	var err error
	if row.Seal, err = q.rowSeal(toolsTable, []string{row.Name}, toolContent{Description: row.Description}); err != nil {
		return postgres.Tool{}, err
	}
	if row.Seal != "" {
		row.Description = ""
	}
	return row, nil
}

func toolPermissionIdentity(permission, tool string) []string { return []string{permission, tool} }

// openToolPermission opens a row of tool_permissions.
func (q *sealed) openToolPermission(row postgres.ToolPermission) (postgres.ToolPermission, error) {
	permission, err := q.openName(toolPermissionsPermission, row.Permission, row.Seal)
	if err != nil {
		return postgres.ToolPermission{}, err
	}
	content := toolContent{Description: row.Description}
	if err := q.openRow(toolPermissionsPermission.Table, toolPermissionIdentity(permission, row.Tool), row.Seal, &content); err != nil {
		return postgres.ToolPermission{}, err
	}
	row.Permission, row.Description, row.Seal = permission, content.Description, ""
	return row, nil
}

// sealToolPermission is a row of tool_permissions as it is written.
func (q *sealed) sealToolPermission(row postgres.ToolPermission) (postgres.ToolPermission, error) {
	var err error
	identity, content := toolPermissionIdentity(row.Permission, row.Tool), toolContent{Description: row.Description}
	if row.Seal, err = q.rowSeal(toolPermissionsPermission.Table, identity, content); err != nil {
		return postgres.ToolPermission{}, err
	}
	if row.Seal != "" {
		row.Description = ""
	}
	row.Permission, err = q.name(toolPermissionsPermission, row.Permission)
	return row, err
}

func (q *sealed) SetTool(ctx context.Context, tool postgres.SetToolParams) (int64, error) {
	before, err := q.Tool(ctx, postgres.ToolParams{Tenant: tool.Tenant, Name: tool.Name})
	if err != nil {
		return 0, err
	}
	if len(before) > 0 && before[0].Description == tool.Description {
		return 0, nil
	}
	row, err := q.sealTool(postgres.Tool(tool))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetTool(ctx, postgres.SetToolParams(row))
}

func (q *sealed) SetToolPermission(ctx context.Context, permission postgres.SetToolPermissionParams) (int64, error) {
	before, err := q.toolPermission(ctx, permission.Tenant, permission.Permission)
	switch {
	case err == nil && (before.Tool != permission.Tool || before.Description == permission.Description):
		return 0, nil
	case err == nil:
		_, err := q.DeleteToolPermission(ctx, postgres.DeleteToolPermissionParams{
			Tenant:     permission.Tenant,
			Permission: permission.Permission,
			Tool:       permission.Tool,
		})
		if err != nil {
			return 0, err
		}
	case !isNoRows(err):
		return 0, err
	}
	row, err := q.sealToolPermission(postgres.ToolPermission(permission))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetToolPermission(ctx, postgres.SetToolPermissionParams(row))
}

func (q *sealed) DeleteToolPermission(ctx context.Context, permission postgres.DeleteToolPermissionParams) (int64, error) {
	return q.each(toolPermissionsPermission, permission.Permission, func(form string) (int64, error) {
		return q.Querier.DeleteToolPermission(ctx, postgres.DeleteToolPermissionParams{
			Tenant:     permission.Tenant,
			Permission: form,
			Tool:       permission.Tool,
		})
	})
}

// toolPermission reads the definition of a permission.
func (q *sealed) toolPermission(ctx context.Context, tenant, permission string) (postgres.ToolPermission, error) {
	row, err := byName(q, toolPermissionsPermission, permission, func(form string) (postgres.ToolPermission, error) {
		return q.Querier.SealedToolPermission(ctx, postgres.SealedToolPermissionParams{Tenant: tenant, Permission: form})
	})
	if err != nil {
		return postgres.ToolPermission{}, err
	}
	return q.openToolPermission(row)
}

// eachToolPermission reads all definitions of permissions, in no order.
func (q *sealed) eachToolPermission(ctx context.Context, tenant string, use func(postgres.ToolPermission)) error {
	return scan(func(last postgres.ToolPermission) ([]postgres.ToolPermission, error) {
		return q.Querier.SealedToolPermissions(ctx, postgres.SealedToolPermissionsParams{
			Tenant:  tenant,
			After:   last.Permission,
			MaxRows: scanRows,
		})
	}, func(row postgres.ToolPermission) error {
		permission, err := q.openToolPermission(row)
		if err == nil {
			use(permission)
		}
		return err
	})
}

func (q *sealed) Tool(ctx context.Context, tool postgres.ToolParams) ([]postgres.ToolRow, error) {
	rows, err := q.Querier.Tool(ctx, tool)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = q.openToolRow(row); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rows, func(a, b postgres.ToolRow) int { return strings.Compare(a.Permission, b.Permission) })
	return rows, nil
}

func (q *sealed) Tools(ctx context.Context, page postgres.ToolsParams) ([]postgres.ToolsRow, error) {
	rows, err := q.Querier.Tools(ctx, page)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		tool, err := q.openToolRow(postgres.ToolRow(row))
		if err != nil {
			return nil, err
		}
		rows[i] = postgres.ToolsRow(tool)
	}
	slices.SortFunc(rows, func(a, b postgres.ToolsRow) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Permission, b.Permission))
	})
	return rows, nil
}

// openToolRow opens a tool and one of its permissions.
func (q *sealed) openToolRow(row postgres.ToolRow) (postgres.ToolRow, error) {
	tool, err := q.openTool(postgres.Tool{Name: row.Name, Description: row.Description, Seal: row.Seal})
	if err != nil {
		return postgres.ToolRow{}, err
	}
	opened := postgres.ToolRow{Name: tool.Name, Description: tool.Description}
	if row.Permission == "" && row.PermissionSeal == "" {
		return opened, nil
	}
	permission, err := q.openToolPermission(postgres.ToolPermission{
		Permission:  row.Permission,
		Tool:        row.Name,
		Description: row.PermissionDescription,
		Seal:        row.PermissionSeal,
	})
	opened.Permission, opened.PermissionDescription = permission.Permission, permission.Description
	return opened, err
}

// DefiningTool reads all definitions for a pattern, whose matches do not lie together.
func (q *sealed) DefiningTool(ctx context.Context, wanted postgres.DefiningToolParams) (string, error) {
	if wanted.Lowest == wanted.Highest {
		permission, err := q.toolPermission(ctx, wanted.Tenant, wanted.Lowest)
		return permission.Tool, err
	}
	var lowest postgres.ToolPermission
	err := q.eachToolPermission(ctx, wanted.Tenant, func(permission postgres.ToolPermission) {
		name := permission.Permission
		if wanted.Lowest <= name && name <= wanted.Highest && (lowest.Tool == "" || name < lowest.Permission) {
			lowest = permission
		}
	})
	if err == nil && lowest.Tool == "" {
		err = sql.ErrNoRows
	}
	return lowest.Tool, err
}

// Catalogue reads all grants and definitions twice: for the names on the page, which come
// in no order, and for what belongs to them.
func (q *sealed) Catalogue(ctx context.Context, page postgres.CatalogueParams) ([]postgres.CatalogueRow, error) {
	names, err := q.permissions(ctx, page.Tenant, page.After, page.MaxRows, func(string) bool { return true })
	if err != nil {
		return nil, err
	}
	entries := make(map[string]*catalogueEntry, len(names))
	for _, name := range names {
		entries[name] = &catalogueEntry{}
	}
	err = q.eachToolPermission(ctx, page.Tenant, func(permission postgres.ToolPermission) {
		if entry := entries[permission.Permission]; entry != nil {
			entry.definition = permission
		}
	})
	if err != nil {
		return nil, err
	}
	err = q.eachGrant(ctx, page.Tenant, func(grant postgres.Grant) {
		if entry := entries[grant.Permission]; entry != nil {
			entry.roles = append(entry.roles, grant.Role)
		}
	})
	if err != nil {
		return nil, err
	}
	var rows []postgres.CatalogueRow
	for _, name := range names {
		entry := entries[name]
		row := postgres.CatalogueRow{Permission: name, Tool: entry.definition.Tool, Description: entry.definition.Description}
		if len(entry.roles) == 0 {
			rows = append(rows, row)
		}
		for _, row.Role = range entry.roles {
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// catalogueEntry is what belongs to a permission.
type catalogueEntry struct {
	definition postgres.ToolPermission
	// roles are in order, as eachGrant has them.
	roles []string
}

func (q *sealed) KnownPermissions(ctx context.Context, page postgres.KnownPermissionsParams) ([]string, error) {
	return q.permissions(ctx, page.Tenant, page.After, page.MaxRows, func(granted string) bool {
		return !strings.HasSuffix(granted, "*")
	})
}

// permissions reads all grants and definitions for the first names of those that a tool
// defines, or a role is granted as wanted says.
func (q *sealed) permissions(ctx context.Context, tenant, after string, maxRows int64, wanted func(granted string) bool) ([]string, error) {
	found := first[string]{max: maxRows, compare: strings.Compare}
	err := q.eachToolPermission(ctx, tenant, func(permission postgres.ToolPermission) {
		if permission.Permission > after {
			found.add(permission.Permission)
		}
	})
	if err != nil {
		return nil, err
	}
	err = q.eachGrant(ctx, tenant, func(grant postgres.Grant) {
		if grant.Permission > after && wanted(grant.Permission) {
			found.add(grant.Permission)
		}
	})
	return found.list(), err
}
