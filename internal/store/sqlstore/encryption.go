package sqlstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file makes a database fit what it is to be sealed with, and refuses one that does
// not.

// encryptionState is what the database says of its encryption.
type encryptionState struct {
	sealing
	salt string
	// keys are all keys that there ever were; live are those that values may be sealed
	// with.
	keys, live []postgres.EncryptionKey
}

func readEncryption(ctx context.Context, q postgres.Querier) (encryptionState, error) {
	const doing = "read the encryption"
	row, err := q.Encryption(ctx)
	if err != nil {
		return encryptionState{}, classify(ctx, err, doing)
	}
	keys, err := q.EncryptionKeys(ctx)
	if err != nil {
		return encryptionState{}, classify(ctx, err, doing)
	}
	state := encryptionState{sealing: sealingOf(row.SealedWith, row.SealedAlso), salt: row.Salt, keys: keys}
	for _, key := range keys {
		if isLive(key) {
			state.live = append(state.live, key)
		}
	}
	return state, nil
}

func (s *Store) encryption(ctx context.Context) (state encryptionState, err error) {
	err = s.view(ctx, func(q postgres.Querier) error {
		state, err = readEncryption(ctx, q)
		return err
	})
	return state, err
}

// unopened finds a live key that this process has no secret for; "" where it has all.
func (v *vault) unopened(state encryptionState) (string, error) {
	for _, key := range state.live {
		_, found, err := v.find(key, state.salt)
		if err != nil {
			return "", err
		}
		if !found {
			return idOf(key.Number), nil
		}
	}
	return "", nil
}

// currentKey is the number of the live key that the current secret is of; 0 for none.
func (v *vault) currentKey(state encryptionState) (int64, error) {
	if v.current == "" {
		return 0, nil
	}
	for _, key := range state.live {
		stretched, err := v.stretch(v.current, state.salt, key.Iterations)
		if err != nil {
			return 0, err
		}
		if stretched.Is(key.CheckValue) {
			return key.Number, nil
		}
	}
	return 0, nil
}

func idOf(number int64) string { return seal.Secret{}.Key(number).ID() }

// numberOf is the number of a key's id; 0 for seal.Plain.
func numberOf(id string) int64 {
	number, _ := strconv.ParseInt(strings.TrimPrefix(id, "k"), 10, 64)
	return number
}

// fit refuses a database that the settings do not fit. An empty one that is to be sealed
// is from now on.
func (s *Store) fit(ctx context.Context, enabled bool) error {
	state, err := s.encryption(ctx)
	if err != nil {
		return err
	}
	if len(state.live) == 0 {
		if !enabled {
			return nil
		}
		return s.beginSealed(ctx)
	}
	missing, err := s.vault.unopened(state)
	switch {
	case err != nil:
		return err
	case missing != "":
		return missingSecret(missing)
	case !enabled && state.with != seal.Plain && !slices.Contains(state.also, seal.Plain):
		return fault.Conflict("the database is sealed: set AUTH_ENABLE_ENCRYPTION=true, or run `gatehouse encryption disable`")
	}
	current, err := s.vault.currentKey(state)
	s.rotationDue = state.with != seal.Plain && idOf(current) != state.with
	return err
}

func missingSecret(id string) error {
	return fault.Conflict("the database is sealed with key %s: set AUTH_ENABLE_ENCRYPTION=true, and give its secret in AUTH_ENCRYPTION_KEY or AUTH_ENCRYPTION_PREVIOUS_KEYS", id)
}

// RotationDue reports whether the database was sealed, when it was opened, with another
// key than that of the current secret.
func (s *Store) RotationDue() bool { return s.rotationDue }

// beginSealed seals a database with nothing in it, unless another process just has.
func (s *Store) beginSealed(ctx context.Context) error {
	const doing = "begin to seal the database"
	return s.exclusively(ctx, func(tx postgres.Querier) error {
		if _, err := tx.LockEncryption(ctx); err != nil {
			return err
		}
		state, err := readEncryption(ctx, tx)
		if err != nil || len(state.live) > 0 {
			return err
		}
		// Nobody creates a tenant between the look and the change.
		if err := tx.AwaitTenantWriters(ctx); err != nil {
			return err
		}
		found, err := tx.AnythingSealable(ctx)
		if err != nil {
			return err
		}
		if found > 0 {
			return fault.Conflict("the database is not sealed: run `gatehouse encryption enable`, or set AUTH_ENABLE_ENCRYPTION=false")
		}
		number, state, err := s.vault.register(ctx, tx, state)
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return setEncryption(ctx, tx, state, sealing{with: idOf(number)})
	})
}

