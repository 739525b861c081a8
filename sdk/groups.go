package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// PutGroup creates a group or replaces its description. Changed is always true, as
// in AddRole.
func (c *Client) PutGroup(ctx context.Context, group authz.Group) (authz.Written, error) {
	if err := checkNames(name{"group", group.Name}); err != nil {
		return authz.Written{}, err
	}
	if err := checkTexts(name{"description", group.Description}); err != nil {
		return authz.Written{}, err
	}
	return put[api.Group](c.api.PutGroup(ctx, group.Name, nil, api.GroupSpec{Description: given(group.Description)}))
}

// Group shows a group. One that does not exist is ErrNotFound.
func (c *Client) Group(ctx context.Context, group string) (authz.Snapshot[authz.Group], error) {
	if err := checkNames(name{"group", group}); err != nil {
		return authz.Snapshot[authz.Group]{}, err
	}
	a, err := read[api.Group](c.api.GetGroup(ctx, group))
	return snapshotOf(a, err, func(g api.Group) authz.Group {
		return authz.Group{Name: g.Group, Description: g.Description}
	})
}

// DeleteGroup deletes a group with the roles that it holds. Its members stay.
// Changed tells whether it was there.
func (c *Client) DeleteGroup(ctx context.Context, group string) (authz.Written, error) {
	if err := checkNames(name{"group", group}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteGroup(ctx, group, nil))
}

// AddToGroup puts a user or a group into a group; groups that do not exist are
// created. A circle is ErrConflict. Changed is always true, as in AddRole.
func (c *Client) AddToGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error) {
	if err := checkMember(group, member); err != nil {
		return authz.Written{}, err
	}
	if member.Type == authz.GroupType {
		return written(c.api.AddGroupChild(ctx, group, member.Name, nil))
	}
	return written(c.api.AddGroupMember(ctx, group, member.Name, nil))
}

// RemoveFromGroup takes a user or a group out of a group. Changed tells whether it
// was in it.
func (c *Client) RemoveFromGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error) {
	if err := checkMember(group, member); err != nil {
		return authz.Written{}, err
	}
	if member.Type == authz.GroupType {
		return written(c.api.DeleteGroupChild(ctx, group, member.Name, nil))
	}
	return written(c.api.DeleteGroupMember(ctx, group, member.Name, nil))
}

func checkMember(group string, member authz.SubjectRef) error {
	if err := checkNames(name{"group", group}); err != nil {
		return err
	}
	return checkSubject(member)
}

// checkSubject accepts a user or a group that a path can name.
func checkSubject(subject authz.SubjectRef) error {
	if subject.Type != authz.UserType && subject.Type != authz.GroupType {
		return invalid("subject: must be of type %q or %q, not %q", authz.UserType, authz.GroupType, subject.Type)
	}
	return checkNames(name{string(subject.Type), subject.Name})
}
