package authz

import "fmt"

// Node names a place in a tenant's tree: its root, a scope, or a resource. The
// type of a scope is its kind; that of a resource is the resource's own type.
type Node struct {
	Type string
	ID   string
}

// Kind is what a node is to the tree, and so where a role can be held.
type Kind string

// The kinds of node, from the root down.
const (
	KindTenant       Kind = "tenant"
	KindOrganization Kind = "organization"
	KindProject      Kind = "project"
	KindTeam         Kind = "team"
	KindResource     Kind = "resource"
)

// Root is the node that every other one hangs below.
var Root = Node{Type: string(KindTenant)}

// Kind returns what n is. Only the root has an empty id, so that a resource of a
// type called "tenant" is a resource.
func (n Node) Kind() Kind {
	switch {
	case n == Root:
		return KindTenant
	case IsScopeKind(n.Type):
		return Kind(n.Type)
	default:
		return KindResource
	}
}

// String is "type:id", or "tenant" for the root.
func (n Node) String() string {
	if n == Root {
		return string(KindTenant)
	}
	return n.Type + ":" + n.ID
}

// IsScopeKind reports whether a type names scopes: "organization", "project" or
// "team". No resource can be of such a type.
func IsScopeKind(nodeType string) bool {
	switch Kind(nodeType) {
	case KindOrganization, KindProject, KindTeam:
		return true
	default:
		return false
	}
}

// ParentKind is the kind of scope that scopes of a kind hang under.
func ParentKind(kind Kind) (Kind, error) {
	switch kind {
	case KindOrganization:
		return KindTenant, nil
	case KindProject:
		return KindOrganization, nil
	case KindTeam:
		return KindProject, nil
	default:
		return "", fmt.Errorf("must be %q, %q or %q", KindOrganization, KindProject, KindTeam)
	}
}

// Place is what the decision rule needs to know of a node.
type Place struct {
	Node
	// Owner is the user that owns a resource; empty where nobody does.
	Owner string
	// Properties are what conditions may ask for.
	Properties map[string]any
}
