package server

import (
	"context"
	"slices"

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

func (handlers) PutRole(ctx context.Context, r api.PutRoleRequestObject) (api.PutRoleResponseObject, error) {
	role := roleOf(r.Role, orZero(r.Body))
	written, err := tenant(ctx).PutRole(ctx, role)
	if err != nil {
		return nil, err
	}
	return api.PutRole200JSONResponse{RoleResponseJSONResponse: roleResponse(role, written.Revision)}, nil
}

func (handlers) GetRole(ctx context.Context, r api.GetRoleRequestObject) (api.GetRoleResponseObject, error) {
	role, err := tenant(ctx).Role(ctx, r.Role)
	if err != nil {
		return nil, err
	}
	return api.GetRole200JSONResponse{RoleResponseJSONResponse: roleResponse(role.Value, role.Revision)}, nil
}

func (handlers) RemoveRole(ctx context.Context, r api.RemoveRoleRequestObject) (api.RemoveRoleResponseObject, error) {
	written, err := tenant(ctx).DeleteRole(ctx, r.Role)
	if err != nil {
		return nil, err
	}
	return api.RemoveRole200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

// kinds are all kinds of node, from the root down.
var kinds = []authz.Kind{authz.KindTenant, authz.KindOrganization, authz.KindProject, authz.KindTeam, authz.KindResource}

// roleOf reads a role in the form that it is kept in: parents sorted, kinds from
// the root down, each once.
func roleOf(name string, spec api.RoleSpec) authz.RoleDetail {
	var scopes []authz.Kind
	for _, kind := range kinds {
		if slices.Contains(orZero(spec.Scopes), api.NodeKind(kind)) {
			scopes = append(scopes, kind)
		}
	}
	return authz.RoleDetail{
		Name:        name,
		Description: orZero(spec.Description),
		Inherits:    slices.Compact(slices.Sorted(slices.Values(orZero(spec.Inherits)))),
		Scopes:      scopes,
	}
}

func roleResponse(role authz.RoleDetail, revision int64) api.RoleResponseJSONResponse {
	return api.RoleResponseJSONResponse{
		Body: api.RoleEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.RoleDetail{
				Role: role.Name, Description: role.Description,
				Inherits: convert(role.Inherits, func(name string) string { return name }),
				Scopes:   convert(role.Scopes, func(k authz.Kind) api.NodeKind { return api.NodeKind(k) }),
			},
		},
		Headers: api.RoleResponseResponseHeaders{GatehouseRevision: &revision},
	}
}
