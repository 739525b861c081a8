package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AddPermission grants a permission to a role: a name, a prefix of one followed by
// ":*", or "*". A role that does not exist is ErrNotFound; the built-in ones do.
func (t *Tenant) AddPermission(ctx context.Context, role, permission string) (authz.Written, error) {
	if err := validateGrant(role, permission); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) (*effect, error) {
		if err := requireRole(ctx, tx, role); err != nil {
			return nil, err
		}
		if created, err := tx.CreateGrant(ctx, role, permission); err != nil || !created {
			return nil, err
		}
		return permissionEffect(audit.PermissionGranted, role, permission), nil
	})
}

// DeletePermission takes exactly this grant from a role. Changed tells whether it
// was there.
func (t *Tenant) DeletePermission(ctx context.Context, role, permission string) (authz.Written, error) {
	if err := validateGrant(role, permission); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) (*effect, error) {
		if deleted, err := tx.DeleteGrant(ctx, role, permission); err != nil || !deleted {
			return nil, err
		}
		return permissionEffect(audit.PermissionRevoked, role, permission), nil
	})
}

// RoleHasPermission tells whether a role holds a permission, by an exact grant or
// by a wildcard. An unknown role holds nothing.
func (t *Tenant) RoleHasPermission(ctx context.Context, role, permission string) (authz.Decision, error) {
	if err := validateRole(role); err != nil {
		return authz.Decision{}, err
	}
	if err := validatePermission(permission); err != nil {
		return authz.Decision{}, err
	}
	reader, err := t.reader()
	if err != nil {
		return authz.Decision{}, err
	}
	return reader.CheckRolePermission(ctx, role, authz.Patterns(permission))
}

// RolePermissions lists what is granted to a role, wildcards as their patterns.
func (t *Tenant) RolePermissions(ctx context.Context, role string, page authz.Page) (authz.List[string], error) {
	if err := validateRole(role); err != nil {
		return authz.List[string]{}, err
	}
	return list(ctx, t, page, question("role_permissions", role), lister[string]{
		read: func(r store.Reader, after []string, limit int) ([]string, error) {
			return r.RolePermissions(ctx, role, after[0], limit)
		},
		position: name,
	})
}

// WhichRolesCan lists the roles that hold a permission, by an exact grant or by a
// wildcard, all but the built-in ones.
func (t *Tenant) WhichRolesCan(ctx context.Context, permission string, page authz.Page) (authz.List[string], error) {
	if err := validatePermission(permission); err != nil {
		return authz.List[string]{}, err
	}
	patterns := authz.Patterns(permission)
	return list(ctx, t, page, question("which_roles_can", permission), lister[string]{
		read: func(r store.Reader, after []string, limit int) ([]string, error) {
			return r.RolesWithPermission(ctx, patterns, after[0], limit)
		},
		position: name,
	})
}

func permissionEffect(action, role, permission string) *effect {
	return &effect{kind: store.KindPermission, key: key(role, permission), event: audit.Event{Action: action}}
}
