package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// putNode creates or replaces a scope or a resource. Its parent must exist.
func (t *Tenant) putNode(ctx context.Context, record store.NodeRecord) (authz.Written, error) {
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if err := requireNode(ctx, tx, record.Parent); err != nil {
			return nil, err
		}
		_, existed, err := tx.Node(ctx, record.Node)
		if err != nil {
			return nil, err
		}
		if changed, err := tx.SetNode(ctx, record); err != nil || !changed {
			return nil, err
		}
		actions := actionsOn(record.Node)
		done := nodeEffect(put(existed, actions.created, actions.updated), record.Node)
		done.event.Details = nodeDetails(record)
		return []effect{done}, nil
	})
}

// deleteNode deletes a scope or a resource with all that lies below it.
func (t *Tenant) deleteNode(ctx context.Context, node authz.Node) (authz.Written, error) {
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteNode(ctx, node); err != nil || !deleted {
			return nil, err
		}
		return []effect{nodeEffect(actionsOn(node).deleted, node), takesAlong(store.KindMembership)}, nil
	})
}

// requireNode fails where a node that a change builds on does not exist. The root
// always does.
func requireNode(ctx context.Context, tx store.Tx, node authz.Node) error {
	if node == authz.Root {
		return nil
	}
	_, exists, err := tx.Node(ctx, node)
	if err == nil && !exists {
		err = errNoNode(node)
	}
	return err
}

func errNoNode(node authz.Node) error {
	return fault.NotFound("%s %q does not exist", node.Type, node.ID)
}

// orRoot reads a parent that is not named as the root.
func orRoot(parent authz.Node) authz.Node {
	if parent == (authz.Node{}) {
		return authz.Root
	}
	return parent
}

// nodeActions are what the audit log calls the changes of a node.
type nodeActions struct{ kind, created, updated, deleted string }

func actionsOn(node authz.Node) nodeActions {
	if node.Kind() == authz.KindResource {
		return nodeActions{store.KindResource, audit.ResourceCreated, audit.ResourceUpdated, audit.ResourceDeleted}
	}
	return nodeActions{store.KindScope, audit.ScopeCreated, audit.ScopeUpdated, audit.ScopeDeleted}
}

func nodeEffect(action string, node authz.Node) effect {
	return effect{kind: actionsOn(node).kind, key: key(node.Type, node.ID), event: audit.Event{Action: action}}
}

func nodeDetails(record store.NodeRecord) map[string]any {
	details := map[string]any{"parent": record.Parent.String()}
	if record.Name != "" {
		details["name"] = record.Name
	}
	if record.Owner != "" {
		details["owner"] = record.Owner
	}
	return details
}
