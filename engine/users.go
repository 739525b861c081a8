package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// PutUser registers a user, or replaces what is known of one; what the user holds
// stays, but for the sessions and tokens of one who is not active: they end. Properties are kept
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
		ended := map[string]any{}
		if user.Inactive {
			if ended, err = t.endAllOf(ctx, tx, user.Name, authz.EndUserInactive); err != nil {
				return nil, err
			}
		}
		if !changed && len(ended) == 0 {
			return nil, nil
		}
		done := userEffect(put(existed, audit.UserRegistered, audit.UserUpdated), user.Name)
		ended["active"] = !user.Inactive
		done.event.Details = ended
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
// registered or not, ends the user's sessions and tokens, and leaves what the user owned without
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
		ended, err := t.endAllOf(ctx, tx, user, authz.EndUserDeleted)
		if err != nil || !deleted && len(ended) == 0 {
			return nil, err
		}
		done := userEffect(audit.UserDeleted, user)
		done.event.Details = ended
		// What the user owned has no owner now.
		return []effect{done, takesAlong(store.KindResource)}, nil
	})
}

// endAllOf ends all of a user's sessions, and all tokens that speak for the user, each
// with its event. It returns how many there were, as the details of an event: none where
// there were none.
func (t *Tenant) endAllOf(ctx context.Context, tx store.Tx, user string, reason authz.SessionEnd) (map[string]any, error) {
	sessions, err := tx.EndUserSessions(ctx, user, t.engine.now(), reason)
	if err != nil {
		return nil, err
	}
	if err := t.appendEnds(ctx, tx, sessions, reason); err != nil {
		return nil, err
	}
	tokens, err := t.endUserTokens(ctx, tx, user, reason)
	if err != nil {
		return nil, err
	}
	details := map[string]any{}
	if len(sessions) > 0 {
		details["sessions_ended"] = len(sessions)
	}
	if tokens > 0 {
		details["tokens_ended"] = tokens
	}
	return details, nil
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
