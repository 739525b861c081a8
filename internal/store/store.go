// Package store is what the engine needs of a database: handles that are bound to
// one tenant, so that no query can forget it, and one path for changes.
//
// It holds the interface and the records. store/sqlstore implements it on
// PostgreSQL and SQLite, and store/storetest holds the contract that both pass.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/token"
)

// ErrRetry marks an error after which the same work may succeed: a serialization
// failure, a deadlock or a busy database. Update runs its function again for it.
var ErrRetry = errors.New("the transaction must be run again")

// ErrSealed marks an error of a database that is sealed with a key of which this process
// was given no secret. It is no outage: what is in memory must not stand in for an answer.
var ErrSealed = errors.New("no secret of AUTH_ENCRYPTION_KEY and AUTH_ENCRYPTION_PREVIOUS_KEYS is that of the database's key")

// Store keeps every tenant. Its methods return errors with a fault code: an
// unreachable database is fault.CodeUnavailable.
type Store interface {
	Sessions
	Audit
	Decisions
	Tokens
	Leases
	Receipts

	// View runs fn in a read-only transaction: its Reader sees one snapshot. It may call
	// fn again, with another snapshot, where the connection broke.
	View(ctx context.Context, tenant string, fn func(Reader) error) error

	// ViewAnywhere is View for what nothing else rests on. A replica may answer, where it
	// has all that is wanted of what was committed before the call, so that no answer is
	// older than another that its asker may have seen, from whichever server. It may call
	// fn again, on another snapshot, so fn must begin anew each time.
	ViewAnywhere(ctx context.Context, tenant string, wanted Wanted, fn func(Reader) error) error

	// Update runs fn in a write transaction for one tenant and returns the
	// tenant's revision after it. It first raises the revision, which creates a
	// tenant that is not there yet (with the built-in roles) and orders the
	// tenant's changes. It may call fn again after a conflict, or where the connection
	// broke before the commit, so fn must act only through its Tx. When fn appends no change the transaction is rolled back,
	// and the revision stays.
	Update(ctx context.Context, tenant string, fn func(Tx) error) (revision int64, err error)

	// Revisions reads the revisions of tenants; one that is not there has none.
	Revisions(ctx context.Context, tenants []string) (map[string]int64, error)

	// Watch calls changed soon after another process may have committed something, until
	// ctx ends, and returns its error. It is a hint: a call may come late, for nothing
	// or not at all. changed must not block.
	Watch(ctx context.Context, changed func()) error

	// ClientKeyByHash finds a key, revoked or not, by ClientKey.Hash;
	// fault.CodeNotFound where there is none.
	ClientKeyByHash(ctx context.Context, hash string) (ClientKey, error)

	// ClientKeyByFingerprint is ClientKeyByHash for operators.
	ClientKeyByFingerprint(ctx context.Context, fingerprint string) (ClientKey, error)

	// ClientKeys lists the keys of all tenants by tenant and fingerprint, from
	// behind the given key (its Tenant and Fingerprint).
	ClientKeys(ctx context.Context, after ClientKey, limit int) ([]ClientKey, error)

	// Ping asks the database for a sign of life.
	Ping(ctx context.Context) error

	// Close waits for what is running and lets go of the database.
	Close() error
}

// Wanted says what an answer must not lack.
type Wanted int

const (
	// WantRevision is what the tenant's revision covers: its policy, and the events of
	// the changes.
	WantRevision Wanted = iota
	// WantAll is everything: other events, and decisions, raise no revision.
	WantAll
)

