// Package gatehouseecho is package middleware for Echo: the same Gate, with Echo's
// own kinds of middleware, handler and error. Put [Handler] around all routes and
// [Require] around those that need a permission. Handlers sign in and out with the
// Gate itself:
//
//	session, err := gate.SignIn(c.Request().Context(), user)
package gatehouseecho

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/middleware"
)

// UserKey is where Sessions keeps the name of the user who was signed in when the
// request came, for c.Get.
const UserKey = "user"

// Handler is all of it: security headers, the check of requests from other sites, and
// Sessions. See middleware.Gate.Handler.
func Handler(gate *middleware.Gate) echo.MiddlewareFunc { return within(gate.Handler) }

// Sessions finds out who asks. See middleware.Gate.Sessions.
func Sessions(gate *middleware.Gate) echo.MiddlewareFunc { return within(gate.Sessions) }

// CurrentUser returns the user who is signed in; false where nobody is.
func CurrentUser(c echo.Context) (string, bool) { return middleware.CurrentUser(c.Request().Context()) }

// CurrentSession returns the session of the user who is signed in; false where nobody is.
func CurrentSession(c echo.Context) (authz.Session, bool) {
	return middleware.CurrentSession(c.Request().Context())
}

func within(m func(http.Handler) http.Handler) echo.MiddlewareFunc {
	around := echo.WrapMiddleware(m)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return around(func(c echo.Context) error {
			if user, ok := CurrentUser(c); ok {
				c.Set(UserKey, user)
			}
			return next(c)
		})
	}
}

// ResourceFunc tells which resource or scope a request is about, as a
// middleware.ResourceFunc does.
type ResourceFunc func(echo.Context) (*authz.RequestedResource, error)

// Require lets the next handler run only for a user who has a permission. Otherwise
// it returns an echo.HTTPError, 401, 403, 404 or 503, which wraps the error of package
// middleware that says why; Echo's HTTPErrorHandler answers, and not the Gate. See
// middleware.Gate.Require.
func Require(gate *middleware.Gate, permission string, resource ResourceFunc) echo.MiddlewareFunc {
	return require(gate, middleware.All(permission), resource)
}

// RequireAll is Require for a user who has every one of the permissions.
func RequireAll(gate *middleware.Gate, permissions []string, resource ResourceFunc) echo.MiddlewareFunc {
	return require(gate, middleware.All(permissions...), resource)
}

// RequireAny is Require for a user who has at least one of the permissions.
func RequireAny(gate *middleware.Gate, permissions []string, resource ResourceFunc) echo.MiddlewareFunc {
	return require(gate, middleware.Any(permissions...), resource)
}

func require(gate *middleware.Gate, needs middleware.Needs, resource ResourceFunc) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			var on func() (*authz.RequestedResource, error)
			if resource != nil {
				on = func() (*authz.RequestedResource, error) { return resource(c) }
			}
			if err := gate.Authorize(c.Request().Context(), needs, on); err != nil {
				return refusal(c, err)
			}
			return next(c)
		}
	}
}

func refusal(c echo.Context, err error) error {
	status := http.StatusServiceUnavailable
	switch {
	case errors.Is(err, middleware.ErrUnauthenticated):
		status = http.StatusUnauthorized
	case errors.Is(err, middleware.ErrForbidden):
		status = http.StatusForbidden
	case errors.Is(err, middleware.ErrNotFound):
		status = http.StatusNotFound
	default:
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return echo.NewHTTPError(status).SetInternal(err)
}