// register makes a key of the current secret, in a transaction that has locked the
// encryption.
func (v *vault) register(ctx context.Context, tx postgres.Querier, state encryptionState) (int64, encryptionState, error) {
	if state.salt == "" {
		salt := make([]byte, seal.SaltBytes)
		rand.Read(salt)
		state.salt = base64.RawURLEncoding.EncodeToString(salt)
		if err := setEncryption(ctx, tx, state, state.sealing); err != nil {
			return 0, state, err
		}
	}
	iterations := int64(cmp.Or(v.iterations, seal.DefaultIterations))
	stretched, err := v.stretch(v.current, state.salt, iterations)
	if err != nil {
		return 0, state, err
	}
	var number int64 = 1
	for _, key := range state.keys {
		number = max(number, key.Number+1)
	}
	return number, state, tx.CreateEncryptionKey(ctx, postgres.CreateEncryptionKeyParams{
		Number: number, Iterations: iterations, CheckValue: stretched.Check(), CreatedAt: nowMicros(),
	})
}

// setEncryption changes how the installation's own values, and those of new tenants, are
// sealed, in a transaction that has locked the encryption.
func setEncryption(ctx context.Context, tx postgres.Querier, state encryptionState, next sealing) error {
	row, err := tx.Encryption(ctx)
	if err != nil {
		return err
	}
	if next.with != row.SealedWith {
		row.Turn++
	}
	return tx.SetEncryption(ctx, postgres.SetEncryptionParams{
		SealedWith: next.with, SealedAlso: next.alsoText(), Salt: state.salt, Turn: row.Turn,
	})
}

// Progress is told how many rows of about how many have been sealed anew.
type Progress func(done, total int64)

// EnableEncryption seals a plain database with the current secret. Like RotateEncryption
// and DisableEncryption it works while processes use the database, goes on where one
// before it was stopped, and reports whether there was anything to do.
func (s *Store) EnableEncryption(ctx context.Context, progress Progress) (bool, error) {
	state, current, err := s.toChange(ctx, true)
	switch {
	case err != nil:
		return false, err
	case state.with != seal.Plain && idOf(current) != state.with:
		return false, fault.Conflict("the database is sealed with another secret than AUTH_ENCRYPTION_KEY: run `gatehouse encryption rotate`")
	}
	if current == 0 {
		if current, err = s.register(ctx); err != nil {
			return false, err
		}
	}
	// Processes without secrets must have seen the key before anything is sealed with it.
	if state.sealing.plain() {
		if err := wait(ctx, s.grace); err != nil {
			return false, err
		}
	}
	return s.reseal(ctx, idOf(current), progress)
}

// RotateEncryption seals a database that is sealed with the current secret's key instead.
func (s *Store) RotateEncryption(ctx context.Context, progress Progress) (bool, error) {
	state, current, err := s.toChange(ctx, true)
	switch {
	case err != nil:
		return false, err
	case state.with == seal.Plain:
		return false, fault.Conflict("the database is not sealed: run `gatehouse encryption enable`")
	}
	if current == 0 {
		if current, err = s.register(ctx); err != nil {
			return false, err
		}
	}
	return s.reseal(ctx, idOf(current), progress)
}

// DisableEncryption leaves everything plain.
func (s *Store) DisableEncryption(ctx context.Context, progress Progress) (bool, error) {
	if _, _, err := s.toChange(ctx, false); err != nil {
		return false, err
	}
	return s.reseal(ctx, seal.Plain, progress)
}

// toChange reads what a change of the key begins with: the number of the current secret's
// key is 0 where it is not registered yet.
func (s *Store) toChange(ctx context.Context, needsSecret bool) (state encryptionState, current int64, err error) {
	if needsSecret && s.vault.current == "" {
		return state, 0, fault.Invalid("AUTH_ENCRYPTION_KEY: is not set")
	}
	if state, err = s.encryption(ctx); err != nil {
		return state, 0, err
	}
	missing, err := s.vault.unopened(state)
	if err != nil {
		return state, 0, err
	}
	if missing != "" {
		return state, 0, missingSecret(missing)
	}
	current, err = s.vault.currentKey(state)
	return state, current, err
}

// register makes a key of the current secret, unless another process just has.
func (s *Store) register(ctx context.Context) (number int64, err error) {
	const doing = "register a key"
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		if _, err := tx.LockEncryption(ctx); err != nil {
			return false, classify(ctx, err, doing)
		}
		state, err := readEncryption(ctx, tx)
		if err != nil {
			return false, err
		}
		if number, err = s.vault.currentKey(state); err != nil || number != 0 {
			return false, err
		}
		number, _, err = s.vault.register(ctx, tx, state)
		return true, classify(ctx, err, doing)
	})
	return number, err
}

