package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/signing"
	"github.com/gatehouse/gatehouse/internal/store"
)

// readKeysEvery is how often a server looks for keys that another has made.
const readKeysEvery = time.Minute

// keyGap is the least time between two readings of the signing keys that tokens bring
// about: whoever makes up kids must not keep the database busy.
const keyGap = time.Second

// keyring is what this process knows of the signing keys for one use. A token whose key
// it does not know makes it look again.
type keyring struct {
	db  store.Sessions
	use string
	// algorithm is the one that keys are to be of; empty for that of the newest.
	algorithm string
	// secret is the key that signs instead of those in the database; nil without one.
	secret *signing.Key

	// current is what was read last.
	current atomic.Pointer[keySet]
	// reading has room for the one that reads.
	reading chan struct{}
	// wantedAt is when a token last had the keys read; reading guards it.
	wantedAt time.Time
}

// keySet is the signing keys as they were read once. It never changes.
type keySet struct {
	*signing.Keys
	// stored are the keys in the database, oldest first.
	stored []store.SigningKey
	// empty says that there is nothing to sign with.
	empty bool
}

func newKeyring(use, algorithm string, secret []byte) (*keyring, error) {
	if err := validateAlgorithm(algorithm); err != nil {
		return nil, err
	}
	k := &keyring{use: use, algorithm: algorithm, reading: make(chan struct{}, 1)}
	if len(secret) == 0 {
		return k, nil
	}
	if cmp.Or(k.algorithm, signing.HS256) != signing.HS256 {
		return nil, fault.Invalid("token secret: is for %s alone", signing.HS256)
	}
	if len(secret) < signing.MinSecret {
		return nil, fault.Invalid("token secret: must be at least %d bytes", signing.MinSecret)
	}
	key := signing.Secret(secret)
	k.secret = &key
	return k, nil
}

// validateAlgorithm accepts an algorithm that keys can be of, and none.
func validateAlgorithm(algorithm string) error {
	switch algorithm {
	case "", signing.HS256, signing.RS256, signing.ES256, signing.EdDSA:
		return nil
	default:
		return fault.Invalid("token algorithm: must be %s, %s, %s or %s", signing.HS256, signing.RS256, signing.ES256, signing.EdDSA)
	}
}

// read reads the keys from the database.
func (k *keyring) read(ctx context.Context) (*keySet, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.end()
	return k.load(ctx)
}

// readFor reads the keys for a token whose key is not in seen, and returns what is
// known then. It does not where they have been read since seen was, or were for
// another token within keyGap.
func (k *keyring) readFor(ctx context.Context, seen *keySet) (*keySet, error) {
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.end()
	if known := k.current.Load(); known != seen || time.Since(k.wantedAt) < keyGap {
		return known, nil
	}
	k.wantedAt = time.Now()
	return k.load(ctx)
}

// verify reads a token with the keys that are known, and again where its key may be too
// new for them. It returns the keys that it was read with last.
func (k *keyring) verify(ctx context.Context, parse func(*signing.Keys) error) (*keySet, error) {
	keys := k.current.Load()
	err := parse(keys.Keys)
	if !errors.Is(err, signing.ErrUnknownKey) {
		return keys, err
	}
	if keys, err = k.readFor(ctx, keys); err != nil {
		return nil, err
	}
	return keys, parse(keys.Keys)
}

// begin waits for whoever reads the keys.
func (k *keyring) begin(ctx context.Context) error {
	select {
	case k.reading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (k *keyring) end() { <-k.reading }

func (k *keyring) load(ctx context.Context) (*keySet, error) {
	stored, err := k.db.SigningKeys(ctx, k.use)
	if err != nil {
		return nil, err
	}
	keys := make([]signing.Key, len(stored), len(stored)+1)
	for i, record := range stored {
		if keys[i], err = signing.Load(record.ID, record.Algorithm, record.Material, record.SignsFrom); err != nil {
			return nil, fmt.Errorf("signing key %d for %s tokens: %w", record.Number, k.use, err)
		}
	}
	if k.secret != nil {
		keys = append(keys, *k.secret)
	}
	set := &keySet{Keys: signing.NewKeys(keys), stored: stored, empty: len(keys) == 0}
	k.current.Store(set)
	return set, nil
}
