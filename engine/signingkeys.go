package engine

import (
	"cmp"
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/signing"
	"github.com/gatehouse/gatehouse/internal/store"
)

const (
	defaultIssuer = "gatehouse"

	// publishedFor is how long a key is known before it signs: every server has read it
	// by then (readKeysEvery), and whoever has kept a JWK set from before that for as
	// long as the HTTP API lets it be kept (5 min) has asked again.
	publishedFor = 10 * time.Minute
)

// The uses of signing keys: session tokens and access tokens.
const (
	UseSession = signing.UseSession
	UseAccess  = signing.UseAccess
)

// SigningKey is what is known of a key that signs tokens: never the key itself.
type SigningKey struct {
	// ID is the kid of its tokens.
	ID string
	// Use is what it signs: UseSession or UseAccess.
	Use string
	// Algorithm is the JWS algorithm (RFC 7518).
	Algorithm string
	// SignsFrom is when it takes over from the key before it; zero for the configured
	// secret.
	SignsFrom time.Time
	State     SigningKeyState
}

// SigningKeyState says what a signing key is good for.
type SigningKeyState string

// The states that a key passes through.
const (
	// KeyPublished is one that will sign.
	KeyPublished SigningKeyState = "published"
	// KeySigning signs.
	KeySigning SigningKeyState = "signing"
	// KeyVerifying has signed tokens that are still good.
	KeyVerifying SigningKeyState = "verifying"
)

// JWKSet is a set of public keys (RFC 7517, section 5).
type JWKSet = signing.JWKSet

// JWKS returns what a stranger needs to verify tokens by itself, of either use. An HS256
// key has no public half.
func (e *Engine) JWKS(ctx context.Context) (JWKSet, error) {
	all := JWKSet{Keys: []signing.JWK{}}
	for _, ring := range e.rings() {
		keys := ring.current.Load()
		if len(keys.Public().Keys) == 0 {
			// Another server may have made the first key since.
			var err error
			if keys, err = ring.readFor(ctx, keys); err != nil {
				return JWKSet{}, err
			}
		}
		all.Keys = append(all.Keys, keys.Public().Keys...)
	}
	return all, nil
}

// SigningKeys lists the keys whose tokens are taken: by use, oldest first.
func (e *Engine) SigningKeys(ctx context.Context) ([]SigningKey, error) {
	now, err := e.sessionNow(ctx)
	if err != nil {
		return nil, err
	}
	var all []SigningKey
	for _, ring := range e.rings() {
		keys, err := ring.read(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, ring.list(keys, now)...)
	}
	return all, nil
}

// list tells of a ring's keys what they are good for at a time.
func (k *keyring) list(keys *keySet, now time.Time) []SigningKey {
	var list []SigningKey
	for _, record := range keys.stored {
		list = append(list, publicSigningKey(record))
	}
	if k.secret != nil {
		list = append(list, SigningKey{ID: k.secret.ID, Use: k.use, Algorithm: k.secret.Algorithm})
	}
	// As signing.Keys picks it: the newest whose time has come, or the oldest.
	state := KeySigning
	for i := len(list) - 1; i >= 0; i-- {
		if i > 0 && list[i].SignsFrom.After(now) {
			list[i].State = KeyPublished
			if k.secret != nil {
				list[i].State = KeyVerifying // it never gets to sign
			}
			continue
		}
		list[i].State, state = state, KeyVerifying
	}
	return list
}

// RotateSigningKey makes the next key for a use, which is published at once and signs in
// 10 minutes; the one before it verifies until the last of its tokens has expired. An
// empty algorithm is the one that the engine is configured with, or else that of the
// newest key. Where a secret is configured that is ErrConflict, as it is where another
// key has been made at the same time.
func (e *Engine) RotateSigningKey(ctx context.Context, use, algorithm string) (SigningKey, error) {
	ring, err := e.ring(use)
	if err != nil {
		return SigningKey{}, err
	}
	if err := validateAlgorithm(algorithm); err != nil {
		return SigningKey{}, err
	}
	if ring.secret != nil {
		return SigningKey{}, fault.Conflict("the signing key is the configured secret")
	}
	keys, err := ring.read(ctx)
	if err != nil {
		return SigningKey{}, err
	}
	record, made, err := e.makeSigningKey(ctx, ring, keys, cmp.Or(algorithm, ring.algorithm))
	if err != nil {
		return SigningKey{}, err
	}
	if !made {
		return SigningKey{}, fault.Conflict("another signing key has been made at the same time")
	}
	key := publicSigningKey(record)
	key.State = KeyPublished
	if len(keys.stored) == 0 {
		key.State = KeySigning
	}
	return key, nil
}

