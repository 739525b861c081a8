package sqlstore

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Encryption says what this process can open of a sealed database. What is sealed, and
// with which key, is the database's to say: see sealing.
type Encryption struct {
	// Enabled says that the database is to be sealed. An empty one is sealed by Open.
	Enabled bool
	// Unfit has Open take a database that is not sealed as Enabled says, for what makes
	// it fit. An SQLite file holds nothing then of what is replaced.
	Unfit bool
	// Secret is the secret of the key that seals, Previous are those of others that only
	// open.
	Secret   string
	Previous []string
	// Iterations of PBKDF2 for keys that are made; 0 means seal.DefaultIterations.
	Iterations int
}

// vault holds the keys that this process has secrets for. It meets new ones in the
// database by itself.
type vault struct {
	// current is Encryption.Secret; secrets are it and Previous, in this order, none for
	// a process without.
	current string
	secrets []string
	// iterations is Encryption.Iterations.
	iterations int
	ring       atomic.Pointer[seal.Ring]

	// broken counts the rows that did not open.
	broken atomic.Uint64

	// admitted is when a process without secrets last found that nothing is sealed, since
	// started.
	started  time.Time
	admitted atomic.Int64

	// mu guards stretched, which spares stretching a secret twice.
	mu        sync.Mutex
	stretched map[stretching]seal.Secret
}

type stretching struct {
	secret     string
	salt       string
	iterations int64
}

func newVault(config Encryption) *vault {
	v := &vault{current: config.Secret, iterations: config.Iterations, started: time.Now(), stretched: map[stretching]seal.Secret{}}
	v.admitted.Store(-int64(admission))
	for _, secret := range append([]string{config.Secret}, config.Previous...) {
		if secret != "" && !slices.Contains(v.secrets, secret) {
			v.secrets = append(v.secrets, secret)
		}
	}
	v.ring.Store(seal.NewRing())
	return v
}

// opens reports whether this process has any secret, and so may meet sealed values.
func (v *vault) opens() bool { return len(v.secrets) > 0 }

// admission is how long a process goes on before it looks again whether the database has
// a key that it cannot use. Whoever registers the first one waits longer than that before
// anything is sealed: see Store.EnableEncryption.
const admission = time.Second

// admit keeps a process without secrets from taking sealed values for plain ones, and one
// that lacks a secret from going on with what it has in memory. Its error is
// fault.CodeUnavailable and store.ErrSealed.
func (v *vault) admit(ctx context.Context, q postgres.Querier) error {
	now := time.Since(v.started)
	if now-time.Duration(v.admitted.Load()) < admission {
		return nil
	}
	if err := v.openable(ctx, q); err != nil {
		return err
	}
	v.admitted.Store(int64(now))
	return nil
}

// openable fails where the database has a key that this process has no secret of.
func (v *vault) openable(ctx context.Context, q postgres.Querier) error {
	keys, err := q.EncryptionKeys(ctx)
	if err != nil {
		return classify(ctx, err, "look for encryption keys")
	}
	var live []string
	for _, key := range keys {
		if isLive(key) {
			live = append(live, idOf(key.Number))
		}
	}
	_, err = v.ringWith(ctx, q, live)
	return err
}

// isLive reports whether values may be sealed with a key.
func isLive(key postgres.EncryptionKey) bool { return key.RetiredAt == 0 }

// sealing says how a tenant's values are sealed, or the installation's own.
type sealing struct {
	// with is the id of the key that new values are sealed with; seal.Plain leaves them
	// plain.
	with string
	// also are the ids of others that values may still be sealed with.
	also []string
}

// plainWord stands for seal.Plain in a list.
const plainWord = "plain"

func sealingOf(with, also string) sealing {
	s := sealing{with: with}
	for id := range strings.SplitSeq(also, ",") {
		switch id {
		case "":
		case plainWord:
			s.also = append(s.also, seal.Plain)
		default:
			s.also = append(s.also, id)
		}
	}
	return s
}

// alsoText is how the tables hold also.
func (s sealing) alsoText() string {
	ids := slices.Clone(s.also)
	for i, id := range ids {
		if id == seal.Plain {
			ids[i] = plainWord
		}
	}
	return strings.Join(ids, ",")
}

// live are the ids of all keys that a value may be sealed with; the one that seals comes
// first.
func (s sealing) live() []string { return append([]string{s.with}, s.also...) }

