// Package authz is the core of Gatehouse: its words and its decision rule, with
// no input or output, no clock and no context.
//
// The engine and the SDK speak in its types, so that a program can take either.
// Start at [Policy], which is a tenant's roles compiled, and its Check and Explain;
// the Validate functions say what a name may be.
package authz

import (
	"iter"
	"time"
)

// Role is a named set of grants.
type Role struct {
	Name        string
	Description string
}

// RoleOptions are what can be said of a role besides its name.
type RoleOptions struct {
	// Description is at most 1024 characters; nil leaves it as it is.
	Description *string
}

// MaxDescription is the longest description, in characters.
const MaxDescription = 1024

// Window bounds when a membership holds. A zero time is no bound.
type Window struct {
	// NotBefore is the first moment at which the membership holds.
	NotBefore time.Time
	// ExpiresAt is the first moment at which it no longer does.
	ExpiresAt time.Time
}

// Member says that a user holds a role.
type Member struct {
	User string
	Role string
}

// Decision is the answer to a question. Its zero value denies.
type Decision struct {
	Allowed bool
	// Revision is the tenant's revision that the answer was made at.
	Revision int64
	// Stale is for how long the database has been away when the answer was made
	// from memory; 0 where it was not.
	Stale time.Duration
	// Reasons are what allowed, or what nearly did; only where they were asked for.
	// There are at most 100, and Truncated tells that there would have been more.
	Reasons   []Reason
	Truncated bool
}

// Written is the answer to a change.
type Written struct {
	// Changed tells whether the change found anything to do: for a deletion,
	// whether the thing was there.
	Changed bool
	// Revision is the tenant's revision that holds the change.
	Revision int64
	// Replayed tells that a client has got the answer to an earlier request with the same
	// idempotency key; an engine's own answers never are.
	Replayed bool
}

// Page asks for a part of a list.
type Page struct {
	// Limit is the most items to answer with, 1 to 10,000; 0 means 1000.
	Limit int
	// Cursor is the Next of the list before; empty for the first page.
	Cursor string
}

// List is one page of a list.
type List[T any] struct {
	Items []T
	// Next is the cursor of the next page; empty on the last.
	Next string
	// Total counts the items of all pages, in the lists that say so; else 0.
	Total int64
	// Revision is the tenant's revision that the page was read at.
	Revision int64
	// Stale is Decision.Stale, for the lists that are answered from memory.
	Stale time.Duration
}

// All iterates over every page of a list, as in
//
//	for role, err := range authz.All(func(p authz.Page) (authz.List[authz.Role], error) {
//		return tenant.Roles(ctx, p)
//	}) { … }
//
// It ends after the first error.
func All[T any](list func(Page) (List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var page Page
		for {
			l, err := list(page)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range l.Items {
				if !yield(item, nil) {
					return
				}
			}
			if l.Next == "" {
				return
			}
			page.Cursor = l.Next
		}
	}
}
