package engine

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AddMembership gives a user a role at the tenant's root, within window. Adding it
// again replaces the window. A role that does not exist is ErrNotFound.
func (t *Tenant) AddMembership(ctx context.Context, user, role string, window authz.Window) (authz.Written, error) {
	member, err := validateMember(user, role)
	if err != nil {
		return authz.Written{}, err
	}
	if window, err = validWindow(window); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) (*effect, error) {
		if err := requireRole(ctx, tx, role); err != nil {
			return nil, err
		}
		if created, err := tx.CreateMembership(ctx, member, window); err != nil {
			return nil, err
		} else if created {
			return membershipEffect(audit.MembershipAdded, member, window), nil
		}
		if changed, err := tx.SetMembershipWindow(ctx, member, window); err != nil || !changed {
			return nil, err
		}
		return membershipEffect(audit.MembershipUpdated, member, window), nil
	})
}

// DeleteMembership takes a role from a user at the tenant's root. Changed tells
// whether the membership was there, valid now or not.
func (t *Tenant) DeleteMembership(ctx context.Context, user, role string) (authz.Written, error) {
	member, err := validateMember(user, role)
	if err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) (*effect, error) {
		if deleted, err := tx.DeleteMembership(ctx, member); err != nil || !deleted {
			return nil, err
		}
		return membershipEffect(audit.MembershipRemoved, member, authz.Window{}), nil
	})
}

// HasMembership tells whether a user holds a role at the tenant's root now. Every
// user holds the built-in role Everyone.
func (t *Tenant) HasMembership(ctx context.Context, user, role string) (authz.Decision, error) {
	if err := validateUser(user); err != nil {
		return authz.Decision{}, err
	}
	if err := validateRole(role); err != nil {
		return authz.Decision{}, err
	}
	reader, err := t.reader()
	if err != nil {
		return authz.Decision{}, err
	}
	decision, err := reader.CheckMembership(ctx, user, role, t.engine.now())
	if err == nil && role == authz.Everyone {
		decision.Allowed = true
	}
	return decision, err
}

// UserRoles lists the roles that a user holds at the tenant's root now.
func (t *Tenant) UserRoles(ctx context.Context, user string, page authz.Page) (authz.List[authz.Member], error) {
	if err := validateUser(user); err != nil {
		return authz.List[authz.Member]{}, err
	}
	now := t.engine.now()
	return list(ctx, t, page, question("user_roles", user), lister[authz.Member]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Member, error) {
			roles, err := r.UserRoles(ctx, user, now, after[0], limit)
			members := make([]authz.Member, len(roles))
			for i, role := range roles {
				members[i] = authz.Member{User: user, Role: role}
			}
			return members, err
		},
		position: func(m authz.Member) []string { return []string{m.Role} },
	})
}

// Members lists the users that hold a role at the tenant's root now.
func (t *Tenant) Members(ctx context.Context, role string, page authz.Page) (authz.List[authz.Member], error) {
	if err := validateRole(role); err != nil {
		return authz.List[authz.Member]{}, err
	}
	now := t.engine.now()
	return list(ctx, t, page, question("members", role), lister[authz.Member]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Member, error) {
			users, err := r.Members(ctx, role, now, after[0], limit)
			members := make([]authz.Member, len(users))
			for i, user := range users {
				members[i] = authz.Member{User: user, Role: role}
			}
			return members, err
		},
		position: func(m authz.Member) []string { return []string{m.User} },
	})
}

// validateMember accepts a user and a role that can be given.
func validateMember(user, role string) (authz.Member, error) {
	if err := validateUser(user); err != nil {
		return authz.Member{}, err
	}
	if err := validateRole(role); err != nil {
		return authz.Member{}, err
	}
	if authz.IsBuiltin(role) {
		return authz.Member{}, fault.Conflict("role %q is built in: it cannot be given or taken", role)
	}
	return authz.Member{User: user, Role: role}, nil
}

func membershipEffect(action string, member authz.Member, window authz.Window) *effect {
	details := map[string]any{}
	if !window.NotBefore.IsZero() {
		details["not_before"] = window.NotBefore.UTC().Format(time.RFC3339Nano)
	}
	if !window.ExpiresAt.IsZero() {
		details["expires_at"] = window.ExpiresAt.UTC().Format(time.RFC3339Nano)
	}
	return &effect{
		kind:  store.KindMembership,
		key:   key(member.User, member.Role),
		event: audit.Event{Action: action, User: member.User, Details: details},
	}
}
