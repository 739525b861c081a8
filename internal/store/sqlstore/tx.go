package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// writer implements store.Tx. Changes and events are kept until fn has returned
// and are inserted together, which on PostgreSQL is one round trip.
type writer struct {
	reader
	revision int64
	// changed tells whether a method found anything to do.
	changed bool
	// failed is the first error of a write. PostgreSQL would not commit after it,
	// and so neither does SQLite, whatever fn makes of it.
	failed  error
	changes []postgres.CreateChangeParams
	events  []postgres.CreateAuditEventParams
}

var _ store.Tx = (*writer)(nil)

func (w *writer) Revision(context.Context) (int64, error) { return w.revision, nil }

func (w *writer) RoleExists(ctx context.Context, role string) (bool, error) {
	count, err := w.queries.CountRole(ctx, postgres.CountRoleParams{Tenant: w.tenant, Name: role})
	return count > 0, classify(ctx, err, "look for a role")
}

func (w *writer) CreateRole(ctx context.Context, role authz.Role) (bool, error) {
	rows, err := w.queries.CreateRole(ctx, postgres.CreateRoleParams{
		Tenant:      w.tenant,
		Name:        role.Name,
		Description: role.Description,
	})
	return w.wrote(ctx, rows, err, "create a role")
}

func (w *writer) SetRoleDescription(ctx context.Context, role, description string) (bool, error) {
	rows, err := w.queries.SetRoleDescription(ctx, postgres.SetRoleDescriptionParams{
		Tenant:      w.tenant,
		Name:        role,
		Description: description,
	})
	return w.wrote(ctx, rows, err, "describe a role")
}

func (w *writer) DeleteRole(ctx context.Context, role string) (bool, error) {
	// The role itself goes last: the others refer to it.
	rows, err := w.queries.DeleteMembershipsOfRole(ctx, postgres.DeleteMembershipsOfRoleParams{Tenant: w.tenant, Role: role})
	if _, err := w.wrote(ctx, rows, err, "delete a role's memberships"); err != nil {
		return false, err
	}
	rows, err = w.queries.DeleteGrantsOfRole(ctx, postgres.DeleteGrantsOfRoleParams{Tenant: w.tenant, Role: role})
	if _, err := w.wrote(ctx, rows, err, "delete a role's grants"); err != nil {
		return false, err
	}
	rows, err = w.queries.DeleteRole(ctx, postgres.DeleteRoleParams{Tenant: w.tenant, Name: role})
	return w.wrote(ctx, rows, err, "delete a role")
}

func (w *writer) CreateGrant(ctx context.Context, role, permission string) (bool, error) {
	rows, err := w.queries.CreateGrant(ctx, postgres.CreateGrantParams{
		Tenant:     w.tenant,
		Role:       role,
		Permission: permission,
	})
	return w.wrote(ctx, rows, err, "create a grant")
}

func (w *writer) DeleteGrant(ctx context.Context, role, permission string) (bool, error) {
	rows, err := w.queries.DeleteGrant(ctx, postgres.DeleteGrantParams{
		Tenant:     w.tenant,
		Role:       role,
		Permission: permission,
	})
	return w.wrote(ctx, rows, err, "delete a grant")
}

func (w *writer) CreateMembership(ctx context.Context, member authz.Member, window authz.Window) (bool, error) {
	rows, err := w.queries.CreateMembership(ctx, postgres.CreateMembershipParams{
		Tenant:    w.tenant,
		Subject:   member.User,
		Role:      member.Role,
		NotBefore: micros(window.NotBefore),
		ExpiresAt: endMicros(window.ExpiresAt),
	})
	return w.wrote(ctx, rows, err, "create a membership")
}

func (w *writer) SetMembershipWindow(ctx context.Context, member authz.Member, window authz.Window) (bool, error) {
	rows, err := w.queries.SetMembershipWindow(ctx, postgres.SetMembershipWindowParams{
		Tenant:    w.tenant,
		Subject:   member.User,
		Role:      member.Role,
		NotBefore: micros(window.NotBefore),
		ExpiresAt: endMicros(window.ExpiresAt),
	})
	return w.wrote(ctx, rows, err, "set a membership's window")
}

