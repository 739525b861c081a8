package engine

import (
	"context"
	"errors"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Batch carries out the mutations that fn makes on the Tenant that it is given in
// one transaction: under one revision, all or none. Each is checked, recorded and
// audited as it would be by itself.
//
// fn may run again after a conflict with others, so it acts only through its Tenant,
// in one goroutine, and not beyond its return. There, what is stored reads as the
// batch has left it so far, and a Written's Revision is the one that the batch makes
// if it changes anything. Decisions and what else the decision rule answers are
// ErrInvalid there, for they are made from what is committed; so is another Batch.
// A mutation that failed within the transaction undoes the batch, whatever fn
// returns.
func (t *Tenant) Batch(ctx context.Context, fn func(*Tenant) error) (authz.Written, error) {
	if t.tx != nil {
		return t.tx.batch(ctx, t, fn)
	}
	return t.update(ctx, func(tx *transaction) error {
		defer tx.end()
		within := *t
		within.tx = tx
		return tx.outcome(fn(&within))
	})
}

// transaction is what the mutations in one transaction share.
type transaction struct {
	store.Tx
	// changes are what the mutations have done so far.
	changes []authz.Change
	// failed is why no further one can be made; nil while one can.
	failed error
	// once tells that it is an attempt's: its one mutation, or batch, is all there is.
	once bool
}

var errBatchEnded = fault.Invalid("batch: has ended")

// mutate carries out one mutation and keeps its effects.
func (x *transaction) mutate(ctx context.Context, t *Tenant, fn func(store.Tx) ([]effect, error)) (authz.Written, error) {
	if x.failed != nil {
		return authz.Written{}, x.failed
	}
	before := len(x.changes)
	if x.failed = x.carryOut(ctx, t, fn); x.failed != nil {
		return authz.Written{}, x.failed
	}
	return x.written(ctx, len(x.changes) > before)
}

// written is the answer to a mutation. The revision of an attempt that has changed
// nothing is the one before, for that stays.
func (x *transaction) written(ctx context.Context, changed bool) (authz.Written, error) {
	revision, err := x.Revision(ctx)
	if x.once && !changed {
		revision--
	}
	return authz.Written{Changed: changed, Revision: revision}, err
}

// batch carries out a batch that is all of an attempt.
func (x *transaction) batch(ctx context.Context, t *Tenant, fn func(*Tenant) error) (authz.Written, error) {
	if !x.once {
		return authz.Written{}, fault.Invalid("batch: cannot be within another")
	}
	if x.failed != nil {
		return authz.Written{}, x.failed
	}
	inner := &transaction{Tx: x.Tx}
	defer inner.end()
	within := *t
	within.tx = inner
	if x.failed = inner.outcome(fn(&within)); x.failed != nil {
		return authz.Written{}, x.failed
	}
	x.changes = append(x.changes, inner.changes...)
	return x.written(ctx, len(inner.changes) > 0)
}

func (x *transaction) carryOut(ctx context.Context, t *Tenant, fn func(store.Tx) ([]effect, error)) error {
	done, err := fn(x.Tx)
	if err != nil || len(done) == 0 {
		return err
	}
	if len(x.changes) == 0 {
		opened, err := t.keepOpening(ctx, x.Tx)
		if err != nil {
			return err
		}
		done = append(opened, done...)
	}
	for _, e := range done {
		if err := t.keep(ctx, x.Tx, e); err != nil {
			return err
		}
		x.changes = append(x.changes, authz.Change{Kind: e.kind, Key: e.key})
	}
	return nil
}

// outcome is how a transaction ends whose function returned err. A conflict that err
// has lost sight of still makes the function run again.
func (x *transaction) outcome(err error) error {
	if err == nil || errors.Is(x.failed, store.ErrRetry) {
		return x.failed
	}
	return err
}

// end keeps whoever still holds the transaction's Tenant from using it.
func (x *transaction) end() { x.failed = errBatchEnded }

// view reads what the transaction sees.
func (x *transaction) view(fn func(store.Reader) error) error {
	if x.failed != nil {
		return x.failed
	}
	return fn(x.Tx)
}
