package engine

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/receipt"
	"github.com/gatehouse/gatehouse/internal/store"
)

const (
	// answersKept is how long the answer to a request is kept for one that comes again.
	answersKept = 24 * time.Hour

	// settlePatience is how long a commit that was not confirmed is looked into, by tries
	// with pauses from firstSettling up to lastSettling between.
	settlePatience = 5 * time.Second
	firstSettling  = 50 * time.Millisecond
	lastSettling   = time.Second
)

// Attempt is one try of a request that is to have its effect once.
type Attempt struct {
	// Key is what the client calls the request, the same in each of its tries.
	Key string
	// Credential is what the caller was authenticated by. It seals the answer.
	Credential string
	// Request is the request itself: no other has the same bytes.
	Request []byte
	// Sessions tells that the request changes sessions; else it changes policy.
	Sessions bool
}

// errMustOpen ends a transaction on sessions for whose tenant its key must be kept
// first, which cannot be done within.
var errMustOpen = errors.New("the tenant must be opened first")

// Once carries out fn, which makes one change or one Batch on the Tenant that it is
// given, unless an attempt with the same key of the same caller has succeeded in the
// last 24 h. Then it changes nothing, and returns the answer of that one: replayed is
// true. An attempt whose request or credential is another is ErrConflict.
//
// The answer is kept, sealed, in the transaction of the change, and where there was
// nothing to change, by itself. An error keeps nothing. Of attempts at the same time
// all get the answer of one. A commit that was not confirmed is settled by
// another try, as far as the database comes back soon enough.
//
// fn may run again, so it acts only through its Tenant, in one goroutine, and not
// beyond its return. As in a Batch it can make no decisions.
func (t *Tenant) Once(ctx context.Context, attempt Attempt, fn func(*Tenant) (answer []byte, err error)) (answer []byte, replayed bool, err error) {
	if t.tx != nil || t.sessions != nil {
		return nil, false, fault.Invalid("once: cannot be within another, or a batch")
	}
	if err := authz.ValidateID(t.id); err != nil {
		return nil, false, invalid("tenant", err)
	}
	now, err := t.engine.sessionNow(ctx)
	if err != nil {
		return nil, false, err
	}
	credential := attempt.Credential
	if canonical, err := parseClientKey(credential); err == nil {
		credential = canonical
	}
	o := &once{
		tenant: t, attempt: attempt, fn: fn, now: now,
		secret: receipt.Secret{Credential: credential, Name: attempt.Key},
		id:     receipt.ID(t.id, t.actor.Fingerprint, attempt.Key),
	}
	if err := o.settle(ctx); err != nil {
		return nil, false, err
	}
	return o.answer, o.replayed, nil
}

// once is an attempt that is under way.
type once struct {
	tenant  *Tenant
	attempt Attempt
	fn      func(*Tenant) ([]byte, error)
	// now is the time that all servers share: no receipt is to expire early where a clock
	// is wrong.
	now    time.Time
	secret receipt.Secret
	// id is the receipt's.
	id string

	// answer is what the request is answered, and replayed that another attempt was.
	answer   []byte
	replayed bool
	// found tells that the last try has found a receipt and done nothing. Before that,
	// sealed is what a try was about to keep, and revision and changes its effect.
	found    bool
	sealed   string
	revision int64
	changes  []authz.Change
}

// settle tries until it is known whether the change was made. A try after one whose
// commit was not confirmed finds the receipt of that, or waits until that is rolled
// back, for both take the same locks.
func (o *once) settle(ctx context.Context) error {
	unconfirmed := o.try(ctx)
	if e, ok := errors.AsType[*fault.Error](unconfirmed); !ok || !e.Unknown {
		return unconfirmed
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := o.try(ctx)
		if err != nil && !errors.Is(err, ErrUnavailable) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: firstSettling, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: lastSettling,
	}), backoff.WithMaxElapsedTime(settlePatience))
	if ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
		return unconfirmed
	}
	return err
}

// try makes the change with its receipt, or finds a receipt.
func (o *once) try(ctx context.Context) error {
	change := o.changePolicy
	if o.attempt.Sessions {
		change = o.changeSessions
	}
	for {
		kept, err := change(ctx)
		if err != nil || kept || o.found {
			return err
		}
		// Nothing was changed, so nothing was committed. Nobody has seen the answer yet.
		kept, err = o.tenant.engine.store.KeepReceipt(ctx, o.tenant.id, o.receipt())
		if err != nil || kept {
			return err
		}
	}
}