func (w *writer) DeleteMembership(ctx context.Context, member authz.Member) (bool, error) {
	rows, err := w.queries.DeleteMembership(ctx, postgres.DeleteMembershipParams{
		Tenant:  w.tenant,
		Subject: member.User,
		Role:    member.Role,
	})
	return w.wrote(ctx, rows, err, "delete a membership")
}

func (w *writer) ClientKey(ctx context.Context, fingerprint string) (store.ClientKey, error) {
	row, err := w.queries.ClientKeyByFingerprint(ctx, postgres.ClientKeyByFingerprintParams{Fingerprint: fingerprint})
	key, err := foundKey(ctx, row, err)
	if err == nil && key.Tenant != w.tenant {
		return store.ClientKey{}, fault.NotFound("no such client key")
	}
	return key, err
}

// CreateClientKey implements store.Tx. A fingerprint that another key has is
// fault.CodeConflict.
func (w *writer) CreateClientKey(ctx context.Context, key store.ClientKey) (bool, error) {
	if key.Tenant != "" && key.Tenant != w.tenant {
		return false, fmt.Errorf("create a client key of tenant %q in a transaction of tenant %q", key.Tenant, w.tenant)
	}
	rows, err := w.queries.CreateClientKey(ctx, postgres.CreateClientKeyParams{
		Hash:        key.Hash,
		Fingerprint: key.Fingerprint,
		Tenant:      w.tenant,
		Name:        key.Name,
		Abilities:   key.Abilities,
		CreatedAt:   micros(key.CreatedAt),
		ExpiresAt:   endMicros(key.ExpiresAt),
		RevokedAt:   micros(key.RevokedAt),
		Lifetime:    key.Lifetime.Microseconds(),
	})
	if isUniqueViolation(err) {
		return false, w.fail(fault.Conflict("a client key with this fingerprint is there already"))
	}
	return w.wrote(ctx, rows, err, "create a client key")
}

func (w *writer) SetClientKeyExpiry(ctx context.Context, fingerprint string, at time.Time) (bool, error) {
	rows, err := w.queries.SetClientKeyExpiry(ctx, postgres.SetClientKeyExpiryParams{
		Tenant:      w.tenant,
		Fingerprint: fingerprint,
		ExpiresAt:   endMicros(at),
	})
	return w.wrote(ctx, rows, err, "set a client key's expiry")
}

func (w *writer) RevokeClientKey(ctx context.Context, fingerprint string, at time.Time) (bool, error) {
	rows, err := w.queries.RevokeClientKey(ctx, postgres.RevokeClientKeyParams{
		Tenant:      w.tenant,
		Fingerprint: fingerprint,
		// The table's 0 means "not revoked", which no caller's clock may bring about.
		RevokedAt: max(micros(at), 1),
	})
	return w.wrote(ctx, rows, err, "revoke a client key")
}

func (w *writer) AppendChange(_ context.Context, kind, key string) error {
	w.changes = append(w.changes, postgres.CreateChangeParams{
		Tenant:   w.tenant,
		Revision: w.revision,
		Position: int64(len(w.changes)),
		Kind:     kind,
		Key:      key,
	})
	return nil
}

func (w *writer) AppendEvent(_ context.Context, event audit.Event) error {
	row, err := eventRow(w.tenant, w.revision, event)
	if err != nil {
		return err
	}
	w.events = append(w.events, row)
	return nil
}

func (w *writer) wrote(ctx context.Context, rows int64, err error, doing string) (bool, error) {
	if err != nil {
		return false, w.fail(classify(ctx, err, doing))
	}
	w.changed = w.changed || rows > 0
	return rows > 0, nil
}

func (w *writer) fail(err error) error {
	if w.failed == nil {
		w.failed = err
	}
	return err
}