// Reader answers questions about one tenant. Lists are sorted by code point, from
// behind after, and hold at most limit items. A tenant that is not there reads as
// an empty one at revision 0.
type Reader interface {
	AuditReader

	Revision(ctx context.Context) (int64, error)

	// What decisions are made of.

	// Policy reads every role with its grants and parents.
	Policy(ctx context.Context) ([]authz.RoleSpec, error)
	// Holdings reads what a user holds, directly and through groups (transitively),
	// at any node and at any time.
	Holdings(ctx context.Context, user string) ([]authz.Holding, error)
	// User, Node and the like report false for what is not there.
	User(ctx context.Context, name string) (authz.User, bool, error)
	Node(ctx context.Context, node authz.Node) (NodeRecord, bool, error)

	// What was written, as it was written.

	Role(ctx context.Context, name string) (authz.RoleDetail, bool, error)
	Grant(ctx context.Context, role, permission string) (authz.Grant, bool, error)
	Grants(ctx context.Context, role, after string, limit int) ([]authz.Grant, error)
	Group(ctx context.Context, name string) (authz.Group, bool, error)
	// Nodes lists the nodes of a type; below a parent where that is not zero.
	Nodes(ctx context.Context, nodeType string, parent authz.Node, after string, limit int) ([]NodeRecord, error)
	// Memberships lists those at a node by subject type (users first), subject and
	// role, from behind the given one.
	Memberships(ctx context.Context, node authz.Node, after authz.Membership, limit int) ([]authz.Membership, error)

	// Groups and Users list by name; GroupMembers lists a group's own members, users
	// first, by name.
	Groups(ctx context.Context, after string, limit int) ([]authz.Group, error)
	GroupMembers(ctx context.Context, group string, after authz.SubjectRef, limit int) ([]authz.SubjectRef, error)
	Users(ctx context.Context, after string, limit int) ([]authz.User, error)

	Settings(ctx context.Context) (authz.Settings, error)
	Tool(ctx context.Context, name string) (authz.Tool, bool, error)
	Tools(ctx context.Context, after string, limit int) ([]authz.Tool, error)
	// Catalogue lists every permission that a tool defines or a role is granted, by
	// name.
	Catalogue(ctx context.Context, after string, limit int) ([]authz.CatalogueEntry, error)
	// DefiningTool finds the tool that defines a permission, or one that matches a
	// grant's pattern.
	DefiningTool(ctx context.Context, grant string) (string, bool, error)

	// Roles lists all but the built-in roles.
	Roles(ctx context.Context, after string, limit int) ([]authz.Role, error)

	// Members lists the users that hold one of roles at the root at a time, directly
	// or through groups: each pair of user and role once, by user, then role.
	Members(ctx context.Context, query MembersQuery, after authz.Member, limit int) ([]authz.Member, error)
	CountMembers(ctx context.Context, query MembersQuery) (int64, error)

	// What a search may find, from which it picks.

	// KnownUsers lists whom the tenant has heard of: registered, holding a role or in
	// a group anywhere, or an owner.
	KnownUsers(ctx context.Context, after string, limit int) ([]string, error)
	// KnownPermissions lists what a role is granted by its exact name, or a tool
	// defines.
	KnownPermissions(ctx context.Context, after string, limit int) ([]string, error)
	// Holders lists the users that hold one of roles at a node, directly or through
	// groups.
	Holders(ctx context.Context, query HoldersQuery, after string, limit int) ([]string, error)
	// Subjects reads what is known of each user, as User and Holdings do for one, with
	// what the user holds at some nodes.
	Subjects(ctx context.Context, users []string, at []authz.Node) (map[string]SubjectRecord, error)
	// NodesOfType lists the ids of the nodes of a type, NodesOwned of those that a user
	// owns, and NodesWithin of those that lie below one of some scopes of a kind, at any
	// depth.
	NodesOfType(ctx context.Context, nodeType, after string, limit int) ([]string, error)
	NodesOwned(ctx context.Context, nodeType, owner, after string, limit int) ([]string, error)
	NodesWithin(ctx context.Context, query WithinQuery, after string, limit int) ([]string, error)
	// NodesNamed reads the nodes of a type that have one of some ids, in no order.
	NodesNamed(ctx context.Context, nodeType string, ids []string) ([]NodeRecord, error)

	// Changes lists the change feed in order, from behind revision after.
	Changes(ctx context.Context, after int64, limit int) ([]authz.Change, error)
	// LoggedDecisions lists decisions newest first, from behind the ID before; an empty
	// one starts at the newest.
	LoggedDecisions(ctx context.Context, filter authz.DecisionFilter, before string, limit int) ([]authz.LoggedDecision, error)
}

