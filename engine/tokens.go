package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/signing"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/token"
)

// IssueTokens begins a family of tokens for the caller's client key: the first access
// token, with no more abilities than the key has, and the first refresh token. An
// ability too many is authz.ErrInvalidScope, and a subject who is not active ErrInvalid.
func (p Principal) IssueTokens(ctx context.Context, request authz.TokenRequest) (authz.Tokens, error) {
	if err := p.RequireKey(ctx, "createToken"); err != nil {
		return authz.Tokens{}, err
	}
	t := p.Tenant
	abilities := p.abilities
	if request.Abilities != nil {
		var err error
		if abilities, err = p.narrow(ctx, request.Abilities, p.abilities, "createToken"); err != nil {
			return authz.Tokens{}, err
		}
	}
	stored, err := joinAbilities(abilities)
	if err != nil {
		return authz.Tokens{}, err
	}
	if request.Subject != "" {
		if err := authz.ValidateID(request.Subject); err != nil {
			return authz.Tokens{}, invalid("subject", err)
		}
		// In a token it would say that there is no subject.
		if request.Subject == p.Fingerprint {
			return authz.Tokens{}, fault.Invalid("subject: is the client key's fingerprint")
		}
	}
	if err := t.keepTenant(ctx); err != nil {
		return authz.Tokens{}, err
	}
	now := t.engine.now()
	family := token.Family{
		ID: uuid.NewString(), ClientKey: p.key.Hash, Subject: request.Subject, Abilities: stored, CreatedAt: now,
	}
	refreshToken, refresh := token.NewRefresh()
	tokens, err := p.issue(ctx, &family, refresh, splitAbilities(stored), now)
	if err != nil {
		return authz.Tokens{}, err
	}
	tokens.RefreshToken = refreshToken
	err = t.engine.store.UpdateTokens(ctx, t.id, func(tx store.TokenTx) error {
		if family.Subject != "" {
			subject, err := tx.LockUser(ctx, family.Subject)
			if err != nil {
				return err
			}
			if subject.Inactive {
				return fault.Invalid("subject: user %q is not active", family.Subject)
			}
		}
		if err := tx.CreateTokenFamily(ctx, family); err != nil {
			return err
		}
		return t.appendSessionEvent(ctx, tx, tokenEvent(audit.TokenIssued, audit.Success, family, map[string]any{
			"abilities": family.Abilities, "expires_at": family.ExpiresAt.Format(time.RFC3339Nano),
		}))
	})
	if err != nil {
		return authz.Tokens{}, err
	}
	t.engine.counts.tokens.Add(issuedWord, 1)
	return tokens, nil
}

// RefreshTokens takes the current refresh token of a family and returns the next one,
// with a new access token, which has fewer abilities than the family where some are
// given. The error is authz.ErrInvalidGrant for a token that is not good, or that
// another client key was given. A token that has been superseded ends its family, on
// every server before anybody is told.
func (p Principal) RefreshTokens(ctx context.Context, refreshToken string, abilities []string) (authz.Tokens, error) {
	if err := p.RequireKey(ctx, "refreshToken"); err != nil {
		return authz.Tokens{}, err
	}
	presented, ok := token.ParseRefresh(refreshToken)
	if !ok {
		return authz.Tokens{}, p.refuseRefresh()
	}
	// Whoever is too late for the family that they have read finds it refreshed or ended.
	for range 2 {
		tokens, taken, err := p.refresh(ctx, presented, abilities)
		if taken || err != nil {
			return tokens, err
		}
	}
	return authz.Tokens{}, fault.Unavailable(nil, "the tokens are being changed too often")
}

// refresh is RefreshTokens in one try. Neither tokens nor an error say that another
// request has changed the family.
func (p Principal) refresh(ctx context.Context, presented token.Refresh, abilities []string) (tokens authz.Tokens, taken bool, err error) {
	t := p.Tenant
	family, found, err := t.engine.store.TokenFamilyByHandle(ctx, t.id, presented.Handle)
	if err != nil {
		return authz.Tokens{}, false, err
	}
	if !found {
		return authz.Tokens{}, false, p.refuseRefresh()
	}
	now := t.engine.now()
	switch family.Judge(presented, p.key.Hash, now) {
	case token.Refused:
		return authz.Tokens{}, false, p.refuseRefresh()
	case token.Reused:
		event := tokenEvent(audit.TokenReused, audit.Refused, family, map[string]any{
			"generation": family.Generation, "refreshed_at": family.RefreshedAt.Format(time.RFC3339Nano),
		})
		if err := t.endFamily(ctx, family, now, authz.EndTokenReused, event); err != nil {
			return authz.Tokens{}, false, err
		}
		t.engine.counts.tokens.Add(reusedWord, 1)
		return authz.Tokens{}, false, errInvalidGrant()
	}
	granted := splitAbilities(family.Abilities)
	if abilities != nil {
		if granted, err = p.narrow(ctx, abilities, granted, "refreshToken"); err != nil {
			return authz.Tokens{}, false, err
		}
	}
	refreshToken, next := presented.Next()
	if tokens, err = p.issue(ctx, &family, next, granted, now); err != nil {
		return authz.Tokens{}, false, err
	}
	tokens.RefreshToken = refreshToken
	err = t.engine.store.UpdateTokens(ctx, t.id, func(tx store.TokenTx) (err error) {
		taken, err = tx.RefreshTokenFamily(ctx, presented.Hash, family)
		return err
	})
	if err != nil || !taken {
		return authz.Tokens{}, false, err
	}
	t.engine.counts.tokens.Add(refreshedWord, 1)
	return tokens, true, nil
}