func (e *Engine) rings() []*keyring { return []*keyring{e.signing, e.access} }

// ring finds the signing keys for a use.
func (e *Engine) ring(use string) (*keyring, error) {
	for _, ring := range e.rings() {
		if ring.use == use {
			return ring, nil
		}
	}
	return nil, fault.Invalid("use: must be %q or %q", UseSession, UseAccess)
}

// readSigningKeys reads the keys for the first time, and makes the next one where the
// last is of another algorithm than the configured one; the first too where it has a
// public half, so that strangers can have that before there are tokens.
func (e *Engine) readSigningKeys(ctx context.Context) error {
	for _, ring := range e.rings() {
		keys, err := ring.read(ctx)
		if err != nil {
			return err
		}
		newest := signing.HS256
		if last := len(keys.stored) - 1; last >= 0 {
			newest = keys.stored[last].Algorithm
		}
		if ring.secret != nil || ring.algorithm == "" || ring.algorithm == newest {
			continue
		}
		if err := e.makeUnasked(ctx, ring, keys); err != nil {
			return err
		}
	}
	return nil
}

// signingKeys returns a ring's keys with at least one that signs: the first is made here.
func (e *Engine) signingKeys(ctx context.Context, ring *keyring) (*keySet, error) {
	keys := ring.current.Load()
	if !keys.empty {
		return keys, nil
	}
	if err := e.makeUnasked(ctx, ring, keys); err != nil {
		return nil, err
	}
	return ring.current.Load(), nil
}

// makeSigningKey makes the key after those that are known, unless another process
// has; then reads them again. The first signs at once. An empty algorithm is that of
// the newest.
func (e *Engine) makeSigningKey(ctx context.Context, ring *keyring, known *keySet, algorithm string) (store.SigningKey, bool, error) {
	now, err := e.sessionNow(ctx)
	if err != nil {
		return store.SigningKey{}, false, err
	}
	record := store.SigningKey{
		Use: ring.use, Number: 1, Algorithm: cmp.Or(algorithm, signing.HS256), CreatedAt: now, SignsFrom: now,
	}
	if last := len(known.stored) - 1; last >= 0 {
		record.Number = known.stored[last].Number + 1
		record.Algorithm = cmp.Or(algorithm, known.stored[last].Algorithm)
		record.SignsFrom = now.Add(publishedFor)
	}
	if record.ID, record.Material, err = signing.Generate(record.Algorithm); err != nil {
		return store.SigningKey{}, false, err
	}
	made, err := e.store.CreateSigningKey(ctx, record)
	if err != nil {
		return store.SigningKey{}, false, err
	}
	_, err = ring.read(ctx)
	return record, made, err
}

// makeUnasked is makeSigningKey for keys that nobody has asked for: the log tells of
// them.
func (e *Engine) makeUnasked(ctx context.Context, ring *keyring, known *keySet) error {
	record, made, err := e.makeSigningKey(ctx, ring, known, ring.algorithm)
	if made {
		e.log.InfoContext(ctx, "made a signing key",
			"use", record.Use, "kid", record.ID, "algorithm", record.Algorithm, "signs_from", record.SignsFrom)
	}
	return err
}

// parseSession reads a session token of any tenant, and returns the keys that it was
// verified with. The error is authz.ErrInvalidToken where it is none.
func (e *Engine) parseSession(ctx context.Context, token string) (claims session.Claims, keys *keySet, err error) {
	keys, err = e.signing.verify(ctx, func(keys *signing.Keys) (err error) {
		claims, err = session.Parse(keys, e.issuer, token)
		return err
	})
	switch {
	case keys == nil:
		return session.Claims{}, nil, err
	case err != nil:
		return session.Claims{}, nil, refusal(authz.ErrInvalidToken)
	}
	return claims, keys, nil
}

// outlivedKey returns the number of the last key that did not sign any more at a time;
// 0 for none. A server may have read its successor publishedFor late.
func outlivedKey(stored []store.SigningKey, at time.Time) int64 {
	var last int64
	for i, record := range stored {
		if i > 0 && at.After(record.SignsFrom.Add(publishedFor)) {
			last = stored[i-1].Number
		}
	}
	return last
}

func publicSigningKey(record store.SigningKey) SigningKey {
	return SigningKey{ID: record.ID, Use: record.Use, Algorithm: record.Algorithm, SignsFrom: record.SignsFrom}
}
