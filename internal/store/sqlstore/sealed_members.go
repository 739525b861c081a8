package sqlstore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
)

// This file finds sealed people: those who hold roles, by walking down from the groups that
// do, and all whom a tenant knows. Each page reads all of them to put them in order.

// countRows is how many members are counted at once.
const countRows = 200_000

func (q *sealed) Members(ctx context.Context, page postgres.MembersParams) ([]postgres.MembersRow, error) {
	found := first[postgres.MembersRow]{max: page.MaxRows, compare: compareMembers}
	after := postgres.MembersRow{Subject: page.AfterSubject, Role: page.AfterRole}
	// Whether users are active is read for many at once.
	var waiting []postgres.MembersRow
	add := func() (err error) {
		members := waiting
		if page.ActiveOnly == 1 {
			if members, err = q.active(ctx, waiting); err != nil {
				return err
			}
		}
		for _, member := range members {
			found.add(member)
		}
		waiting = waiting[:0]
		return nil
	}
	err := q.eachHolder(ctx, namesOf(page.Roles), authz.Root, page.At, func(holder postgres.MembersRow) error {
		if compareMembers(holder, after) <= 0 {
			return nil
		}
		if waiting = append(waiting, holder); len(waiting) < scanRows {
			return nil
		}
		return add()
	})
	if err != nil {
		return nil, err
	}
	if err := add(); err != nil {
		return nil, err
	}
	return found.list(), nil
}

func compareMembers(a, b postgres.MembersRow) int {
	return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.Role, b.Role))
}

// active leaves registered users out that are not active.
func (q *sealed) active(ctx context.Context, members []postgres.MembersRow) ([]postgres.MembersRow, error) {
	names := make([]string, len(members))
	for i, member := range members {
		names[i] = member.Subject
	}
	users, err := q.UsersNamed(ctx, postgres.UsersNamedParams{Tenant: q.tenant, Names: jsonList(names)})
	if err != nil {
		return nil, err
	}
	inactive := map[string]bool{}
	for _, user := range users {
		inactive[user.Name] = user.Active == 0
	}
	return slices.DeleteFunc(members, func(m postgres.MembersRow) bool { return inactive[m.Subject] }), nil
}

// CountMembers counts in parts, for it has to tell who comes twice.
func (q *sealed) CountMembers(ctx context.Context, of postgres.CountMembersParams) (int64, error) {
	page := postgres.MembersParams{
		Tenant: of.Tenant, Roles: of.Roles, At: of.At, ActiveOnly: of.ActiveOnly, MaxRows: countRows,
	}
	for count := int64(0); ; {
		members, err := q.Members(ctx, page)
		if err != nil {
			return 0, err
		}
		count += int64(len(members))
		if len(members) < countRows {
			return count, nil
		}
		last := members[len(members)-1]
		page.AfterSubject, page.AfterRole = last.Subject, last.Role
	}
}

