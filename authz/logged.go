package authz

import "time"

// LoggedDecision is an entry of a tenant's decision log.
type LoggedDecision struct {
	// ID is a UUID version 7, by which later decisions sort behind. The store gives it.
	ID   string
	Time time.Time
	// Actor is a client key's fingerprint, or "system" for the command line, a proxy and
	// the program that embeds the engine.
	Actor string
	// User and SubjectType are the request's.
	User        string
	SubjectType string
	Permission  string
	// Resource is zero where the tenant's root was asked about.
	Resource Node
	Allowed  bool
	Revision int64
	// Reasons are the first ten where the request asked for them, without conditions and
	// their errors, which may quote what was sent.
	Reasons   []Reason
	RequestID string
	IP        string
}

// DecisionFilter selects logged decisions. A zero field selects all.
type DecisionFilter struct {
	User, Permission, RequestID string
	Resource                    Node
	// Allowed selects by the answer where it is not nil.
	Allowed *bool
	// Since is inclusive, Until is not.
	Since, Until time.Time
}
