package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// PutResource creates or replaces a resource. It hangs under a scope, or under the
// root where Parent is zero. Its properties are kept as JSON, of at most 16 KiB. A
// parent that does not exist is ErrNotFound.
func (t *Tenant) PutResource(ctx context.Context, resource authz.Resource) (authz.Written, error) {
	if err := validateResource(resource.Node); err != nil {
		return authz.Written{}, err
	}
	parent := orRoot(resource.Parent)
	if err := validateResourceParent(parent); err != nil {
		return authz.Written{}, err
	}
	if resource.Owner != "" {
		if err := authz.ValidateID(resource.Owner); err != nil {
			return authz.Written{}, invalid("owner", err)
		}
	}
	if err := validateProperties(resource.Properties); err != nil {
		return authz.Written{}, err
	}
	return t.putNode(ctx, store.NodeRecord{
		Node: resource.Node, Parent: parent, Owner: resource.Owner, Properties: resource.Properties,
	})
}

// Resource reads a resource.
func (t *Tenant) Resource(ctx context.Context, node authz.Node) (authz.Snapshot[authz.Resource], error) {
	if err := validateResource(node); err != nil {
		return authz.Snapshot[authz.Resource]{}, err
	}
	return snapshot(ctx, t, errNoNode(node), func(r store.Reader) (authz.Resource, bool, error) {
		record, exists, err := r.Node(ctx, node)
		return asResource(record), exists, err
	})
}

// DeleteResource deletes a resource with every membership at it. Changed tells
// whether it was there.
func (t *Tenant) DeleteResource(ctx context.Context, node authz.Node) (authz.Written, error) {
	if err := validateResource(node); err != nil {
		return authz.Written{}, err
	}
	return t.deleteNode(ctx, node)
}

// Resources lists the resources of a type by id. A page may hold fewer than its limit
// where their properties are large.
func (t *Tenant) Resources(ctx context.Context, resourceType string, page authz.Page) (authz.List[authz.Resource], error) {
	if err := validateResourceType(resourceType); err != nil {
		return authz.List[authz.Resource]{}, err
	}
	return list(ctx, t, page, question("resources", resourceType), lister[authz.Resource]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Resource, error) {
			records, err := r.Nodes(ctx, resourceType, authz.Node{}, after[0], limit)
			resources := make([]authz.Resource, len(records))
			for i, record := range records {
				resources[i] = asResource(record)
			}
			return resources, err
		},
		position:   func(r authz.Resource) []string { return []string{r.ID} },
		properties: func(r authz.Resource) map[string]any { return r.Properties },
	})
}

// validateResourceParent accepts the root and any scope.
func validateResourceParent(parent authz.Node) error {
	switch parent.Kind() {
	case authz.KindTenant:
		return nil
	case authz.KindResource:
		return fault.Invalid("parent: a resource hangs under an organization, a project, a team or the root")
	}
	if err := authz.ValidateID(parent.ID); err != nil {
		return invalid("parent: id", err)
	}
	return nil
}

func asResource(record store.NodeRecord) authz.Resource {
	return authz.Resource{Node: record.Node, Parent: record.Parent, Owner: record.Owner, Properties: record.Properties}
}
