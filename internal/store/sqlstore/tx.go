package sqlstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
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
	// ids are the store's.
	ids *eventRows
	// endedFor counts the sessions that were ended, by reason.
	endedFor map[authz.SessionEnd]uint64
}

var _ store.Tx = (*writer)(nil)

func (w *writer) Revision(context.Context) (int64, error) { return w.revision, nil }

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

// SetRole implements store.Tx.
func (w *writer) SetRole(ctx context.Context, role authz.RoleDetail) (bool, error) {
	const doing = "set a role"
	rows, err := w.queries.SetRole(ctx, postgres.SetRoleParams{
		Tenant:      w.tenant,
		Name:        role.Name,
		Description: role.Description,
		Scopes:      kindsText(role.Scopes),
	})
	set, err := w.wrote(ctx, rows, err, doing)
	if err != nil {
		return false, err
	}
	before, _, err := w.Role(ctx, role.Name)
	if err != nil {
		return false, w.fail(err)
	}
	for _, parent := range before.Inherits {
		if slices.Contains(role.Inherits, parent) {
			continue
		}
		rows, err := w.queries.DeleteRoleParent(ctx, postgres.DeleteRoleParentParams{Tenant: w.tenant, Role: role.Name, Parent: parent})
		if _, err := w.wrote(ctx, rows, err, doing); err != nil {
			return false, err
		}
		set = true
	}
	for _, parent := range role.Inherits {
		rows, err := w.queries.CreateRoleParent(ctx, postgres.CreateRoleParentParams{Tenant: w.tenant, Role: role.Name, Parent: parent})
		created, err := w.wrote(ctx, rows, err, doing)
		if err != nil {
			return false, err
		}
		set = set || created
	}
	return set, nil
}

func (w *writer) DeleteRole(ctx context.Context, role string) (bool, error) {
	// The role itself goes last: the others refer to it.
	return w.all(ctx, "delete a role",
		func() (int64, error) {
			return w.queries.DeleteMembershipsOfRole(ctx, postgres.DeleteMembershipsOfRoleParams{Tenant: w.tenant, Role: role})
		},
		func() (int64, error) {
			return w.queries.DeleteGrantsOfRole(ctx, postgres.DeleteGrantsOfRoleParams{Tenant: w.tenant, Role: role})
		},
		func() (int64, error) {
			return w.queries.DeleteParentsOfRole(ctx, postgres.DeleteParentsOfRoleParams{Tenant: w.tenant, Role: role})
		},
		func() (int64, error) {
			return w.queries.DeleteChildrenOfRole(ctx, postgres.DeleteChildrenOfRoleParams{Tenant: w.tenant, Parent: role})
		},
		func() (int64, error) {
			return w.queries.DeleteRole(ctx, postgres.DeleteRoleParams{Tenant: w.tenant, Name: role})
		},
	)
}

func (w *writer) RolesAbove(ctx context.Context, roles []string, limit int) (map[string][]string, error) {
	rows, err := w.queries.RolesAbove(ctx, postgres.RolesAboveParams{Tenant: w.tenant, Roles: jsonList(roles), MaxRoles: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "read what roles inherit from")
	}
	above := map[string][]string{}
	for _, row := range rows {
		parents := above[row.Role]
		if row.Parent != "" {
			parents = append(parents, row.Parent)
		}
		above[row.Role] = parents
	}
	return above, nil
}

// HeldOutside implements store.Tx. No kinds are all of them, as in a role's Scopes.
func (w *writer) HeldOutside(ctx context.Context, role string, kinds []authz.Kind) (authz.Membership, bool, error) {
	if len(kinds) == 0 {
		return authz.Membership{}, false, nil
	}
	row, err := w.queries.MembershipOutside(ctx, postgres.MembershipOutsideParams{
		Tenant: w.tenant,
		Role:   role,
		Kinds:  "," + kindsText(kinds) + ",",
	})
	if err != nil {
		return authz.Membership{}, false, unlessNoRows(ctx, err, "look for where a role is held")
	}
	return authz.Membership{
		Subject: authz.SubjectRef{Type: authz.SubjectType(row.SubjectType), Name: row.Subject},
		Role:    row.Role,
		Node:    authz.Node{Type: row.NodeType, ID: row.NodeID},
		Window:  windowOf(row.NotBefore, row.ExpiresAt),
	}, true, nil
}

func (w *writer) SetGrant(ctx context.Context, role string, grant authz.Grant) (bool, error) {
	rows, err := w.queries.SetGrant(ctx, postgres.SetGrantParams{
		Tenant:     w.tenant,
		Role:       role,
		Permission: grant.Permission,
		Condition:  grant.Condition,
	})
	return w.wrote(ctx, rows, err, "set a grant")
}

func (w *writer) DeleteGrant(ctx context.Context, role, permission string) (bool, error) {
	rows, err := w.queries.DeleteGrant(ctx, postgres.DeleteGrantParams{
		Tenant:     w.tenant,
		Role:       role,
		Permission: permission,
	})
	return w.wrote(ctx, rows, err, "delete a grant")
}

func (w *writer) SetMembership(ctx context.Context, membership authz.Membership) (created, changed bool, err error) {
	row := postgres.CreateMembershipParams{
		Tenant:      w.tenant,
		SubjectType: string(membership.Subject.Type),
		Subject:     membership.Subject.Name,
		NodeType:    membership.Node.Type,
		NodeID:      membership.Node.ID,
		Role:        membership.Role,
		NotBefore:   micros(membership.Window.NotBefore),
		ExpiresAt:   endMicros(membership.Window.ExpiresAt),
	}
	rows, err := w.queries.CreateMembership(ctx, row)
	created, err = w.wrote(ctx, rows, err, "create a membership")
	if err != nil || created {
		return created, created, err
	}
	rows, err = w.queries.SetMembershipWindow(ctx, postgres.SetMembershipWindowParams{
		Tenant:      row.Tenant,
		SubjectType: row.SubjectType,
		Subject:     row.Subject,
		NodeType:    row.NodeType,
		NodeID:      row.NodeID,
		Role:        row.Role,
		NotBefore:   row.NotBefore,
		ExpiresAt:   row.ExpiresAt,
	})
	changed, err = w.wrote(ctx, rows, err, "set a membership's window")
	return false, changed, err
}

func (w *writer) DeleteMembership(ctx context.Context, subject authz.SubjectRef, role string, node authz.Node) (bool, error) {
	rows, err := w.queries.DeleteMembership(ctx, postgres.DeleteMembershipParams{
		Tenant:      w.tenant,
		SubjectType: string(subject.Type),
		Subject:     subject.Name,
		NodeType:    node.Type,
		NodeID:      node.ID,
		Role:        role,
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
		RevokedAt: endedMicros(at),
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

// all runs statements in turn, up to the first error, and reports whether any of
// them found something to do.
func (w *writer) all(ctx context.Context, doing string, statements ...func() (int64, error)) (bool, error) {
	var found bool
	for _, statement := range statements {
		rows, err := statement()
		did, err := w.wrote(ctx, rows, err, doing)
		if err != nil {
			return false, err
		}
		found = found || did
	}
	return found, nil
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
