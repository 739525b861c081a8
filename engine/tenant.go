package engine

import (
	"context"
	"maps"
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Tenant is one isolated namespace: everything that its methods read or change
// belongs to it alone. A name means the same user, role or permission only within
// one tenant.
type Tenant struct {
	engine *Engine
	id     string
	actor  Actor

	// least is the revision that answers must be made at, or after.
	least int64

	// opening is the key that opened an empty tenant and is not kept yet: the
	// first change keeps it, in its own transaction.
	opening *store.ClientKey

	// tx is the transaction of the batch or attempt that this Tenant was made for; else nil.
	tx *transaction
	// sessions is the transaction of the attempt that this Tenant was made for, where that
	// changes sessions; else nil.
	sessions *sessionsWithin
}

// Actor is who asks, for the audit log. A program that embeds the engine may
// leave it empty.
type Actor struct {
	// Fingerprint is the client key's; empty means the embedding program.
	Fingerprint string
	IP          string
	UserAgent   string
	RequestID   string
	// Family is that of the access token, and Subject whom it speaks for; empty where the
	// client key itself asks.
	Family  string
	Subject string
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

// AtLeast returns the same tenant, whose answers are made at the given revision or
// a later one: an answer waits for it, and after 10 s is ErrUnavailable. The
// revision of a change makes what follows see that change, on any server.
func (t *Tenant) AtLeast(revision int64) *Tenant {
	at := *t
	at.least = revision
	return &at
}

// effect is what a mutation did to one thing: a record for the change feed and an
// event, which has no action where that of another effect says it all.
type effect struct {
	kind, key string
	event     audit.Event
}

// takesAlong is what a deletion does to all that hangs on the thing, of one kind.
func takesAlong(kind string) effect { return effect{kind: kind, key: store.KeyAll} }

// put chooses the action of a change that creates or replaces.
func put(existed bool, creation, replacement string) string {
	if existed {
		return replacement
	}
	return creation
}

// mutate is the one path for changes. It runs fn in a transaction, that of the batch or
// attempt where there is one, and keeps the effects that fn returns, each with its change
// record and its audit event, in the same one. No effect says that there was nothing
// to do: nothing is kept. fn may run more than once, so it acts only through its Tx.
func (t *Tenant) mutate(ctx context.Context, fn func(store.Tx) ([]effect, error)) (authz.Written, error) {
	if t.tx != nil {
		return t.tx.mutate(ctx, t, fn)
	}
	return t.update(ctx, func(tx *transaction) error {
		_, err := tx.mutate(ctx, t, fn)
		return err
	})
}

// update runs fn in a transaction, and after its commit lets this process know what
// fn has changed.
func (t *Tenant) update(ctx context.Context, fn func(*transaction) error) (authz.Written, error) {
	if t.sessions != nil {
		return authz.Written{}, fault.Invalid("once: an attempt on sessions cannot change policy")
	}
	if err := authz.ValidateID(t.id); err != nil {
		return authz.Written{}, invalid("tenant", err)
	}
	var changes []authz.Change
	revision, err := t.engine.store.Update(ctx, t.id, func(tx store.Tx) error {
		x := &transaction{Tx: tx}
		err := fn(x)
		changes = x.changes
		return err
	})
	if err != nil {
		return authz.Written{}, err
	}
	if len(changes) > 0 {
		t.engine.live.Wrote(ctx, t.id, revision, changes)
	}
	return authz.Written{Changed: len(changes) > 0, Revision: revision}, nil
}

// keep writes an effect's change record and audit event.
func (t *Tenant) keep(ctx context.Context, tx store.Tx, done effect) error {
	if err := tx.AppendChange(ctx, done.kind, done.key); err != nil {
		return err
	}
	if !t.engine.audit || done.event.Action == "" {
		return nil
	}
	event := done.event
	event.Resource = done.kind + "/" + done.key
	event.Outcome = audit.Success
	return tx.AppendEvent(ctx, t.sign(event))
}

// keepOpening keeps the key that opens the tenant, unless another request with
// the same key has.
func (t *Tenant) keepOpening(ctx context.Context, tx store.Tx) ([]effect, error) {
	if t.opening == nil {
		return nil, nil
	}
	created, err := tx.CreateClientKey(ctx, *t.opening)
	if err != nil || !created {
		return nil, err
	}
	return []effect{clientKeyEffect(audit.ClientKeyCreated, *t.opening)}, nil
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
	if t.actor.Family != "" {
		details := map[string]any{"token": t.actor.Family}
		if t.actor.Subject != "" {
			details["subject"] = t.actor.Subject
		}
		// The event's own may be those of a function that runs again.
		maps.Copy(details, event.Details)
		event.Details = details
	}
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