// reseal seals everything with a registered key.
func (s *Store) reseal(ctx context.Context, target string, progress Progress) (changed bool, err error) {
	const doing = "change the key"
	run := &resealing{store: s, target: target}
	fromPlain := false
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		row, err := tx.LockEncryption(ctx)
		if err != nil {
			return false, classify(ctx, err, doing)
		}
		state, err := readEncryption(ctx, tx)
		if err != nil {
			return false, err
		}
		left, err := tx.UnsealedTenants(ctx, postgres.UnsealedTenantsParams{SealedWith: target, MaxRows: 1})
		if err != nil {
			return false, classify(ctx, err, doing)
		}
		others := slices.ContainsFunc(state.live, func(key postgres.EncryptionKey) bool { return idOf(key.Number) != target })
		changed = state.with != target || len(state.also) > 0 || len(left) > 0 || others
		next := state.towards(target)
		fromPlain = slices.Contains(next.also, seal.Plain)
		run.turn = row.Turn
		if state.with == target {
			return false, nil
		}
		run.turn++
		return true, classify(ctx, setEncryption(ctx, tx, state, next), doing)
	})
	if err != nil || !changed {
		return false, err
	}
	total, err := s.unsealedRows(ctx, target)
	if err != nil {
		return true, err
	}
	var done int64
	progress(0, total)
	run.written = func(rows int64) {
		done += rows
		progress(done, max(done, total))
	}
	if err := run.run(ctx, fromPlain); err != nil {
		return true, err
	}
	return true, s.db.forget(ctx)
}

// unsealedRows counts the rows that are not sealed with a key.
func (s *Store) unsealedRows(ctx context.Context, target string) (rows int64, err error) {
	sealed, err := s.sealedRows(ctx)
	for _, count := range sealed {
		if count.Key != target {
			rows += count.Rows
		}
	}
	return rows, err
}

// EncryptionStatus is what is sealed with what.
type EncryptionStatus struct {
	// With is the id of the key that new values are sealed with; empty for none.
	With string
	// Keys are those that values may be sealed with, and that the rest are sealed with
	// while there is more than one.
	Keys []EncryptionKey
	// TenantsLeft counts the tenants that are not sealed with With alone.
	TenantsLeft int64
	Rows        []SealedRows
}

// EncryptionKey is a live key.
type EncryptionKey struct {
	ID        string
	CreatedAt time.Time
	// Opens says that this process has the key's secret; Current that it is the secret
	// that seals.
	Opens, Current bool
}

// SealedRows counts the rows of a table that are sealed with a key; Key is empty for
// plain ones.
type SealedRows struct {
	Table string
	Key   string
	Rows  int64
}

// EncryptionStatus counts every row of a sealed table.
func (s *Store) EncryptionStatus(ctx context.Context) (EncryptionStatus, error) {
	state, err := s.encryption(ctx)
	if err != nil {
		return EncryptionStatus{}, err
	}
	current, err := s.vault.currentKey(state)
	if err != nil {
		return EncryptionStatus{}, err
	}
	status := EncryptionStatus{With: state.with}
	for _, key := range state.live {
		_, opens, err := s.vault.find(key, state.salt)
		if err != nil {
			return EncryptionStatus{}, err
		}
		status.Keys = append(status.Keys, EncryptionKey{
			ID: idOf(key.Number), CreatedAt: timeOf(key.CreatedAt), Opens: opens, Current: key.Number == current,
		})
	}
	if status.TenantsLeft, err = s.db.queries().CountUnsealedTenants(ctx, postgres.CountUnsealedTenantsParams{SealedWith: state.with}); err != nil {
		return EncryptionStatus{}, classify(ctx, err, "count the tenants")
	}
	status.Rows, err = s.sealedRows(ctx)
	return status, err
}

func (s *Store) sealedRows(ctx context.Context) ([]SealedRows, error) {
	counts, err := s.db.queries().AllSealedRows(ctx)
	if err != nil {
		return nil, classify(ctx, err, "count the sealed rows")
	}
	rows := make([]SealedRows, len(counts))
	for i, count := range counts {
		rows[i] = SealedRows{Table: count.Place, Key: strings.TrimSuffix(count.Prefix, "."), Rows: count.RowCount}
	}
	return rows, nil
}

// wait waits for a time, or returns ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