// refuseRefresh is the error of a refresh token that is not good, and counts it.
func (p Principal) refuseRefresh() error {
	p.Tenant.engine.counts.tokens.Add(refusedWord, 1)
	return errInvalidGrant()
}

// RevokeToken ends the family of an access or refresh token of the tenant, good or not,
// whichever key it was given to. What is no such token changes nothing.
func (p Principal) RevokeToken(ctx context.Context, presented string) error {
	if err := p.RequireKey(ctx, "revokeToken"); err != nil {
		return err
	}
	t := p.Tenant
	family, found, err := t.familyOf(ctx, presented)
	if err != nil || !found {
		return err
	}
	return t.endFamily(ctx, family, t.engine.now(), authz.EndRevoked, tokenEvent(audit.TokenRevoked, audit.Success, family, nil))
}

// familyOf finds the family of a token of either kind.
func (t *Tenant) familyOf(ctx context.Context, presented string) (token.Family, bool, error) {
	if refresh, ok := token.ParseRefresh(presented); ok {
		return t.engine.store.TokenFamilyByHandle(ctx, t.id, refresh.Handle)
	}
	access, err := t.engine.verifyAccess(ctx, presented)
	if errors.Is(err, fault.CodeUnauthenticated) || err == nil && access.Tenant != t.id {
		return token.Family{}, false, nil
	}
	if err != nil {
		return token.Family{}, false, err
	}
	return t.engine.store.TokenFamily(ctx, t.id, access.Family)
}

// IntrospectToken tells what an access or refresh token of the tenant is, and whether
// it is good. It changes nothing: a superseded token does not end its family.
func (p Principal) IntrospectToken(ctx context.Context, presented string) (authz.TokenInfo, error) {
	if err := p.RequireKey(ctx, "introspectToken"); err != nil {
		return authz.TokenInfo{}, err
	}
	if refresh, ok := token.ParseRefresh(presented); ok {
		return p.Tenant.introspectRefresh(ctx, refresh)
	}
	t := p.Tenant
	access, err := t.engine.verifyAccess(ctx, presented)
	if errors.Is(err, fault.CodeUnauthenticated) || err == nil && access.Tenant != t.id {
		return authz.TokenInfo{}, nil
	}
	if err != nil {
		return authz.TokenInfo{}, err
	}
	state, err := t.engine.accessState(ctx, access)
	if err != nil || state.reason != "" {
		return authz.TokenInfo{}, err
	}
	return authz.TokenInfo{
		Active:    true,
		Use:       authz.AccessToken,
		ID:        access.ID,
		Family:    access.Family,
		Tenant:    access.Tenant,
		Issuer:    t.engine.issuer,
		Client:    access.Client,
		Subject:   access.Subject,
		Abilities: words(state.abilities),
		IssuedAt:  access.IssuedAt,
		ExpiresAt: access.ExpiresAt,
	}, nil
}

func (t *Tenant) introspectRefresh(ctx context.Context, presented token.Refresh) (authz.TokenInfo, error) {
	family, found, err := t.engine.store.TokenFamilyByHandle(ctx, t.id, presented.Handle)
	if err != nil || !found {
		return authz.TokenInfo{}, err
	}
	client, ok := parseKeyHash(family.ClientKey)
	now := t.engine.now()
	if !ok || family.Judge(presented, family.ClientKey, now) != token.Taken {
		return authz.TokenInfo{}, nil
	}
	record, _, err := t.engine.keyRecord(ctx, client)
	if err != nil || whyDead(record, now) != "" {
		return authz.TokenInfo{}, err
	}
	return authz.TokenInfo{
		Active:    true,
		Use:       authz.RefreshToken,
		Family:    family.ID,
		Tenant:    t.id,
		Issuer:    t.engine.issuer,
		Client:    client.fingerprint(),
		Subject:   family.Subject,
		Abilities: words(splitAbilities(family.Abilities)),
		IssuedAt:  family.RefreshedAt,
		ExpiresAt: family.ExpiresAt,
	}, nil
}

