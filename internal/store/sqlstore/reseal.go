package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals rows anew while processes go on reading and writing.
//
// Each tenant goes through three states: its rows are sealed with one key; new ones are
// sealed with another, and old ones may still be as they were; all are sealed with the
// other. A process reads a tenant's state on the snapshot, or under the lock, that it
// works in. So it asks for all forms that a name may have there, and a row that moves from
// one form to the other is seen once, in either. What is done in one transaction may be
// done again: whoever is stopped anywhere leaves one of the three states, and who begins
// anew finds what is left to do.

// resealing is one run towards a key.
type resealing struct {
	store *Store
	// turn is encryption's while the run is not overtaken by one to another key.
	turn   int64
	target string
	// written is told of rows that were sealed anew.
	written func(rows int64)
}

var errOvertaken = fault.Conflict("another encryption command was started meanwhile, for another key")

// run seals all that is not sealed with the target yet.
func (r *resealing) run(ctx context.Context, fromPlain bool) error {
	if err := r.store.awaitWriters(ctx); err != nil {
		return err
	}
	if fromPlain {
		if err := r.createTenants(ctx); err != nil {
			return err
		}
	}
	if err := r.installation(ctx); err != nil {
		return err
	}
	for {
		if err := r.tenants(ctx); err != nil {
			return err
		}
		// Before the end, so that whoever is stopped meanwhile begins anew.
		if r.target != seal.Plain {
			if err := r.store.db.purge(ctx); err != nil {
				return err
			}
		}
		finished, err := r.finish(ctx)
		if err != nil || finished {
			return err
		}
	}
}

// awaitWriters waits for the transactions that may have read how new tenants are sealed,
// or written for one that has no row, before that changed.
func (s *Store) awaitWriters(ctx context.Context) error {
	for _, await := range []func(postgres.Querier) error{
		func(q postgres.Querier) error { return q.AwaitTenantWriters(ctx) },
		func(q postgres.Querier) error { return q.AwaitSessionWriters(ctx) },
		func(q postgres.Querier) error { return q.AwaitSessionUserWriters(ctx) },
		func(q postgres.Querier) error { return q.AwaitEventWriters(ctx) },
		func(q postgres.Querier) error { return q.AwaitTokenWriters(ctx) },
		func(q postgres.Querier) error { return q.AwaitDecisionWriters(ctx) },
	} {
		if err := s.exclusively(ctx, await); err != nil {
			return err
		}
	}
	return nil
}

// exclusively runs fn, which locks a table, in a transaction that does not wait long for
// it: others that come after would wait with it.
func (s *Store) exclusively(ctx context.Context, fn func(postgres.Querier) error) error {
	const doing = "wait for writers"
	return s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		if err := tx.WaitAtMost(ctx, postgres.WaitAtMostParams{Bound: lockTimeout}); err != nil {
			return false, classify(ctx, err, doing)
		}
		err := fn(tx)
		if refusal := (*fault.Error)(nil); errors.As(err, &refusal) {
			return false, err
		}
		return true, classify(ctx, err, doing)
	})
}

// lockTimeout is how long a table's lock is waited for at once. PostgreSQL has an
// autovacuum give way after a second (deadlock_timeout).
const lockTimeout = "2s"

// createTenants makes the rows of tenants that something was written of without one.
func (r *resealing) createTenants(ctx context.Context) error {
	const doing = "look for tenants without a row"
	for after := ""; ; {
		tenants, err := r.store.db.queries().UnknownTenants(ctx, postgres.UnknownTenantsParams{AfterID: after})
		if err != nil || len(tenants) == 0 {
			return classify(ctx, err, doing)
		}
		after = slices.Min(tenants)
		if err := r.inTurn(ctx, func(tx transaction, _ sealing) error {
			return classify(ctx, tx.CreateUnwrittenTenant(ctx, postgres.CreateUnwrittenTenantParams{Tenant: after, CreatedAt: nowMicros()}), doing)
		}); err != nil {
			return err
		}
	}
}

