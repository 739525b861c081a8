package sqlstore

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
)

// This file lists groups, who is in them, and users.

func (r reader) Groups(ctx context.Context, after string, limit int) ([]authz.Group, error) {
	rows, err := r.queries.Groups(ctx, postgres.GroupsParams{Tenant: r.tenant, After: after, MaxRows: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "list the groups")
	}
	groups := make([]authz.Group, len(rows))
	for i, row := range rows {
		groups[i] = authz.Group{Name: row.Name, Description: row.Description}
	}
	return groups, nil
}

func (r reader) GroupMembers(ctx context.Context, group string, after authz.SubjectRef, limit int) ([]authz.SubjectRef, error) {
	params := postgres.GroupMembersParams{
		Tenant:    r.tenant,
		GroupName: group,
		WithUsers: flag(after.Type != authz.GroupType),
		MaxRows:   maxRows(limit),
	}
	if after.Type == authz.GroupType {
		params.AfterGroup = after.Name
	} else {
		params.AfterUser = after.Name
	}
	rows, err := r.queries.GroupMembers(ctx, params)
	if err != nil {
		return nil, classify(ctx, err, "list the members of a group")
	}
	members := make([]authz.SubjectRef, len(rows))
	for i, row := range rows {
		members[i] = authz.SubjectRef{Type: authz.SubjectType(row.MemberType), Name: row.Member}
	}
	return members, nil
}

func (r reader) Users(ctx context.Context, after string, limit int) ([]authz.User, error) {
	rows, err := r.queries.Users(ctx, postgres.UsersParams{Tenant: r.tenant, After: after, MaxRows: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "list the users")
	}
	users := make([]authz.User, len(rows))
	for i, row := range rows {
		if users[i], err = userOf(postgres.UserRow(row)); err != nil {
			return nil, err
		}
	}
	return users, nil
}

func userOf(row postgres.UserRow) (authz.User, error) {
	properties, err := propertiesOf(row.Properties)
	if err != nil {
		return authz.User{}, err
	}
	return authz.User{Name: row.Name, Inactive: row.Active == 0, Properties: properties}, nil
}
