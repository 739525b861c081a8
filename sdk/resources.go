package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// PutResource creates or replaces a resource: what resource leaves out is emptied,
// and a zero Parent is the root. A parent that does not exist is ErrNotFound.
// Changed is always true, as in AddRole.
func (c *Client) PutResource(ctx context.Context, resource authz.Resource) (authz.Written, error) {
	if err := checkResource(resource.Node); err != nil {
		return authz.Written{}, err
	}
	if err := checkTexts(name{"parent", resource.Parent.ID}, name{"owner", resource.Owner}); err != nil {
		return authz.Written{}, err
	}
	if err := checkProperties("properties", resource.Properties); err != nil {
		return authz.Written{}, err
	}
	return put[api.Resource](c.api.PutResource(ctx, resource.Type, resource.ID, nil, api.ResourceSpec{
		Owner:      given(resource.Owner),
		Parent:     givenParent(resource.Parent),
		Properties: givenProperties(resource.Properties),
	}))
}

// Resource shows a resource. One that does not exist is ErrNotFound.
func (c *Client) Resource(ctx context.Context, resource authz.Node) (authz.Snapshot[authz.Resource], error) {
	if err := checkResource(resource); err != nil {
		return authz.Snapshot[authz.Resource]{}, err
	}
	a, err := read[api.Resource](c.api.GetResource(ctx, resource.Type, resource.ID))
	return snapshotOf(a, err, resourceOf)
}

// DeleteResource deletes a resource with the memberships in it. Changed tells
// whether it was there.
func (c *Client) DeleteResource(ctx context.Context, resource authz.Node) (authz.Written, error) {
	if err := checkResource(resource); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteResource(ctx, resource.Type, resource.ID, nil))
}

// Resources lists the resources of a type by id.
func (c *Client) Resources(ctx context.Context, resourceType string, page authz.Page) (authz.List[authz.Resource], error) {
	if err := checkNames(name{"type", resourceType}); err != nil {
		return authz.List[authz.Resource]{}, err
	}
	a, err := read[[]api.Resource](c.api.ListResources(ctx, resourceType, (*api.ListResourcesParams)(paging(page))))
	return listOf(a, a.data, resourceOf), err
}

func checkResource(resource authz.Node) error {
	return checkNames(name{"type", resource.Type}, name{"id", resource.ID})
}

func resourceOf(r api.Resource) authz.Resource {
	return authz.Resource{
		Node:       authz.Node{Type: r.Type, ID: r.Id},
		Parent:     parentOf(r.Parent),
		Owner:      orZero(r.Owner),
		Properties: propertiesOf(r.Properties),
	}
}
