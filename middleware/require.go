package middleware

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse/gatehouse/authz"
)

// ResourceFunc tells which resource or scope a request is about; nil means the
// tenant's root. It is called only where somebody is signed in. An error that is
// ErrNotFound is answered with a 404, any other with a 503.
type ResourceFunc func(*http.Request) (*authz.RequestedResource, error)

// Require lets next run only for a user who has a permission: on what resource
// tells, or at the tenant's root where resource is nil. It needs Sessions around it,
// and panics where the permission is not one that can be asked for.
//
// Otherwise the answer is a 401 where nobody is signed in, a 403 where the user may
// not, and a 503 where that could not be decided; see Config.
func (g *Gate) Require(permission string, resource ResourceFunc) func(http.Handler) http.Handler {
	return g.require(All(permission), resource)
}

// RequireAll is Require for a user who has every one of the permissions.
func (g *Gate) RequireAll(permissions []string, resource ResourceFunc) func(http.Handler) http.Handler {
	return g.require(All(permissions...), resource)
}

// RequireAny is Require for a user who has at least one of the permissions.
func (g *Gate) RequireAny(permissions []string, resource ResourceFunc) func(http.Handler) http.Handler {
	return g.require(Any(permissions...), resource)
}

func (g *Gate) require(needs Needs, resource ResourceFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var on func() (*authz.RequestedResource, error)
			if resource != nil {
				on = func() (*authz.RequestedResource, error) { return resource(r) }
			}
			if err := g.Authorize(r.Context(), needs, on); err != nil {
				g.Refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Authorize decides as Require does, for what is not middleware of net/http: nil lets
// the request pass. on tells what it is about, and may be nil.
func (g *Gate) Authorize(ctx context.Context, needs Needs, on func() (*authz.RequestedResource, error)) error {
	return needs.Met(ctx, g.checker, on)
}

// Refuse answers a request with an error of Authorize's, as Require does.
func (g *Gate) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, ErrUnauthenticated):
		g.unauthorized(w, r)
	case errors.Is(err, ErrForbidden):
		g.forbidden(w, r)
	case errors.Is(err, ErrNotFound):
		g.notFound(w, r)
	default:
		// A browser that has gone away is no failure.
		if r.Context().Err() == nil {
			g.log.ErrorContext(r.Context(), "a request could not be authorized", "error", err)
		}
		w.Header().Set("Retry-After", "1")
		g.unavailable(w, r)
	}
}
