package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// sealed stands before the queries of a tenant whose values are sealed, in whole or, while
// a key is being changed, in part: it takes and gives plain values. It is bound to one
// tenant, and to one transaction or snapshot, in which its sealing holds.
//
// What reaches the database of a row is this. A name that rows are looked up by is sealed
// for its column, so it is asked for by all of its sealed forms. All that is only read
// back is sealed together in the row's seal, bound to the row's other columns in plain,
// and its own columns stay empty. So a value that was changed, or put elsewhere, fails to
// open, and so does a row any of whose bound columns was changed.
//
// One name is sealed in another way in each column, so that no query can join sealed
// columns, nor put them in order. What does in plain is done here, on rows that are read
// by their names.
//
// The sealed*.go files hold its queries by topic; one that is not there touches no sealed
// column.
type sealed struct {
	postgres.Querier
	tenant string
	seals  *seal.Tenant
	sealing
	// broken is the vault's.
	broken *atomic.Uint64
}

var errSealedName = errors.New("a name is asked for in its sealed form")

// damaged is the error for a row that does not open. The log may name its table; the value
// itself tells nothing.
func damaged(table string, err error) error {
	return fmt.Errorf("open a row of %s: %w", table, err)
}

// damaged counts the row as well.
func (q *sealed) damaged(table string, err error) error {
	q.broken.Add(1)
	return damaged(table, err)
}

// name seals a name for a column as it is written.
func (q *sealed) name(column seal.Column, name string) (string, error) {
	return q.seals.Name(q.with, column, name)
}

// names are all forms that a name may have in a column.
func (q *sealed) names(column seal.Column, name string) ([]string, error) {
	forms := make([]string, 0, 1+len(q.also))
	for _, id := range q.live() {
		if id == seal.Plain {
			// In plain, a name that is what another is sealed as would find the other.
			if _, err := q.seals.OpenName(column, name); err == nil {
				return nil, damaged(column.Table, errSealedName)
			}
		}
		form, err := q.seals.Name(id, column, name)
		if err != nil {
			return nil, err
		}
		forms = append(forms, form)
	}
	return forms, nil
}

// allNames are all forms of several names, as one argument of a query.
func (q *sealed) allNames(column seal.Column, names []string) (string, error) {
	var all []string
	for _, name := range names {
		forms, err := q.names(column, name)
		if err != nil {
			return "", err
		}
		all = append(all, forms...)
	}
	return jsonList(all), nil
}

// each runs a query that changes rows by a name for each of the name's forms, and returns
// how many rows it found.
func (q *sealed) each(column seal.Column, name string, run func(form string) (int64, error)) (int64, error) {
	forms, err := q.names(column, name)
	if err != nil {
		return 0, err
	}
	var found int64
	for _, form := range forms {
		rows, err := run(form)
		if err != nil {
			return found, err
		}
		found += rows
	}
	return found, nil
}

// inTurn are the forms of a name, to be asked for by one statement after another. Where
// each sees a snapshot of its own, and nothing locks out who seals rows anew, a row may
// go from another form to that which is written between two: so that one comes twice.
func (q *sealed) inTurn(column seal.Column, name string) ([]string, error) {
	forms, err := q.names(column, name)
	if len(forms) > 1 {
		forms = append(forms, forms[0])
	}
	return forms, err
}

// byName looks a row up by each of a name's forms in turn.
func byName[R any](q *sealed, column seal.Column, name string, find func(form string) (R, error)) (row R, err error) {
	forms, err := q.inTurn(column, name)
	if err != nil {
		return row, err
	}
	for _, form := range forms {
		if row, err = find(form); !isNoRows(err) {
			return row, err
		}
	}
	return row, err
}

// openName opens a name of a row with the given seal: a row without one is plain, which
// it must not be where all are sealed.
func (q *sealed) openName(column seal.Column, value, rowSeal string) (string, error) {
	if rowSeal == "" {
		if !slices.Contains(q.live(), seal.Plain) {
			return "", q.damaged(column.Table, seal.ErrDamaged)
		}
		return value, nil
	}
	name, err := q.seals.OpenName(column, value)
	if err != nil {
		return "", q.damaged(column.Table, err)
	}
	return name, nil
}

// rowSeal seals what is only read back of a row; identity are the row's other columns, in
// plain. It is empty where rows are written plain: the caller then leaves the content in
// its own columns.
func (q *sealed) rowSeal(table string, identity []string, content any) (string, error) {
	if q.with == seal.Plain {
		return "", nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode a row of %s: %w", table, err)
	}
	return q.seals.Row(q.with, table, identity, text)
}

