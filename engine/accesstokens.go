package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/signing"
	"github.com/gatehouse/gatehouse/internal/token"
)

// clockLeeway is how much the clocks of two servers may differ: a token that one has just
// issued is not too early for the other.
const clockLeeway = time.Minute

// verifiedToken is an access token that is well signed, for which nothing else needs to
// be read again.
type verifiedToken struct {
	token.Access
	abilities []Ability
}

type familyID struct{ tenant, id string }

// accessFamily is what decides about the access tokens of a family.
type accessFamily struct {
	found, ended bool
	client       keyHash
}

// authenticateToken is Authenticate for access tokens.
func (e *Engine) authenticateToken(ctx context.Context, bearer string, actor Actor) (Principal, error) {
	access, err := e.verifyAccess(ctx, bearer)
	if err != nil {
		return Principal{}, err
	}
	actor.Fingerprint, actor.Family, actor.Subject = access.Client, access.Family, access.Subject
	tenant := e.Tenant(access.Tenant).As(actor)
	state, err := e.accessState(ctx, access)
	if err != nil {
		return Principal{}, err
	}
	if state.reason != "" {
		// As with a dead key.
		if !state.known {
			tenant.refuse(ctx, audit.AuthenticationFailed, "token/"+key(access.Family), map[string]any{"reason": state.reason})
		}
		return Principal{}, badAccess("the access token is not good any more: %s", state.reason)
	}
	return Principal{Tenant: tenant, Fingerprint: access.Client, abilities: state.abilities}, nil
}

// badAccess refuses an access token.
func badAccess(format string, args ...any) error {
	return refusedToken(fault.CodeUnauthenticated, authz.ErrInvalidAccessToken, format, args...)
}

// verifyAccess reads an access token that is well signed, of any tenant.
func (e *Engine) verifyAccess(ctx context.Context, bearer string) (verifiedToken, error) {
	hash := keyHash(sha256.Sum256([]byte(bearer)))
	if known, ok := e.verified.GetIfPresent(hash); ok {
		return known, nil
	}
	var access token.Access
	keys, err := e.access.verify(ctx, func(keys *signing.Keys) (err error) {
		access, err = token.ParseAccess(keys, e.issuer, bearer)
		return err
	})
	switch {
	case keys == nil:
		return verifiedToken{}, err
	case err != nil:
		return verifiedToken{}, badAccess("the bearer token is not a valid client key or access token")
	}
	verified := verifiedToken{Access: access, abilities: abilitiesIn(strings.Fields(access.Scope))}
	e.verified.Set(hash, verified)
	return verified, nil
}

// accessState is how a well signed access token stands.
type accessState struct {
	// reason says why it is not good; empty where it is.
	reason    string
	abilities []Ability
	// known says that the database need not be asked.
	known bool
}

// accessState asks how the token's family and its client key stand. A token is no
// better than its key: neither its life nor its abilities go beyond.
func (e *Engine) accessState(ctx context.Context, access verifiedToken) (accessState, error) {
	family, known, err := e.familyState(ctx, familyID{access.Tenant, access.Family})
	if err != nil {
		return accessState{}, err
	}
	now := e.now()
	switch {
	case !family.found || family.ended:
		return accessState{reason: "its family has ended", known: known}, nil
	case !now.Before(access.ExpiresAt):
		return accessState{reason: "it has expired", known: known}, nil
	case now.Add(clockLeeway).Before(access.IssuedAt):
		return accessState{reason: "its time has not come", known: known}, nil
	}
	record, knownKey, err := e.keyRecord(ctx, family.client)
	if errors.Is(err, fault.CodeNotFound) {
		return accessState{reason: "its client key is unknown", known: known}, nil
	}
	if err != nil {
		return accessState{}, err
	}
	state := accessState{known: known && knownKey}
	if dead := whyDead(record, now); dead != "" {
		state.reason = "its client key is " + dead
		return state, nil
	}
	state.abilities = within(access.abilities, splitAbilities(record.Abilities))
	return state, nil
}

func (e *Engine) familyState(ctx context.Context, id familyID) (accessFamily, bool, error) {
	return e.families.ask(ctx, id, func(ctx context.Context) (accessFamily, error) {
		family, found, err := e.store.TokenFamily(ctx, id.tenant, id.id)
		if err != nil || !found {
			return accessFamily{}, err
		}
		client, ok := parseKeyHash(family.ClientKey)
		return accessFamily{found: ok, ended: !family.EndedAt.IsZero(), client: client}, nil
	})
}

// within leaves out of some abilities those that others do not imply.
func within(abilities, others []Ability) []Ability {
	for i, ability := range abilities {
		if can(others, ability) {
			continue
		}
		kept := abilities[:i:i]
		for _, ability := range abilities[i+1:] {
			if can(others, ability) {
				kept = append(kept, ability)
			}
		}
		return kept
	}
	return abilities
}

// abilitiesIn reads what we have written.
func abilitiesIn(words []string) []Ability {
	abilities := make([]Ability, len(words))
	for i, word := range words {
		abilities[i] = Ability(word)
	}
	return abilities
}
