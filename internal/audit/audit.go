// Package audit defines the events that tell who changed what, and the log that
// proves itself: each event becomes a leaf of its tenant's Merkle tree (RFC 6962),
// whose size and root a signed checkpoint (C2SP tlog-checkpoint) holds fast.
//
// It is pure: the engine makes events, the store keeps each in the transaction of
// its effect and its leaf in the tree. Start at [Record], [Tree] and [Checkpoint];
// [VerifyLog] and [VerifyExport] find what was tampered with.
package audit

import "time"

// The outcomes of what an event tells of.
const (
	Success = "success"
	Refused = "refused"
)

// System is the actor of what no client key did: the command line and the
// program that embeds the engine.
const System = "system"

// The actions that events tell of.
const (
	RoleCreated       = "ROLE_CREATED"
	RoleUpdated       = "ROLE_UPDATED"
	RoleDeleted       = "ROLE_DELETED"
	PermissionGranted = "PERMISSION_GRANTED"
	PermissionUpdated = "PERMISSION_UPDATED" // its condition changed
	PermissionRevoked = "PERMISSION_REVOKED"
	MembershipAdded   = "MEMBERSHIP_ADDED"
	MembershipUpdated = "MEMBERSHIP_UPDATED"
	MembershipRemoved = "MEMBERSHIP_REMOVED"

	ScopeCreated       = "SCOPE_CREATED"
	ScopeUpdated       = "SCOPE_UPDATED" // renamed or moved
	ScopeDeleted       = "SCOPE_DELETED"
	ResourceCreated    = "RESOURCE_CREATED"
	ResourceUpdated    = "RESOURCE_UPDATED"
	ResourceDeleted    = "RESOURCE_DELETED"
	GroupCreated       = "GROUP_CREATED"
	GroupUpdated       = "GROUP_UPDATED"
	GroupDeleted       = "GROUP_DELETED"
	GroupMemberAdded   = "GROUP_MEMBER_ADDED"
	GroupMemberRemoved = "GROUP_MEMBER_REMOVED"
	UserRegistered     = "USER_REGISTERED"
	UserUpdated        = "USER_UPDATED"
	UserDeleted        = "USER_DELETED"

	ToolCreated     = "TOOL_CREATED"
	ToolUpdated     = "TOOL_UPDATED"
	ToolDeleted     = "TOOL_DELETED"
	SettingsUpdated = "SETTINGS_UPDATED"

	ClientKeyCreated = "CLIENT_KEY_CREATED"
	ClientKeyRotated = "CLIENT_KEY_ROTATED"
	ClientKeyRevoked = "CLIENT_KEY_REVOKED"

	SessionCreated = "SESSION_CREATED"
	SessionEnded   = "SESSION_ENDED" // its reason is in the details
	SessionExpired = "SESSION_EXPIRED"
	// SessionTokenReused, SessionBindingMismatch and SessionGenerationAhead tell of a
	// token that has ended its session: where it came from, and where the session was.
	SessionTokenReused     = "SESSION_TOKEN_REUSED"
	SessionBindingMismatch = "SESSION_BINDING_MISMATCH"
	SessionGenerationAhead = "SESSION_GENERATION_AHEAD"
	SessionAddressChanged  = "SESSION_ADDRESS_CHANGED"
	// SessionAnswerRecovered is a token that was given again, for its answer seemed lost.
	SessionAnswerRecovered = "SESSION_ANSWER_RECOVERED"

	TokenIssued = "TOKEN_ISSUED"
	// TokenRevoked and TokenEnded tell of a family of tokens that was ended: because
	// somebody asked for it, or with its user.
	TokenRevoked = "TOKEN_REVOKED"
	TokenEnded   = "TOKEN_ENDED" // its reason is in the details
	// TokenReused tells of a superseded refresh token that has ended its family.
	TokenReused = "TOKEN_REUSED"

	// AccessRefused is a request that a valid client key may not make.
	AccessRefused = "ACCESS_REFUSED"
	// AuthenticationFailed is a request with a client key or an access token that is not
	// good any more. One with an unknown key belongs to no tenant and is only logged.
	AuthenticationFailed = "AUTHENTICATION_FAILED"

	// AuditPruned is the deletion of the oldest events: those whose places in the tree
	// are below the size in its details.
	AuditPruned = "AUDIT_PRUNED"
)

// PrunedSize is the detail of an AuditPruned event that says how far.
const PrunedSize = "size"

// Event is one entry of a tenant's audit log.
type Event struct {
	// ID is a UUID version 7, by which later events sort behind. The store gives it.
	ID   string
	Time time.Time
	// Actor is a client key's fingerprint, or System.
	Actor  string
	Action string
	// Resource is a kind and percent-encoded names, such as "role/editor".
	Resource string
	// User is whom the event is about; empty where there is none.
	User    string
	Outcome string
	// Details says what the other fields do not; never a key or a token.
	Details   map[string]any
	IP        string
	UserAgent string
	RequestID string
	// Revision holds the change; 0 for an event that changed nothing.
	Revision int64
	// Seq is the event's place in the tenant's tree, from 0; nil until it has one. The
	// store gives it.
	Seq *int64
}

// Filter selects events. A zero field selects all.
type Filter struct {
	User, Action, Resource, Outcome, RequestID string
	// Since is inclusive, Until is not.
	Since, Until time.Time
}