// openRow opens a row's seal into content. A row without one is plain: the caller leaves
// its columns as they are.
func (q *sealed) openRow(table string, identity []string, rowSeal string, content any) error {
	if rowSeal == "" {
		if !slices.Contains(q.live(), seal.Plain) {
			return q.damaged(table, seal.ErrDamaged)
		}
		return nil
	}
	text, err := q.seals.OpenRow(table, identity, rowSeal)
	if err != nil {
		return q.damaged(table, err)
	}
	if err := json.Unmarshal(text, content); err != nil {
		return fmt.Errorf("decode a row of %s: %w", table, err)
	}
	return nil
}

// sealedTx is a write transaction on sealed values.
type sealedTx struct {
	*sealed
	tx transaction
}

func (t sealedTx) pipeline(ctx context.Context, fn func(postgres.Querier) error) error {
	return t.tx.pipeline(ctx, func(insert postgres.Querier) error {
		inserting := *t.sealed
		inserting.Querier = insert
		return fn(&inserting)
	})
}

func (t sealedTx) commit(ctx context.Context) error { return t.tx.commit(ctx) }

func (t sealedTx) rollback(ctx context.Context) { t.tx.rollback(ctx) }

// inState returns tx as what seals a tenant's values.
func (v *vault) inState(ctx context.Context, tx transaction, tenant string, state sealing) (transaction, error) {
	if v.opens() && slices.Contains(state.live(), seal.Plain) {
		// Who only holds the tenant does not keep its former keys, and the installation's, from
		// being dropped. So both are read anew, at one time.
		var err error
		if state, err = v.state(ctx, tx, tenant); err != nil {
			return nil, err
		}
	}
	q, err := v.queries(ctx, tx, tenant, state)
	if err != nil {
		return nil, err
	}
	if s, ok := q.(*sealed); ok {
		return sealedTx{sealed: s, tx: tx}, nil
	}
	return tx, nil
}

// hold returns tx as what seals a tenant's values, for a transaction that does not raise
// the tenant's revision: nothing changes the tenant's key before it ends. A tenant that is
// not there yet is made.
func (v *vault) hold(ctx context.Context, tx transaction, tenant string) (transaction, error) {
	const doing = "find out how a tenant is sealed"
	if !v.opens() {
		return tx, v.admit(ctx, tx)
	}
	row, err := tx.HoldTenantSealing(ctx, postgres.HoldTenantSealingParams{Tenant: tenant})
	if isNoRows(err) {
		if err := tx.CreateUnwrittenTenant(ctx, postgres.CreateUnwrittenTenantParams{Tenant: tenant, CreatedAt: nowMicros()}); err != nil {
			return nil, classify(ctx, err, doing)
		}
		row, err = tx.HoldTenantSealing(ctx, postgres.HoldTenantSealingParams{Tenant: tenant})
	}
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	return v.inState(ctx, tx, tenant, sealingOf(row.SealedWith, row.SealedAlso))
}

// readingReplica is reading for a replica's snapshot. That may be older than what this
// process was admitted to, or newer, so it is looked at itself.
func (v *vault) readingReplica(ctx context.Context, q postgres.Querier, tenant string) (postgres.Querier, error) {
	if !v.opens() {
		return q, v.openable(ctx, q)
	}
	return v.reading(ctx, q, tenant)
}

// reading returns q, which reads on one snapshot, as what opens a tenant's values.
func (v *vault) reading(ctx context.Context, q postgres.Querier, tenant string) (postgres.Querier, error) {
	if !v.opens() {
		return q, v.admit(ctx, q)
	}
	state, err := v.state(ctx, q, tenant)
	if err != nil {
		return nil, err
	}
	return v.queries(ctx, q, tenant, state)
}

// state reads how a tenant's values are sealed, and fails where the installation's may not
// be.
func (v *vault) state(ctx context.Context, q postgres.Querier, tenant string) (sealing, error) {
	row, err := q.TenantSealing(ctx, postgres.TenantSealingParams{Tenant: tenant})
	if err != nil {
		return sealing{}, classify(ctx, err, "find out how a tenant is sealed")
	}
	state := sealingOf(row.SealedWith, row.SealedAlso)
	if err := state.within(sealingOf(row.InstallationWith, row.InstallationAlso)); err != nil {
		v.broken.Add(1)
		return sealing{}, err
	}
	return state, nil
}
