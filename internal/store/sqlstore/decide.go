package sqlstore

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file reads what decisions are made of.

// Policy implements store.Reader. It reads three lists.
func (r reader) Policy(ctx context.Context) ([]authz.RoleSpec, error) {
	const doing = "read the policy"
	names, err := r.queries.AllRoles(ctx, postgres.AllRolesParams{Tenant: r.tenant})
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	parents, err := r.queries.AllRoleParents(ctx, postgres.AllRoleParentsParams{Tenant: r.tenant})
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	grants, err := r.queries.AllGrants(ctx, postgres.AllGrantsParams{Tenant: r.tenant})
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	// All three lists are in the order of roles.
	specs := make([]authz.RoleSpec, len(names))
	for i, name := range names {
		spec := authz.RoleSpec{Name: name}
		for ; len(parents) > 0 && parents[0].Role == name; parents = parents[1:] {
			spec.Inherits = append(spec.Inherits, parents[0].Parent)
		}
		for ; len(grants) > 0 && grants[0].Role == name; grants = grants[1:] {
			spec.Grants = append(spec.Grants, authz.Grant{Permission: grants[0].Permission, Condition: grants[0].Condition})
		}
		specs[i] = spec
	}
	return specs, nil
}

// Holdings implements store.Reader. A user's own come first, then those of each
// group by its name; within, they are sorted by node and role.
func (r reader) Holdings(ctx context.Context, user string) ([]authz.Holding, error) {
	rows, err := r.queries.Holdings(ctx, postgres.HoldingsParams{Tenant: r.tenant, Subject: user})
	if err != nil {
		return nil, classify(ctx, err, "read what a user holds")
	}
	holdings := make([]authz.Holding, len(rows))
	for i, row := range rows {
		holdings[i] = authz.Holding{
			Role:            row.Role,
			Node:            authz.Node{Type: row.NodeType, ID: row.NodeID},
			Group:           row.GroupName,
			NotBeforeMicros: row.NotBefore,
			ExpiresAtMicros: row.ExpiresAt,
		}
	}
	return holdings, nil
}

func (r reader) User(ctx context.Context, name string) (authz.User, bool, error) {
	row, err := r.queries.User(ctx, postgres.UserParams{Tenant: r.tenant, Name: name})
	if err != nil {
		return authz.User{}, false, unlessNoRows(ctx, err, "read a user")
	}
	user, err := userOf(row)
	return user, err == nil, err
}

func (r reader) Node(ctx context.Context, node authz.Node) (store.NodeRecord, bool, error) {
	row, err := r.queries.Node(ctx, postgres.NodeParams{Tenant: r.tenant, Type: node.Type, ID: node.ID})
	if err != nil {
		return store.NodeRecord{}, false, unlessNoRows(ctx, err, "read a node")
	}
	record, err := nodeRecord(row)
	return record, err == nil, err
}
