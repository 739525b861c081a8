package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (handlers) PutResource(ctx context.Context, r api.PutResourceRequestObject) (api.PutResourceResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	spec := orZero(r.Body)
	resource := authz.Resource{
		Node: node, Parent: parentNode(spec.Parent), Owner: orZero(spec.Owner), Properties: orZero(spec.Properties),
	}
	written, err := tenant(ctx).PutResource(ctx, resource)
	if err != nil {
		return nil, err
	}
	return api.PutResource200JSONResponse{ResourceResponseJSONResponse: resourceResponse(resource, written.Revision)}, nil
}

func (handlers) GetResource(ctx context.Context, r api.GetResourceRequestObject) (api.GetResourceResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	resource, err := tenant(ctx).Resource(ctx, node)
	if err != nil {
		return nil, err
	}
	return api.GetResource200JSONResponse{ResourceResponseJSONResponse: resourceResponse(resource.Value, resource.Revision)}, nil
}

func (handlers) DeleteResource(ctx context.Context, r api.DeleteResourceRequestObject) (api.DeleteResourceResponseObject, error) {
	node, err := resourceNode(r.Type, r.Id)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).DeleteResource(ctx, node)
	if err != nil {
		return nil, err
	}
	return api.DeleteResource200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) ListResources(ctx context.Context, r api.ListResourcesRequestObject) (api.ListResourcesResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Resources(ctx, r.Type, p)
	if err != nil {
		return nil, err
	}
	return api.ListResources200JSONResponse{ResourceListResponseJSONResponse: api.ResourceListResponseJSONResponse{
		Body: api.ResourceListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, resourceOf),
		},
		Headers: api.ResourceListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}}, nil
}

// resourceNode names a resource of a path. A kind of scope would name a scope.
func resourceNode(resourceType, id string) (authz.Node, error) {
	if authz.IsScopeKind(resourceType) {
		return authz.Node{}, fault.Invalid("type: %q names scopes", resourceType)
	}
	return authz.Node{Type: resourceType, ID: id}, nil
}

func resourceOf(resource authz.Resource) api.Resource {
	return api.Resource{
		Type: resource.Type, Id: resource.ID, Parent: parentRef(resource.Parent),
		Owner: orNil(resource.Owner), Properties: propertiesOf(resource.Properties),
	}
}

// propertiesOf never returns nil, which JSON would show as null.
func propertiesOf(properties map[string]any) api.Properties {
	if properties == nil {
		return api.Properties{}
	}
	return properties
}

func resourceResponse(resource authz.Resource, revision int64) api.ResourceResponseJSONResponse {
	return api.ResourceResponseJSONResponse{
		Body: api.ResourceEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: resourceOf(resource),
		},
		Headers: api.ResourceResponseResponseHeaders{GatehouseRevision: &revision},
	}
}
