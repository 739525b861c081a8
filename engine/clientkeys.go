package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/token"
)

// Ability is what a client key may be used for.
type Ability string

// The abilities. Admin implies all others.
const (
	AbilityCheck Ability = "check" // ask whether somebody may do something
	AbilityRead  Ability = "read"  // list and read what is stored
	AbilityWrite Ability = "write" // change it
	AbilityAudit Ability = "audit" // read the audit log
	AbilityAdmin Ability = "admin" // keys and settings

	// AbilityAny is what every client key may do; no key is given it.
	AbilityAny Ability = "any"
)

var allAbilities = []Ability{AbilityAdmin, AbilityAudit, AbilityCheck, AbilityRead, AbilityWrite}

const (
	maxKeyName  = 256
	minLifetime = time.Second
)

// keyHash is the SHA-256 of a client key. A key has 122 random bits, so a plain
// hash cannot be turned back.
type keyHash [sha256.Size]byte

// ClientKey is what is known of a client key: never the key itself.
type ClientKey struct {
	// Fingerprint stands for the key in logs, audit and commands.
	Fingerprint string
	Tenant      string
	Name        string
	Abilities   []Ability
	CreatedAt   time.Time
	ExpiresAt   time.Time // zero: does not expire
	RevokedAt   time.Time // zero: not revoked
}

// Status is "active", "expired" or "revoked" at a time.
func (k ClientKey) Status(now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked"
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return "expired"
	default:
		return "active"
	}
}

// ClientKeyOptions says what a new client key is to be.
type ClientKeyOptions struct {
	// Name is for people; at most 256 characters.
	Name string
	// Abilities is what the key may be used for; none means AbilityAdmin.
	Abilities []Ability
	// Lifetime ends the key that long after its creation, at least 1 s; 0 means
	// never.
	Lifetime time.Duration
	// Tenant is the existing tenant that the key opens; empty makes a new one.
	Tenant string
}

// Principal is an authenticated caller.
type Principal struct {
	// Tenant is the caller's, with the caller as its actor.
	Tenant *Tenant
	// Fingerprint is the client key's, also that of an access token.
	Fingerprint string
	abilities   []Ability
	// key is the client key; zero for an access token.
	key store.ClientKey
}

// Can reports whether the caller's key, or access token, has an ability.
func (p Principal) Can(ability Ability) bool {
	return can(p.abilities, ability)
}

func can(abilities []Ability, ability Ability) bool {
	return ability == AbilityAny || slices.Contains(abilities, ability) || slices.Contains(abilities, AbilityAdmin)
}

// Require refuses, and audits, what needs an ability that the caller lacks.
// operation names it for the audit log.
func (p Principal) Require(ctx context.Context, ability Ability, operation string) error {
	if p.Can(ability) {
		return nil
	}
	p.Tenant.refuse(ctx, audit.AccessRefused, "operation/"+operation, map[string]any{"ability": string(ability)})
	caller := "client key"
	if p.isToken() {
		caller = "access token"
	}
	return fault.Forbidden("this %s lacks the ability %q", caller, ability)
}

// RequireKey refuses, and audits, an access token where only a client key will do: it is
// ErrUnauthenticated.
func (p Principal) RequireKey(ctx context.Context, operation string) error {
	if !p.isToken() {
		return nil
	}
	p.Tenant.refuse(ctx, audit.AccessRefused, "operation/"+operation, map[string]any{"reason": "access token"})
	return fault.Unauthenticated("a client key is required, and no access token")
}

func (p Principal) isToken() bool { return p.Tenant.actor.Family != "" }

// Authenticate finds the tenant that a client key, or an access token, opens. actor
// says where the call comes from; what it says of the key and the token is filled in.
// The error is ErrUnauthenticated for what is malformed, unknown, expired or revoked.
// What another process has revoked is accepted for at most a second longer.
func (e *Engine) Authenticate(ctx context.Context, bearer string, actor Actor) (Principal, error) {
	if token.LooksLikeAccess(bearer) {
		return e.authenticateToken(ctx, bearer, actor)
	}
	canonical, err := parseClientKey(bearer)
	if err != nil {
		return Principal{}, err
	}
	hash := keyHash(sha256.Sum256([]byte(canonical)))
	record, known, err := e.keyRecord(ctx, hash)
	if errors.Is(err, fault.CodeNotFound) {
		return e.openTenant(hash, actor)
	}
	if err != nil {
		return Principal{}, err
	}
	actor.Fingerprint = record.Fingerprint
	tenant := e.Tenant(record.Tenant).As(actor)
	if reason := whyDead(record, e.now()); reason != "" {
		// Once in heardFor, so that whoever holds a dead key cannot fill the log.
		if !known {
			tenant.refuse(ctx, audit.AuthenticationFailed, "client_key/"+record.Fingerprint, map[string]any{"reason": reason})
		}
		return Principal{}, fault.Unauthenticated("the client key is %s", reason)
	}
	return Principal{Tenant: tenant, Fingerprint: record.Fingerprint, abilities: splitAbilities(record.Abilities), key: record}, nil
}

