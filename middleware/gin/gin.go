// Package gatehousegin is package middleware for Gin: the same Gate, with Gin's own
// kind of handler. Use [Handler] for all routes and [Require] for those that need a
// permission. Handlers sign in and out with the Gate itself:
//
//	session, err := gate.SignIn(c.Request.Context(), user)
package gatehousegin

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/middleware"
)

// UserKey is where Sessions keeps the name of the user who was signed in when the
// request came, for c.GetString. It is gin.AuthUserKey, which Gin's own kind of
// authentication uses.
const UserKey = gin.AuthUserKey

// Handler is all of it: security headers, the check of requests from other sites, and
// Sessions. See middleware.Gate.Handler.
func Handler(gate *middleware.Gate) gin.HandlerFunc { return within(gate.Handler) }

// Sessions finds out who asks. See middleware.Gate.Sessions.
func Sessions(gate *middleware.Gate) gin.HandlerFunc { return within(gate.Sessions) }

// CurrentUser returns the user who is signed in; false where nobody is.
func CurrentUser(c *gin.Context) (string, bool) { return middleware.CurrentUser(c.Request.Context()) }

// CurrentSession returns the session of the user who is signed in; false where nobody is.
func CurrentSession(c *gin.Context) (authz.Session, bool) {
	return middleware.CurrentSession(c.Request.Context())
}

// within runs the rest of a request's handlers within middleware of net/http, which
// may answer instead.
func within(m func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		answered := true
		m(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answered = false
			c.Request, c.Writer = r, &writer{ResponseWriter: c.Writer, within: w}
			if user, ok := CurrentUser(c); ok {
				c.Set(UserKey, user)
			}
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if answered {
			c.Abort()
		}
	}
}

// ResourceFunc tells which resource or scope a request is about, as a
// middleware.ResourceFunc does.
type ResourceFunc func(*gin.Context) (*authz.RequestedResource, error)

// Require lets the next handlers run only for a user who has a permission. Otherwise
// the Gate answers, and c.Errors has the error of package middleware that says why.
// See middleware.Gate.Require.
func Require(gate *middleware.Gate, permission string, resource ResourceFunc) gin.HandlerFunc {
	return require(gate, middleware.All(permission), resource)
}

// RequireAll is Require for a user who has every one of the permissions.
func RequireAll(gate *middleware.Gate, permissions []string, resource ResourceFunc) gin.HandlerFunc {
	return require(gate, middleware.All(permissions...), resource)
}

// RequireAny is Require for a user who has at least one of the permissions.
func RequireAny(gate *middleware.Gate, permissions []string, resource ResourceFunc) gin.HandlerFunc {
	return require(gate, middleware.Any(permissions...), resource)
}

func require(gate *middleware.Gate, needs middleware.Needs, resource ResourceFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		var on func() (*authz.RequestedResource, error)
		if resource != nil {
			on = func() (*authz.RequestedResource, error) { return resource(c) }
		}
		if err := gate.Authorize(c.Request.Context(), needs, on); err != nil {
			c.Abort()
			_ = c.Error(err) // it returns what it keeps
			gate.Refuse(c.Writer, c.Request, err)
		}
	}
}
