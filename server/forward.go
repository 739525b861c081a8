package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// sessionCookie is where a browser keeps the token of its session. The prefix makes
// it take one over TLS alone, and for this host alone.
const sessionCookie = "__Host-session"

// AuthorizeForward answers a proxy. What the answer to the browser needs is in the
// header before anything else can fail: a token that was rotated must arrive even
// where the user may not do what they asked for.
func (h handlers) AuthorizeForward(ctx context.Context, _ api.AuthorizeForwardRequestObject) (api.AuthorizeForwardResponseObject, error) {
	x := exchangeOf(ctx)
	query, err := strictQuery(x.request.URL.RawQuery, "tenant", "permission", "resource")
	if err != nil {
		return nil, err
	}
	id, err := h.server.forwardTenant(query.Get("tenant"))
	if err != nil {
		return nil, err
	}
	check, err := forwardCheck(query)
	if err != nil {
		return nil, err
	}
	token, kept, err := forwardToken(x.request.Header)
	if err != nil {
		return nil, err
	}
	// A tenant takes no token of another.
	t := h.server.engine.Tenant(id)
	if id == "" {
		if t, err = h.server.engine.TenantOfSession(ctx, token); err != nil {
			return nil, h.server.countForged(ctx, token, err)
		}
	}
	from := authz.PresentedSession{Token: token, IP: h.server.clientIP(x.request), UserAgent: x.request.UserAgent()}
	t = t.As(engine.Actor{IP: from.IP, UserAgent: from.UserAgent, RequestID: x.requestID})
	session, err := takeForwarded(ctx, t, from, kept)
	if err != nil {
		return nil, h.server.countForged(ctx, token, err)
	}
	if check != nil {
		check.User = session.User
		decision, err := t.Check(ctx, *check)
		if err != nil {
			return nil, err
		}
		if !decision.Allowed {
			return nil, fault.Forbidden("the user does not have the permission %q", check.Permission)
		}
	}
	return api.AuthorizeForward200Response{Headers: api.AuthorizeForward200ResponseHeaders{
		XAuthTenant: headerText(t.ID()), XAuthUser: headerText(session.User), XAuthSession: session.ID,
	}}, nil
}

// countForged counts a token that was refused with err as a failed authentication,
// where it is none that this server has ever signed, and returns what to answer. A token
// that was signed is looked at however often its address has failed: nobody guesses
// one, and those of a browser are new each time.
func (s *Server) countForged(ctx context.Context, token string, err error) error {
	if _, forged := s.engine.TenantOfSession(ctx, token); !errors.Is(forged, authz.ErrInvalidToken) {
		return err
	}
	from := s.clientAddr(exchangeOf(ctx).request)
	if err := s.failures.admit(from, token); err != nil {
		return err
	}
	s.failures.note(from, token, err)
	return err
}

// takeForwarded finds the session of a token. One that is kept in a cookie is
// rotated, and the cookie with it; any other is only verified, for who sends it
// cannot take the next one.
func takeForwarded(ctx context.Context, t *engine.Tenant, from authz.PresentedSession, kept bool) (authz.Session, error) {
	if !kept {
		status, err := t.VerifySession(ctx, from)
		if err == nil && !status.Active {
			err = &fault.Error{Code: fault.CodeUnauthenticated, Detail: string(authz.ErrInvalidToken), Cause: authz.ErrInvalidToken}
		}
		return status.Session, err
	}
	header := exchangeOf(ctx).Header()
	rotated, err := t.RotateSession(ctx, from)
	switch {
	case err == nil && rotated.Outcome != authz.SessionCurrent:
		idle := rotated.Session.IdleExpiresAt.Sub(rotated.Session.LastSeenAt)
		header.Set("Set-Cookie", forwardCookie(rotated.Token, int(idle/time.Second)))
	case isOver(err):
		header.Set("Set-Cookie", forwardCookie("", -1))
	}
	return rotated.Session, err
}

// isOver tells that the session of a token that was refused has ended, so that no
// browser need keep it.
func isOver(err error) bool {
	return errors.Is(err, authz.ErrSessionEnded) || errors.Is(err, authz.ErrTokenReused) || errors.Is(err, authz.ErrBindingMismatch)
}

// forwardCookie keeps a token in a browser for a time in seconds; less than 0 takes
// away the one that it has.
func forwardCookie(token string, maxAge int) string {
	cookie := http.Cookie{
		Name: sessionCookie, Value: token, MaxAge: maxAge,
		Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	return cookie.String()
}

// forwardTenant decides whose tokens are taken, by the tenant that a proxy names;
// empty for any tenant's. One tenant's alice is not another's, so a proxy cannot name
// another one than the server is set to.
func (s *Server) forwardTenant(named string) (string, error) {
	switch {
	case named == "":
		return s.forwarded, nil
	case authz.ValidateID(named) != nil:
		return "", fault.Invalid("tenant: must be a tenant's id")
	case s.forwarded != "" && named != s.forwarded:
		return "", fault.Invalid("tenant: is not the one that this server is set to")
	default:
		return named, nil
	}
}

// forwardCheck reads what a proxy wants to be checked; nil where that is only who
// the user is.
func forwardCheck(query url.Values) (*authz.Request, error) {
	permission, resource := query.Get("permission"), query.Get("resource")
	if permission == "" {
		if resource != "" {
			return nil, fault.Invalid("resource: goes with permission")
		}
		return nil, nil
	}
	if err := authz.ValidatePermission(permission); err != nil {
		return nil, fault.Invalid("permission: %v", err)
	}
	check := &authz.Request{Permission: permission}
	if resource != "" {
		kind, id, _ := strings.Cut(resource, ":")
		if authz.ValidateID(kind) != nil || authz.ValidateID(id) != nil {
			return nil, fault.Invalid("resource: must be TYPE:ID")
		}
		check.Resource = &authz.RequestedResource{Node: authz.Node{Type: kind, ID: id}}
	}
	return check, nil
}

// forwardToken finds the session token in a request's header, and tells whether it
// is kept in a cookie. A bearer token counts before a cookie, even where it is no
// good: which of two users is meant is never left to chance. Of several tokens none is
// returned, but "", which the engine refuses.
func forwardToken(header http.Header) (token string, kept bool, err error) {
	authorizations := header.Values("Authorization")
	for _, value := range authorizations {
		scheme, token, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		if len(authorizations) > 1 {
			return "", false, nil
		}
		return strings.TrimSpace(token), false, nil
	}
	tokens := sessionCookies(header)
	switch len(tokens) {
	case 0:
		return "", false, fault.Unauthenticated("no session token")
	case 1:
		return tokens[0], true, nil
	default:
		return "", true, nil
	}
}

// sessionCookies returns the value of every session cookie, however malformed.
// Package http passes over what is, and so would find one where there are two. No
// other space than a browser takes off is taken off here: with it, a name is one that
// the prefix does not protect. Package middleware reads cookies in the same way.
func sessionCookies(header http.Header) []string {
	var values []string
	for pair := range strings.SplitSeq(strings.Join(header.Values("Cookie"), ";"), ";") {
		if name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "="); name == sessionCookie {
			values = append(values, value)
		}
	}
	return values
}

// headerText percent-encodes what of a name is not visible ASCII, and "%", so that a
// header carries any.
func headerText(name string) string {
	var text strings.Builder
	for _, b := range []byte(name) {
		if b <= ' ' || b > '~' || b == '%' {
			fmt.Fprintf(&text, "%%%02X", b)
			continue
		}
		text.WriteByte(b)
	}
	return text.String()
}
