package server

import (
	"context"
	"net/url"
	"slices"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (handlers) CreateSession(ctx context.Context, r api.CreateSessionRequestObject) (api.CreateSessionResponseObject, error) {
	issued, err := tenant(ctx).CreateSession(ctx, authz.NewSession{
		User: r.Body.User, IP: r.Body.Ip, UserAgent: r.Body.UserAgent, Binding: authz.SessionBinding(orZero(r.Body.Binding)),
	})
	if err != nil {
		return nil, err
	}
	return api.CreateSession201JSONResponse{IssuedSessionResponseJSONResponse: api.IssuedSessionResponseJSONResponse{
		Body: api.IssuedSessionEnvelope{
			Success: true, Code: 201, Message: ok, Timestamp: timestamp(),
			Data: api.IssuedSession{Session: sessionOf(issued.Session), Token: issued.Token},
		},
	}}, nil
}

func (handlers) RotateSession(ctx context.Context, r api.RotateSessionRequestObject) (api.RotateSessionResponseObject, error) {
	rotated, err := tenant(ctx).RotateSession(ctx, presented(*r.Body))
	if err != nil {
		return nil, err
	}
	return api.RotateSession200JSONResponse{RotatedSessionResponseJSONResponse: api.RotatedSessionResponseJSONResponse{
		Body: api.RotatedSessionEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.RotatedSession{
				Outcome: api.RotatedSessionOutcome(rotated.Outcome), Session: sessionOf(rotated.Session), Token: rotated.Token,
			},
		},
	}}, nil
}

func (handlers) VerifySession(ctx context.Context, r api.VerifySessionRequestObject) (api.VerifySessionResponseObject, error) {
	status, err := tenant(ctx).VerifySession(ctx, presented(*r.Body))
	if err != nil {
		return nil, err
	}
	data := api.SessionStatus{Active: status.Active}
	if status.Active {
		session := sessionOf(status.Session)
		data.Session = &session
	}
	return api.VerifySession200JSONResponse{SessionStatusResponseJSONResponse: api.SessionStatusResponseJSONResponse{
		Body: api.SessionStatusEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: data},
	}}, nil
}

func (handlers) ListSessions(ctx context.Context, r api.ListSessionsRequestObject) (api.ListSessionsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	if err := notEmpty("user", r.Params.User); err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Sessions(ctx, orZero(r.Params.User), orZero(r.Params.Ended), p)
	if err != nil {
		return nil, err
	}
	return api.ListSessions200JSONResponse{SessionListResponseJSONResponse: api.SessionListResponseJSONResponse{
		Body: api.SessionListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, sessionOf),
		},
		Headers: api.SessionListResponseResponseHeaders{Link: next(ctx, l.Next)},
	}}, nil
}

func (handlers) GetSession(ctx context.Context, r api.GetSessionRequestObject) (api.GetSessionResponseObject, error) {
	session, err := tenant(ctx).Session(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return api.GetSession200JSONResponse{SessionResponseJSONResponse: api.SessionResponseJSONResponse{
		Body: api.SessionEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: sessionOf(session)},
	}}, nil
}

func (handlers) DeleteSession(ctx context.Context, r api.DeleteSessionRequestObject) (api.DeleteSessionResponseObject, error) {
	ended, err := tenant(ctx).EndSession(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return api.DeleteSession200JSONResponse{ResultResponseJSONResponse: api.ResultResponseJSONResponse{
		Body: api.ResultEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: api.Result{Result: ended}},
	}}, nil
}

func (handlers) DeleteSessions(ctx context.Context, r api.DeleteSessionsRequestObject) (api.DeleteSessionsResponseObject, error) {
	// An except that is misspelled would end the session that was to be left.
	if _, err := strictQuery(exchangeOf(ctx).request.URL.RawQuery, "user", "except"); err != nil {
		return nil, err
	}
	count, err := tenant(ctx).EndSessions(ctx, r.Params.User, orZero(r.Params.Except))
	if err != nil {
		return nil, err
	}
	return api.DeleteSessions200JSONResponse{SessionsEndedResponseJSONResponse: api.SessionsEndedResponseJSONResponse{
		Body: api.SessionsEndedEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.SessionsEnded{Result: count > 0, Count: count},
		},
	}}, nil
}

func (h handlers) GetJWKS(ctx context.Context, _ api.GetJWKSRequestObject) (api.GetJWKSResponseObject, error) {
	set, err := h.server.engine.JWKS(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]api.JWK, len(set.Keys))
	for i, k := range set.Keys {
		keys[i] = api.JWK{
			Kty: api.JWKKty(k.KeyType), Use: api.JWKUse(k.Use), Alg: api.JWKAlg(k.Algorithm), Kid: k.KeyID,
			N: orNil(k.Modulus), E: orNil(k.Exponent), Crv: orNil(api.JWKCrv(k.Curve)), X: orNil(k.X), Y: orNil(k.Y),
		}
	}
	caching := "public, max-age=300"
	if len(keys) == 0 {
		// A cache would keep the first key from those who need it.
		caching = "no-store"
	}
	return api.GetJWKS200JSONResponse{
		Body:    api.JWKSet{Keys: keys},
		Headers: api.GetJWKS200ResponseHeaders{CacheControl: &caching},
	}, nil
}

// notEmpty refuses a query parameter that is there and empty. To the engine that is
// one which is not there, and so stands for more than its sender may have meant.
func notEmpty(name string, value *string) error {
	if value != nil && *value == "" {
		return fault.Invalid("%s: must not be empty; leave it out instead", name)
	}
	return nil
}

// strictQuery reads a query that has no other parameters than some, each once and
// with a value. It is for operations that do more where a parameter is missing, so that
// one which is misspelled must not be left out.
func strictQuery(raw string, names ...string) (url.Values, error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fault.Invalid("query: is malformed")
	}
	for name, values := range query {
		switch {
		case !slices.Contains(names, name):
			return nil, fault.Invalid("%.64s: is not a parameter of this operation", name)
		case len(values) > 1 || values[0] == "":
			return nil, fault.Invalid("%s: must be given once, with a value", name)
		}
	}
	return query, nil
}

func presented(p api.PresentedSession) authz.PresentedSession {
	return authz.PresentedSession{Token: p.Token, IP: p.Ip, UserAgent: p.UserAgent}
}

func sessionOf(s authz.Session) api.Session {
	return api.Session{
		Id: s.ID, User: s.User, Generation: s.Generation, Ip: s.IP, UserAgent: s.UserAgent, Binding: api.SessionBinding(s.Binding),
		CreatedAt: s.CreatedAt, LastSeenAt: s.LastSeenAt, IdleExpiresAt: s.IdleExpiresAt, ExpiresAt: s.ExpiresAt,
		EndedAt: orNil(s.EndedAt), EndReason: orNil(api.SessionEndReason(s.EndReason)),
	}
}
