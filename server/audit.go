package server

import (
	"context"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
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
		RequestId: e.RequestID, Revision: e.Revision, Seq: e.Seq,
	}
	if event.Details == nil {
		event.Details = map[string]any{}
	}
	return event
}

func (handlers) GetAuditCheckpoint(ctx context.Context, _ api.GetAuditCheckpointRequestObject) (api.GetAuditCheckpointResponseObject, error) {
	c, err := tenant(ctx).AuditCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	return api.GetAuditCheckpoint200JSONResponse{
		Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
		Data: api.AuditCheckpoint{Checkpoint: c.Note, Size: c.Size, Root: c.Root.String(), Key: c.Key},
	}, nil
}

func (handlers) ProveAuditInclusion(ctx context.Context, r api.ProveAuditInclusionRequestObject) (api.ProveAuditInclusionResponseObject, error) {
	if (r.Params.Id == nil) == (r.Params.Seq == nil) {
		return nil, fault.Invalid("id, seq: exactly one of them names the event")
	}
	if r.Params.Id != nil && *r.Params.Id == "" {
		return nil, fault.Invalid("id: must not be empty")
	}
	if err := positive("size", r.Params.Size); err != nil {
		return nil, err
	}
	p, err := tenant(ctx).AuditInclusion(ctx, engine.AuditPlace{ID: orZero(r.Params.Id), Seq: orZero(r.Params.Seq)}, orZero(r.Params.Size))
	if err != nil {
		return nil, err
	}
	return api.ProveAuditInclusion200JSONResponse{
		Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
		Data: api.AuditInclusion{
			Seq: p.Seq, Size: p.Size, Leaf: string(p.Leaf), LeafHash: p.LeafHash().String(),
			Hashes: convert(p.Hashes, engine.AuditHash.String), Checkpoint: orNil(p.Checkpoint),
		},
	}, nil
}

func (handlers) ProveAuditConsistency(ctx context.Context, r api.ProveAuditConsistencyRequestObject) (api.ProveAuditConsistencyResponseObject, error) {
	if err := positive("to", r.Params.To); err != nil {
		return nil, err
	}
	p, err := tenant(ctx).AuditConsistency(ctx, r.Params.From, orZero(r.Params.To))
	if err != nil {
		return nil, err
	}
	return api.ProveAuditConsistency200JSONResponse{
		Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
		Data: api.AuditConsistency{From: p.From, To: p.To, Hashes: convert(p.Hashes, engine.AuditHash.String)},
	}, nil
}

// positive refuses a size that is given and could not be that of a checkpoint.
func positive(name string, size *int64) error {
	if size != nil && *size < 1 {
		return fault.Invalid("%s: must be at least 1", name)
	}
	return nil
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
