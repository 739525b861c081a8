package server

import (
	"context"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) ListAuditEvents(ctx context.Context, r api.ListAuditEventsRequestObject) (api.ListAuditEventsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	filter, err := auditFilter(r.Params)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).AuditEvents(ctx, filter, p)
	if err != nil {
		return nil, err
	}
	return api.ListAuditEvents200JSONResponse{
		Body: api.AuditEventListEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: convert(l.Items, auditEvent),
		},
		Headers: api.ListAuditEvents200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func auditFilter(params api.ListAuditEventsParams) (engine.AuditFilter, error) {
	since, err := given("since", params.Since)
	if err != nil {
		return engine.AuditFilter{}, err
	}
	until, err := given("until", params.Until)
	return engine.AuditFilter{
		User:      orZero(params.User),
		Action:    orZero(params.Action),
		Resource:  orZero(params.Resource),
		Outcome:   string(orZero(params.Outcome)),
		RequestID: orZero(params.RequestId),
		Since:     since,
		Until:     until,
	}, err
}

func auditEvent(e engine.AuditEvent) api.AuditEvent {
	event := api.AuditEvent{
		Id: e.ID, Time: e.Time, Actor: e.Actor, Action: e.Action, Resource: e.Resource, User: e.User,
		Outcome: api.Outcome(e.Outcome), Details: e.Details, Ip: e.IP, UserAgent: e.UserAgent,
		RequestId: e.RequestID, Revision: e.Revision,
	}
	if event.Details == nil {
		event.Details = map[string]any{}
	}
	return event
}

// orZero and orNil go between absence as the API shows it and the zero value.
func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func orNil[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}
