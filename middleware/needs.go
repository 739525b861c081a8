package middleware

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse/gatehouse/authz"
)

// Why a request is not let through, for errors.Is.
var (
	// ErrUnauthenticated says that nobody is signed in.
	ErrUnauthenticated = errors.New("nobody is signed in")
	// ErrForbidden says that the user may not do this.
	ErrForbidden = errors.New("the user may not do this")
	// ErrNotFound says that what the request is about does not exist. A ResourceFunc
	// returns it.
	ErrNotFound = errors.New("there is no such resource")
	// ErrUnavailable says that it could not be decided.
	ErrUnavailable = errors.New("it could not be decided")
)

// Needs is what a user must be permitted to do. Make one with All or Any: the zero
// value is met by nobody.
type Needs struct {
	permissions []string
	any         bool
}

// All needs every one of the permissions. It panics where there is none, or one that
// cannot be asked for: a wildcard is for grants.
func All(permissions ...string) Needs {
	mustBePermissions(permissions)
	return Needs{permissions: permissions}
}

// Any needs at least one of the permissions, and panics as All does.
func Any(permissions ...string) Needs {
	mustBePermissions(permissions)
	return Needs{permissions: permissions, any: true}
}

func mustBePermissions(permissions []string) {
	if len(permissions) == 0 {
		panic("middleware: no permission is needed: leave the check out")
	}
	for _, permission := range permissions {
		if err := authz.ValidatePermission(permission); err != nil {
			panic(fmt.Sprintf("middleware: permission %q: %v", permission, err))
		}
	}
}

// IsZero tells whether n was not made by All or Any.
func (n Needs) IsZero() bool { return len(n.permissions) == 0 }

// Met returns nil where the user who is signed in has the permissions: on what on
// tells, or at the tenant's root where on is nil or tells nothing. Any other answer
// is an error of this package's kinds.
func (n Needs) Met(ctx context.Context, checker authz.Checker, on func() (*authz.RequestedResource, error)) error {
	session, state := currentState(ctx)
	switch state {
	case anonymous:
		return ErrUnauthenticated
	case unknown:
		return fmt.Errorf("%w: nobody could say whose the session is", ErrUnavailable)
	}
	request := authz.Request{User: session.User}
	if on != nil {
		var err error
		if request.Resource, err = on(); err != nil {
			return unresolved(err)
		}
		// What the sender of a request makes up must not look like a failure.
		if on := request.Resource; on != nil && on.Node != authz.Root && authz.ValidateID(on.ID) != nil {
			return ErrNotFound
		}
	}
	if n.any {
		return n.one(ctx, checker, request)
	}
	return n.every(ctx, checker, request)
}

func (n Needs) every(ctx context.Context, checker authz.Checker, request authz.Request) error {
	if n.IsZero() {
		return ErrForbidden
	}
	for _, request.Permission = range n.permissions {
		if err := may(ctx, checker, request); err != nil {
			return err
		}
	}
	return nil
}

func (n Needs) one(ctx context.Context, checker authz.Checker, request authz.Request) error {
	refusal := ErrForbidden
	for _, request.Permission = range n.permissions {
		err := may(ctx, checker, request)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrForbidden) {
			refusal = err
		}
	}
	return refusal
}

func may(ctx context.Context, checker authz.Checker, request authz.Request) error {
	decision, err := checker.Check(ctx, request)
	switch {
	case err != nil:
		return fmt.Errorf("%w: check %q: %w", ErrUnavailable, request.Permission, err)
	case !decision.Allowed:
		return ErrForbidden
	default:
		return nil
	}
}

// unresolved is the error where a request does not tell what it is about.
func unresolved(err error) error {
	if errors.Is(err, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w: find what the request is about: %w", ErrUnavailable, err)
}