func (q *sealed) Holders(ctx context.Context, page postgres.HoldersParams) ([]string, error) {
	found := first[string]{max: page.MaxRows, compare: strings.Compare}
	node := authz.Node{Type: page.NodeType, ID: page.NodeID}
	err := q.eachHolder(ctx, namesOf(page.Roles), node, page.At, func(holder postgres.MembersRow) error {
		if holder.Subject > page.After {
			found.add(holder.Subject)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}

// eachHolder calls use with the users who hold roles at a node at a time, themselves or by
// a group: in no order, and with those who do so in several ways several times.
func (q *sealed) eachHolder(ctx context.Context, roles []string, node authz.Node, at int64, use func(postgres.MembersRow) error) error {
	slices.Sort(roles)
	byGroup := map[string]map[string]bool{}
	for _, role := range slices.Compact(roles) {
		err := q.holdersOf(ctx, role, authz.UserType, node, at, func(user string) error {
			return use(postgres.MembersRow{Subject: user, Role: role})
		})
		if err != nil {
			return err
		}
		err = q.holdersOf(ctx, role, authz.GroupType, node, at, func(group string) error {
			addRole(byGroup, group, role)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := q.passDown(ctx, byGroup); err != nil {
		return err
	}
	for group, roles := range byGroup {
		err := q.membersOfGroup(ctx, group, authz.UserType, func(user string) error {
			for role := range roles {
				if err := use(postgres.MembersRow{Subject: user, Role: role}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addRole reports whether the group did not have the role yet.
func addRole(roles map[string]map[string]bool, group, role string) bool {
	if roles[group] == nil {
		roles[group] = map[string]bool{}
	}
	had := roles[group][role]
	roles[group][role] = true
	return !had
}

// passDown gives the roles of groups to the groups that are in them, at any depth.
func (q *sealed) passDown(ctx context.Context, roles map[string]map[string]bool) error {
	for level := slices.Collect(maps.Keys(roles)); len(level) > 0; {
		forms, err := q.allNames(groupMembersGroup, level)
		if err != nil {
			return err
		}
		rows, err := q.Querier.SealedGroupsIn(ctx, postgres.SealedGroupsInParams{Tenant: q.tenant, Groups: forms})
		if err != nil {
			return err
		}
		if err := q.openGroupMembers(rows); err != nil {
			return err
		}
		given := map[string]bool{}
		for _, row := range rows {
			for role := range roles[row.GroupName] {
				if addRole(roles, row.Member, role) {
					given[row.Member] = true
				}
			}
		}
		level = slices.Collect(maps.Keys(given))
	}
	return nil
}

// holdersOf calls use with each user, or group, that holds a role at a node at a time
// itself, in no order.
func (q *sealed) holdersOf(ctx context.Context, role string, subjectType authz.SubjectType, node authz.Node, at int64, use func(subject string) error) error {
	return scan(func(last postgres.Membership) ([]postgres.Membership, error) {
		return q.Querier.SealedMembershipsOfRole(ctx, postgres.SealedMembershipsOfRoleParams{
			Tenant: q.tenant, Role: role, NodeType: node.Type, NodeID: node.ID, SubjectType: string(subjectType),
			After: last.Subject, At: at, MaxRows: scanRows,
		})
	}, func(row postgres.Membership) error {
		row, err := q.openMembership(row)
		if err != nil {
			return err
		}
		return use(row.Subject)
	})
}

func (q *sealed) KnownUsers(ctx context.Context, page postgres.KnownUsersParams) ([]string, error) {
	found := first[string]{max: page.MaxRows, compare: strings.Compare}
	add := func(name string, err error) error {
		if err == nil && name > page.After {
			found.add(name)
		}
		return err
	}
	registered, err := q.Users(ctx, postgres.UsersParams{Tenant: page.Tenant, After: page.After, MaxRows: page.MaxRows})
	if err != nil {
		return nil, err
	}
	for _, user := range registered {
		found.add(user.Name)
	}
	err = scan(func(last postgres.Membership) ([]postgres.Membership, error) {
		return q.Querier.SealedMembershipsOfUsers(ctx, postgres.SealedMembershipsOfUsersParams{
			Tenant: q.tenant, AfterSubject: last.Subject, AfterNodeType: last.NodeType, AfterNodeID: last.NodeID,
			AfterRole: last.Role, MaxRows: scanRows,
		})
	}, func(row postgres.Membership) error {
		row, err := q.openMembership(row)
		return add(row.Subject, err)
	})
	if err != nil {
		return nil, err
	}
	err = scan(func(last postgres.GroupMember) ([]postgres.GroupMember, error) {
		return q.Querier.SealedUsersInGroups(ctx, postgres.SealedUsersInGroupsParams{
			Tenant: q.tenant, AfterMember: last.Member, AfterGroup: last.GroupName, MaxRows: scanRows,
		})
	}, func(row postgres.GroupMember) error {
		row, err := q.openGroupMember(row)
		return add(row.Member, err)
	})
	if err != nil {
		return nil, err
	}
	err = scan(func(last postgres.Node) ([]postgres.Node, error) {
		return q.Querier.SealedOwnedNodes(ctx, postgres.SealedOwnedNodesParams{
			Tenant: q.tenant, AfterOwner: last.Owner, AfterType: last.Type, AfterID: last.ID, MaxRows: scanRows,
		})
	}, func(row postgres.Node) error {
		row, err := q.openNode(row)
		return add(row.Owner, err)
	})
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}
