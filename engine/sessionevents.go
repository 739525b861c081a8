package engine

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
)

// endActions are the actions of the ends that a token brings about.
var endActions = map[authz.SessionEnd]string{
	authz.EndTokenReused:     audit.SessionTokenReused,
	authz.EndBindingMismatch: audit.SessionBindingMismatch,
	authz.EndGenerationAhead: audit.SessionGenerationAhead,
}

// sessionEvent tells of a session.
func sessionEvent(action, outcome string, row session.Row, details map[string]any) audit.Event {
	return audit.Event{
		Action: action, Outcome: outcome, Resource: "session/" + key(row.ID), User: row.User, Details: details,
	}
}

// eventKeeper is a transaction, of sessions or of policy.
type eventKeeper interface {
	AppendEvent(ctx context.Context, event audit.Event) error
}

// appendSessionEvent keeps an event in the transaction of its effect.
func (t *Tenant) appendSessionEvent(ctx context.Context, tx eventKeeper, event audit.Event) error {
	if !t.engine.audit {
		return nil
	}
	return tx.AppendEvent(ctx, t.sign(event))
}

// appendEnds tells of sessions that have been ended for a reason.
func (t *Tenant) appendEnds(ctx context.Context, tx eventKeeper, ended []session.Row, reason authz.SessionEnd) error {
	for _, row := range ended {
		event := sessionEvent(audit.SessionEnded, audit.Success, row, map[string]any{"reason": string(reason)})
		if err := t.appendSessionEvent(ctx, tx, event); err != nil {
			return err
		}
	}
	return nil
}

// creationDetails say for what a session was opened.
func creationDetails(row session.Row) map[string]any {
	return map[string]any{"ip": row.IP, "user_agent": row.UserAgent, "binding": string(row.Binding)}
}

// endDetails say where a token came from that ended its session, and where the
// session was last seen.
func endDetails(p presentation, row session.Row) map[string]any {
	return map[string]any{
		"presented_generation": p.claims.Generation, "generation": row.Generation,
		"presented_ip": p.client.IP, "presented_user_agent": p.client.UserAgent,
		"session_ip": row.IP, "session_user_agent": row.UserAgent,
		"last_seen_at": row.RotatedAt.Format(time.RFC3339Nano),
	}
}

// moveDetails say where a session has gone, and from where.
func moveDetails(p presentation, before session.Row) map[string]any {
	return map[string]any{
		"ip": p.client.IP, "user_agent": p.client.UserAgent, "former_ip": before.IP, "former_user_agent": before.UserAgent,
	}
}

// recoveryDetails say which token was given again for which.
func recoveryDetails(p presentation, row session.Row) map[string]any {
	return map[string]any{
		"presented_generation": p.claims.Generation, "generation": row.Generation,
		"ip": p.client.IP, "user_agent": p.client.UserAgent,
	}
}
