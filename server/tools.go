package server

import (
	"cmp"
	"context"
	"slices"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) ListTools(ctx context.Context, r api.ListToolsRequestObject) (api.ListToolsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Tools(ctx, p)
	if err != nil {
		return nil, err
	}
	return api.ListTools200JSONResponse{ToolListResponseJSONResponse: api.ToolListResponseJSONResponse{
		Body: api.ToolListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, toolData),
		},
		Headers: api.ToolListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}}, nil
}

func (handlers) PutTool(ctx context.Context, r api.PutToolRequestObject) (api.PutToolResponseObject, error) {
	tool := toolOf(r.Tool, orZero(r.Body))
	written, err := tenant(ctx).PutTool(ctx, tool)
	if err != nil {
		return nil, err
	}
	return api.PutTool200JSONResponse{ToolResponseJSONResponse: toolResponse(tool, written.Revision)}, nil
}

func (handlers) GetTool(ctx context.Context, r api.GetToolRequestObject) (api.GetToolResponseObject, error) {
	tool, err := tenant(ctx).Tool(ctx, r.Tool)
	if err != nil {
		return nil, err
	}
	return api.GetTool200JSONResponse{ToolResponseJSONResponse: toolResponse(tool.Value, tool.Revision)}, nil
}

func (handlers) DeleteTool(ctx context.Context, r api.DeleteToolRequestObject) (api.DeleteToolResponseObject, error) {
	written, err := tenant(ctx).DeleteTool(ctx, r.Tool)
	if err != nil {
		return nil, err
	}
	return api.DeleteTool200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) ListPermissions(ctx context.Context, r api.ListPermissionsRequestObject) (api.ListPermissionsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Permissions(ctx, p)
	if err != nil {
		return nil, err
	}
	return api.ListPermissions200JSONResponse{CatalogueResponseJSONResponse: api.CatalogueResponseJSONResponse{
		Body: api.CatalogueEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, catalogueEntry),
		},
		Headers: api.CatalogueResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}}, nil
}

func catalogueEntry(entry authz.CatalogueEntry) api.CatalogueEntry {
	return api.CatalogueEntry{
		Name:        entry.Name,
		Description: orNil(entry.Description),
		Tool:        orNil(entry.Tool),
		Roles:       convert(entry.Roles, func(role string) string { return role }),
	}
}

// toolOf reads a tool as it was sent: the engine finds fault by the place in the
// request.
func toolOf(name string, spec api.ToolSpec) authz.Tool {
	return authz.Tool{
		Name:        name,
		Description: orZero(spec.Description),
		Permissions: convert(orZero(spec.Permissions), func(p api.DefinedPermission) authz.DefinedPermission {
			return authz.DefinedPermission{Name: p.Name, Description: orZero(p.Description)}
		}),
	}
}

func toolResponse(tool authz.Tool, revision int64) api.ToolResponseJSONResponse {
	return api.ToolResponseJSONResponse{
		Body: api.ToolEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: toolData(tool),
		},
		Headers: api.ToolResponseResponseHeaders{GatehouseRevision: &revision},
	}
}

// toolData shows a tool in the form that it is kept in: its permissions sorted.
func toolData(tool authz.Tool) api.Tool {
	permissions := slices.SortedFunc(slices.Values(tool.Permissions), func(a, b authz.DefinedPermission) int {
		return cmp.Compare(a.Name, b.Name)
	})
	return api.Tool{
		Tool: tool.Name, Description: tool.Description,
		Permissions: convert(permissions, func(p authz.DefinedPermission) api.DefinedPermission {
			return api.DefinedPermission{Name: p.Name, Description: orNil(p.Description)}
		}),
	}
}
