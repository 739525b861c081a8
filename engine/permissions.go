package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AddPermission grants a permission to a role: a name, a prefix of one followed by
// ":*", or "*". A role that does not exist is ErrNotFound; the built-in ones do.
// An existing grant is left as it is, with its condition: use PutGrant to widen it.
// A new one of what no tool defines is ErrConflict under StrictPermissions.
func (t *Tenant) AddPermission(ctx context.Context, role, permission string) (authz.Written, error) {
	if err := validateGrant(role, permission); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if _, err := requireRole(ctx, tx, role); err != nil {
			return nil, err
		}
		if _, exists, err := tx.Grant(ctx, role, permission); err != nil || exists {
			return nil, err
		}
		if err := requireDefined(ctx, tx, permission); err != nil {
			return nil, err
		}
		grant := authz.Grant{Permission: permission}
		if changed, err := tx.SetGrant(ctx, role, grant); err != nil || !changed {
			return nil, err
		}
		return []effect{grantEffect(audit.PermissionGranted, role, grant)}, nil
	})
}

// PutGrant grants a permission to a role under exactly the grant's condition; an
// empty one makes the grant apply always. A role that does not exist is
// ErrNotFound, a condition that authz.CompileCondition refuses ErrInvalid. A new
// grant of what no tool defines is ErrConflict under StrictPermissions.
func (t *Tenant) PutGrant(ctx context.Context, role string, grant authz.Grant) (authz.Written, error) {
	if err := validateGrant(role, grant.Permission); err != nil {
		return authz.Written{}, err
	}
	if err := validateCondition(grant.Condition); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if _, err := requireRole(ctx, tx, role); err != nil {
			return nil, err
		}
		_, existed, err := tx.Grant(ctx, role, grant.Permission)
		if err != nil {
			return nil, err
		}
		if !existed {
			if err := requireDefined(ctx, tx, grant.Permission); err != nil {
				return nil, err
			}
		}
		if changed, err := tx.SetGrant(ctx, role, grant); err != nil || !changed {
			return nil, err
		}
		return []effect{grantEffect(put(existed, audit.PermissionGranted, audit.PermissionUpdated), role, grant)}, nil
	})
}

// DeletePermission takes exactly this grant from a role, whatever its condition.
// Changed tells whether it was there.
func (t *Tenant) DeletePermission(ctx context.Context, role, permission string) (authz.Written, error) {
	if err := validateGrant(role, permission); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteGrant(ctx, role, permission); err != nil || !deleted {
			return nil, err
		}
		return []effect{grantEffect(audit.PermissionRevoked, role, authz.Grant{Permission: permission})}, nil
	})
}

// Grants lists a role's own grants as they were written, by permission.
func (t *Tenant) Grants(ctx context.Context, role string, page authz.Page) (authz.List[authz.Grant], error) {
	if err := validateRole(role); err != nil {
		return authz.List[authz.Grant]{}, err
	}
	return list(ctx, t, page, question("grants", role), lister[authz.Grant]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Grant, error) {
			return r.Grants(ctx, role, after[0], limit)
		},
		position: func(g authz.Grant) []string { return []string{g.Permission} },
	})
}

// validateCondition accepts an empty condition and one that compiles.
func validateCondition(condition string) error {
	if condition == "" {
		return nil
	}
	if err := validateText("condition", condition, authz.MaxCondition); err != nil {
		return err
	}
	if _, err := authz.CompileCondition(condition); err != nil {
		return invalid("condition", err)
	}
	return nil
}

func grantEffect(action, role string, grant authz.Grant) effect {
	done := effect{kind: store.KindPermission, key: key(role, grant.Permission), event: audit.Event{Action: action}}
	if grant.Condition != "" {
		done.event.Details = map[string]any{"condition": grant.Condition}
	}
	return done
}
