package middleware

import (
	"context"
	"net/http"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
)

// Sessions finds out who asks, from the cookie __Host-session, before next runs, and
// gives the browser the session's next token with the answer. It rotates a session
// once per request, and runs next once.
//
// Without a session that is taken, next runs for nobody: see CurrentUser. The cookie
// is deleted where the session is over, and stays where only this token is no good
// or nobody could be asked.
//
// The cookie is decided when the answer's headers are written. An answer with a
// session cookie is never stored by a cache, and one to somebody who is signed in
// only if its handler says so; every answer varies by Cookie. An answer that comes
// late leaves the cookie alone if another one may have brought a newer token.
//
// A request to switch protocols (a WebSocket's handshake) only has its session
// verified, for the answer to one is often written past all headers that are set
// here; if it is answered in HTTP after all, the session is rotated then.
func (g *Gate) Sessions(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if visitOf(r.Context()) != nil {
			next.ServeHTTP(w, r)
			return
		}
		v := g.visit(r)
		// An answer without a body is written once next has returned; that to a panic, by
		// who recovers from it.
		defer v.settle(w.Header(), http.StatusOK)
		next.ServeHTTP(v.writer(w), r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
	})
}

// CurrentUser returns the user who is signed in; false where nobody is.
func CurrentUser(ctx context.Context) (string, bool) {
	session, ok := CurrentSession(ctx)
	return session.User, ok
}

// CurrentSession returns the session of the user who is signed in; false where nobody
// is. SignIn and SignOut change what it returns.
func CurrentSession(ctx context.Context) (authz.Session, bool) {
	session, state := currentState(ctx)
	return session, state == signedIn
}

// WithSession returns a context in which a user is signed in, for a handler that
// Sessions does not go around: one that is called over another protocol, or by a
// test. SignIn and SignOut do not work there.
func WithSession(ctx context.Context, session authz.Session) context.Context {
	return context.WithValue(ctx, visitKey{}, &visit{session: session, state: signedIn, settled: true})
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

func currentState(ctx context.Context) (authz.Session, state) {
	v := visitOf(ctx)
	if v == nil {
		return authz.Session{}, anonymous
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.session, v.state
}

// switches tells whether a request asks to go on in another protocol (RFC 9110, 7.8).
func switches(r *http.Request) bool {
	if r.Header.Get("Upgrade") == "" {
		return false
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(option), "upgrade") {
				return true
			}
		}
	}
	return false
}
