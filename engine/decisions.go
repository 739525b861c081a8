package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// UserHasPermission answers whether a user may do something, with no resource
// named.
func (t *Tenant) UserHasPermission(ctx context.Context, user, permission string) (authz.Decision, error) {
	return t.Check(ctx, authz.Request{User: user, Permission: permission})
}

// UserCanRunWorkflow is UserHasPermission by its name in schedulers.
func (t *Tenant) UserCanRunWorkflow(ctx context.Context, user, workflow string) (authz.Decision, error) {
	return t.UserHasPermission(ctx, user, workflow)
}

// RoleHasPermission tells whether a role holds a permission, its own or inherited,
// by an exact grant or by a wildcard, whatever the condition. An unknown role holds
// nothing.
func (t *Tenant) RoleHasPermission(ctx context.Context, role, permission string) (authz.Decision, error) {
	if err := validateRole(role); err != nil {
		return authz.Decision{}, err
	}
	if err := validatePermission(permission); err != nil {
		return authz.Decision{}, err
	}
	return t.answer(ctx, func(view *live.View) (bool, error) {
		policy, err := view.Policy()
		return err == nil && policy.RoleHolds(role, permission), err
	})
}

// HasMembership tells whether a user holds a role at the tenant's root now,
// directly or through groups. Every user holds the built-in role Everyone.
func (t *Tenant) HasMembership(ctx context.Context, user, role string) (authz.Decision, error) {
	if err := validateUser(user); err != nil {
		return authz.Decision{}, err
	}
	if err := validateRole(role); err != nil {
		return authz.Decision{}, err
	}
	now := t.engine.now().UnixMicro()
	return t.answer(ctx, func(view *live.View) (bool, error) {
		subject, err := view.Subject(user)
		return err == nil && (role == authz.Everyone || subject.Holds(role, authz.Root, now)), err
	})
}

// answer decides what is not a matter of the decision rule.
func (t *Tenant) answer(ctx context.Context, is func(*live.View) (bool, error)) (authz.Decision, error) {
	var decision authz.Decision
	basis, err := t.ask(ctx, func(view *live.View) (err error) {
		decision.Allowed, err = is(view)
		return err
	})
	if err != nil {
		return authz.Decision{}, err
	}
	decision.Revision, decision.Stale = basis.Revision, basis.Stale
	return decision, nil
}

// RolePermissions lists what a role holds, its own and inherited, wildcards as
// their patterns, whatever the condition.
func (t *Tenant) RolePermissions(ctx context.Context, role string, page authz.Page) (authz.List[string], error) {
	if err := validateRole(role); err != nil {
		return authz.List[string]{}, err
	}
	return t.names(ctx, page, question("role_permissions", role), func(view *live.View) ([]string, error) {
		policy, err := view.Policy()
		if err != nil {
			return nil, err
		}
		return policy.RolePermissions(role), nil
	})
}

// WhichRolesCan lists the roles that hold a permission, all but the built-in ones.
func (t *Tenant) WhichRolesCan(ctx context.Context, permission string, page authz.Page) (authz.List[string], error) {
	if err := validatePermission(permission); err != nil {
		return authz.List[string]{}, err
	}
	return t.names(ctx, page, question("which_roles_can", permission), func(view *live.View) ([]string, error) {
		policy, err := view.Policy()
		if err != nil {
			return nil, err
		}
		return policy.RolesThatCan(permission), nil
	})
}

// UserPermissions lists what a user may do with no resource named: each
// permission once, wildcards as their patterns. Total is set.
func (t *Tenant) UserPermissions(ctx context.Context, user string, page authz.Page) (authz.List[string], error) {
	if err := validateUser(user); err != nil {
		return authz.List[string]{}, err
	}
	now := t.engine.now().UnixMicro()
	return t.names(ctx, page, question("user_permissions", user), func(view *live.View) ([]string, error) {
		policy, err := view.Policy()
		if err != nil {
			return nil, err
		}
		q, err := complete(view, &authz.Request{User: user}, now)
		if err != nil {
			return nil, err
		}
		return policy.Permissions(q), nil
	})
}

// UserRoles lists the roles that a user holds at the tenant's root now, directly or
// through groups.
func (t *Tenant) UserRoles(ctx context.Context, user string, page authz.Page) (authz.List[authz.Member], error) {
	if err := validateUser(user); err != nil {
		return authz.List[authz.Member]{}, err
	}
	now := t.engine.now().UnixMicro()
	roles, err := t.names(ctx, page, question("user_roles", user), func(view *live.View) ([]string, error) {
		subject, err := view.Subject(user)
		if err != nil {
			return nil, err
		}
		return subject.RolesHeld(authz.Root, now), nil
	})
	members := authz.List[authz.Member]{Next: roles.Next, Revision: roles.Revision, Stale: roles.Stale}
	for _, role := range roles.Items {
		members.Items = append(members.Items, authz.Member{User: user, Role: role})
	}
	return members, err
}

// Members lists the users that hold a role at the tenant's root now, directly or
// through groups.
func (t *Tenant) Members(ctx context.Context, role string, page authz.Page) (authz.List[authz.Member], error) {
	if err := validateRole(role); err != nil {
		return authz.List[authz.Member]{}, err
	}
	query := store.MembersQuery{Roles: []string{role}, At: t.engine.now()}
	return list(ctx, t, page, question("members", role), memberLister(ctx, &query, false))
}

// WhichUsersCan lists the active users that hold a permission at the root now, and
// by which role, whatever the grant's condition: one item for each user and role.
// What Everyone may do names nobody.
func (t *Tenant) WhichUsersCan(ctx context.Context, permission string, page authz.Page) (authz.List[authz.Member], error) {
	return t.usersWith(ctx, permission, page, false)
}

// WorkflowUsers lists the users that may run a workflow now, and by which role. A
// workflow is a permission's name. Total is set.
func (t *Tenant) WorkflowUsers(ctx context.Context, workflow string, page authz.Page) (authz.List[authz.Member], error) {
	return t.usersWith(ctx, workflow, page, true)
}

func (t *Tenant) usersWith(ctx context.Context, permission string, page authz.Page, counted bool) (authz.List[authz.Member], error) {
	if err := validatePermission(permission); err != nil {
		return authz.List[authz.Member]{}, err
	}
	query := store.MembersQuery{At: t.engine.now(), ActiveOnly: true}
	var roles []string
	basis, err := t.ask(ctx, func(view *live.View) error {
		policy, err := view.Policy()
		if err == nil {
			roles = policy.RolesThatCan(permission)
		}
		return err
	})
	if err != nil {
		return authz.List[authz.Member]{}, err
	}
	users := memberLister(ctx, &query, counted)
	users.prepare = func(r store.Reader, revision int64) error {
		if revision == basis.Revision {
			query.Roles = roles
			return nil
		}
		// Roles and members of two revisions would name users who could at neither.
		policy, err := live.Through(ctx, r).Policy()
		if err == nil {
			query.Roles = policy.RolesThatCan(permission)
		}
		return err
	}
	return list(ctx, t, page, question("which_users_can", permission), users)
}

// memberLister lists what query selects.
func memberLister(ctx context.Context, query *store.MembersQuery, counted bool) lister[authz.Member] {
	members := lister[authz.Member]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Member, error) {
			return r.Members(ctx, *query, authz.Member{User: after[0], Role: after[1]}, limit)
		},
		position: func(m authz.Member) []string { return []string{m.User, m.Role} },
		parts:    2,
	}
	if counted {
		members.count = func(r store.Reader) (int64, error) { return r.CountMembers(ctx, *query) }
	}
	return members
}
