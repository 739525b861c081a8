package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// PutGroup creates a group or replaces its description; its members stay.
func (t *Tenant) PutGroup(ctx context.Context, group authz.Group) (authz.Written, error) {
	if err := validateGroup(group.Name); err != nil {
		return authz.Written{}, err
	}
	if err := validateText("description", group.Description, authz.MaxDescription); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		_, existed, err := tx.Group(ctx, group.Name)
		if err != nil {
			return nil, err
		}
		if changed, err := tx.SetGroup(ctx, group); err != nil || !changed {
			return nil, err
		}
		return []effect{groupEffect(put(existed, audit.GroupCreated, audit.GroupUpdated), group.Name)}, nil
	})
}

// Group reads a group.
func (t *Tenant) Group(ctx context.Context, group string) (authz.Snapshot[authz.Group], error) {
	if err := validateGroup(group); err != nil {
		return authz.Snapshot[authz.Group]{}, err
	}
	missing := fault.NotFound("group %q does not exist", group)
	return snapshot(ctx, t, missing, func(r store.Reader) (authz.Group, bool, error) { return r.Group(ctx, group) })
}

// DeleteGroup deletes a group with what it holds and its places in other groups;
// its members stay. Changed tells whether it was there.
func (t *Tenant) DeleteGroup(ctx context.Context, group string) (authz.Written, error) {
	if err := validateGroup(group); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteGroup(ctx, group); err != nil || !deleted {
			return nil, err
		}
		return []effect{groupEffect(audit.GroupDeleted, group)}, nil
	})
}

// AddToGroup puts a user or a group into a group. Groups that are not there are
// created. A group that would come to be in itself is ErrConflict, and under
// StrictUsers so is a user who is not registered.
func (t *Tenant) AddToGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error) {
	if err := validateGroupMember(group, member); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if err := requireNoCircle(ctx, tx, group, member); err != nil {
			return nil, err
		}
		outer, err := nameSubject(ctx, tx, asGroup(group))
		if err != nil {
			return nil, err
		}
		inner, err := nameSubject(ctx, tx, member)
		if err != nil {
			return nil, err
		}
		if added, err := tx.AddToGroup(ctx, group, member); err != nil || !added {
			return nil, err
		}
		if err := requireRegistered(ctx, tx, member); err != nil {
			return nil, err
		}
		return append(slices.Concat(outer, inner), groupMemberEffect(audit.GroupMemberAdded, group, member)), nil
	})
}

// RemoveFromGroup takes a user or a group out of a group. Changed tells whether it
// was in it, directly.
func (t *Tenant) RemoveFromGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error) {
	if err := validateGroupMember(group, member); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if removed, err := tx.RemoveFromGroup(ctx, group, member); err != nil || !removed {
			return nil, err
		}
		return []effect{groupMemberEffect(audit.GroupMemberRemoved, group, member)}, nil
	})
}

// Groups lists the groups by name.
func (t *Tenant) Groups(ctx context.Context, page authz.Page) (authz.List[authz.Group], error) {
	return list(ctx, t, page, question("groups"), lister[authz.Group]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Group, error) {
			return r.Groups(ctx, after[0], limit)
		},
		position: func(g authz.Group) []string { return []string{g.Name} },
	})
}

// GroupMembers lists who is in a group directly: users first, by name. A group that
// does not exist has none.
func (t *Tenant) GroupMembers(ctx context.Context, group string, page authz.Page) (authz.List[authz.SubjectRef], error) {
	if err := validateGroup(group); err != nil {
		return authz.List[authz.SubjectRef]{}, err
	}
	return list(ctx, t, page, question("group_members", group), lister[authz.SubjectRef]{
		read: func(r store.Reader, after []string, limit int) ([]authz.SubjectRef, error) {
			return r.GroupMembers(ctx, group, authz.SubjectRef{Type: authz.SubjectType(after[0]), Name: after[1]}, limit)
		},
		position: func(m authz.SubjectRef) []string { return []string{string(m.Type), m.Name} },
		parts:    2,
	})
}

func asGroup(name string) authz.SubjectRef {
	return authz.SubjectRef{Type: authz.GroupType, Name: name}
}

func validateGroupMember(group string, member authz.SubjectRef) error {
	if err := validateGroup(group); err != nil {
		return err
	}
	return validateSubject(member)
}

// nameSubject creates a group that a change names and that is not there, and
// returns what that did. Users need not be there.
func nameSubject(ctx context.Context, tx store.Tx, subject authz.SubjectRef) ([]effect, error) {
	if subject.Type != authz.GroupType {
		return nil, nil
	}
	if isNew, err := tx.CreateGroup(ctx, subject.Name); err != nil || !isNew {
		return nil, err
	}
	return []effect{groupEffect(audit.GroupCreated, subject.Name)}, nil
}

// requireNoCircle fails where a group that is to be put into another is that one,
// or holds it: then it names the way from the group back to itself.
func requireNoCircle(ctx context.Context, tx store.Tx, group string, member authz.SubjectRef) error {
	if member.Type != authz.GroupType {
		return nil
	}
	path := []string{group}
	if group != member.Name {
		var err error
		if path, err = tx.GroupPath(ctx, group, member.Name); err != nil || path == nil {
			return err
		}
	}
	circle := append([]string{member.Name}, path...)
	return fault.Conflict("groups would go in a circle: %s", strings.Join(circle, " -> "))
}

func groupEffect(action, group string) effect {
	return effect{kind: store.KindGroup, key: key(group), event: audit.Event{Action: action}}
}

func groupMemberEffect(action, group string, member authz.SubjectRef) effect {
	relation := "members"
	if member.Type == authz.GroupType {
		relation = "groups"
	}
	return effect{
		kind:  store.KindGroup,
		key:   key("groups", group, relation, member.Name),
		event: audit.Event{Action: action, User: userOf(member)},
	}
}
