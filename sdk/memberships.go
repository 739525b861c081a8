package sdk

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// AddMembership gives a user a role at the tenant's root, within window. Adding it
// again replaces the window. A role that does not exist is ErrNotFound. Changed is
// always true, as in AddRole.
func (c *Client) AddMembership(ctx context.Context, user, role string, window authz.Window) (authz.Written, error) {
	if err := checkNames(name{"user", user}, name{"role", role}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.AddMembership(ctx, user, role, api.Window{
		NotBefore: bound(window.NotBefore),
		ExpiresAt: bound(window.ExpiresAt),
	}))
}

// DeleteMembership takes a role from a user at the tenant's root. Changed tells
// whether the membership was there, valid now or not.
func (c *Client) DeleteMembership(ctx context.Context, user, role string) (authz.Written, error) {
	if err := checkNames(name{"user", user}, name{"role", role}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteMembership(ctx, user, role))
}

// HasMembership tells whether a user holds a role at the tenant's root now. Every
// user holds the built-in role authz.Everyone.
func (c *Client) HasMembership(ctx context.Context, user, role string) (authz.Decision, error) {
	if err := checkNames(name{"user", user}, name{"role", role}); err != nil {
		return authz.Decision{}, err
	}
	a, err := read[api.MembershipAnswer](c.api.CheckMembership(ctx, user, role))
	return authz.Decision{Allowed: a.data.HasMembership, Revision: a.revision}, err
}

// UserRoles lists the roles that a user holds at the tenant's root now.
func (c *Client) UserRoles(ctx context.Context, user string, page authz.Page) (authz.List[authz.Member], error) {
	if err := checkNames(name{"user", user}); err != nil {
		return authz.List[authz.Member]{}, err
	}
	return members(c.api.ListUserRoles(ctx, user, (*api.ListUserRolesParams)(paging(page))))
}

// Members lists the users that hold a role at the tenant's root now.
func (c *Client) Members(ctx context.Context, role string, page authz.Page) (authz.List[authz.Member], error) {
	if err := checkNames(name{"role", role}); err != nil {
		return authz.List[authz.Member]{}, err
	}
	return members(c.api.ListMembers(ctx, role, (*api.ListMembersParams)(paging(page))))
}

// bound is a time in a request: in UTC, since RFC 3339 cannot write every zone.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
