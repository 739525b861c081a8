package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// AddPermission grants a permission to a role: a name, a prefix of one followed by
// ":*", or "*". A role that does not exist is ErrNotFound; the built-in ones do.
// Changed is always true, as in AddRole.
func (c *Client) AddPermission(ctx context.Context, role, permission string) (authz.Written, error) {
	if err := checkNames(name{"role", role}, name{"permission", permission}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.AddPermission(ctx, role, permission, nil))
}

// PutGrant grants a permission to a role, under the grant's condition where it has
// one; it replaces a grant of that permission, condition and all. A condition that
// does not compile is ErrInvalid, which shows where. A role that does not exist is
// ErrNotFound. Changed is always true, as in AddRole.
func (c *Client) PutGrant(ctx context.Context, role string, grant authz.Grant) (authz.Written, error) {
	if err := checkNames(name{"role", role}, name{"permission", grant.Permission}); err != nil {
		return authz.Written{}, err
	}
	if err := checkTexts(name{"condition", grant.Condition}); err != nil {
		return authz.Written{}, err
	}
	return put[api.Grant](c.api.PutGrant(ctx, role, grant.Permission, nil, api.GrantSpec{Condition: given(grant.Condition)}))
}

// Grants lists the grants of a role as they were written, without inherited ones.
func (c *Client) Grants(ctx context.Context, role string, page authz.Page) (authz.List[authz.Grant], error) {
	if err := checkNames(name{"role", role}); err != nil {
		return authz.List[authz.Grant]{}, err
	}
	a, err := read[[]api.Grant](c.api.ListGrants(ctx, role, (*api.ListGrantsParams)(paging(page))))
	return listOf(a, a.data, func(g api.Grant) authz.Grant {
		return authz.Grant{Permission: g.Permission, Condition: orZero(g.Condition)}
	}), err
}

// DeletePermission takes exactly this grant from a role. Changed tells whether it
// was there.
func (c *Client) DeletePermission(ctx context.Context, role, permission string) (authz.Written, error) {
	if err := checkNames(name{"role", role}, name{"permission", permission}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeletePermission(ctx, role, permission, nil))
}

// RoleHasPermission tells whether a role holds a permission, by an exact grant or
// by a wildcard. An unknown role holds nothing.
func (c *Client) RoleHasPermission(ctx context.Context, role, permission string) (authz.Decision, error) {
	if err := checkNames(name{"role", role}, name{"permission", permission}); err != nil {
		return authz.Decision{}, err
	}
	a, err := read[api.Result](c.api.CheckRolePermission(ctx, role, permission))
	return a.decision(a.data.Result), err
}

// RolePermissions lists what is granted to a role, wildcards as their patterns.
func (c *Client) RolePermissions(ctx context.Context, role string, page authz.Page) (authz.List[string], error) {
	if err := checkNames(name{"role", role}); err != nil {
		return authz.List[string]{}, err
	}
	a, err := read[[]api.PermissionName](c.api.ListRolePermissions(ctx, role, (*api.ListRolePermissionsParams)(paging(page))))
	return listOf(a, a.data, permissionName), err
}

// WhichRolesCan lists the roles that hold a permission, by an exact grant or by a
// wildcard, all but the built-in ones.
func (c *Client) WhichRolesCan(ctx context.Context, permission string, page authz.Page) (authz.List[string], error) {
	if err := checkNames(name{"permission", permission}); err != nil {
		return authz.List[string]{}, err
	}
	a, err := read[[]api.RoleName](c.api.WhichRolesCan(ctx, permission, (*api.WhichRolesCanParams)(paging(page))))
	return listOf(a, a.data, func(r api.RoleName) string { return r.Role }), err
}
