package sqlstore

import (
	"context"
	"encoding/json"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// builtinPrefix begins the names of the built-in roles and of no others.
const builtinPrefix = "@"

// reader implements store.Reader, on a snapshot or in a transaction.
type reader struct {
	queries postgres.Querier
	tenant  string
}

var _ store.Reader = reader{}

func (r reader) Revision(ctx context.Context) (int64, error) {
	revision, err := r.queries.Revision(ctx, postgres.RevisionParams{Tenant: r.tenant})
	if isNoRows(err) {
		return 0, nil
	}
	return revision, classify(ctx, err, "read the revision")
}

func (r reader) Roles(ctx context.Context, after string, limit int) ([]authz.Role, error) {
	rows, err := r.queries.Roles(ctx, postgres.RolesParams{
		Tenant:        r.tenant,
		After:         after,
		BuiltinPrefix: builtinPrefix,
		MaxRows:       maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "list the roles")
	}
	roles := make([]authz.Role, len(rows))
	for i, row := range rows {
		roles[i] = authz.Role{Name: row.Name, Description: row.Description}
	}
	return roles, nil
}

func (r reader) Role(ctx context.Context, name string) (authz.RoleDetail, bool, error) {
	rows, err := r.queries.Role(ctx, postgres.RoleParams{Tenant: r.tenant, Name: name})
	if err != nil || len(rows) == 0 {
		return authz.RoleDetail{}, false, classify(ctx, err, "read a role")
	}
	role := authz.RoleDetail{Name: name, Description: rows[0].Description, Scopes: kindsOf(rows[0].Scopes)}
	for _, row := range rows {
		if row.Parent != "" {
			role.Inherits = append(role.Inherits, row.Parent)
		}
	}
	return role, true, nil
}

func (r reader) Grant(ctx context.Context, role, permission string) (authz.Grant, bool, error) {
	row, err := r.queries.Grant(ctx, postgres.GrantParams{Tenant: r.tenant, Role: role, Permission: permission})
	if err != nil {
		return authz.Grant{}, false, unlessNoRows(ctx, err, "read a grant")
	}
	return authz.Grant{Permission: row.Permission, Condition: row.Condition}, true, nil
}

func (r reader) Grants(ctx context.Context, role, after string, limit int) ([]authz.Grant, error) {
	rows, err := r.queries.Grants(ctx, postgres.GrantsParams{
		Tenant:  r.tenant,
		Role:    role,
		After:   after,
		MaxRows: maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "list a role's grants")
	}
	grants := make([]authz.Grant, len(rows))
	for i, row := range rows {
		grants[i] = authz.Grant{Permission: row.Permission, Condition: row.Condition}
	}
	return grants, nil
}

func (r reader) Group(ctx context.Context, name string) (authz.Group, bool, error) {
	row, err := r.queries.Group(ctx, postgres.GroupParams{Tenant: r.tenant, Name: name})
	if err != nil {
		return authz.Group{}, false, unlessNoRows(ctx, err, "read a group")
	}
	return authz.Group{Name: row.Name, Description: row.Description}, true, nil
}

func (r reader) Nodes(ctx context.Context, nodeType string, parent authz.Node, after string, limit int) ([]store.NodeRecord, error) {
	rows, err := r.nodeRows(ctx, nodeType, parent, after, limit)
	if err != nil {
		return nil, classify(ctx, err, "list the nodes of a type")
	}
	return nodeRecords(rows)
}

// nodeRows has a query for each form of the question, because each has an index.
func (r reader) nodeRows(ctx context.Context, nodeType string, parent authz.Node, after string, limit int) ([]postgres.Node, error) {
	if parent == (authz.Node{}) {
		return r.queries.Nodes(ctx, postgres.NodesParams{
			Tenant:  r.tenant,
			Type:    nodeType,
			After:   after,
			MaxRows: maxRows(limit),
		})
	}
	return r.queries.NodesUnder(ctx, postgres.NodesUnderParams{
		Tenant:     r.tenant,
		ParentType: parent.Type,
		ParentID:   parent.ID,
		Type:       nodeType,
		After:      after,
		MaxRows:    maxRows(limit),
	})
}

func (r reader) Memberships(ctx context.Context, node authz.Node, after authz.Membership, limit int) ([]authz.Membership, error) {
	params := postgres.MembershipsParams{
		Tenant:    r.tenant,
		NodeType:  node.Type,
		NodeID:    node.ID,
		WithUsers: flag(after.Subject.Type != authz.GroupType),
		MaxRows:   maxRows(limit),
	}
	if after.Subject.Type == authz.GroupType {
		params.AfterGroup, params.AfterGroupRole = after.Subject.Name, after.Role
	} else {
		params.AfterUser, params.AfterUserRole = after.Subject.Name, after.Role
	}
	rows, err := r.queries.Memberships(ctx, params)
	if err != nil {
		return nil, classify(ctx, err, "list the memberships at a node")
	}
	memberships := make([]authz.Membership, len(rows))
	for i, row := range rows {
		memberships[i] = authz.Membership{
			Subject: authz.SubjectRef{Type: authz.SubjectType(row.SubjectType), Name: row.Subject},
			Role:    row.Role,
			Node:    node,
			Window:  windowOf(row.NotBefore, row.ExpiresAt),
		}
	}
	return memberships, nil
}

func (r reader) Members(ctx context.Context, query store.MembersQuery, after authz.Member, limit int) ([]authz.Member, error) {
	rows, err := r.queries.Members(ctx, postgres.MembersParams{
		Tenant:       r.tenant,
		Roles:        jsonList(query.Roles),
		At:           micros(query.At),
		ActiveOnly:   flag(query.ActiveOnly),
		AfterSubject: after.User,
		AfterRole:    after.Role,
		MaxRows:      maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "list the members of roles")
	}
	members := make([]authz.Member, len(rows))
	for i, row := range rows {
		members[i] = authz.Member{User: row.Subject, Role: row.Role}
	}
	return members, nil
}

func (r reader) CountMembers(ctx context.Context, query store.MembersQuery) (int64, error) {
	count, err := r.queries.CountMembers(ctx, postgres.CountMembersParams{
		Tenant:     r.tenant,
		Roles:      jsonList(query.Roles),
		At:         micros(query.At),
		ActiveOnly: flag(query.ActiveOnly),
	})
	return count, classify(ctx, err, "count the members of roles")
}

func (r reader) Changes(ctx context.Context, after int64, limit int) ([]authz.Change, error) {
	rows, err := r.queries.ChangesAfter(ctx, postgres.ChangesAfterParams{
		Tenant:  r.tenant,
		After:   after,
		MaxRows: maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "read the change feed")
	}
	changes := make([]authz.Change, len(rows))
	for i, row := range rows {
		changes[i] = authz.Change{Revision: row.Revision, Kind: row.Kind, Key: row.Key}
	}
	return changes, nil
}

// jsonList is how a list travels in one argument.
func jsonList(items []string) string {
	if len(items) == 0 {
		return "[]"
	}
	// A list of strings always encodes.
	text, _ := json.Marshal(items)
	return string(text)
}