// inTurn runs fn in a transaction during which no other run begins. state is how the
// installation's own values are sealed.
func (r *resealing) inTurn(ctx context.Context, fn func(tx transaction, state sealing) error) error {
	return r.store.inTransaction(ctx, "seal anew", func(tx transaction) (bool, error) {
		row, err := tx.HoldEncryption(ctx)
		if err != nil {
			return false, classify(ctx, err, "read the encryption")
		}
		if row.Turn != r.turn {
			return false, errOvertaken
		}
		return true, fn(tx, sealingOf(row.SealedWith, row.SealedAlso))
	})
}

// installation seals the installation's own rows.
func (r *resealing) installation(ctx context.Context) error {
	const doing = "seal the signing keys anew"
	var written int64
	err := r.inTurn(ctx, func(tx transaction, state sealing) error {
		keys, err := tx.AllSigningKeys(ctx)
		if err != nil {
			return classify(ctx, err, doing)
		}
		q, err := r.store.vault.sealed(ctx, tx, "", state)
		if err != nil {
			return err
		}
		written = 0
		for _, stored := range keys {
			if r.done(stored.Seal) {
				continue
			}
			row, err := q.openSigningKey(stored)
			if err != nil {
				return err
			}
			if row, err = q.sealSigningKey(row); err != nil {
				return err
			}
			n, err := tx.ResealSigningKey(ctx, postgres.ResealSigningKeyParams{
				Purpose: stored.Purpose, Number: stored.Number, OldSeal: stored.Seal, Material: row.Material, Seal: row.Seal,
			})
			if err != nil {
				return classify(ctx, err, doing)
			}
			written += n
		}
		return nil
	})
	if err == nil {
		r.written(written)
	}
	return err
}

// tenants seals the rows of all tenants that have others.
func (r *resealing) tenants(ctx context.Context) error {
	for after := ""; ; {
		tenants, err := r.store.db.queries().UnsealedTenants(ctx, postgres.UnsealedTenantsParams{
			AfterID: after, SealedWith: r.target, MaxRows: scanRows,
		})
		if err != nil || len(tenants) == 0 {
			return classify(ctx, err, "list the tenants")
		}
		after = tenants[len(tenants)-1]
		for _, tenant := range tenants {
			if err := r.tenant(ctx, tenant); err != nil {
				return fmt.Errorf("tenant %s: %w", tenant, err)
			}
		}
	}
}

func (r *resealing) tenant(ctx context.Context, tenant string) error {
	if err := r.inTurn(ctx, func(tx transaction, _ sealing) error { return r.turnTenant(ctx, tx, tenant) }); err != nil {
		return err
	}
	for {
		var written int64
		for _, table := range resealables {
			n, err := table.reseal(ctx, r, tenant)
			if err != nil {
				return err
			}
			written += n
		}
		if written == 0 {
			break
		}
	}
	return r.inTurn(ctx, func(tx transaction, _ sealing) error {
		return classify(ctx, tx.SetTenantSealing(ctx, postgres.SetTenantSealingParams{Tenant: tenant, SealedWith: r.target}), "seal a tenant")
	})
}

// turnTenant has all that is written of a tenant from now on sealed with the target.
func (r *resealing) turnTenant(ctx context.Context, tx transaction, tenant string) error {
	const doing = "change a tenant's key"
	row, err := tx.LockTenantSealing(ctx, postgres.LockTenantSealingParams{Tenant: tenant})
	if err != nil {
		return classify(ctx, err, doing)
	}
	state := sealingOf(row.SealedWith, row.SealedAlso).towards(r.target)
	return classify(ctx, tx.SetTenantSealing(ctx, postgres.SetTenantSealingParams{
		Tenant: tenant, SealedWith: state.with, SealedAlso: state.alsoText(),
	}), doing)
}

