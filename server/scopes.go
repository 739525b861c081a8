package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (handlers) PutScope(ctx context.Context, r api.PutScopeRequestObject) (api.PutScopeResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	spec := orZero(r.Body)
	scope := authz.Scope{Node: node, Parent: parentNode(spec.Parent), Name: orZero(spec.Name)}
	written, err := tenant(ctx).PutScope(ctx, scope)
	if err != nil {
		return nil, err
	}
	return api.PutScope200JSONResponse{ScopeResponseJSONResponse: scopeResponse(scope, written.Revision)}, nil
}

func (handlers) GetScope(ctx context.Context, r api.GetScopeRequestObject) (api.GetScopeResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	scope, err := tenant(ctx).Scope(ctx, node)
	if err != nil {
		return nil, err
	}
	return api.GetScope200JSONResponse{ScopeResponseJSONResponse: scopeResponse(scope.Value, scope.Revision)}, nil
}

func (handlers) DeleteScope(ctx context.Context, r api.DeleteScopeRequestObject) (api.DeleteScopeResponseObject, error) {
	node, err := scopeNode(r.Kind, r.Id)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).DeleteScope(ctx, node)
	if err != nil {
		return nil, err
	}
	return api.DeleteScope200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) ListScopes(ctx context.Context, r api.ListScopesRequestObject) (api.ListScopesResponseObject, error) {
	kind, err := scopeKind("kind", r.Kind)
	if err != nil {
		return nil, err
	}
	parent, err := askedParent(r.Params)
	if err != nil {
		return nil, err
	}
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Scopes(ctx, kind, parent, p)
	if err != nil {
		return nil, err
	}
	return api.ListScopes200JSONResponse{ScopeListResponseJSONResponse: api.ScopeListResponseJSONResponse{
		Body:    api.ScopeListEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, scopeOf)},
		Headers: api.ScopeListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}}, nil
}

// askedParent is the parent that a list is narrowed to; the zero Node where it is
// not.
func askedParent(params api.ListScopesParams) (authz.Node, error) {
	if params.ParentKind == nil && params.ParentId == nil {
		return authz.Node{}, nil
	}
	if params.ParentKind == nil || params.ParentId == nil {
		return authz.Node{}, fault.Invalid("parent_kind and parent_id: neither goes without the other")
	}
	kind, err := scopeKind("parent_kind", *params.ParentKind)
	return authz.Node{Type: string(kind), ID: *params.ParentId}, err
}

// scopeNode names a scope of a path. A kind that is none would name a resource.
func scopeNode(kind api.ScopeKind, id string) (authz.Node, error) {
	of, err := scopeKind("kind", kind)
	return authz.Node{Type: string(of), ID: id}, err
}

func scopeKind(field string, kind api.ScopeKind) (authz.Kind, error) {
	if _, err := authz.ParentKind(authz.Kind(kind)); err != nil {
		return "", fault.Invalid("%s: %v", field, err)
	}
	return authz.Kind(kind), nil
}

// parentNode is the root where no parent is named.
func parentNode(parent *api.ScopeRef) authz.Node {
	if parent == nil {
		return authz.Root
	}
	return authz.Node{Type: string(parent.Kind), ID: parent.Id}
}

// parentRef names no parent where that is the root.
func parentRef(parent authz.Node) *api.ScopeRef {
	if parent.Kind() == authz.KindTenant {
		return nil
	}
	return &api.ScopeRef{Kind: api.ScopeKind(parent.Type), Id: parent.ID}
}

func scopeOf(scope authz.Scope) api.Scope {
	return api.Scope{Kind: api.ScopeKind(scope.Type), Id: scope.ID, Parent: parentRef(scope.Parent), Name: scope.Name}
}

func scopeResponse(scope authz.Scope, revision int64) api.ScopeResponseJSONResponse {
	return api.ScopeResponseJSONResponse{
		Body:    api.ScopeEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: scopeOf(scope)},
		Headers: api.ScopeResponseResponseHeaders{GatehouseRevision: &revision},
	}
}
