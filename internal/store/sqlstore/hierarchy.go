package sqlstore

import (
	"context"
	"slices"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file changes the tree, groups and users.

func (w *writer) SetNode(ctx context.Context, node store.NodeRecord) (bool, error) {
	properties, err := propertiesText(node.Properties)
	if err != nil {
		return false, w.fail(err)
	}
	rows, err := w.queries.SetNode(ctx, postgres.SetNodeParams{
		Tenant:     w.tenant,
		Type:       node.Type,
		ID:         node.ID,
		ParentType: node.Parent.Type,
		ParentID:   node.Parent.ID,
		Name:       node.Name,
		Owner:      node.Owner,
		Properties: properties,
	})
	return w.wrote(ctx, rows, err, "set a node")
}

// DeleteNode implements store.Tx. Memberships at a node that is not there, as a
// resource need not be, go all the same.
func (w *writer) DeleteNode(ctx context.Context, node authz.Node) (bool, error) {
	const doing = "delete a node"
	below, err := w.queries.NodesBelow(ctx, postgres.NodesBelowParams{Tenant: w.tenant, Type: node.Type, ID: node.ID})
	if err != nil {
		return false, w.fail(classify(ctx, err, doing))
	}
	ids := map[string][]string{node.Type: {node.ID}}
	for _, n := range below {
		ids[n.Type] = append(ids[n.Type], n.ID)
	}
	var found bool
	for nodeType, ofType := range ids {
		list := jsonList(ofType)
		did, err := w.all(ctx, doing,
			func() (int64, error) {
				return w.queries.DeleteMembershipsAt(ctx, postgres.DeleteMembershipsAtParams{Tenant: w.tenant, NodeType: nodeType, Ids: list})
			},
			func() (int64, error) {
				return w.queries.DeleteNodes(ctx, postgres.DeleteNodesParams{Tenant: w.tenant, Type: nodeType, Ids: list})
			},
		)
		if err != nil {
			return false, err
		}
		found = found || did
	}
	return found, nil
}

func (w *writer) CreateGroup(ctx context.Context, name string) (bool, error) {
	rows, err := w.queries.CreateGroup(ctx, postgres.CreateGroupParams{Tenant: w.tenant, Name: name})
	return w.wrote(ctx, rows, err, "create a group")
}

func (w *writer) SetGroup(ctx context.Context, group authz.Group) (bool, error) {
	rows, err := w.queries.SetGroup(ctx, postgres.SetGroupParams{
		Tenant:      w.tenant,
		Name:        group.Name,
		Description: group.Description,
	})
	return w.wrote(ctx, rows, err, "set a group")
}

func (w *writer) DeleteGroup(ctx context.Context, name string) (bool, error) {
	// The group itself goes last: its members refer to it.
	return w.all(ctx, "delete a group",
		w.dropSubject(ctx, authz.SubjectRef{Type: authz.GroupType, Name: name}),
		w.leaveGroups(ctx, authz.SubjectRef{Type: authz.GroupType, Name: name}),
		func() (int64, error) {
			return w.queries.DeleteMembersOfGroup(ctx, postgres.DeleteMembersOfGroupParams{Tenant: w.tenant, GroupName: name})
		},
		func() (int64, error) {
			return w.queries.DeleteGroup(ctx, postgres.DeleteGroupParams{Tenant: w.tenant, Name: name})
		},
	)
}

func (w *writer) AddToGroup(ctx context.Context, group string, member authz.SubjectRef) (bool, error) {
	rows, err := w.queries.AddGroupMember(ctx, postgres.AddGroupMemberParams{
		Tenant:     w.tenant,
		MemberType: string(member.Type),
		Member:     member.Name,
		GroupName:  group,
	})
	return w.wrote(ctx, rows, err, "add a member to a group")
}

func (w *writer) RemoveFromGroup(ctx context.Context, group string, member authz.SubjectRef) (bool, error) {
	rows, err := w.queries.RemoveGroupMember(ctx, postgres.RemoveGroupMemberParams{
		Tenant:     w.tenant,
		MemberType: string(member.Type),
		Member:     member.Name,
		GroupName:  group,
	})
	return w.wrote(ctx, rows, err, "remove a member from a group")
}

// GroupPath implements store.Tx. It finds one of the shortest ways, the same one
// each time. Every group has a way to itself.
func (w *writer) GroupPath(ctx context.Context, from, to string) ([]string, error) {
	if from == to {
		return []string{from}, nil
	}
	ways, err := w.queries.GroupsAbove(ctx, postgres.GroupsAboveParams{Tenant: w.tenant, GroupName: from})
	if err != nil {
		return nil, classify(ctx, err, "look for a way between groups")
	}
	above := map[string][]string{}
	for _, way := range ways {
		above[way.Member] = append(above[way.Member], way.GroupName)
	}
	return shortestPath(above, from, to), nil
}

// shortestPath goes breadth first from one name to another along edges, and
// returns both and those between, or nil.
func shortestPath(edges map[string][]string, from, to string) []string {
	cameFrom := map[string]string{from: from}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at == to {
			path := []string{to}
			for ; at != from; at = cameFrom[at] {
				path = append(path, cameFrom[at])
			}
			slices.Reverse(path)
			return path
		}
		for _, next := range edges[at] {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func (w *writer) SetUser(ctx context.Context, user authz.User) (bool, error) {
	properties, err := propertiesText(user.Properties)
	if err != nil {
		return false, w.fail(err)
	}
	rows, err := w.queries.SetUser(ctx, postgres.SetUserParams{
		Tenant:     w.tenant,
		Name:       user.Name,
		Active:     flag(!user.Inactive),
		Properties: properties,
	})
	return w.wrote(ctx, rows, err, "set a user")
}

func (w *writer) DeleteUser(ctx context.Context, name string) (bool, error) {
	return w.all(ctx, "delete a user",
		w.dropSubject(ctx, authz.SubjectRef{Type: authz.UserType, Name: name}),
		w.leaveGroups(ctx, authz.SubjectRef{Type: authz.UserType, Name: name}),
		func() (int64, error) {
			return w.queries.DisownNodes(ctx, postgres.DisownNodesParams{Tenant: w.tenant, Owner: name})
		},
		func() (int64, error) {
			return w.queries.DeleteUser(ctx, postgres.DeleteUserParams{Tenant: w.tenant, Name: name})
		},
	)
}

// dropSubject deletes the memberships that a user or group holds itself.
func (w *writer) dropSubject(ctx context.Context, subject authz.SubjectRef) func() (int64, error) {
	return func() (int64, error) {
		return w.queries.DeleteMembershipsOfSubject(ctx, postgres.DeleteMembershipsOfSubjectParams{
			Tenant:      w.tenant,
			SubjectType: string(subject.Type),
			Subject:     subject.Name,
		})
	}
}

// leaveGroups takes a user or group out of every group that it is in.
func (w *writer) leaveGroups(ctx context.Context, member authz.SubjectRef) func() (int64, error) {
	return func() (int64, error) {
		return w.queries.LeaveGroups(ctx, postgres.LeaveGroupsParams{
			Tenant:     w.tenant,
			MemberType: string(member.Type),
			Member:     member.Name,
		})
	}
}