// towards is s from when on new values are sealed with another key.
func (s sealing) towards(id string) sealing {
	next := sealing{with: id}
	for _, former := range s.live() {
		if former != id && !slices.Contains(next.also, former) {
			next.also = append(next.also, former)
		}
	}
	return next
}

// within fails where the tenant's values may be sealed in a way that the installation's
// may not: a tenant follows a change of the installation, and is done before it, so that
// somebody else has written what is said of the tenant.
func (s sealing) within(installation sealing) error {
	for _, id := range s.live() {
		if !slices.Contains(installation.live(), id) {
			return damaged("tenants", seal.ErrDamaged)
		}
	}
	return nil
}

// plain reports whether no value is sealed.
func (s sealing) plain() bool { return s.with == seal.Plain && len(s.also) == 0 }

// queries returns q as it stands for a tenant whose values are not sealed, and else what
// seals what is written through q and opens what is read. The error of a value whose key
// this process has no secret for is fault.CodeUnavailable.
func (v *vault) queries(ctx context.Context, q postgres.Querier, tenant string, state sealing) (postgres.Querier, error) {
	if state.plain() {
		return q, nil
	}
	return v.sealed(ctx, q, tenant, state)
}

// sealed is queries for a tenant whose values are sealed, or may be.
func (v *vault) sealed(ctx context.Context, q postgres.Querier, tenant string, state sealing) (*sealed, error) {
	ring, err := v.ringWith(ctx, q, state.live())
	if err != nil {
		return nil, err
	}
	return &sealed{Querier: q, tenant: tenant, seals: ring.Tenant(tenant), sealing: state, broken: &v.broken}, nil
}

// ringWith returns a ring that has the keys of some ids.
func (v *vault) ringWith(ctx context.Context, q postgres.Querier, ids []string) (*seal.Ring, error) {
	missing := func(ring *seal.Ring) bool {
		return slices.ContainsFunc(ids, func(id string) bool { return !ring.Has(id) })
	}
	if ring := v.ring.Load(); !missing(ring) {
		return ring, nil
	}
	ring, err := v.read(ctx, q)
	if err != nil {
		return nil, err
	}
	if missing(ring) {
		return nil, fault.Unavailable(store.ErrSealed, "the database is sealed with a key that this server was not given the secret of")
	}
	return ring, nil
}

// read reads the installation's keys, and keeps those that this process has secrets for.
func (v *vault) read(ctx context.Context, q postgres.Querier) (*seal.Ring, error) {
	const doing = "read the encryption keys"
	installation, err := q.Encryption(ctx)
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	rows, err := q.EncryptionKeys(ctx)
	if err != nil {
		return nil, classify(ctx, err, doing)
	}
	var keys []seal.Key
	for _, row := range rows {
		if !isLive(row) {
			continue
		}
		key, ok, err := v.find(row, installation.Salt)
		if err != nil {
			return nil, err
		}
		if ok {
			keys = append(keys, key)
		}
	}
	ring := seal.NewRing(keys...)
	v.ring.Store(ring)
	return ring, nil
}

// find looks for the secret of a key among those that this process has.
func (v *vault) find(row postgres.EncryptionKey, salt string) (seal.Key, bool, error) {
	for _, secret := range v.secrets {
		stretched, err := v.stretch(secret, salt, row.Iterations)
		if err != nil {
			return seal.Key{}, false, err
		}
		if stretched.Is(row.CheckValue) {
			return stretched.Key(row.Number), true, nil
		}
	}
	return seal.Key{}, false, nil
}

func (v *vault) stretch(secret, salt string, iterations int64) (seal.Secret, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	what := stretching{secret: secret, salt: salt, iterations: iterations}
	if stretched, ok := v.stretched[what]; ok {
		return stretched, nil
	}
	bytes, err := base64.RawURLEncoding.DecodeString(salt)
	if err != nil {
		return seal.Secret{}, err
	}
	stretched, err := seal.Stretch(secret, bytes, int(iterations))
	if err == nil {
		v.stretched[what] = stretched
	}
	return stretched, err
}

// holdInstallation is hold for the installation's own values.
func (v *vault) holdInstallation(ctx context.Context, tx transaction) (transaction, error) {
	row, err := tx.HoldEncryption(ctx)
	if err != nil {
		return nil, classify(ctx, err, "find out how the installation is sealed")
	}
	return v.inState(ctx, tx, "", sealingOf(row.SealedWith, row.SealedAlso))
}
