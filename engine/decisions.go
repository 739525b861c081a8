package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// UserHasPermission answers whether a user may do something, with no resource
// named: whether a role that the user holds at the root now, or Everyone, holds
// the permission. One query.
func (t *Tenant) UserHasPermission(ctx context.Context, user, permission string) (authz.Decision, error) {
	if err := validateUser(user); err != nil {
		return authz.Decision{}, err
	}
	if err := validatePermission(permission); err != nil {
		return authz.Decision{}, err
	}
	reader, err := t.reader()
	if err != nil {
		return authz.Decision{}, err
	}
	return reader.CheckPermission(ctx, user, authz.Patterns(permission), t.engine.now())
}

// UserPermissions lists what a user may do with no resource named: each
// permission once, wildcards as their patterns. Total is set.
func (t *Tenant) UserPermissions(ctx context.Context, user string, page authz.Page) (authz.List[string], error) {
	if err := validateUser(user); err != nil {
		return authz.List[string]{}, err
	}
	now := t.engine.now()
	return list(ctx, t, page, question("user_permissions", user), lister[string]{
		read: func(r store.Reader, after []string, limit int) ([]string, error) {
			return r.UserPermissions(ctx, user, now, after[0], limit)
		},
		position: name,
		count:    func(r store.Reader) (int64, error) { return r.CountUserPermissions(ctx, user, now) },
	})
}

// WhichUsersCan lists the users that hold a permission at the root now, and by
// which role: one item for each user and role. What Everyone may do names nobody.
func (t *Tenant) WhichUsersCan(ctx context.Context, permission string, page authz.Page) (authz.List[authz.Member], error) {
	return t.usersWith(ctx, permission, page, false)
}

// WorkflowUsers lists the users that may run a workflow now, and by which role. A
// workflow is a permission's name. Total is set.
func (t *Tenant) WorkflowUsers(ctx context.Context, workflow string, page authz.Page) (authz.List[authz.Member], error) {
	return t.usersWith(ctx, workflow, page, true)
}

// UserCanRunWorkflow is UserHasPermission by its name in schedulers.
func (t *Tenant) UserCanRunWorkflow(ctx context.Context, user, workflow string) (authz.Decision, error) {
	return t.UserHasPermission(ctx, user, workflow)
}

func (t *Tenant) usersWith(ctx context.Context, permission string, page authz.Page, counted bool) (authz.List[authz.Member], error) {
	if err := validatePermission(permission); err != nil {
		return authz.List[authz.Member]{}, err
	}
	now := t.engine.now()
	patterns := authz.Patterns(permission)
	users := lister[authz.Member]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Member, error) {
			return r.UsersWithPermission(ctx, patterns, now, authz.Member{User: after[0], Role: after[1]}, limit)
		},
		position: func(m authz.Member) []string { return []string{m.User, m.Role} },
		parts:    2,
	}
	if counted {
		users.count = func(r store.Reader) (int64, error) { return r.CountUsersWithPermission(ctx, patterns, now) }
	}
	return list(ctx, t, page, question("which_users_can", permission), users)
}

// reader answers questions of one statement each.
func (t *Tenant) reader() (store.Reader, error) {
	if err := authz.ValidateID(t.id); err != nil {
		return nil, invalid("tenant", err)
	}
	return t.engine.store.Read(t.id), nil
}
