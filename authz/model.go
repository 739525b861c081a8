package authz

// SubjectType tells users from groups where either can stand.
type SubjectType string

// The types of subject.
const (
	UserType  SubjectType = "user"
	GroupType SubjectType = "group"
)

// SubjectRef names a user or a group.
type SubjectRef struct {
	Type SubjectType
	Name string
}

// RoleDetail is a role as it was written, but for its grants.
type RoleDetail struct {
	Name        string
	Description string
	// Inherits names the roles whose grants this one has too, sorted.
	Inherits []string
	// Scopes are the kinds of node that the role can be held at; empty is any.
	Scopes []Kind
}

// RoleGrant is a grant of a role.
type RoleGrant struct {
	Role string
	Grant
}

// Scope is an organization, a project or a team.
type Scope struct {
	Node
	// Parent is what the scope hangs under.
	Parent Node
	// Name is for people; at most 256 characters.
	Name string
}

// Resource is what users act on.
type Resource struct {
	Node
	// Parent is the scope that the resource hangs under, or Root.
	Parent Node
	// Owner is the user who holds the built-in role Owner at it; may be empty.
	Owner      string
	Properties map[string]any
}

// Membership says that a subject holds a role at a node.
type Membership struct {
	Subject SubjectRef
	Role    string
	Node    Node
	Window  Window
}

// Group is a set of users and groups that hold roles together.
type Group struct {
	Name        string
	Description string
}

// User is what is known of a registered user.
type User struct {
	Name string
	// Inactive users may do nothing.
	Inactive   bool
	Properties map[string]any
}

// Settings are what a tenant is strict about.
type Settings struct {
	// StrictPermissions refuses to grant a permission that no tool defines.
	StrictPermissions bool
	// StrictUsers refuses a membership, of a role or in a group, of a user who is
	// not registered.
	StrictUsers bool
}

// Tool is an application or a module that defines permissions.
type Tool struct {
	Name        string
	Description string
	Permissions []DefinedPermission
}

// DefinedPermission is a permission that a tool defines.
type DefinedPermission struct {
	Name        string
	Description string
}

// CatalogueEntry is a permission that a tool defines or a role is granted.
type CatalogueEntry struct {
	DefinedPermission
	// Tool is empty where no tool defines the permission.
	Tool string
	// Roles are granted exactly this, sorted; built-in ones too.
	Roles []string
}

// Change is one record of the change feed: what a revision touched.
type Change struct {
	Revision int64
	Kind     string
	// Key is the percent-encoded names of the thing, joined by slashes.
	Key string
}

// Snapshot is a value as it was at a revision.
type Snapshot[T any] struct {
	Value    T
	Revision int64
}

// Request asks whether a user may do something, here and now.
type Request struct {
	User string
	// SubjectType is the type of a subject that is no user, whose name User then is:
	// nothing is allowed to it. Empty means a user. Only the engine's checks take another.
	SubjectType string
	Permission  string
	// Resource is what the user would act on; nil asks at the tenant's root.
	Resource *RequestedResource

	// The properties of the user and of the action override stored ones, key by
	// key. Context is what else conditions may ask for.
	UserProperties   map[string]any
	ActionProperties map[string]any
	Context          map[string]any

	// Explain asks for the reasons.
	Explain bool
}

// RequestedResource is a resource or a scope as a request speaks of it.
type RequestedResource struct {
	Node
	// Owner and Parent count only where the resource is not stored; a zero Parent
	// is Root.
	Owner  string
	Parent Node
	// Properties override stored ones, key by key.
	Properties map[string]any
}
