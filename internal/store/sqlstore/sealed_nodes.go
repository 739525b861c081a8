package sqlstore

import (
	"context"
	"slices"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals nodes. Their tree is plain: it is walked where it lies.

var nodesOwner = seal.Column{Table: "nodes", Name: "owner"}

// nodeContent is what is only read back of a node.
type nodeContent struct {
	Name       string `json:"name"`
	Properties string `json:"properties"`
}

func nodeIdentity(row postgres.Node, owner string) []string {
	return []string{row.Type, row.ID, row.ParentType, row.ParentID, owner}
}

// openNode opens a row of nodes. One without an owner has an empty one, not a sealed one.
func (q *sealed) openNode(row postgres.Node) (postgres.Node, error) {
	var err error
	owner := row.Owner
	if owner != "" {
		if owner, err = q.openName(nodesOwner, row.Owner, row.Seal); err != nil {
			return postgres.Node{}, err
		}
	}
	content := nodeContent{Name: row.Name, Properties: row.Properties}
	if err := q.openRow(nodesOwner.Table, nodeIdentity(row, owner), row.Seal, &content); err != nil {
		return postgres.Node{}, err
	}
	row.Name, row.Owner, row.Properties, row.Seal = content.Name, owner, content.Properties, ""
	return row, nil
}

// sealNode is a row of nodes as it is written.
func (q *sealed) sealNode(row postgres.Node) (postgres.Node, error) {
	var err error
	content := nodeContent{Name: row.Name, Properties: row.Properties}
	if row.Seal, err = q.rowSeal(nodesOwner.Table, nodeIdentity(row, row.Owner), content); err != nil {
		return postgres.Node{}, err
	}
	if row.Seal != "" {
		row.Name, row.Properties = "", ""
	}
	if row.Owner != "" {
		row.Owner, err = q.name(nodesOwner, row.Owner)
	}
	return row, err
}

func (q *sealed) openNodes(rows []postgres.Node, err error) ([]postgres.Node, error) {
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = q.openNode(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (q *sealed) SetNode(ctx context.Context, node postgres.SetNodeParams) (int64, error) {
	before, err := q.Node(ctx, postgres.NodeParams{Tenant: node.Tenant, Type: node.Type, ID: node.ID})
	switch {
	case err == nil && before == postgres.Node(node):
		return 0, nil
	case err != nil && !isNoRows(err):
		return 0, err
	}
	row, err := q.sealNode(postgres.Node(node))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetNode(ctx, postgres.SetNodeParams(row))
}

func (q *sealed) Node(ctx context.Context, node postgres.NodeParams) (postgres.Node, error) {
	row, err := q.Querier.Node(ctx, node)
	if err != nil {
		return postgres.Node{}, err
	}
	return q.openNode(row)
}

func (q *sealed) Nodes(ctx context.Context, page postgres.NodesParams) ([]postgres.Node, error) {
	return q.openNodes(q.Querier.Nodes(ctx, page))
}

func (q *sealed) NodesUnder(ctx context.Context, page postgres.NodesUnderParams) ([]postgres.Node, error) {
	return q.openNodes(q.Querier.NodesUnder(ctx, page))
}

func (q *sealed) NodesNamed(ctx context.Context, nodes postgres.NodesNamedParams) ([]postgres.Node, error) {
	return q.openNodes(q.Querier.NodesNamed(ctx, nodes))
}

func (q *sealed) NodesOwned(ctx context.Context, page postgres.NodesOwnedParams) ([]string, error) {
	forms, err := q.names(nodesOwner, page.Owner)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, page.Owner = range forms {
		owned, err := q.Querier.NodesOwned(ctx, page)
		if err != nil {
			return nil, err
		}
		ids = append(ids, owned...)
	}
	slices.Sort(ids)
	ids = ids[:min(int64(len(ids)), page.MaxRows)]
	// An owner that was put into another row makes nobody an owner.
	_, err = q.NodesNamed(ctx, postgres.NodesNamedParams{Tenant: page.Tenant, Type: page.Type, Ids: jsonList(ids)})
	return ids, err
}

// DisownNodes seals each row anew: its seal is bound to the owner.
func (q *sealed) DisownNodes(ctx context.Context, owned postgres.DisownNodesParams) (int64, error) {
	return q.each(nodesOwner, owned.Owner, func(form string) (int64, error) {
		var found int64
		for {
			nodes, err := q.openNodes(q.Querier.SealedNodesOwned(ctx, postgres.SealedNodesOwnedParams{
				Tenant:  owned.Tenant,
				Owner:   form,
				MaxRows: scanRows,
			}))
			if err != nil || len(nodes) == 0 {
				return found, err
			}
			for _, node := range nodes {
				node.Owner = ""
				row, err := q.sealNode(node)
				if err != nil {
					return found, err
				}
				rows, err := q.Querier.SetNode(ctx, postgres.SetNodeParams(row))
				if err != nil {
					return found, err
				}
				found += rows
			}
		}
	})
}
