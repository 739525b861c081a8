package sdk

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// rotateTimeout bounds RotateSession with all its tries. It stays below the server's
// AUTH_SESSION_OVERLAP (10 s): a token that a late try shows again must not be taken
// for a stolen one.
const rotateTimeout = 5 * time.Second

// CreateSession opens a session for a user who has just proved who they are, always
// a new one, and returns its first token. A user who is not active is ErrConflict.
// Beyond the server's maximum per user, the oldest sessions end.
func (c *Client) CreateSession(ctx context.Context, request authz.NewSession) (authz.IssuedSession, error) {
	if err := checkTexts(name{"user", request.User}, name{"ip", request.IP}); err != nil {
		return authz.IssuedSession{}, err
	}
	rsp, err := c.api.CreateSession(ctx, nil, api.NewSession{
		User:      request.User,
		Ip:        request.IP,
		UserAgent: request.UserAgent,
		Binding:   given(api.SessionBinding(request.Binding)),
	})
	a, err := read[api.IssuedSession](rsp, err)
	if err != nil {
		return authz.IssuedSession{}, err
	}
	if a.data.Token == "" || a.data.Session.Id == "" {
		return authz.IssuedSession{}, foreign(rsp)
	}
	return authz.IssuedSession{Session: sessionOf(a.data.Session), Token: a.data.Token, Replayed: a.replayed}, nil
}

// RotateSession takes a session token and returns the one to present from now on.
// The error is ErrUnauthenticated, and the authz.SessionRefusal that says why, where
// the token is not taken; it is ErrUnavailable where the server has not answered
// after 5 s.
func (c *Client) RotateSession(ctx context.Context, presented authz.PresentedSession) (authz.RotatedSession, error) {
	if err := checkTexts(name{"ip", presented.IP}); err != nil {
		return authz.RotatedSession{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, rotateTimeout)
	defer cancel()
	// It may be tried again, for a token gets the same answer twice so soon.
	rsp, err := c.api.RotateSession(reading(ctx), presentation(presented))
	a, err := read[api.RotatedSession](rsp, err)
	if err != nil {
		return authz.RotatedSession{}, refusedToken(err)
	}
	if a.data.Token == "" || a.data.Session.Id == "" || !a.data.Outcome.Valid() {
		return authz.RotatedSession{}, foreign(rsp)
	}
	return authz.RotatedSession{
		Outcome: authz.SessionOutcome(a.data.Outcome),
		Session: sessionOf(a.data.Session),
		Token:   a.data.Token,
	}, nil
}

// VerifySession tells whether a session token would be taken, and changes nothing.
func (c *Client) VerifySession(ctx context.Context, presented authz.PresentedSession) (authz.SessionStatus, error) {
	if err := checkTexts(name{"ip", presented.IP}); err != nil {
		return authz.SessionStatus{}, err
	}
	rsp, err := c.api.VerifySession(reading(ctx), presentation(presented))
	a, err := read[api.SessionStatus](rsp, err)
	switch {
	case err != nil:
		return authz.SessionStatus{}, err
	case !a.data.Active:
		return authz.SessionStatus{}, nil
	case a.data.Session == nil || a.data.Session.Id == "":
		return authz.SessionStatus{}, foreign(rsp)
	default:
		return authz.SessionStatus{Active: true, Session: sessionOf(*a.data.Session)}, nil
	}
}

// Session shows a session. One that is not known, or not any more, is ErrNotFound.
func (c *Client) Session(ctx context.Context, id string) (authz.Session, error) {
	if err := checkNames(name{"id", id}); err != nil {
		return authz.Session{}, err
	}
	a, err := read[api.Session](c.api.GetSession(ctx, id))
	if err != nil {
		return authz.Session{}, err
	}
	return sessionOf(a.data), nil
}

// Sessions lists live sessions; of one user, or of all where user is empty. With
// withEnded those too that have ended or expired and are still known.
func (c *Client) Sessions(ctx context.Context, user string, withEnded bool, page authz.Page) (authz.List[authz.Session], error) {
	a, err := read[[]api.Session](c.api.ListSessions(ctx, &api.ListSessionsParams{
		User:   given(user),
		Ended:  given(withEnded),
		Limit:  given(page.Limit),
		Cursor: given(page.Cursor),
	}))
	return listOf(a, a.data, sessionOf), err
}

// EndSession ends a session, and tells whether it was live.
func (c *Client) EndSession(ctx context.Context, id string) (bool, error) {
	if err := checkNames(name{"id", id}); err != nil {
		return false, err
	}
	a, err := read[api.Result](c.api.DeleteSession(ctx, id, nil))
	return a.data.Result, err
}

// EndSessions ends all live sessions of a user, but for the one with the id except
// where that is not empty, and tells how many.
func (c *Client) EndSessions(ctx context.Context, user, except string) (int64, error) {
	if user == "" {
		return 0, invalid("user: must not be empty")
	}
	a, err := read[api.SessionsEnded](c.api.DeleteSessions(ctx, &api.DeleteSessionsParams{User: user, Except: given(except)}))
	return a.data.Count, err
}

// presentation is what a token is presented with. What JSON replaces in text that is
// not UTF-8 makes no token of it, for a token is ASCII.
func presentation(presented authz.PresentedSession) api.PresentedSession {
	return api.PresentedSession{Token: presented.Token, Ip: presented.IP, UserAgent: presented.UserAgent}
}

// refusedToken gives the error of a token that was not taken its
// authz.SessionRefusal. Another 401 is about the client key.
func refusedToken(err error) error {
	refused, ok := errors.AsType[*Error](err)
	if !ok || refused.Status != http.StatusUnauthorized {
		return err
	}
	switch why := authz.SessionRefusal(refused.Detail); why {
	case authz.ErrInvalidToken, authz.ErrSessionEnded, authz.ErrBindingMismatch, authz.ErrTokenReused:
		refused.cause = why
	}
	return err
}

func sessionOf(s api.Session) authz.Session {
	return authz.Session{
		ID:            s.Id,
		User:          s.User,
		Generation:    s.Generation,
		IP:            s.Ip,
		UserAgent:     s.UserAgent,
		Binding:       authz.SessionBinding(s.Binding),
		CreatedAt:     s.CreatedAt,
		LastSeenAt:    s.LastSeenAt,
		IdleExpiresAt: s.IdleExpiresAt,
		ExpiresAt:     s.ExpiresAt,
		EndedAt:       orZero(s.EndedAt),
		EndReason:     authz.SessionEnd(orZero(s.EndReason)),
	}
}