// keyRecord finds a client key, and tells whether it knew the key already.
func (e *Engine) keyRecord(ctx context.Context, hash keyHash) (record store.ClientKey, known bool, err error) {
	return e.keys.ask(ctx, hash, func(ctx context.Context) (store.ClientKey, error) {
		return e.store.ClientKeyByHash(ctx, hash.String())
	})
}

// openTenant lets an unknown key in where registration is open: to a tenant of
// its own, which is kept with its first change.
func (e *Engine) openTenant(hash keyHash, actor Actor) (Principal, error) {
	if !e.openRegistration {
		return Principal{}, errUnknownKey()
	}
	record := e.ownKey(hash)
	actor.Fingerprint = record.Fingerprint
	tenant := e.Tenant(record.Tenant).As(actor)
	tenant.opening = &record
	return Principal{Tenant: tenant, Fingerprint: record.Fingerprint, abilities: []Ability{AbilityAdmin}, key: record}, nil
}

// ownKey is the record of a key that opens a tenant of its own.
func (e *Engine) ownKey(hash keyHash) store.ClientKey {
	return store.ClientKey{
		Hash:        hash.String(),
		Fingerprint: hash.fingerprint(),
		Tenant:      hash.tenant(),
		Abilities:   string(AbilityAdmin),
		CreatedAt:   e.now(),
	}
}

// CreateClientKey makes a client key, and a tenant for it unless options names
// one. The key is returned this once and kept nowhere.
func (e *Engine) CreateClientKey(ctx context.Context, options ClientKeyOptions) (string, ClientKey, error) {
	if err := validateText("name", options.Name, maxKeyName); err != nil {
		return "", ClientKey{}, err
	}
	abilities, err := joinAbilities(options.Abilities)
	if err != nil {
		return "", ClientKey{}, err
	}
	if options.Lifetime != 0 && options.Lifetime < minLifetime {
		return "", ClientKey{}, fault.Invalid("expires: must be at least %s", minLifetime)
	}
	if options.Tenant != "" {
		if err := authz.ValidateID(options.Tenant); err != nil {
			return "", ClientKey{}, invalid("tenant", err)
		}
		revisions, err := e.store.Revisions(ctx, []string{options.Tenant})
		if err != nil {
			return "", ClientKey{}, err
		}
		if revisions[options.Tenant] == 0 {
			return "", ClientKey{}, fault.NotFound("tenant %q does not exist", options.Tenant)
		}
	}
	key, record := e.newClientKey(store.ClientKey{
		Tenant: options.Tenant, Name: options.Name, Abilities: abilities, Lifetime: options.Lifetime.Truncate(time.Microsecond),
	})
	_, err = e.Tenant(record.Tenant).mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if _, err := tx.CreateClientKey(ctx, record); err != nil {
			return nil, err
		}
		return []effect{clientKeyEffect(audit.ClientKeyCreated, record)}, nil
	})
	if err != nil {
		return "", ClientKey{}, err
	}
	return key, publicKey(record), nil
}

// RotateClientKey makes a key for the same tenant with the same name, abilities
// and lifetime, and ends the old one after overlap.
func (e *Engine) RotateClientKey(ctx context.Context, fingerprint string, overlap time.Duration) (string, ClientKey, error) {
	if overlap < 0 {
		return "", ClientKey{}, fault.Invalid("overlap: must not be negative")
	}
	old, err := e.clientKey(ctx, fingerprint)
	if err != nil {
		return "", ClientKey{}, err
	}
	key, record := e.newClientKey(store.ClientKey{Tenant: old.Tenant, Name: old.Name, Abilities: old.Abilities, Lifetime: old.Lifetime})
	_, err = e.Tenant(old.Tenant).mutate(ctx, func(tx store.Tx) ([]effect, error) {
		// Judged here, where no revocation can come between.
		current, err := tx.ClientKey(ctx, fingerprint)
		if err != nil {
			return nil, err
		}
		now := e.now()
		if reason := whyDead(current, now); reason != "" {
			return nil, fault.Conflict("the client key %s is %s", fingerprint, reason)
		}
		ends := now.Add(overlap)
		if !current.ExpiresAt.IsZero() && current.ExpiresAt.Before(ends) {
			ends = current.ExpiresAt
		}
		if _, err := tx.SetClientKeyExpiry(ctx, fingerprint, ends); err != nil {
			return nil, err
		}
		if _, err := tx.CreateClientKey(ctx, record); err != nil {
			return nil, err
		}
		done := clientKeyEffect(audit.ClientKeyRotated, current)
		done.event.Details = map[string]any{"successor": record.Fingerprint, "expires_at": ends.Format(time.RFC3339Nano)}
		return []effect{done}, nil
	})
	if err != nil {
		return "", ClientKey{}, err
	}
	e.forgetKey(old.Hash)
	return key, publicKey(record), nil
}

