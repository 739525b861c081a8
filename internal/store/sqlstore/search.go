package sqlstore

import (
	"context"
	"encoding/json"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file reads what searches pick from.

func (r reader) KnownUsers(ctx context.Context, after string, limit int) ([]string, error) {
	users, err := r.queries.KnownUsers(ctx, postgres.KnownUsersParams{Tenant: r.tenant, After: after, MaxRows: maxRows(limit)})
	return users, classify(ctx, err, "list whom the tenant knows")
}

func (r reader) KnownPermissions(ctx context.Context, after string, limit int) ([]string, error) {
	permissions, err := r.queries.KnownPermissions(ctx, postgres.KnownPermissionsParams{
		Tenant:  r.tenant,
		After:   after,
		MaxRows: maxRows(limit),
	})
	return permissions, classify(ctx, err, "list the permissions that the tenant knows")
}

func (r reader) Holders(ctx context.Context, query store.HoldersQuery, after string, limit int) ([]string, error) {
	users, err := r.queries.Holders(ctx, postgres.HoldersParams{
		Tenant:   r.tenant,
		Roles:    jsonList(query.Roles),
		NodeType: query.Node.Type,
		NodeID:   query.Node.ID,
		At:       micros(query.At),
		After:    after,
		MaxRows:  maxRows(limit),
	})
	return users, classify(ctx, err, "list who holds roles at a node")
}

// Subjects implements store.Reader in two statements, however many users there
// are.
func (r reader) Subjects(ctx context.Context, users []string, at []authz.Node) (map[string]store.SubjectRecord, error) {
	const doing = "read what users hold"
	names := jsonList(users)
	registered, err := r.queries.UsersNamed(ctx, postgres.UsersNamedParams{Tenant: r.tenant, Names: names})
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	holdings, err := r.queries.HoldingsOf(ctx, postgres.HoldingsOfParams{
		Tenant:   r.tenant,
		Subjects: names,
		Nodes:    jsonNodes(at),
	})
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	records := make(map[string]store.SubjectRecord, len(users))
	for _, user := range users {
		records[user] = store.SubjectRecord{User: authz.User{Name: user}}
	}
	for _, row := range registered {
		properties, err := propertiesOf(row.Properties)
		if err != nil {
			return nil, err
		}
		records[row.Name] = store.SubjectRecord{
			User: authz.User{Name: row.Name, Inactive: row.Active == 0, Properties: properties},
		}
	}
	for _, row := range holdings {
		record := records[row.Subject]
		record.Holdings = append(record.Holdings, authz.Holding{
			Role:            row.Role,
			Node:            authz.Node{Type: row.NodeType, ID: row.NodeID},
			Group:           row.GroupName,
			NotBeforeMicros: row.NotBefore,
			ExpiresAtMicros: row.ExpiresAt,
		})
		records[row.Subject] = record
	}
	return records, nil
}

func (r reader) NodesOfType(ctx context.Context, nodeType, after string, limit int) ([]string, error) {
	ids, err := r.queries.NodesOfType(ctx, postgres.NodesOfTypeParams{
		Tenant:  r.tenant,
		Type:    nodeType,
		After:   after,
		MaxRows: maxRows(limit),
	})
	return ids, classify(ctx, err, "list the ids of a type")
}

func (r reader) NodesOwned(ctx context.Context, nodeType, owner, after string, limit int) ([]string, error) {
	ids, err := r.queries.NodesOwned(ctx, postgres.NodesOwnedParams{
		Tenant:  r.tenant,
		Type:    nodeType,
		Owner:   owner,
		After:   after,
		MaxRows: maxRows(limit),
	})
	return ids, classify(ctx, err, "list what a user owns")
}

func (r reader) NodesWithin(ctx context.Context, query store.WithinQuery, after string, limit int) ([]string, error) {
	ids, err := r.queries.NodesWithin(ctx, postgres.NodesWithinParams{
		Tenant:  r.tenant,
		Type:    query.NodeType,
		Kind:    string(query.Kind),
		Ids:     jsonList(query.IDs),
		After:   after,
		MaxRows: maxRows(limit),
	})
	return ids, classify(ctx, err, "list the nodes within scopes")
}

func (r reader) NodesNamed(ctx context.Context, nodeType string, ids []string) ([]store.NodeRecord, error) {
	rows, err := r.queries.NodesNamed(ctx, postgres.NodesNamedParams{Tenant: r.tenant, Type: nodeType, Ids: jsonList(ids)})
	if err != nil {
		return nil, classify(ctx, err, "read nodes by their ids")
	}
	return nodeRecords(rows)
}

// jsonNodes is how nodes travel in one argument.
func jsonNodes(nodes []authz.Node) string {
	pairs := make([][2]string, len(nodes))
	for i, node := range nodes {
		pairs[i] = [2]string{node.Type, node.ID}
	}
	// Lists of strings always encode.
	text, _ := json.Marshal(pairs)
	return string(text)
}
