package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
)

// This file walks from sealed users and groups up through the groups that they are in: by
// a query for each level, and one for what all of them hold.

func (q *sealed) Holdings(ctx context.Context, of postgres.HoldingsParams) ([]postgres.HoldingsRow, error) {
	held, err := q.holdings(ctx, []string{of.Subject}, func(subjects string) ([]postgres.Membership, error) {
		return q.Querier.SealedMembershipsOf(ctx, postgres.SealedMembershipsOfParams{Tenant: of.Tenant, Subjects: subjects})
	})
	if err != nil {
		return nil, err
	}
	rows := make([]postgres.HoldingsRow, len(held))
	for i, row := range held {
		rows[i] = postgres.HoldingsRow{
			GroupName: row.GroupName, NodeType: row.NodeType, NodeID: row.NodeID, Role: row.Role,
			NotBefore: row.NotBefore, ExpiresAt: row.ExpiresAt,
		}
	}
	return rows, nil
}

func (q *sealed) HoldingsOf(ctx context.Context, of postgres.HoldingsOfParams) ([]postgres.HoldingsOfRow, error) {
	return q.holdings(ctx, namesOf(of.Subjects), func(subjects string) ([]postgres.Membership, error) {
		return q.Querier.SealedMembershipsOfAt(ctx, postgres.SealedMembershipsOfAtParams{
			Tenant: of.Tenant, Subjects: subjects, Nodes: of.Nodes,
		})
	})
}

// holdings reads what users hold, themselves and by groups. read takes users and groups,
// in all of their forms, and gives their memberships.
func (q *sealed) holdings(ctx context.Context, users []string, read func(subjects string) ([]postgres.Membership, error)) ([]postgres.HoldingsOfRow, error) {
	slices.Sort(users)
	users = slices.Compact(users)
	in, err := q.groupsOf(ctx, authz.UserType, users)
	if err != nil {
		return nil, err
	}
	above, err := q.groupsAbove(ctx, slices.Concat(slices.Collect(maps.Values(in))...))
	if err != nil {
		return nil, err
	}
	subjects, err := q.subjectForms(users, above)
	if err != nil {
		return nil, err
	}
	memberships, err := read(subjects)
	if err != nil {
		return nil, err
	}
	if err := q.openMemberships(memberships); err != nil {
		return nil, err
	}
	held := map[authz.SubjectRef][]postgres.Membership{}
	for _, row := range memberships {
		subject := authz.SubjectRef{Type: authz.SubjectType(row.SubjectType), Name: row.Subject}
		held[subject] = append(held[subject], row)
	}

	var rows []postgres.HoldingsOfRow
	add := func(user, group string, memberships []postgres.Membership) {
		for _, m := range memberships {
			rows = append(rows, postgres.HoldingsOfRow{
				Subject: user, GroupName: group, NodeType: m.NodeType, NodeID: m.NodeID, Role: m.Role,
				NotBefore: m.NotBefore, ExpiresAt: m.ExpiresAt,
			})
		}
	}
	for _, user := range users {
		add(user, "", held[authz.SubjectRef{Type: authz.UserType, Name: user}])
		for group := range reached(above, in[user]) {
			add(user, group, held[authz.SubjectRef{Type: authz.GroupType, Name: group}])
		}
	}
	slices.SortFunc(rows, func(a, b postgres.HoldingsOfRow) int {
		return cmp.Or(strings.Compare(a.Subject, b.Subject), strings.Compare(a.GroupName, b.GroupName),
			strings.Compare(a.NodeType, b.NodeType), strings.Compare(a.NodeID, b.NodeID), strings.Compare(a.Role, b.Role))
	})
	return rows, nil
}

// subjectForms are all forms of users and groups in memberships, as one argument of a
// query.
func (q *sealed) subjectForms(users []string, groups map[string][]string) (string, error) {
	pairs := [][2]string{}
	add := func(subjectType authz.SubjectType, name string) error {
		forms, err := q.names(membershipsSubject, name)
		for _, form := range forms {
			pairs = append(pairs, [2]string{string(subjectType), form})
		}
		return err
	}
	for _, user := range users {
		if err := add(authz.UserType, user); err != nil {
			return "", err
		}
	}
	for group := range groups {
		if err := add(authz.GroupType, group); err != nil {
			return "", err
		}
	}
	// Lists of strings always encode.
	text, _ := json.Marshal(pairs)
	return string(text), nil
}

// groupsOf reads the groups that some users or groups are in themselves.
func (q *sealed) groupsOf(ctx context.Context, memberType authz.SubjectType, members []string) (map[string][]string, error) {
	forms, err := q.allNames(groupMembersMember, members)
	if err != nil {
		return nil, err
	}
	rows, err := q.Querier.SealedGroupsOf(ctx, postgres.SealedGroupsOfParams{
		Tenant: q.tenant, MemberType: string(memberType), Members: forms,
	})
	if err != nil {
		return nil, err
	}
	if err := q.openGroupMembers(rows); err != nil {
		return nil, err
	}
	groups := map[string][]string{}
	for _, row := range rows {
		groups[row.Member] = append(groups[row.Member], row.GroupName)
	}
	return groups, nil
}

// groupsAbove reads the groups that some groups are in, those that these are in, and so
// on: for each group, these among them too, the ones that it is in itself.
func (q *sealed) groupsAbove(ctx context.Context, groups []string) (map[string][]string, error) {
	above := map[string][]string{}
	for level := groups; len(level) > 0; {
		for _, group := range level {
			above[group] = nil
		}
		in, err := q.groupsOf(ctx, authz.GroupType, level)
		if err != nil {
			return nil, err
		}
		maps.Copy(above, in)
		level = nil
		for _, group := range slices.Concat(slices.Collect(maps.Values(in))...) {
			if _, known := above[group]; !known {
				above[group] = nil
				level = append(level, group)
			}
		}
	}
	return above, nil
}

// reached are some groups and those that they lead to.
func reached(above map[string][]string, groups []string) map[string]bool {
	seen := map[string]bool{}
	for queue := slices.Clone(groups); len(queue) > 0; queue = queue[1:] {
		if group := queue[0]; !seen[group] {
			seen[group] = true
			queue = append(queue, above[group]...)
		}
	}
	return seen
}

func (q *sealed) GroupsAbove(ctx context.Context, below postgres.GroupsAboveParams) ([]postgres.GroupsAboveRow, error) {
	above, err := q.groupsAbove(ctx, []string{below.GroupName})
	if err != nil {
		return nil, err
	}
	var ways []postgres.GroupsAboveRow
	for member, groups := range above {
		for _, group := range groups {
			ways = append(ways, postgres.GroupsAboveRow{Member: member, GroupName: group})
		}
	}
	slices.SortFunc(ways, func(a, b postgres.GroupsAboveRow) int {
		return cmp.Or(strings.Compare(a.Member, b.Member), strings.Compare(a.GroupName, b.GroupName))
	})
	return ways, nil
}