// RevokeClientKey ends a key at once and for good; its tenant stays. Changed tells
// whether it was not revoked before.
func (e *Engine) RevokeClientKey(ctx context.Context, fingerprint string) (authz.Written, error) {
	record, err := e.clientKey(ctx, fingerprint)
	if err != nil {
		return authz.Written{}, err
	}
	written, err := e.Tenant(record.Tenant).mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if revoked, err := tx.RevokeClientKey(ctx, fingerprint, e.now()); err != nil || !revoked {
			return nil, err
		}
		return []effect{clientKeyEffect(audit.ClientKeyRevoked, record)}, nil
	})
	if err == nil {
		e.forgetKey(record.Hash)
	}
	return written, err
}

// clientKey finds a key by its fingerprint.
func (e *Engine) clientKey(ctx context.Context, fingerprint string) (store.ClientKey, error) {
	if !fingerprintForm.MatchString(fingerprint) {
		return store.ClientKey{}, fault.Invalid("fingerprint: must be 16 hexadecimal digits in lower case")
	}
	return e.store.ClientKeyByFingerprint(ctx, fingerprint)
}

var fingerprintForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// ClientKeys lists the keys of every tenant, by tenant and fingerprint.
func (e *Engine) ClientKeys(ctx context.Context) ([]ClientKey, error) {
	var keys []ClientKey
	var after store.ClientKey
	for {
		records, err := e.store.ClientKeys(ctx, after, DefaultPage)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			keys = append(keys, publicKey(record))
		}
		if len(records) < DefaultPage {
			return keys, nil
		}
		after = records[len(records)-1]
	}
}

// newClientKey draws a key and completes its record; a record without a tenant
// gets the key's own.
func (e *Engine) newClientKey(record store.ClientKey) (string, store.ClientKey) {
	key := uuid.New().String()
	hash := keyHash(sha256.Sum256([]byte(key)))
	record.Hash = hash.String()
	record.Fingerprint = hash.fingerprint()
	record.CreatedAt = e.now()
	if record.Tenant == "" {
		record.Tenant = hash.tenant()
	}
	if record.Lifetime > 0 {
		record.ExpiresAt = record.CreatedAt.Add(record.Lifetime)
	}
	return key, record
}

func (e *Engine) forgetKey(hash string) {
	if h, ok := parseKeyHash(hash); ok {
		e.keys.forget(h)
	}
}

func parseKeyHash(hash string) (h keyHash, ok bool) {
	n, err := hex.Decode(h[:], []byte(hash))
	return h, err == nil && n == len(h)
}

// parseClientKey returns a UUID version 4 (RFC 9562) in lower case, and nothing
// else: no braces, no URN, no other version.
func parseClientKey(s string) (string, error) {
	if len(s) != 36 {
		return "", errUnknownKey()
	}
	id, err := uuid.Parse(s)
	if err != nil || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		return "", errUnknownKey()
	}
	return id.String(), nil
}

// errUnknownKey says the same of every key that opens nothing.
func errUnknownKey() error {
	return fault.Unauthenticated("the bearer token is not a valid client key")
}

// whyDead says why a key is no longer good; empty where it is.
func whyDead(record store.ClientKey, now time.Time) string {
	if status := (ClientKey{ExpiresAt: record.ExpiresAt, RevokedAt: record.RevokedAt}).Status(now); status != "active" {
		return status
	}
	return ""
}

func (h keyHash) String() string { return hex.EncodeToString(h[:]) }

// fingerprint is the first 64 bits of the hash.
func (h keyHash) fingerprint() string { return hex.EncodeToString(h[:8]) }

// tenant is the id of the tenant that a key opens by itself: from another hash,
// so that the id tells nothing of the stored one.
func (h keyHash) tenant() string {
	sum := sha256.Sum256(append([]byte("gatehouse tenant\x00"), h[:]...))
	return hex.EncodeToString(sum[:16])
}

func clientKeyEffect(action string, record store.ClientKey) effect {
	return effect{
		kind: store.KindClientKey,
		key:  record.Fingerprint,
		event: audit.Event{Action: action, Details: map[string]any{
			"name": record.Name, "abilities": record.Abilities,
		}},
	}
}

func publicKey(record store.ClientKey) ClientKey {
	return ClientKey{
		Fingerprint: record.Fingerprint,
		Tenant:      record.Tenant,
		Name:        record.Name,
		Abilities:   splitAbilities(record.Abilities),
		CreatedAt:   record.CreatedAt,
		ExpiresAt:   record.ExpiresAt,
		RevokedAt:   record.RevokedAt,
	}
}

// joinAbilities makes the stored form: sorted, each once, separated by commas.
func joinAbilities(abilities []Ability) (string, error) {
	if len(abilities) == 0 {
		return string(AbilityAdmin), nil
	}
	words := make([]string, len(abilities))
	for i, ability := range abilities {
		if !slices.Contains(allAbilities, ability) {
			return "", fault.Invalid("abilities: %q is not one of admin, audit, check, read, write", ability)
		}
		words[i] = string(ability)
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ","), nil
}

func splitAbilities(stored string) []Ability {
	var abilities []Ability
	for word := range strings.SplitSeq(stored, ",") {
		abilities = append(abilities, Ability(word))
	}
	return abilities
}
