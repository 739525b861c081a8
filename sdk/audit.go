package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// AuditEvent is one entry of a tenant's audit log.
type AuditEvent = audit.Event

// AuditFilter selects events. A zero field selects all.
type AuditFilter = audit.Filter

// AuditEvents lists the tenant's audit events, newest first.
func (c *Client) AuditEvents(ctx context.Context, filter AuditFilter, page authz.Page) (authz.List[AuditEvent], error) {
	a, err := read[[]api.AuditEvent](c.api.ListAuditEvents(ctx, &api.ListAuditEventsParams{
		User:      given(filter.User),
		Action:    given(filter.Action),
		Resource:  given(filter.Resource),
		Outcome:   given(api.Outcome(filter.Outcome)),
		RequestId: given(filter.RequestID),
		Since:     bound(filter.Since),
		Until:     bound(filter.Until),
		Limit:     given(page.Limit),
		Cursor:    given(page.Cursor),
	}))
	return listOf(a, a.data, auditEvent), err
}

func auditEvent(e api.AuditEvent) AuditEvent {
	return AuditEvent{
		ID:        e.Id,
		Time:      e.Time,
		Actor:     e.Actor,
		Action:    e.Action,
		Resource:  e.Resource,
		User:      e.User,
		Outcome:   string(e.Outcome),
		Details:   e.Details,
		IP:        e.Ip,
		UserAgent: e.UserAgent,
		RequestID: e.RequestId,
		Revision:  e.Revision,
	}
}
