package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// PutScope creates a scope, renames it, or moves it under another parent. An
// organization hangs under the root, a project under an organization, a team under
// a project; a parent that does not exist is ErrNotFound. Changed is always true,
// as in AddRole.
func (c *Client) PutScope(ctx context.Context, scope authz.Scope) (authz.Written, error) {
	if err := checkScope(scope.Node); err != nil {
		return authz.Written{}, err
	}
	if err := checkTexts(name{"parent", scope.Parent.ID}, name{"name", scope.Name}); err != nil {
		return authz.Written{}, err
	}
	return put[api.Scope](c.api.PutScope(ctx, api.ScopeKind(scope.Type), scope.ID, nil, api.ScopeSpec{
		Name:   given(scope.Name),
		Parent: givenParent(scope.Parent),
	}))
}

// Scope shows a scope. One that does not exist is ErrNotFound.
func (c *Client) Scope(ctx context.Context, scope authz.Node) (authz.Snapshot[authz.Scope], error) {
	if err := checkScope(scope); err != nil {
		return authz.Snapshot[authz.Scope]{}, err
	}
	a, err := read[api.Scope](c.api.GetScope(ctx, api.ScopeKind(scope.Type), scope.ID))
	return snapshotOf(a, err, scopeOf)
}

// DeleteScope deletes a scope with every scope, resource and membership below it.
// Changed tells whether it was there.
func (c *Client) DeleteScope(ctx context.Context, scope authz.Node) (authz.Written, error) {
	if err := checkScope(scope); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteScope(ctx, api.ScopeKind(scope.Type), scope.ID, nil))
}

// Scopes lists the scopes of a kind by id: those under parent, or all where parent
// is zero.
func (c *Client) Scopes(ctx context.Context, kind authz.Kind, parent authz.Node, page authz.Page) (authz.List[authz.Scope], error) {
	if err := checkNames(name{"kind", string(kind)}); err != nil {
		return authz.List[authz.Scope]{}, err
	}
	if kind == authz.KindOrganization && parent == authz.Root {
		parent = authz.Node{} // where every organization is
	}
	a, err := read[[]api.Scope](c.api.ListScopes(ctx, api.ScopeKind(kind), &api.ListScopesParams{
		ParentKind: given(api.ScopeKind(parent.Type)),
		ParentId:   given(parent.ID),
		Limit:      given(page.Limit),
		Cursor:     given(page.Cursor),
	}))
	return listOf(a, a.data, scopeOf), err
}

func checkScope(scope authz.Node) error {
	return checkNames(name{"kind", scope.Type}, name{"id", scope.ID})
}

func scopeOf(s api.Scope) authz.Scope {
	return authz.Scope{Node: authz.Node{Type: string(s.Kind), ID: s.Id}, Parent: parentOf(s.Parent), Name: s.Name}
}
