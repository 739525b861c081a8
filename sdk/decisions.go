package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// UserHasPermission answers whether a user may do something, with no resource
// named: whether a role that the user holds at the root now, or authz.Everyone,
// holds the permission. An error never comes with a decision that allows.
func (c *Client) UserHasPermission(ctx context.Context, user, permission string) (authz.Decision, error) {
	if err := checkNames(name{"user", user}, name{"permission", permission}); err != nil {
		return authz.Decision{}, err
	}
	return decided(c.api.HasPermission(ctx, user, permission))
}

// UserPermissions lists what a user may do with no resource named: each permission
// once, wildcards as their patterns. Total is set.
func (c *Client) UserPermissions(ctx context.Context, user string, page authz.Page) (authz.List[string], error) {
	if err := checkNames(name{"user", user}); err != nil {
		return authz.List[string]{}, err
	}
	a, err := read[api.UserPermissions](c.api.ListUserPermissions(ctx, user, (*api.ListUserPermissionsParams)(paging(page))))
	list := listOf(a, a.data.Permissions, permissionName)
	list.Total = a.data.Count
	return list, err
}

// WhichUsersCan lists the users that hold a permission at the root now, and by
// which role: one item for each user and role. What authz.Everyone may do names
// nobody.
func (c *Client) WhichUsersCan(ctx context.Context, permission string, page authz.Page) (authz.List[authz.Member], error) {
	if err := checkNames(name{"permission", permission}); err != nil {
		return authz.List[authz.Member]{}, err
	}
	return members(c.api.WhichUsersCan(ctx, permission, (*api.WhichUsersCanParams)(paging(page))))
}

// WorkflowUsers lists the users that may run a workflow now, and by which role. A
// workflow is a permission's name. Total is set.
func (c *Client) WorkflowUsers(ctx context.Context, workflow string, page authz.Page) (authz.List[authz.Member], error) {
	if err := checkNames(name{"workflow", workflow}); err != nil {
		return authz.List[authz.Member]{}, err
	}
	a, err := read[api.WorkflowUsers](c.api.ListWorkflowUsers(ctx, workflow, (*api.ListWorkflowUsersParams)(paging(page))))
	list := listOf(a, a.data.Members, member)
	list.Total = a.data.Count
	return list, err
}

// UserCanRunWorkflow is UserHasPermission by its name in schedulers.
func (c *Client) UserCanRunWorkflow(ctx context.Context, user, workflow string) (authz.Decision, error) {
	if err := checkNames(name{"user", user}, name{"workflow", workflow}); err != nil {
		return authz.Decision{}, err
	}
	return decided(c.api.CanRunWorkflow(ctx, user, workflow))
}
