package engine

import (
	"context"
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Tenant is one isolated namespace: everything that its methods read or change
// belongs to it alone. A name means the same user, role or permission only within
// one tenant.
type Tenant struct {
	engine *Engine
	id     string
	actor  Actor

	// opening is the key that opened an empty tenant and is not kept yet: the
	// first change keeps it, in its own transaction.
	opening *store.ClientKey
}

// Actor is who asks, for the audit log. A program that embeds the engine may
// leave it empty.
type Actor struct {
	// Fingerprint is the client key's; empty means the embedding program.
	Fingerprint string
	IP          string
	UserAgent   string
	RequestID   string
}

// Tenant returns the tenant of that id, which may be any string of the form that
// authz.ValidateID accepts. Its first change creates it. The tenants of client
// keys have ids of their own; see Authenticate.
func (e *Engine) Tenant(id string) *Tenant { return &Tenant{engine: e, id: id} }

// ID returns the tenant's id.
func (t *Tenant) ID() string { return t.id }

// As returns the same tenant, whose changes the audit log ascribes to actor.
func (t *Tenant) As(actor Actor) *Tenant {
	as := *t
	as.actor = actor
	return &as
}

// effect is what a mutation did: a record for the change feed and an event.
type effect struct {
	kind, key string
	event     audit.Event
}

// mutate is the one path for changes. It runs fn in a transaction and keeps the
// effect that fn returns, with its change record and its audit event, in the same
// one. A nil effect says that there was nothing to do: nothing is kept. fn may run
// more than once, so it acts only through its Tx.
func (t *Tenant) mutate(ctx context.Context, fn func(store.Tx) (*effect, error)) (authz.Written, error) {
	var written authz.Written
	if err := authz.ValidateID(t.id); err != nil {
		return written, invalid("tenant", err)
	}
	revision, err := t.engine.store.Update(ctx, t.id, func(tx store.Tx) error {
		written.Changed = false
		done, err := fn(tx)
		if err != nil || done == nil {
			return err
		}
		written.Changed = true
		if err := t.keepOpening(ctx, tx); err != nil {
			return err
		}
		return t.keep(ctx, tx, *done)
	})
	if err != nil {
		return authz.Written{}, err
	}
	written.Revision = revision
	return written, nil
}

// keep writes an effect's change record and audit event.
func (t *Tenant) keep(ctx context.Context, tx store.Tx, done effect) error {
	if err := tx.AppendChange(ctx, done.kind, done.key); err != nil {
		return err
	}
	if !t.engine.audit {
		return nil
	}
	event := done.event
	event.Resource = done.kind + "/" + done.key
	event.Outcome = audit.Success
	return tx.AppendEvent(ctx, t.sign(event))
}

// keepOpening keeps the key that opens the tenant, unless another request with
// the same key has.
func (t *Tenant) keepOpening(ctx context.Context, tx store.Tx) error {
	if t.opening == nil {
		return nil
	}
	created, err := tx.CreateClientKey(ctx, *t.opening)
	if err != nil || !created {
		return err
	}
	return t.keep(ctx, tx, clientKeyEffect(audit.ClientKeyCreated, *t.opening))
}

// sign says in an event who did it, from where and when.
func (t *Tenant) sign(event audit.Event) audit.Event {
	event.Time = t.engine.now()
	event.Actor = t.actor.Fingerprint
	if event.Actor == "" {
		event.Actor = audit.System
	}
	event.IP = shorten(t.actor.IP)
	event.UserAgent = shorten(t.actor.UserAgent)
	event.RequestID = shorten(t.actor.RequestID)
	return event
}

// maxActorText bounds what is kept of each thing that a caller says of itself, in
// bytes: a long header must not keep its event, and so the change, from being
// written. The store mends what is no text.
const maxActorText = 512

func shorten(s string) string { return s[:min(len(s), maxActorText)] }

// key joins names as a REST path does, so that no name can be taken for two.
func key(names ...string) string {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = url.PathEscape(name)
	}
	return strings.Join(escaped, "/")
}
