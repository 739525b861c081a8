package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// maxScopeName is the longest name of a scope, in characters.
const maxScopeName = 256

// PutScope creates, renames or moves a scope. An organization hangs under the root
// (a zero Parent is the root), a project under an organization, a team under a
// project; so no scope can come to lie below itself. A parent that does not exist
// is ErrNotFound, one of another kind ErrInvalid.
func (t *Tenant) PutScope(ctx context.Context, scope authz.Scope) (authz.Written, error) {
	if err := validateScope(scope.Node); err != nil {
		return authz.Written{}, err
	}
	if err := validateText("name", scope.Name, maxScopeName); err != nil {
		return authz.Written{}, err
	}
	parent := orRoot(scope.Parent)
	if err := validateScopeParent(scope.Kind(), parent); err != nil {
		return authz.Written{}, err
	}
	return t.putNode(ctx, store.NodeRecord{Node: scope.Node, Parent: parent, Name: scope.Name})
}

// Scope reads a scope.
func (t *Tenant) Scope(ctx context.Context, node authz.Node) (authz.Snapshot[authz.Scope], error) {
	if err := validateScope(node); err != nil {
		return authz.Snapshot[authz.Scope]{}, err
	}
	return snapshot(ctx, t, errNoNode(node), func(r store.Reader) (authz.Scope, bool, error) {
		record, exists, err := r.Node(ctx, node)
		return asScope(record), exists, err
	})
}

// DeleteScope deletes a scope with the scopes and resources below it and every
// membership in them. Changed tells whether it was there.
func (t *Tenant) DeleteScope(ctx context.Context, node authz.Node) (authz.Written, error) {
	if err := validateScope(node); err != nil {
		return authz.Written{}, err
	}
	return t.deleteNode(ctx, node)
}

// Scopes lists the scopes of a kind by id; where parent is not zero, those that
// hang under it.
func (t *Tenant) Scopes(ctx context.Context, kind authz.Kind, parent authz.Node, page authz.Page) (authz.List[authz.Scope], error) {
	if err := validateScopeKind(kind); err != nil {
		return authz.List[authz.Scope]{}, err
	}
	if parent != (authz.Node{}) {
		if err := validateScopeParent(kind, parent); err != nil {
			return authz.List[authz.Scope]{}, err
		}
	}
	return list(ctx, t, page, question("scopes", string(kind), parent.Type, parent.ID), lister[authz.Scope]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Scope, error) {
			records, err := r.Nodes(ctx, string(kind), parent, after[0], limit)
			scopes := make([]authz.Scope, len(records))
			for i, record := range records {
				scopes[i] = asScope(record)
			}
			return scopes, err
		},
		position: func(s authz.Scope) []string { return []string{s.ID} },
	})
}

// places says where the scopes of each kind hang.
var places = map[authz.Kind]string{
	authz.KindOrganization: "an organization hangs under the root",
	authz.KindProject:      "a project hangs under an organization",
	authz.KindTeam:         "a team hangs under a project",
}

// validateScopeParent accepts a parent for scopes of a kind.
func validateScopeParent(kind authz.Kind, parent authz.Node) error {
	above, err := authz.ParentKind(kind)
	if err != nil {
		return invalid("kind", err)
	}
	if parent.Kind() != above {
		return fault.Invalid("parent: %s", places[kind])
	}
	if parent == authz.Root {
		return nil
	}
	if err := authz.ValidateID(parent.ID); err != nil {
		return invalid("parent: id", err)
	}
	return nil
}

func asScope(record store.NodeRecord) authz.Scope {
	return authz.Scope{Node: record.Node, Parent: record.Parent, Name: record.Name}
}
