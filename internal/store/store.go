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
)

// ErrRetry marks an error after which the same work may succeed: a serialization
// failure, a deadlock or a busy database. Update runs its function again for it.
var ErrRetry = errors.New("the transaction must be run again")

// Store keeps every tenant. Its methods return errors with a fault code: an
// unreachable database is fault.CodeUnavailable.
type Store interface {
	// Read returns a Reader outside any transaction: each call is one statement
	// and sees its own snapshot.
	Read(tenant string) Reader

	// View runs fn in a read-only transaction: its Reader sees one snapshot.
	View(ctx context.Context, tenant string, fn func(Reader) error) error

	// Update runs fn in a write transaction for one tenant and returns the
	// tenant's revision after it. It first raises the revision, which creates a
	// tenant that is not there yet (with the built-in roles) and orders the
	// tenant's changes. It may call fn again after a conflict, so fn must act only
	// through its Tx. When fn appends no change the transaction is rolled back,
	// and the revision stays.
	Update(ctx context.Context, tenant string, fn func(Tx) error) (revision int64, err error)

	// AppendEvent keeps an event that has no effect to share a transaction with,
	// such as a refusal.
	AppendEvent(ctx context.Context, tenant string, event audit.Event) error

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

// Reader answers questions about one tenant. Lists are sorted by code point, from
// behind after, and hold at most limit items. A tenant that is not there reads as
// an empty one at revision 0.
type Reader interface {
	Revision(ctx context.Context) (int64, error)

	// CheckPermission is the decision rule with no resource: does the user hold,
	// at the root and at the given time, a role with a grant that is one of
	// patterns? Everyone's grants count. One statement.
	CheckPermission(ctx context.Context, user string, patterns []string, at time.Time) (authz.Decision, error)
	CheckRolePermission(ctx context.Context, role string, patterns []string) (authz.Decision, error)
	CheckMembership(ctx context.Context, user, role string, at time.Time) (authz.Decision, error)

	// Roles lists all but the built-in roles.
	Roles(ctx context.Context, after string, limit int) ([]authz.Role, error)
	RolePermissions(ctx context.Context, role, after string, limit int) ([]string, error)
	UserPermissions(ctx context.Context, user string, at time.Time, after string, limit int) ([]string, error)
	CountUserPermissions(ctx context.Context, user string, at time.Time) (int64, error)
	UserRoles(ctx context.Context, user string, at time.Time, after string, limit int) ([]string, error)
	Members(ctx context.Context, role string, at time.Time, after string, limit int) ([]string, error)
	// RolesWithPermission lists the roles with a grant that is one of patterns,
	// all but the built-in ones.
	RolesWithPermission(ctx context.Context, patterns []string, after string, limit int) ([]string, error)
	UsersWithPermission(ctx context.Context, patterns []string, at time.Time, after authz.Member, limit int) ([]authz.Member, error)
	CountUsersWithPermission(ctx context.Context, patterns []string, at time.Time) (int64, error)

	// Changes lists the change feed in order, from behind revision after.
	Changes(ctx context.Context, after int64, limit int) ([]Change, error)
	// AuditEvents lists events newest first, from behind the ID before; an empty
	// one starts at the newest.
	AuditEvents(ctx context.Context, filter audit.Filter, before string, limit int) ([]audit.Event, error)
}

// Tx is a Reader that also changes. Its Revision is the one that the transaction
// makes. A method's bool tells whether it changed anything; an Update that changed
// something without appending a Change is an error.
type Tx interface {
	Reader

	RoleExists(ctx context.Context, role string) (bool, error)
	CreateRole(ctx context.Context, role authz.Role) (bool, error)
	SetRoleDescription(ctx context.Context, role, description string) (bool, error)
	// DeleteRole takes the role's grants and memberships along.
	DeleteRole(ctx context.Context, role string) (bool, error)

	// CreateGrant and CreateMembership need the role to exist.
	CreateGrant(ctx context.Context, role, permission string) (bool, error)
	DeleteGrant(ctx context.Context, role, permission string) (bool, error)
	CreateMembership(ctx context.Context, member authz.Member, window authz.Window) (bool, error)
	SetMembershipWindow(ctx context.Context, member authz.Member, window authz.Window) (bool, error)
	DeleteMembership(ctx context.Context, member authz.Member) (bool, error)

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
	KindClientKey  = "client_key"
)

// Change is one record of the change feed.
type Change struct {
	Revision int64
	Kind     string
	Key      string
}
