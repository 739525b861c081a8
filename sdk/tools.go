package sdk

import (
	"context"
	"fmt"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// PutTool creates or replaces a tool with the permissions that it defines; one that
// another tool defines is ErrConflict. What is granted stays granted. Changed is
// always true, as in AddRole.
func (c *Client) PutTool(ctx context.Context, tool authz.Tool) (authz.Written, error) {
	if err := checkNames(name{"tool", tool.Name}); err != nil {
		return authz.Written{}, err
	}
	texts := []name{{"description", tool.Description}}
	var permissions []api.DefinedPermission
	for i, p := range tool.Permissions {
		field := fmt.Sprintf("permissions[%d]", i)
		texts = append(texts, name{field, p.Name}, name{field, p.Description})
		permissions = append(permissions, api.DefinedPermission{Name: p.Name, Description: given(p.Description)})
	}
	if err := checkTexts(texts...); err != nil {
		return authz.Written{}, err
	}
	return put[api.Tool](c.api.PutTool(ctx, tool.Name, nil, api.ToolSpec{
		Description: given(tool.Description),
		Permissions: givenList(permissions),
	}))
}

// Tool shows a tool, its permissions sorted by name. One that does not exist is
// ErrNotFound.
func (c *Client) Tool(ctx context.Context, tool string) (authz.Snapshot[authz.Tool], error) {
	if err := checkNames(name{"tool", tool}); err != nil {
		return authz.Snapshot[authz.Tool]{}, err
	}
	a, err := read[api.Tool](c.api.GetTool(ctx, tool))
	return snapshotOf(a, err, toolOf)
}

// DeleteTool deletes a tool with its definitions; what is granted stays granted.
// Changed tells whether it was there.
func (c *Client) DeleteTool(ctx context.Context, tool string) (authz.Written, error) {
	if err := checkNames(name{"tool", tool}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteTool(ctx, tool, nil))
}

// Tools lists the tools by name.
func (c *Client) Tools(ctx context.Context, page authz.Page) (authz.List[authz.Tool], error) {
	a, err := read[[]api.Tool](c.api.ListTools(ctx, &api.ListToolsParams{
		Limit:  given(page.Limit),
		Cursor: given(page.Cursor),
	}))
	return listOf(a, a.data, toolOf), err
}

// Permissions lists the catalogue by name: every permission that a tool defines or
// a role is granted, a wildcard as its pattern.
func (c *Client) Permissions(ctx context.Context, page authz.Page) (authz.List[authz.CatalogueEntry], error) {
	a, err := read[[]api.CatalogueEntry](c.api.ListPermissions(ctx, &api.ListPermissionsParams{
		Limit:  given(page.Limit),
		Cursor: given(page.Cursor),
	}))
	return listOf(a, a.data, catalogueEntry), err
}

func toolOf(t api.Tool) authz.Tool {
	tool := authz.Tool{Name: t.Tool, Description: t.Description}
	for _, p := range t.Permissions {
		tool.Permissions = append(tool.Permissions, authz.DefinedPermission{Name: p.Name, Description: orZero(p.Description)})
	}
	return tool
}

func catalogueEntry(e api.CatalogueEntry) authz.CatalogueEntry {
	entry := authz.CatalogueEntry{
		DefinedPermission: authz.DefinedPermission{Name: e.Name, Description: orZero(e.Description)},
		Tool:              orZero(e.Tool),
	}
	if len(e.Roles) > 0 {
		entry.Roles = e.Roles
	}
	return entry
}
