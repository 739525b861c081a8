package sqlstore

import (
	"context"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
)

// This file keeps tools, and what is known of permissions and settings.

func (r reader) Tool(ctx context.Context, name string) (authz.Tool, bool, error) {
	rows, err := r.queries.Tool(ctx, postgres.ToolParams{Tenant: r.tenant, Name: name})
	if err != nil || len(rows) == 0 {
		return authz.Tool{}, false, classify(ctx, err, "read a tool")
	}
	var tool authz.Tool
	for _, row := range rows {
		addToTool(&tool, row)
	}
	return tool, true, nil
}

func (r reader) Tools(ctx context.Context, after string, limit int) ([]authz.Tool, error) {
	rows, err := r.queries.Tools(ctx, postgres.ToolsParams{Tenant: r.tenant, After: after, MaxRows: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "list the tools")
	}
	var tools []authz.Tool
	for _, row := range rows {
		if len(tools) == 0 || tools[len(tools)-1].Name != row.Name {
			tools = append(tools, authz.Tool{})
		}
		addToTool(&tools[len(tools)-1], postgres.ToolRow(row))
	}
	return tools, nil
}

func addToTool(tool *authz.Tool, row postgres.ToolRow) {
	tool.Name, tool.Description = row.Name, row.Description
	if row.Permission != "" {
		tool.Permissions = append(tool.Permissions, authz.DefinedPermission{
			Name:        row.Permission,
			Description: row.PermissionDescription,
		})
	}
}

func (r reader) Catalogue(ctx context.Context, after string, limit int) ([]authz.CatalogueEntry, error) {
	rows, err := r.queries.Catalogue(ctx, postgres.CatalogueParams{Tenant: r.tenant, After: after, MaxRows: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "list the permissions")
	}
	var entries []authz.CatalogueEntry
	for _, row := range rows {
		if len(entries) == 0 || entries[len(entries)-1].Name != row.Permission {
			entries = append(entries, authz.CatalogueEntry{
				DefinedPermission: authz.DefinedPermission{Name: row.Permission, Description: row.Description},
				Tool:              row.Tool,
			})
		}
		if row.Role != "" {
			entry := &entries[len(entries)-1]
			entry.Roles = append(entry.Roles, row.Role)
		}
	}
	return entries, nil
}

// behindPermissions sorts behind every byte that a permission may hold.
const behindPermissions = "~"

// DefiningTool implements store.Reader. What matches a pattern lies together in the
// order of names.
func (r reader) DefiningTool(ctx context.Context, grant string) (string, bool, error) {
	params := postgres.DefiningToolParams{Tenant: r.tenant, Lowest: grant, Highest: grant}
	if prefix, wildcard := strings.CutSuffix(grant, "*"); wildcard {
		params.Lowest, params.Highest = prefix, prefix+behindPermissions
	}
	tool, err := r.queries.DefiningTool(ctx, params)
	if err != nil {
		return "", false, unlessNoRows(ctx, err, "look for the tool that defines a permission")
	}
	return tool, true, nil
}

// SetTool implements store.Tx. It writes only what differs.
func (w *writer) SetTool(ctx context.Context, tool authz.Tool) (bool, error) {
	before, _, err := w.Tool(ctx, tool.Name)
	if err != nil {
		return false, w.fail(err)
	}
	known := make(map[authz.DefinedPermission]bool, len(before.Permissions))
	for _, permission := range before.Permissions {
		known[permission] = true
	}
	names := make(map[string]bool, len(tool.Permissions))
	statements := []func() (int64, error){func() (int64, error) {
		return w.queries.SetTool(ctx, postgres.SetToolParams{Tenant: w.tenant, Name: tool.Name, Description: tool.Description})
	}}
	for _, permission := range tool.Permissions {
		names[permission.Name] = true
		if !known[permission] {
			statements = append(statements, w.setToolPermission(ctx, tool.Name, permission))
		}
	}
	for _, permission := range before.Permissions {
		if !names[permission.Name] {
			statements = append(statements, w.deleteToolPermission(ctx, tool.Name, permission.Name))
		}
	}
	return w.all(ctx, "set a tool", statements...)
}

func (w *writer) setToolPermission(ctx context.Context, tool string, permission authz.DefinedPermission) func() (int64, error) {
	return func() (int64, error) {
		return w.queries.SetToolPermission(ctx, postgres.SetToolPermissionParams{
			Tenant:      w.tenant,
			Permission:  permission.Name,
			Tool:        tool,
			Description: permission.Description,
		})
	}
}

func (w *writer) deleteToolPermission(ctx context.Context, tool, permission string) func() (int64, error) {
	return func() (int64, error) {
		return w.queries.DeleteToolPermission(ctx, postgres.DeleteToolPermissionParams{
			Tenant:     w.tenant,
			Permission: permission,
			Tool:       tool,
		})
	}
}

func (w *writer) DeleteTool(ctx context.Context, name string) (bool, error) {
	// The tool itself goes last: its permissions refer to it.
	return w.all(ctx, "delete a tool",
		func() (int64, error) {
			return w.queries.DeletePermissionsOfTool(ctx, postgres.DeletePermissionsOfToolParams{Tenant: w.tenant, Tool: name})
		},
		func() (int64, error) {
			return w.queries.DeleteTool(ctx, postgres.DeleteToolParams{Tenant: w.tenant, Name: name})
		},
	)
}

func (r reader) Settings(ctx context.Context) (authz.Settings, error) {
	row, err := r.queries.Settings(ctx, postgres.SettingsParams{Tenant: r.tenant})
	if err != nil {
		return authz.Settings{}, unlessNoRows(ctx, err, "read the settings")
	}
	return authz.Settings{StrictPermissions: row.StrictPermissions != 0, StrictUsers: row.StrictUsers != 0}, nil
}

func (w *writer) SetSettings(ctx context.Context, settings authz.Settings) (bool, error) {
	rows, err := w.queries.SetSettings(ctx, postgres.SetSettingsParams{
		Tenant:            w.tenant,
		StrictPermissions: flag(settings.StrictPermissions),
		StrictUsers:       flag(settings.StrictUsers),
	})
	return w.wrote(ctx, rows, err, "set the settings")
}
