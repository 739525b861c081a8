package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) CheckRolePermission(ctx context.Context, r api.CheckRolePermissionRequestObject) (api.CheckRolePermissionResponseObject, error) {
	d, err := tenant(ctx).RoleHasPermission(ctx, r.Group, r.Name)
	if err != nil {
		return nil, err
	}
	markStale(ctx, d.Stale)
	return api.CheckRolePermission200JSONResponse{ResultResponseJSONResponse: result(d.Allowed, d.Revision)}, nil
}

func (handlers) AddPermission(ctx context.Context, r api.AddPermissionRequestObject) (api.AddPermissionResponseObject, error) {
	written, err := tenant(ctx).AddPermission(ctx, r.Group, r.Name)
	if err != nil {
		return nil, err
	}
	return api.AddPermission200JSONResponse{ResultResponseJSONResponse: result(true, written.Revision)}, nil
}

func (handlers) DeletePermission(ctx context.Context, r api.DeletePermissionRequestObject) (api.DeletePermissionResponseObject, error) {
	written, err := tenant(ctx).DeletePermission(ctx, r.Group, r.Name)
	if err != nil {
		return nil, err
	}
	return api.DeletePermission200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) ListRolePermissions(ctx context.Context, r api.ListRolePermissionsRequestObject) (api.ListRolePermissionsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).RolePermissions(ctx, r.Role, p)
	if err != nil {
		return nil, err
	}
	markStale(ctx, l.Stale)
	return api.ListRolePermissions200JSONResponse{
		Body: api.PermissionListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: permissionNames(l.Items),
		},
		Headers: api.ListRolePermissions200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func (handlers) WhichRolesCan(ctx context.Context, r api.WhichRolesCanRequestObject) (api.WhichRolesCanResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).WhichRolesCan(ctx, r.Name, p)
	if err != nil {
		return nil, err
	}
	markStale(ctx, l.Stale)
	roles := convert(l.Items, func(name string) api.RoleName { return api.RoleName{Role: name} })
	return api.WhichRolesCan200JSONResponse{
		Body:    api.RoleNameListEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: roles},
		Headers: api.WhichRolesCan200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func (handlers) ListGrants(ctx context.Context, r api.ListGrantsRequestObject) (api.ListGrantsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Grants(ctx, r.Role, p)
	if err != nil {
		return nil, err
	}
	grants := convert(l.Items, func(g authz.Grant) api.Grant { return grantOf(r.Role, g) })
	return api.ListGrants200JSONResponse{GrantListResponseJSONResponse: api.GrantListResponseJSONResponse{
		Body:    api.GrantListEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: grants},
		Headers: api.GrantListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}}, nil
}

func (handlers) PutGrant(ctx context.Context, r api.PutGrantRequestObject) (api.PutGrantResponseObject, error) {
	grant := authz.Grant{Permission: r.Permission, Condition: orZero(orZero(r.Body).Condition)}
	written, err := tenant(ctx).PutGrant(ctx, r.Role, grant)
	if err != nil {
		return nil, err
	}
	return api.PutGrant200JSONResponse{GrantResponseJSONResponse: api.GrantResponseJSONResponse{
		Body:    api.GrantEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: grantOf(r.Role, grant)},
		Headers: api.GrantResponseResponseHeaders{GatehouseRevision: &written.Revision},
	}}, nil
}

func (handlers) DeleteGrant(ctx context.Context, r api.DeleteGrantRequestObject) (api.DeleteGrantResponseObject, error) {
	written, err := tenant(ctx).DeletePermission(ctx, r.Role, r.Permission)
	if err != nil {
		return nil, err
	}
	return api.DeleteGrant200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func grantOf(role string, grant authz.Grant) api.Grant {
	return api.Grant{Role: role, Permission: grant.Permission, Condition: orNil(grant.Condition)}
}
