package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// PutUser registers a user, or replaces what is known of one; what the user holds
// stays. Properties are kept as JSON, of at most 16 KiB. Registering is optional: a
// user who is not registered is active and has no properties.
func (t *Tenant) PutUser(ctx context.Context, user authz.User) (authz.Written, error) {
	if err := validateUser(user.Name); err != nil {
		return authz.Written{}, err
	}
	if err := validateProperties(user.Properties); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		_, existed, err := tx.User(ctx, user.Name)
		if err != nil {
			return nil, err
		}
		if changed, err := tx.SetUser(ctx, user); err != nil || !changed {
			return nil, err
		}
		done := userEffect(put(existed, audit.UserRegistered, audit.UserUpdated), user.Name)
		done.event.Details = map[string]any{"active": !user.Inactive}
		return []effect{done}, nil
	})
}

// User reads what is known of a registered user; any other is ErrNotFound.
func (t *Tenant) User(ctx context.Context, user string) (authz.Snapshot[authz.User], error) {
	if err := validateUser(user); err != nil {
		return authz.Snapshot[authz.User]{}, err
	}
	missing := fault.NotFound("user %q is not registered", user)
	return snapshot(ctx, t, missing, func(r store.Reader) (authz.User, bool, error) { return r.User(ctx, user) })
}

// DeleteUser deletes all that a user holds and the user's places in groups,
// registered or not, and leaves what the user owned without an owner. The audit log
// stays. Changed tells whether there was anything.
func (t *Tenant) DeleteUser(ctx context.Context, user string) (authz.Written, error) {
	if err := validateUser(user); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteUser(ctx, user); err != nil || !deleted {
			return nil, err
		}
		// What the user owned has no owner now.
		return []effect{userEffect(audit.UserDeleted, user), takesAlong(store.KindResource)}, nil
	})
}

// Users lists the registered users by name. A page may hold fewer than its limit where
// their properties are large.
func (t *Tenant) Users(ctx context.Context, page authz.Page) (authz.List[authz.User], error) {
	return list(ctx, t, page, question("users"), lister[authz.User]{
		read: func(r store.Reader, after []string, limit int) ([]authz.User, error) {
			return r.Users(ctx, after[0], limit)
		},
		position:   func(u authz.User) []string { return []string{u.Name} },
		properties: func(u authz.User) map[string]any { return u.Properties },
	})
}

func userEffect(action, user string) effect {
	return effect{kind: store.KindUser, key: key(user), event: audit.Event{Action: action, User: user}}
}