// reseal implements resealable. A row that was changed since it was read is left: it has
// the target's key by now, or is found by the next round.
func (t rows[R]) reseal(ctx context.Context, r *resealing, tenant string) (written int64, err error) {
	for after := t.start; ; {
		stored, err := t.behind(ctx, r.store.db.queries(), tenant, after)
		if err != nil || len(stored) == 0 {
			return written, classify(ctx, err, "read what is to be sealed anew")
		}
		after = stored[len(stored)-1]
		stored = slices.DeleteFunc(stored, func(row R) bool { return r.done(t.seal(row)) })
		if len(stored) == 0 {
			continue
		}
		err = r.inTurn(ctx, func(tx transaction, _ sealing) error {
			q, err := r.hold(ctx, tx, tenant, t.policy)
			if err != nil {
				return err
			}
			return t.replace(ctx, tx, q, stored)
		})
		if err != nil {
			return written, err
		}
		written += int64(len(stored))
		r.written(int64(len(stored)))
	}
}

// hold locks a tenant, as a change of its policy does or as others do, and returns what
// opens and seals its rows.
func (r *resealing) hold(ctx context.Context, tx transaction, tenant string, policy bool) (*sealed, error) {
	var row postgres.HoldTenantSealingRow
	if policy {
		locked, err := tx.LockTenant(ctx, postgres.LockTenantParams{Tenant: tenant})
		if err != nil {
			return nil, classify(ctx, err, "lock a tenant")
		}
		row = postgres.HoldTenantSealingRow(locked)
	} else {
		held, err := tx.HoldTenantSealing(ctx, postgres.HoldTenantSealingParams{Tenant: tenant})
		if err != nil {
			return nil, classify(ctx, err, "lock a tenant")
		}
		row = held
	}
	return r.store.vault.sealed(ctx, tx, tenant, sealingOf(row.SealedWith, row.SealedAlso))
}

// replace seals stored rows anew, in one round trip.
func (t rows[R]) replace(ctx context.Context, tx transaction, q *sealed, stored []R) error {
	anew := make([]R, len(stored))
	for i, before := range stored {
		row, err := t.opened(q, before)
		if err != nil {
			return err
		}
		if anew[i], err = t.sealed(q, row); err != nil {
			return err
		}
	}
	err := tx.pipeline(ctx, func(pipeline postgres.Querier) error {
		for i, row := range anew {
			if _, err := t.write(ctx, pipeline, stored[i], row); err != nil {
				return err
			}
		}
		return nil
	})
	return classify(ctx, err, "seal rows anew")
}

// done reports whether a row with a seal needs none.
func (r *resealing) done(rowSeal string) bool {
	if r.target == seal.Plain {
		return rowSeal == ""
	}
	return seal.KeyID(rowSeal) == r.target
}

// finish ends a run after which nothing is left to do: only the target's key is live.
func (r *resealing) finish(ctx context.Context) (finished bool, err error) {
	err = r.store.exclusively(ctx, func(tx postgres.Querier) error {
		row, err := tx.LockEncryption(ctx)
		if err != nil {
			return err
		}
		if row.Turn != r.turn {
			return errOvertaken
		}
		if err := tx.AwaitTenantWriters(ctx); err != nil {
			return err
		}
		left, err := tx.UnsealedTenants(ctx, postgres.UnsealedTenantsParams{SealedWith: r.target, MaxRows: 1})
		if finished = err == nil && len(left) == 0; !finished {
			return err
		}
		if err := tx.SetEncryption(ctx, postgres.SetEncryptionParams{SealedWith: r.target, Salt: row.Salt, Turn: row.Turn}); err != nil {
			return err
		}
		return tx.RetireEncryptionKeys(ctx, postgres.RetireEncryptionKeysParams{RetiredAt: nowMicros(), ExceptNumber: numberOf(r.target)})
	})
	return finished, err
}
