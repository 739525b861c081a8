package server

import (
	"context"
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (handlers) ListDecisions(ctx context.Context, r api.ListDecisionsRequestObject) (api.ListDecisionsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	filter, err := decisionFilter(r.Params)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).LoggedDecisions(ctx, filter, p)
	if err != nil {
		return nil, err
	}
	return api.ListDecisions200JSONResponse{
		Body: api.LoggedDecisionListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, loggedDecision),
		},
		Headers: api.ListDecisions200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func decisionFilter(params api.ListDecisionsParams) (engine.DecisionFilter, error) {
	resource, err := resourceFilter(params.Resource)
	if err != nil {
		return engine.DecisionFilter{}, err
	}
	since, err := given("since", params.Since)
	if err != nil {
		return engine.DecisionFilter{}, err
	}
	until, err := given("until", params.Until)
	return engine.DecisionFilter{
		User:       orZero(params.User),
		Permission: orZero(params.Permission),
		Resource:   resource,
		Allowed:    params.Allowed,
		RequestID:  orZero(params.RequestId),
		Since:      since,
		Until:      until,
	}, err
}

// resourceFilter reads a type and an id, each percent-encoded, with a slash between.
func resourceFilter(given *string) (authz.Node, error) {
	if orZero(given) == "" {
		return authz.Node{}, nil
	}
	kind, id, _ := strings.Cut(*given, "/")
	kind, errType := url.PathUnescape(kind)
	id, errID := url.PathUnescape(id)
	if errType != nil || errID != nil || kind == "" || id == "" || strings.Count(*given, "/") != 1 {
		return authz.Node{}, fault.Invalid("resource: must be TYPE/ID, each percent-encoded")
	}
	return authz.Node{Type: kind, ID: id}, nil
}

func loggedDecision(d engine.LoggedDecision) api.LoggedDecision {
	decision := api.LoggedDecision{
		Id: d.ID, Time: d.Time, Actor: d.Actor, User: d.User, SubjectType: orNil(d.SubjectType), Permission: d.Permission,
		Allowed: d.Allowed, Revision: d.Revision, RequestId: d.RequestID, Ip: d.IP,
	}
	if d.Resource != (authz.Node{}) {
		decision.Resource = &api.LoggedResource{Type: d.Resource.Type, Id: d.Resource.ID}
	}
	if len(d.Reasons) > 0 {
		reasons := convert(d.Reasons, reasonOf)
		decision.Reasons = &reasons
	}
	return decision
}
