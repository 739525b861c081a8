package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AddRole creates a role. An existing one is left as it is, but for the
// description where options has one.
func (t *Tenant) AddRole(ctx context.Context, role string, options authz.RoleOptions) (authz.Written, error) {
	if err := validateOwnRole(role); err != nil {
		return authz.Written{}, err
	}
	described := options.Description != nil
	wanted := authz.Role{Name: role}
	if described {
		if err := validateText("description", *options.Description, authz.MaxDescription); err != nil {
			return authz.Written{}, err
		}
		wanted.Description = *options.Description
	}
	return t.mutate(ctx, func(tx store.Tx) (*effect, error) {
		if created, err := tx.CreateRole(ctx, wanted); err != nil {
			return nil, err
		} else if created {
			return roleEffect(audit.RoleCreated, role), nil
		}
		if !described {
			return nil, nil
		}
		if changed, err := tx.SetRoleDescription(ctx, role, wanted.Description); err != nil || !changed {
			return nil, err
		}
		return roleEffect(audit.RoleUpdated, role), nil
	})
}

// DeleteRole deletes a role with its grants and memberships. Changed tells
// whether it was there. Making a role of that name again brings nothing back.
func (t *Tenant) DeleteRole(ctx context.Context, role string) (authz.Written, error) {
	if err := validateOwnRole(role); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) (*effect, error) {
		if deleted, err := tx.DeleteRole(ctx, role); err != nil || !deleted {
			return nil, err
		}
		return roleEffect(audit.RoleDeleted, role), nil
	})
}

// Roles lists the roles by name, all but the built-in ones.
func (t *Tenant) Roles(ctx context.Context, page authz.Page) (authz.List[authz.Role], error) {
	return list(ctx, t, page, question("roles"), lister[authz.Role]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Role, error) {
			return r.Roles(ctx, after[0], limit)
		},
		position: func(role authz.Role) []string { return []string{role.Name} },
	})
}

func roleEffect(action, role string) *effect {
	return &effect{kind: store.KindRole, key: key(role), event: audit.Event{Action: action}}
}

// requireRole fails where a role that a change builds on does not exist.
func requireRole(ctx context.Context, tx store.Tx, role string) error {
	exists, err := tx.RoleExists(ctx, role)
	if err == nil && !exists {
		err = fault.NotFound("role %q does not exist", role)
	}
	return err
}
