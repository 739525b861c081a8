package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// IsClientKey tells whether s has the form of a client key: a UUID version 4
// (RFC 9562), in either case.
func IsClientKey(s string) bool {
	_, err := parseClientKey(s)
	return err == nil
}

// AdoptClientKey keeps a client key that another service has let in, with every
// ability, and returns the tenant that it opens: the one that it would open by itself
// where registration is open. A key that is kept already stays as it is, revoked or
// not; adopted tells whether this one was not.
func (e *Engine) AdoptClientKey(ctx context.Context, key string) (tenant *Tenant, adopted bool, err error) {
	canonical, err := parseClientKey(key)
	if err != nil {
		return nil, false, fault.Invalid("client key: must be a UUID version 4")
	}
	hash := keyHash(sha256.Sum256([]byte(canonical)))
	kept, err := e.store.ClientKeyByHash(ctx, hash.String())
	if err == nil {
		return e.Tenant(kept.Tenant), false, nil
	}
	if !errors.Is(err, fault.CodeNotFound) {
		return nil, false, err
	}
	record := e.ownKey(hash)
	tenant = e.Tenant(record.Tenant)
	written, err := tenant.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if created, err := tx.CreateClientKey(ctx, record); err != nil || !created {
			return nil, err
		}
		return []effect{clientKeyEffect(audit.ClientKeyCreated, record)}, nil
	})
	return tenant, written.Changed, err
}

// AdoptMembership is AddMembership without a window, but for a membership that is
// there already: that keeps its own.
func (t *Tenant) AdoptMembership(ctx context.Context, user, role string) (authz.Written, error) {
	membership := authz.Membership{Subject: asUser(user), Role: role, Node: authz.Root}
	if err := validateMembership(membership.Subject, role, membership.Node); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		held, err := tx.Holdings(ctx, user)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(held, func(h authz.Holding) bool { return h.Group == "" && h.Node == authz.Root && h.Role == role }) {
			return nil, nil
		}
		return putMembership(ctx, tx, membership)
	})
}
