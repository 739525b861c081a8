package engine

import (
	"context"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// PutSettings replaces the tenant's settings. They are for what is written from now
// on: what is there already is not judged anew.
func (t *Tenant) PutSettings(ctx context.Context, settings authz.Settings) (authz.Written, error) {
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if changed, err := tx.SetSettings(ctx, settings); err != nil || !changed {
			return nil, err
		}
		return []effect{{kind: store.KindSettings, key: store.KeyAll, event: audit.Event{
			Action: audit.SettingsUpdated,
			Details: map[string]any{
				"strict_permissions": settings.StrictPermissions,
				"strict_users":       settings.StrictUsers,
			},
		}}}, nil
	})
}

// Settings reads the tenant's settings; until they are written, none is on.
func (t *Tenant) Settings(ctx context.Context) (authz.Snapshot[authz.Settings], error) {
	return snapshot(ctx, t, nil, func(r store.Reader) (authz.Settings, bool, error) {
		settings, err := r.Settings(ctx)
		return settings, true, err
	})
}

// requireDefined fails where no tool defines what is to be granted and the tenant is
// strict about that.
func requireDefined(ctx context.Context, tx store.Tx, permission string) error {
	settings, err := tx.Settings(ctx)
	if err != nil || !settings.StrictPermissions {
		return err
	}
	_, defined, err := tx.DefiningTool(ctx, permission)
	switch {
	case err != nil || defined:
		return err
	case strings.HasSuffix(permission, authz.Wildcard):
		return fault.Conflict("no tool defines a permission that %q matches, as strict_permissions demands", permission)
	default:
		return fault.Conflict("no tool defines the permission %q, as strict_permissions demands", permission)
	}
}

// requireRegistered fails where a subject is a user who is not registered and the
// tenant is strict about that.
func requireRegistered(ctx context.Context, tx store.Tx, subject authz.SubjectRef) error {
	if subject.Type != authz.UserType {
		return nil
	}
	settings, err := tx.Settings(ctx)
	if err != nil || !settings.StrictUsers {
		return err
	}
	_, registered, err := tx.User(ctx, subject.Name)
	if err == nil && !registered {
		err = fault.Conflict("user %q is not registered, as strict_users demands", subject.Name)
	}
	return err
}
