package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AuditEvent is one entry of a tenant's audit log.
type AuditEvent = audit.Event

// AuditFilter selects events. A zero field selects all.
type AuditFilter = audit.Filter

// AuditEvents lists the tenant's audit events, newest first.
func (t *Tenant) AuditEvents(ctx context.Context, filter AuditFilter, page authz.Page) (authz.List[AuditEvent], error) {
	if err := validateFilter(filter); err != nil {
		return authz.List[AuditEvent]{}, err
	}
	return list(ctx, t, page, question("audit", filter.User, filter.Action, filter.Resource, filter.Outcome, filter.RequestID,
		filter.Since.UTC().String(), filter.Until.UTC().String()), lister[AuditEvent]{
		read: func(r store.Reader, after []string, limit int) ([]AuditEvent, error) {
			return r.AuditEvents(ctx, filter, after[0], limit)
		},
		position: func(e AuditEvent) []string { return []string{e.ID} },
		wanted:   store.WantAll,
	})
}

func validateFilter(filter AuditFilter) error {
	switch filter.Outcome {
	case "", audit.Success, audit.Refused:
	default:
		return fault.Invalid("outcome: must be %q or %q", audit.Success, audit.Refused)
	}
	for _, f := range []struct{ name, value string }{
		{"user", filter.User}, {"action", filter.Action}, {"resource", filter.Resource}, {"request_id", filter.RequestID},
	} {
		if err := validateText(f.name, f.value, maxFilter); err != nil {
			return err
		}
	}
	return nil
}

// maxFilter is more characters than anything has that a filter can match.
const maxFilter = 4096

// refuse keeps an event about what did not happen. It has no effect to share a
// transaction with, and the caller is refused whether it can be kept or not.
func (t *Tenant) refuse(ctx context.Context, action, resource string, details map[string]any) {
	if !t.engine.audit {
		return
	}
	event := t.sign(audit.Event{Action: action, Resource: resource, Outcome: audit.Refused, Details: details})
	if err := t.engine.store.AppendEvent(ctx, t.id, event); err != nil {
		t.engine.log.ErrorContext(ctx, "a refusal could not be audited", "action", action, "actor", event.Actor, "error", err)
	}
}