// issue gives the family its next refresh token and makes the access token to go with
// it. Nothing is kept yet.
func (p Principal) issue(ctx context.Context, family *token.Family, refresh token.Refresh, abilities []Ability, now time.Time) (authz.Tokens, error) {
	e := p.Tenant.engine
	keys, err := e.signingKeys(ctx, e.access)
	if err != nil {
		return authz.Tokens{}, err
	}
	expires := family.Issue(refresh, e.tokens.lifetimes(), now, p.key.ExpiresAt)
	scope := words(abilities)
	access, err := token.SignAccess(keys.Keys, e.issuer, token.Access{
		ID:        uuid.NewString(),
		Tenant:    p.Tenant.id,
		Family:    family.ID,
		Client:    p.Fingerprint,
		Subject:   family.Subject,
		Scope:     strings.Join(scope, " "),
		IssuedAt:  now.Truncate(time.Second),
		ExpiresAt: expires,
	}, now)
	if errors.Is(err, signing.ErrTooLong) {
		return authz.Tokens{}, fault.Invalid("subject: makes a token longer than %d bytes, with this tenant and issuer", signing.MaxToken)
	}
	return authz.Tokens{AccessToken: access, ExpiresIn: max(0, expires.Sub(now)), Abilities: scope}, err
}

// narrow reads the abilities that are asked for, which must be among those that there
// are. Asking for more is audited.
func (p Principal) narrow(ctx context.Context, asked []string, there []Ability, operation string) ([]Ability, error) {
	abilities := abilitiesIn(asked)
	if len(abilities) == 0 {
		return nil, refusedToken(fault.CodeInvalid, authz.ErrInvalidScope, "abilities: must not be empty; leave them out instead")
	}
	for _, ability := range abilities {
		if !slices.Contains(allAbilities, ability) {
			return nil, refusedToken(fault.CodeInvalid, authz.ErrInvalidScope, "abilities: %.64q is not one of admin, audit, check, read, write", ability)
		}
		if !can(there, ability) {
			p.Tenant.refuse(ctx, audit.AccessRefused, "operation/"+operation, map[string]any{"ability": string(ability)})
			return nil, refusedToken(fault.CodeInvalid, authz.ErrInvalidScope, "abilities: %q is more than there is", ability)
		}
	}
	slices.Sort(abilities)
	return slices.Compact(abilities), nil
}

// endFamily ends a family with all its tokens and keeps the event. Of all that end it at
// once only one does, and tells the audit log.
func (t *Tenant) endFamily(ctx context.Context, family token.Family, at time.Time, reason authz.SessionEnd, event audit.Event) error {
	err := t.engine.store.UpdateTokens(ctx, t.id, func(tx store.TokenTx) error {
		ended, err := tx.EndTokenFamily(ctx, family.ID, at, reason)
		if err != nil || !ended {
			return err
		}
		return t.appendSessionEvent(ctx, tx, event)
	})
	t.engine.families.forget(familyID{t.id, family.ID})
	return err
}

// endUserTokens ends all tokens that speak for a user, each family with its event, and
// returns how many families there were.
func (t *Tenant) endUserTokens(ctx context.Context, tx store.Tx, user string, reason authz.SessionEnd) (int, error) {
	ended, err := tx.EndUserTokens(ctx, user, t.engine.now(), reason)
	if err != nil {
		return 0, err
	}
	for _, family := range ended {
		event := tokenEvent(audit.TokenEnded, audit.Success, family, map[string]any{"reason": string(reason)})
		if err := t.appendSessionEvent(ctx, tx, event); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

func tokenEvent(action, outcome string, family token.Family, details map[string]any) audit.Event {
	return audit.Event{
		Action: action, Outcome: outcome, Resource: "token/" + key(family.ID), User: family.Subject, Details: details,
	}
}

// refusedToken is an error with OAuth's word for it.
func refusedToken(code fault.Code, why authz.TokenRefusal, format string, args ...any) error {
	return &fault.Error{Code: code, Detail: fmt.Sprintf(format, args...), Cause: why}
}

// errInvalidGrant says the same of every refresh token that is not taken.
func errInvalidGrant() error {
	return refusedToken(fault.CodeInvalid, authz.ErrInvalidGrant, "the refresh token is not good, or not any more")
}

// words are abilities as text.
func words(abilities []Ability) []string {
	list := make([]string, len(abilities))
	for i, ability := range abilities {
		list[i] = string(ability)
	}
	return list
}
