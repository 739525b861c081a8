package sqlstore

import (
	"cmp"
	"context"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals groups and who is in them.

var (
	userGroupsName     = seal.Column{Table: "user_groups", Name: "name"}
	groupMembersMember = seal.Column{Table: "group_members", Name: "member"}
	groupMembersGroup  = seal.Column{Table: "group_members", Name: "group_name"}
)

// userGroupContent is what is only read back of a group.
type userGroupContent struct {
	Description string `json:"description"`
}

// openUserGroup opens a row of user_groups.
func (q *sealed) openUserGroup(row postgres.UserGroup) (postgres.UserGroup, error) {
	name, err := q.openName(userGroupsName, row.Name, row.Seal)
	if err != nil {
		return postgres.UserGroup{}, err
	}
	content := userGroupContent{Description: row.Description}
	if err := q.openRow(userGroupsName.Table, []string{name}, row.Seal, &content); err != nil {
		return postgres.UserGroup{}, err
	}
	row.Name, row.Description, row.Seal = name, content.Description, ""
	return row, nil
}

// sealUserGroup is a row of user_groups as it is written.
func (q *sealed) sealUserGroup(row postgres.UserGroup) (postgres.UserGroup, error) {
	var err error
	if row.Seal, err = q.rowSeal(userGroupsName.Table, []string{row.Name}, userGroupContent{Description: row.Description}); err != nil {
		return postgres.UserGroup{}, err
	}
	if row.Seal != "" {
		row.Description = ""
	}
	row.Name, err = q.name(userGroupsName, row.Name)
	return row, err
}

func (q *sealed) CreateGroup(ctx context.Context, group postgres.CreateGroupParams) (int64, error) {
	// The insert itself finds the form that it writes.
	if len(q.also) > 0 {
		_, err := q.Group(ctx, postgres.GroupParams{Tenant: group.Tenant, Name: group.Name})
		if !isNoRows(err) {
			return 0, err
		}
	}
	row, err := q.sealUserGroup(postgres.UserGroup{Tenant: group.Tenant, Name: group.Name})
	if err != nil {
		return 0, err
	}
	return q.Querier.CreateGroup(ctx, postgres.CreateGroupParams{Tenant: row.Tenant, Name: row.Name, Seal: row.Seal})
}

func (q *sealed) SetGroup(ctx context.Context, group postgres.SetGroupParams) (int64, error) {
	before, err := q.Group(ctx, postgres.GroupParams{Tenant: group.Tenant, Name: group.Name})
	switch {
	case err == nil && before.Description == group.Description:
		return 0, nil
	case err == nil:
		if _, err := q.DeleteGroup(ctx, postgres.DeleteGroupParams{Tenant: group.Tenant, Name: group.Name}); err != nil {
			return 0, err
		}
	case !isNoRows(err):
		return 0, err
	}
	row, err := q.sealUserGroup(postgres.UserGroup(group))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetGroup(ctx, postgres.SetGroupParams(row))
}

func (q *sealed) DeleteGroup(ctx context.Context, group postgres.DeleteGroupParams) (int64, error) {
	return q.each(userGroupsName, group.Name, func(form string) (int64, error) {
		return q.Querier.DeleteGroup(ctx, postgres.DeleteGroupParams{Tenant: group.Tenant, Name: form})
	})
}

func (q *sealed) Group(ctx context.Context, group postgres.GroupParams) (postgres.GroupRow, error) {
	row, err := byName(q, userGroupsName, group.Name, func(form string) (postgres.GroupRow, error) {
		return q.Querier.Group(ctx, postgres.GroupParams{Tenant: group.Tenant, Name: form})
	})
	if err != nil {
		return postgres.GroupRow{}, err
	}
	return q.openGroupRow(row)
}

// openGroupRow opens what queries read of a row of user_groups.
func (q *sealed) openGroupRow(row postgres.GroupRow) (postgres.GroupRow, error) {
	group, err := q.openUserGroup(postgres.UserGroup{Name: row.Name, Description: row.Description, Seal: row.Seal})
	return postgres.GroupRow{Name: group.Name, Description: group.Description, Seal: group.Seal}, err
}

// Groups reads all groups of the tenant to put them in order.
func (q *sealed) Groups(ctx context.Context, page postgres.GroupsParams) ([]postgres.GroupsRow, error) {
	found := first[postgres.GroupsRow]{
		max:     page.MaxRows,
		compare: func(a, b postgres.GroupsRow) int { return strings.Compare(a.Name, b.Name) },
	}
	err := scan(func(last postgres.GroupsRow) ([]postgres.GroupsRow, error) {
		return q.Querier.Groups(ctx, postgres.GroupsParams{Tenant: page.Tenant, After: last.Name, MaxRows: scanRows})
	}, func(row postgres.GroupsRow) error {
		group, err := q.openGroupRow(postgres.GroupRow(row))
		if err == nil && group.Name > page.After {
			found.add(postgres.GroupsRow(group))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}

func groupMemberIdentity(row postgres.GroupMember) []string {
	return []string{row.MemberType, row.Member, row.GroupName}
}

// openGroupMember opens a row of group_members.
func (q *sealed) openGroupMember(row postgres.GroupMember) (postgres.GroupMember, error) {
	var err error
	if row.Member, err = q.openName(groupMembersMember, row.Member, row.Seal); err != nil {
		return postgres.GroupMember{}, err
	}
	if row.GroupName, err = q.openName(groupMembersGroup, row.GroupName, row.Seal); err != nil {
		return postgres.GroupMember{}, err
	}
	if err := q.openRow(groupMembersMember.Table, groupMemberIdentity(row), row.Seal, &tag{}); err != nil {
		return postgres.GroupMember{}, err
	}
	row.Seal = ""
	return row, nil
}

// sealGroupMember is a row of group_members as it is written.
func (q *sealed) sealGroupMember(row postgres.GroupMember) (postgres.GroupMember, error) {
	var err error
	if row.Seal, err = q.rowSeal(groupMembersMember.Table, groupMemberIdentity(row), tag{}); err != nil {
		return postgres.GroupMember{}, err
	}
	if row.Member, err = q.name(groupMembersMember, row.Member); err != nil {
		return postgres.GroupMember{}, err
	}
	row.GroupName, err = q.name(groupMembersGroup, row.GroupName)
	return row, err
}

// openGroupMembers opens rows in place.
func (q *sealed) openGroupMembers(rows []postgres.GroupMember) error {
	for i := range rows {
		var err error
		if rows[i], err = q.openGroupMember(rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// groupMemberForms are all forms of the names of a row of group_members. Both are of one
// key.
func (q *sealed) groupMemberForms(member, group string) ([][2]string, error) {
	members, err := q.names(groupMembersMember, member)
	if err != nil {
		return nil, err
	}
	groups, err := q.names(groupMembersGroup, group)
	if err != nil {
		return nil, err
	}
	forms := make([][2]string, len(members))
	for i := range forms {
		forms[i] = [2]string{members[i], groups[i]}
	}
	return forms, nil
}

func (q *sealed) AddGroupMember(ctx context.Context, member postgres.AddGroupMemberParams) (int64, error) {
	forms, err := q.groupMemberForms(member.Member, member.GroupName)
	if err != nil {
		return 0, err
	}
	// The insert itself finds the first form, which it writes.
	for _, form := range forms[1:] {
		row, err := q.Querier.SealedGroupMember(ctx, postgres.SealedGroupMemberParams{
			Tenant: member.Tenant, MemberType: member.MemberType, Member: form[0], GroupName: form[1],
		})
		if err == nil {
			_, err = q.openGroupMember(row)
		}
		if !isNoRows(err) {
			return 0, err
		}
	}
	row, err := q.sealGroupMember(postgres.GroupMember(member))
	if err != nil {
		return 0, err
	}
	return q.Querier.AddGroupMember(ctx, postgres.AddGroupMemberParams(row))
}

func (q *sealed) RemoveGroupMember(ctx context.Context, member postgres.RemoveGroupMemberParams) (int64, error) {
	forms, err := q.groupMemberForms(member.Member, member.GroupName)
	if err != nil {
		return 0, err
	}
	var removed int64
	for _, form := range forms {
		member.Member, member.GroupName = form[0], form[1]
		rows, err := q.Querier.RemoveGroupMember(ctx, member)
		if err != nil {
			return removed, err
		}
		removed += rows
	}
	return removed, nil
}

func (q *sealed) DeleteMembersOfGroup(ctx context.Context, group postgres.DeleteMembersOfGroupParams) (int64, error) {
	return q.each(groupMembersGroup, group.GroupName, func(form string) (int64, error) {
		return q.Querier.DeleteMembersOfGroup(ctx, postgres.DeleteMembersOfGroupParams{Tenant: group.Tenant, GroupName: form})
	})
}

func (q *sealed) LeaveGroups(ctx context.Context, member postgres.LeaveGroupsParams) (int64, error) {
	return q.each(groupMembersMember, member.Member, func(form string) (int64, error) {
		member.Member = form
		return q.Querier.LeaveGroups(ctx, member)
	})
}

// GroupMembers reads all members of the group to put them in order.
func (q *sealed) GroupMembers(ctx context.Context, page postgres.GroupMembersParams) ([]postgres.GroupMembersRow, error) {
	found := first[postgres.GroupMembersRow]{
		max: page.MaxRows,
		// Users come before groups.
		compare: func(a, b postgres.GroupMembersRow) int {
			return cmp.Or(strings.Compare(b.MemberType, a.MemberType), strings.Compare(a.Member, b.Member))
		},
	}
	list := func(memberType authz.SubjectType, after string) error {
		return q.membersOfGroup(ctx, page.GroupName, memberType, func(member string) error {
			if member > after {
				found.add(postgres.GroupMembersRow{MemberType: string(memberType), Member: member})
			}
			return nil
		})
	}
	if page.WithUsers == 1 {
		if err := list(authz.UserType, page.AfterUser); err != nil {
			return nil, err
		}
	}
	if err := list(authz.GroupType, page.AfterGroup); err != nil {
		return nil, err
	}
	return found.list(), nil
}

// membersOfGroup calls use with each user, or group, that a group has itself, in no order.
func (q *sealed) membersOfGroup(ctx context.Context, group string, memberType authz.SubjectType, use func(member string) error) error {
	forms, err := q.names(groupMembersGroup, group)
	if err != nil {
		return err
	}
	for _, form := range forms {
		err := scan(func(last postgres.GroupMember) ([]postgres.GroupMember, error) {
			return q.Querier.SealedMembersOfGroup(ctx, postgres.SealedMembersOfGroupParams{
				Tenant: q.tenant, GroupName: form, MemberType: string(memberType), After: last.Member, MaxRows: scanRows,
			})
		}, func(row postgres.GroupMember) error {
			row, err := q.openGroupMember(row)
			if err != nil {
				return err
			}
			return use(row.Member)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
