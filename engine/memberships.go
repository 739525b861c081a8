package engine

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AddMembership is PutMembership of a user at the tenant's root.
func (t *Tenant) AddMembership(ctx context.Context, user, role string, window authz.Window) (authz.Written, error) {
	return t.PutMembership(ctx, authz.Membership{Subject: asUser(user), Role: role, Node: authz.Root, Window: window})
}

// DeleteMembership is RemoveMembership of a user at the tenant's root.
func (t *Tenant) DeleteMembership(ctx context.Context, user, role string) (authz.Written, error) {
	return t.RemoveMembership(ctx, asUser(user), role, authz.Root)
}

// PutMembership gives a user or a group a role at a node, within a window. Doing so
// again replaces the window. A group that is not there is created. A role or a node
// that does not exist is ErrNotFound, a node of a kind that the role cannot be held
// at ErrConflict, and so is a new membership of a user who is not registered under
// StrictUsers.
func (t *Tenant) PutMembership(ctx context.Context, membership authz.Membership) (authz.Written, error) {
	if err := validateMembership(membership.Subject, membership.Role, membership.Node); err != nil {
		return authz.Written{}, err
	}
	var err error
	if membership.Window, err = validWindow(membership.Window); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) { return putMembership(ctx, tx, membership) })
}

func putMembership(ctx context.Context, tx store.Tx, membership authz.Membership) ([]effect, error) {
	if err := requireHoldable(ctx, tx, membership.Role, membership.Node); err != nil {
		return nil, err
	}
	done, err := nameSubject(ctx, tx, membership.Subject)
	if err != nil {
		return nil, err
	}
	isNew, changed, err := tx.SetMembership(ctx, membership)
	if err != nil || !changed {
		return nil, err
	}
	if isNew {
		if err := requireRegistered(ctx, tx, membership.Subject); err != nil {
			return nil, err
		}
	}
	return append(done, membershipEffect(put(!isNew, audit.MembershipAdded, audit.MembershipUpdated), membership)), nil
}

// RemoveMembership takes a role at a node from a user or a group. Changed tells
// whether the membership was there, valid now or not.
func (t *Tenant) RemoveMembership(ctx context.Context, subject authz.SubjectRef, role string, node authz.Node) (authz.Written, error) {
	if err := validateMembership(subject, role, node); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteMembership(ctx, subject, role, node); err != nil || !deleted {
			return nil, err
		}
		return []effect{membershipEffect(audit.MembershipRemoved, authz.Membership{Subject: subject, Role: role, Node: node})}, nil
	})
}

// NodeMembers lists the memberships at exactly this node as they were written,
// valid now or not: users first, by name, then role.
func (t *Tenant) NodeMembers(ctx context.Context, node authz.Node, page authz.Page) (authz.List[authz.Membership], error) {
	if err := validateNode(node); err != nil {
		return authz.List[authz.Membership]{}, err
	}
	return list(ctx, t, page, question("node_members", node.Type, node.ID), lister[authz.Membership]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Membership, error) {
			return r.Memberships(ctx, node, authz.Membership{
				Subject: authz.SubjectRef{Type: authz.SubjectType(after[0]), Name: after[1]}, Role: after[2], Node: node,
			}, limit)
		},
		position: func(m authz.Membership) []string { return []string{string(m.Subject.Type), m.Subject.Name, m.Role} },
		parts:    3,
	})
}

func asUser(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.UserType, Name: name} }

// validateMembership accepts a subject, a role that can be given, and a place.
func validateMembership(subject authz.SubjectRef, role string, node authz.Node) error {
	if err := validateSubject(subject); err != nil {
		return err
	}
	if err := validateRole(role); err != nil {
		return err
	}
	if authz.IsBuiltin(role) {
		return fault.Conflict("role %q is built in: it cannot be given or taken", role)
	}
	return validateNode(node)
}

// requireHoldable fails where a role or a node does not exist, or where the role
// cannot be held at nodes of that kind.
func requireHoldable(ctx context.Context, tx store.Tx, role string, node authz.Node) error {
	detail, err := requireRole(ctx, tx, role)
	if err != nil {
		return err
	}
	if err := requireNode(ctx, tx, node); err != nil {
		return err
	}
	if len(detail.Scopes) > 0 && !slices.Contains(detail.Scopes, node.Kind()) {
		return fault.Conflict("role %q cannot be held at %s: its scopes exclude the kind %q", role, node, node.Kind())
	}
	return nil
}

func membershipEffect(action string, membership authz.Membership) effect {
	details := map[string]any{}
	if from := membership.Window.NotBefore; !from.IsZero() {
		details["not_before"] = from.UTC().Format(time.RFC3339Nano)
	}
	if until := membership.Window.ExpiresAt; !until.IsZero() {
		details["expires_at"] = until.UTC().Format(time.RFC3339Nano)
	}
	return effect{
		kind:  store.KindMembership,
		key:   membershipKey(membership),
		event: audit.Event{Action: action, User: userOf(membership.Subject), Details: details},
	}
}

// membershipKey is the REST path of a membership without /api; for a user at the
// root, user and role alone.
func membershipKey(m authz.Membership) string {
	holder := []string{"members", m.Subject.Name, "roles", m.Role}
	if m.Subject.Type == authz.GroupType {
		holder[0] = "groups"
	}
	switch {
	case m.Node == authz.Root && m.Subject.Type == authz.UserType:
		return key(m.Subject.Name, m.Role)
	case m.Node == authz.Root:
		return key(holder...)
	case m.Node.Kind() == authz.KindResource:
		return key(append([]string{"resources", m.Node.Type, m.Node.ID}, holder...)...)
	default:
		return key(append([]string{"scopes", m.Node.Type, m.Node.ID}, holder...)...)
	}
}

// userOf is the user that an event about a subject names.
func userOf(subject authz.SubjectRef) string {
	if subject.Type == authz.UserType {
		return subject.Name
	}
	return ""
}
