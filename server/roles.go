package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

// handlers implements the generated strict interface: each method translates one
// operation for the engine and back.
type handlers struct{ server *Server }

func (handlers) ListRoles(ctx context.Context, r api.ListRolesRequestObject) (api.ListRolesResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Roles(ctx, p)
	if err != nil {
		return nil, err
	}
	roles := convert(l.Items, func(r authz.Role) api.Role { return api.Role{Role: r.Name, Description: r.Description} })
	return api.ListRoles200JSONResponse{
		Body:    api.RoleListEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: roles},
		Headers: api.ListRoles200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func (handlers) AddRole(ctx context.Context, r api.AddRoleRequestObject) (api.AddRoleResponseObject, error) {
	var options authz.RoleOptions
	if r.Body != nil {
		options.Description = r.Body.Description
	}
	written, err := tenant(ctx).AddRole(ctx, r.Role, options)
	if err != nil {
		return nil, err
	}
	return api.AddRole200JSONResponse{ResultResponseJSONResponse: result(true, written.Revision)}, nil
}

func (handlers) DeleteRole(ctx context.Context, r api.DeleteRoleRequestObject) (api.DeleteRoleResponseObject, error) {
	written, err := tenant(ctx).DeleteRole(ctx, r.Role)
	if err != nil {
		return nil, err
	}
	return api.DeleteRole200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}
