package middleware

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse/gatehouse/authz"
)

// errOutside is the error of what only works in a handler that Sessions goes around,
// until its answer's headers are written.
var errOutside = errors.New("the handler is not within Sessions, or its answer has begun")

// SignIn opens a session for a user who has just proved who they are, and gives it
// to the browser with the answer. It is always a new session, and the one that the
// request came with ends first. Where that fails nothing has changed; where the new
// one cannot be opened, such as for a user who is not active, nobody is signed in.
//
// ctx is the request's. The answer's headers must not have been written.
func (g *Gate) SignIn(ctx context.Context, user string) (authz.Session, error) {
	v := visitOf(ctx)
	if v == nil {
		return authz.Session{}, fmt.Errorf("sign in: %w", errOutside)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.settled {
		return authz.Session{}, fmt.Errorf("sign in: %w", errOutside)
	}
	if err := v.end(ctx); err != nil {
		return authz.Session{}, fmt.Errorf("sign in: %w", err)
	}
	issued, err := g.sessions.CreateSession(ctx, authz.NewSession{User: user, IP: v.from.IP, UserAgent: v.from.UserAgent})
	if err != nil {
		return authz.Session{}, fmt.Errorf("sign in: open a session: %w", err)
	}
	v.state, v.session = signedIn, issued.Session
	v.change, v.token = signIn, issued.Token
	return issued.Session, nil
}

// SignOut ends the session that the request came with, and deletes the browser's
// cookie. Where it fails the session goes on, and the cookie stays, so that the user
// can be told and try again. Without a session it does nothing.
//
// ctx is the request's. Once the answer's headers are written the session still ends,
// and the cookie is deleted with the next answer.
func (g *Gate) SignOut(ctx context.Context) error {
	v := visitOf(ctx)
	if v == nil || v.gate == nil {
		return fmt.Errorf("sign out: %w", errOutside)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.end(ctx); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// end ends the visit's session, if it has one.
func (v *visit) end(ctx context.Context) error {
	session := v.session
	if v.state == unknown {
		status, err := v.gate.sessions.VerifySession(ctx, v.from)
		if err != nil {
			return fmt.Errorf("find the session before: %w", err)
		}
		session = status.Session
	}
	if session.ID != "" {
		if _, err := v.gate.sessions.EndSession(ctx, session.ID); err != nil {
			return fmt.Errorf("end the session before: %w", err)
		}
	}
	v.state, v.session, v.unrotated = anonymous, authz.Session{}, false
	if v.change = leave; v.cookie || session.ID != "" {
		v.change = signOut
	}
	return nil
}
