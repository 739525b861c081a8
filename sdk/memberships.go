package sdk

import (
	"context"
	"net/http"
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
	return written(c.api.AddMembership(ctx, user, role, nil, bounds(window)))
}

// DeleteMembership takes a role from a user at the tenant's root. Changed tells
// whether the membership was there, valid now or not.
func (c *Client) DeleteMembership(ctx context.Context, user, role string) (authz.Written, error) {
	if err := checkNames(name{"user", user}, name{"role", role}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteMembership(ctx, user, role, nil))
}

// PutMembership gives a user or a group a role at a node, within the window; a
// membership of theirs there gets the new window. A group that does not exist is
// created; a role or a node that does not is ErrNotFound. Changed is always true,
// as in AddRole.
func (c *Client) PutMembership(ctx context.Context, m authz.Membership) (authz.Written, error) {
	if err := checkHolding(m.Subject, m.Role, m.Node); err != nil {
		return authz.Written{}, err
	}
	subject, at, window := m.Subject.Name, m.Node, bounds(m.Window)
	group := m.Subject.Type == authz.GroupType
	switch kind := at.Kind(); {
	case kind == authz.KindTenant && group:
		return put[api.NodeMember](c.api.PutGroupRole(ctx, subject, m.Role, nil, window))
	case kind == authz.KindTenant:
		return written(c.api.AddMembership(ctx, subject, m.Role, nil, window))
	case kind == authz.KindResource && group:
		return put[api.NodeMember](c.api.PutResourceGroup(ctx, at.Type, at.ID, subject, m.Role, nil, window))
	case kind == authz.KindResource:
		return put[api.NodeMember](c.api.PutResourceMember(ctx, at.Type, at.ID, subject, m.Role, nil, window))
	case group:
		return put[api.NodeMember](c.api.PutScopeGroup(ctx, api.ScopeKind(kind), at.ID, subject, m.Role, nil, window))
	default:
		return put[api.NodeMember](c.api.PutScopeMember(ctx, api.ScopeKind(kind), at.ID, subject, m.Role, nil, window))
	}
}

// RemoveMembership takes a role at a node from a user or a group. Changed tells
// whether the membership was there, valid now or not.
func (c *Client) RemoveMembership(ctx context.Context, subject authz.SubjectRef, role string, at authz.Node) (authz.Written, error) {
	if err := checkHolding(subject, role, at); err != nil {
		return authz.Written{}, err
	}
	group := subject.Type == authz.GroupType
	switch kind := at.Kind(); {
	case kind == authz.KindTenant && group:
		return written(c.api.DeleteGroupRole(ctx, subject.Name, role, nil))
	case kind == authz.KindTenant:
		return written(c.api.DeleteMembership(ctx, subject.Name, role, nil))
	case kind == authz.KindResource && group:
		return written(c.api.DeleteResourceGroup(ctx, at.Type, at.ID, subject.Name, role, nil))
	case kind == authz.KindResource:
		return written(c.api.DeleteResourceMember(ctx, at.Type, at.ID, subject.Name, role, nil))
	case group:
		return written(c.api.DeleteScopeGroup(ctx, api.ScopeKind(kind), at.ID, subject.Name, role, nil))
	default:
		return written(c.api.DeleteScopeMember(ctx, api.ScopeKind(kind), at.ID, subject.Name, role, nil))
	}
}

// NodeMembers lists the memberships at a scope or a resource as they were written,
// valid now or not: users first, then groups. The root is ErrInvalid: the API lists
// its members by user and by role alone.
func (c *Client) NodeMembers(ctx context.Context, at authz.Node, page authz.Page) (authz.List[authz.Membership], error) {
	if at == authz.Root {
		return authz.List[authz.Membership]{}, invalid("node: must be a scope or a resource")
	}
	if err := checkResource(at); err != nil {
		return authz.List[authz.Membership]{}, err
	}
	rsp, err := c.listNodeMembers(ctx, at, paging(page))
	a, err := read[[]api.NodeMember](rsp, err)
	return listOf(a, a.data, func(m api.NodeMember) authz.Membership { return membershipAt(at, m) }), err
}

func (c *Client) listNodeMembers(ctx context.Context, at authz.Node, page *api.ListRolesParams) (*http.Response, error) {
	if authz.IsScopeKind(at.Type) {
		return c.api.ListScopeMembers(ctx, api.ScopeKind(at.Type), at.ID, (*api.ListScopeMembersParams)(page))
	}
	return c.api.ListResourceMembers(ctx, at.Type, at.ID, (*api.ListResourceMembersParams)(page))
}

func membershipAt(at authz.Node, m api.NodeMember) authz.Membership {
	subject := authz.SubjectRef{Type: authz.UserType, Name: orZero(m.User)}
	if m.Group != nil {
		subject = authz.SubjectRef{Type: authz.GroupType, Name: *m.Group}
	}
	return authz.Membership{
		Subject: subject,
		Role:    m.Role,
		Node:    at,
		Window:  authz.Window{NotBefore: orZero(m.NotBefore), ExpiresAt: orZero(m.ExpiresAt)},
	}
}

// checkHolding refuses what the path of a membership cannot carry.
func checkHolding(subject authz.SubjectRef, role string, at authz.Node) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	if err := checkNames(name{"role", role}); err != nil || at == authz.Root {
		return err
	}
	return checkResource(at)
}

// HasMembership tells whether a user holds a role at the tenant's root now. Every
// user holds the built-in role authz.Everyone.
func (c *Client) HasMembership(ctx context.Context, user, role string) (authz.Decision, error) {
	if err := checkNames(name{"user", user}, name{"role", role}); err != nil {
		return authz.Decision{}, err
	}
	a, err := read[api.MembershipAnswer](c.api.CheckMembership(ctx, user, role))
	return a.decision(a.data.HasMembership), err
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

// bounds is a window in a request.
func bounds(window authz.Window) api.Window {
	return api.Window{NotBefore: bound(window.NotBefore), ExpiresAt: bound(window.ExpiresAt)}
}

// bound is a time in a request: in UTC, since RFC 3339 cannot write every zone.
func bound(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