// changePolicy tries in a transaction with a revision, and tells whether it kept the
// receipt.
func (o *once) changePolicy(ctx context.Context) (kept bool, err error) {
	written, err := o.tenant.update(ctx, func(tx *transaction) error {
		defer tx.end()
		if err := o.find(ctx, tx); err != nil || o.found {
			return err
		}
		tx.once = true
		within := *o.tenant
		within.tx = tx
		answer, err := o.fn(&within)
		if err := tx.outcome(err); err != nil {
			return err
		}
		o.take(answer)
		if len(tx.changes) == 0 {
			return nil
		}
		o.changes = tx.changes
		if o.revision, err = tx.Revision(ctx); err != nil {
			return err
		}
		return o.keep(ctx, tx)
	})
	if err == nil && o.found && !o.replayed {
		o.tenant.engine.live.Wrote(ctx, o.tenant.id, o.revision, o.changes)
	}
	return written.Changed, err
}

// changeSessions is changePolicy in a transaction on sessions.
func (o *once) changeSessions(ctx context.Context) (kept bool, err error) {
	t := o.tenant
	// A new session's token needs a key, and the first one is not to be made within.
	if _, err := t.engine.signingKeys(ctx, t.engine.signing); err != nil {
		return false, err
	}
	err = t.engine.store.UpdateSessions(ctx, t.id, func(tx store.SessionTx) error {
		if err := o.find(ctx, tx); err != nil || o.found {
			return err
		}
		within := *t
		within.sessions = &sessionsWithin{tx: tx, now: o.now}
		answer, err := o.fn(&within)
		if err != nil {
			return err
		}
		o.take(answer)
		if kept = tx.Changed(); !kept {
			return nil
		}
		return o.keep(ctx, tx)
	})
	if !errors.Is(err, errMustOpen) {
		return kept, err
	}
	if err := t.keepTenant(ctx); err != nil {
		return false, err
	}
	opened := *t
	opened.opening = nil
	o.tenant = &opened
	return o.changeSessions(ctx)
}

// find looks for a receipt, and takes the answer from it.
func (o *once) find(ctx context.Context, tx store.ReceiptTx) error {
	sealed, found, err := tx.Receipt(ctx, o.id, o.now)
	if o.found = found; err != nil || !found {
		return err
	}
	o.answer, err = o.secret.Open(o.id, sealed, o.attempt.Request)
	switch {
	case err == nil:
		o.replayed = sealed != o.sealed
		return nil
	case errors.Is(err, receipt.ErrOtherRequest):
		return fault.Conflict("Idempotency-Key: was used for another request: the method, path, query or body differs")
	case errors.Is(err, receipt.ErrOtherCredential):
		return fault.Conflict("Idempotency-Key: the change was made, and its answer is kept for another bearer token of this client key")
	}
	o.tenant.engine.log.ErrorContext(ctx, "the kept answer to a request was changed in the database", "tenant", o.tenant.id, "receipt", o.id)
	return fault.Conflict("Idempotency-Key: the change was made, and its answer cannot be read any more")
}

// take seals the answer of a try.
func (o *once) take(answer []byte) {
	o.answer, o.sealed = answer, o.secret.Seal(o.id, o.attempt.Request, answer)
}

// keep keeps the receipt of a try. Where another attempt was faster, the transaction is
// run again, and finds the receipt of that.
func (o *once) keep(ctx context.Context, tx store.ReceiptTx) error {
	kept, err := tx.KeepReceipt(ctx, o.receipt())
	if err != nil || kept {
		return err
	}
	return fault.Unavailable(store.ErrRetry, "Idempotency-Key: another request with it is being carried out")
}

func (o *once) receipt() store.Receipt {
	return store.Receipt{ID: o.id, Sealed: o.sealed, KeptAt: o.now, ExpiresAt: o.now.Add(answersKept)}
}

// sessionsWithin is the transaction of an attempt that changes sessions.
type sessionsWithin struct {
	tx  store.SessionTx
	now time.Time
}

// sessionNow is Engine.sessionNow, which a transaction is not to ask for by another
// connection.
func (t *Tenant) sessionNow(ctx context.Context) (time.Time, error) {
	if t.sessions != nil {
		return t.sessions.now, nil
	}
	return t.engine.sessionNow(ctx)
}

// session reads a session, within an attempt by its transaction.
func (t *Tenant) session(ctx context.Context, id string) (store.SessionRecord, bool, error) {
	if t.sessions != nil {
		return t.sessions.tx.Session(ctx, id)
	}
	return t.engine.store.Session(ctx, t.id, id)
}

// updateSessions runs fn in a transaction, that of the attempt where there is one.
func (t *Tenant) updateSessions(ctx context.Context, fn func(store.SessionTx) error) error {
	if t.sessions != nil {
		return fn(t.sessions.tx)
	}
	return t.engine.store.UpdateSessions(ctx, t.id, fn)
}
