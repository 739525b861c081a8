package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// PutUser registers a user, or replaces what is known of one; what the user holds
// stays, but for the sessions of one who is not active: they end. Properties are kept
// as JSON, of at most 16 KiB. Registering is optional: a user who is not registered is
// active and has no properties.
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
		changed, err := tx.SetUser(ctx, user)
		if err != nil {
			return nil, err
		}
		var ended int
		if user.Inactive {
			if ended, err = t.endUserSessions(ctx, tx, user.Name, authz.EndUserInactive); err != nil {
				return nil, err
			}
		}
		if !changed && ended == 0 {
			return nil, nil
		}
		done := userEffect(put(existed, audit.UserRegistered, audit.UserUpdated), user.Name)
		done.event.Details = map[string]any{"active": !user.Inactive}
		if ended > 0 {
			done.event.Details["sessions_ended"] = ended
		}
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
// registered or not, ends the user's sessions, and leaves what the user owned without
// an owner. The audit log stays. Changed tells whether there was anything.
func (t *Tenant) DeleteUser(ctx context.Context, user string) (authz.Written, error) {
	if err := validateUser(user); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		deleted, err := tx.DeleteUser(ctx, user)
		if err != nil {
			return nil, err
		}
		ended, err := t.endUserSessions(ctx, tx, user, authz.EndUserDeleted)
		if err != nil || !deleted && ended == 0 {
			return nil, err
		}
		done := userEffect(audit.UserDeleted, user)
		if ended > 0 {
			done.event.Details = map[string]any{"sessions_ended": ended}
		}
		// What the user owned has no owner now.
		return []effect{done, takesAlong(store.KindResource)}, nil
	})
}

// endUserSessions ends all of a user's sessions, each with its event, and returns how
// many were live.
func (t *Tenant) endUserSessions(ctx context.Context, tx store.Tx, user string, reason authz.SessionEnd) (int, error) {
	ended, err := tx.EndUserSessions(ctx, user, t.engine.now(), reason)
	if err != nil {
		return 0, err
	}
	return len(ended), t.appendEnds(ctx, tx, ended, reason)
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