// Tx is a Reader that also changes. Its Revision is the one that the transaction
// makes. A method's bool tells whether it changed anything; an Update that changed
// something without appending a Change is an error.
type Tx interface {
	Reader
	ReceiptTx

	// CreateRole does nothing where the role is there.
	CreateRole(ctx context.Context, role authz.Role) (bool, error)
	SetRoleDescription(ctx context.Context, role, description string) (bool, error)
	// SetRole creates or replaces a role, but for its grants. Its parents exist.
	SetRole(ctx context.Context, role authz.RoleDetail) (bool, error)
	// DeleteRole takes the role's grants, memberships and inheritance along, both
	// ways.
	DeleteRole(ctx context.Context, role string) (bool, error)
	// RolesAbove reads some roles and those that they inherit from, nearest first, at
	// most limit of them: the parents of each. One that does not exist is not in it.
	RolesAbove(ctx context.Context, roles []string, limit int) (map[string][]string, error)
	// HeldOutside finds a membership of a role at a node of a kind that is not one
	// of kinds.
	HeldOutside(ctx context.Context, role string, kinds []authz.Kind) (authz.Membership, bool, error)

	// SetGrant and SetMembership need the role to exist. They create or replace.
	SetGrant(ctx context.Context, role string, grant authz.Grant) (bool, error)
	DeleteGrant(ctx context.Context, role, permission string) (bool, error)
	SetMembership(ctx context.Context, membership authz.Membership) (created, changed bool, err error)
	DeleteMembership(ctx context.Context, subject authz.SubjectRef, role string, node authz.Node) (bool, error)

	// SetNode creates or replaces a scope or resource. Its parent exists.
	SetNode(ctx context.Context, node NodeRecord) (bool, error)
	// DeleteNode takes all that lies below the node along, and every membership
	// there.
	DeleteNode(ctx context.Context, node authz.Node) (bool, error)

	// CreateGroup does nothing where the group is there.
	CreateGroup(ctx context.Context, name string) (bool, error)
	SetGroup(ctx context.Context, group authz.Group) (bool, error)
	// DeleteGroup takes the group's memberships along, and its places in other
	// groups; its members stay.
	DeleteGroup(ctx context.Context, name string) (bool, error)
	// AddToGroup needs the group, and a member that is one, to exist.
	AddToGroup(ctx context.Context, group string, member authz.SubjectRef) (bool, error)
	RemoveFromGroup(ctx context.Context, group string, member authz.SubjectRef) (bool, error)
	// GroupPath finds a way from one group up to another that it is in: both and
	// those between, or nil.
	GroupPath(ctx context.Context, from, to string) ([]string, error)

	SetUser(ctx context.Context, user authz.User) (bool, error)
	// DeleteUser takes all that the user holds along, registered or not, and leaves
	// what the user owned without an owner.
	DeleteUser(ctx context.Context, name string) (bool, error)
	// EndUserSessions ends all live sessions of a user, and returns them. One that
	// another transaction is just creating is waited for, and ended as well.
	EndUserSessions(ctx context.Context, user string, at time.Time, reason authz.SessionEnd) ([]session.Row, error)
	// EndUserTokens ends all families of tokens that speak for a user, and returns them. It
	// comes after EndUserSessions, which has locked the user.
	EndUserTokens(ctx context.Context, user string, at time.Time, reason authz.SessionEnd) ([]token.Family, error)

	SetSettings(ctx context.Context, settings authz.Settings) (bool, error)
	// SetTool creates or replaces a tool. No other tool defines its permissions.
	SetTool(ctx context.Context, tool authz.Tool) (bool, error)
	DeleteTool(ctx context.Context, name string) (bool, error)

	// ClientKey finds a key of the tenant, revoked or not; fault.CodeNotFound where
	// there is none.
	ClientKey(ctx context.Context, fingerprint string) (ClientKey, error)
	// CreateClientKey does nothing where a key with this hash is there.
	CreateClientKey(ctx context.Context, key ClientKey) (bool, error)
	// SetClientKeyExpiry and RevokeClientKey leave a revoked key as it is.
	SetClientKeyExpiry(ctx context.Context, fingerprint string, at time.Time) (bool, error)
	RevokeClientKey(ctx context.Context, fingerprint string, at time.Time) (bool, error)

	// AppendChange adds to the change feed, under the transaction's revision.
	AppendChange(ctx context.Context, kind, key string) error
	// AppendEvent adds to the audit log, under the transaction's revision.
	AppendEvent(ctx context.Context, event audit.Event) error
}

// ClientKey is what is kept of a client key: never the key itself.
type ClientKey struct {
	// Hash is the hexadecimal SHA-256 of the key in lower case.
	Hash string
	// Fingerprint stands for the key in logs and commands.
	Fingerprint string
	Tenant      string
	Name        string
	// Abilities are comma-separated, sorted.
	Abilities string
	CreatedAt time.Time
	// ExpiresAt is zero for a key that does not expire.
	ExpiresAt time.Time
	// RevokedAt is zero for a key that is not revoked. A revoked key stays, so
	// that it never opens anything again.
	RevokedAt time.Time
	// Lifetime is how long the key was made to live, and so its successors; 0 is
	// for ever. ExpiresAt may be sooner, once there is a successor.
	Lifetime time.Duration
}

// The kinds of change. A change's key is the path-escaped names of the thing,
// joined by slashes as in its REST path.
const (
	KindRole       = "role"
	KindPermission = "permission"
	KindMembership = "membership"
	KindScope      = "scope"
	KindResource   = "resource"
	KindGroup      = "group"
	KindUser       = "user"
	KindTool       = "tool"
	KindSettings   = "settings"
	KindClientKey  = "client_key"
)

// KeyAll is the key of a change that touched many things of a kind, as a deletion
// does with what hangs on the thing.
const KeyAll = "*"

// MembersQuery selects members at the root.
type MembersQuery struct {
	Roles []string
	At    time.Time
	// ActiveOnly leaves out registered users that are not active.
	ActiveOnly bool
}

// HoldersQuery selects users by the roles that they hold at a node at a time.
type HoldersQuery struct {
	Roles []string
	Node  authz.Node
	At    time.Time
}

// WithinQuery selects nodes of a type by the scopes above them.
type WithinQuery struct {
	NodeType string
	// Kind and IDs name the scopes.
	Kind authz.Kind
	IDs  []string
}

// SubjectRecord is a user with what the user holds.
type SubjectRecord struct {
	User     authz.User
	Holdings []authz.Holding
}

// NodeRecord is a scope or a resource as it was written. A scope has no owner and
// no properties, a resource no name.
type NodeRecord struct {
	authz.Node
	Parent     authz.Node
	Name       string
	Owner      string
	Properties map[string]any
}
