package engine

import (
	"context"
	"slices"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AddRole creates a role. An existing one is left as it is, but for the
// description where options has one.
func (t *Tenant) AddRole(ctx context.Context, role string, options authz.RoleOptions) (authz.Written, error) {
	if err := validateOwnRole(role); err != nil {
		return authz.Written{}, err
	}
	described := options.Description != nil
	wanted := authz.Role{Name: role}
	if described {
		if err := validateText("description", *options.Description, authz.MaxDescription); err != nil {
			return authz.Written{}, err
		}
		wanted.Description = *options.Description
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if created, err := tx.CreateRole(ctx, wanted); err != nil {
			return nil, err
		} else if created {
			return []effect{roleEffect(audit.RoleCreated, role)}, nil
		}
		if !described {
			return nil, nil
		}
		if changed, err := tx.SetRoleDescription(ctx, role, wanted.Description); err != nil || !changed {
			return nil, err
		}
		return []effect{roleEffect(audit.RoleUpdated, role)}, nil
	})
}

// PutRole creates or replaces a role, but for its grants and members. It is
// ErrConflict where the role would inherit from itself or from a role that does not
// exist, where it or one that inherits from it would inherit from more than 100, or
// where it is held where Scopes would no longer allow it.
func (t *Tenant) PutRole(ctx context.Context, role authz.RoleDetail) (authz.Written, error) {
	role, err := canonicalRole(role)
	if err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if err := requireInheritance(ctx, tx, role); err != nil {
			return nil, err
		}
		if err := requireHeldWithin(ctx, tx, role); err != nil {
			return nil, err
		}
		old, existed, err := tx.Role(ctx, role.Name)
		if err != nil {
			return nil, err
		}
		if existed {
			if err := requireHeirs(ctx, tx, old, role); err != nil {
				return nil, err
			}
		}
		if changed, err := tx.SetRole(ctx, role); err != nil || !changed {
			return nil, err
		}
		done := roleEffect(put(existed, audit.RoleCreated, audit.RoleUpdated), role.Name)
		done.event.Details = roleDetails(role)
		return []effect{done}, nil
	})
}

// Role reads a role as it was written. The built-in ones are always there.
func (t *Tenant) Role(ctx context.Context, role string) (authz.Snapshot[authz.RoleDetail], error) {
	if err := validateRole(role); err != nil {
		return authz.Snapshot[authz.RoleDetail]{}, err
	}
	return snapshot(ctx, t, errNoRole(role), func(r store.Reader) (authz.RoleDetail, bool, error) {
		detail, exists, err := r.Role(ctx, role)
		if err == nil && !exists && authz.IsBuiltin(role) {
			return authz.RoleDetail{Name: role}, true, nil
		}
		return detail, exists, err
	})
}

// DeleteRole deletes a role with its grants and memberships; roles that inherited
// from it no longer do. Changed tells whether it was there. Making a role of that
// name again brings nothing back.
func (t *Tenant) DeleteRole(ctx context.Context, role string) (authz.Written, error) {
	if err := validateOwnRole(role); err != nil {
		return authz.Written{}, err
	}
	return t.mutate(ctx, func(tx store.Tx) ([]effect, error) {
		if deleted, err := tx.DeleteRole(ctx, role); err != nil || !deleted {
			return nil, err
		}
		return []effect{roleEffect(audit.RoleDeleted, role)}, nil
	})
}

// Roles lists the roles by name, all but the built-in ones.
func (t *Tenant) Roles(ctx context.Context, page authz.Page) (authz.List[authz.Role], error) {
	return list(ctx, t, page, question("roles"), lister[authz.Role]{
		read: func(r store.Reader, after []string, limit int) ([]authz.Role, error) {
			return r.Roles(ctx, after[0], limit)
		},
		position: func(role authz.Role) []string { return []string{role.Name} },
	})
}

// canonicalRole accepts a role that a tenant makes for itself, and returns it with
// each parent and each kind once, sorted: in the one form in which it is kept.
func canonicalRole(role authz.RoleDetail) (authz.RoleDetail, error) {
	if err := validateOwnRole(role.Name); err != nil {
		return role, err
	}
	if err := validateText("description", role.Description, authz.MaxDescription); err != nil {
		return role, err
	}
	for _, parent := range role.Inherits {
		if err := authz.ValidateRole(parent); err != nil {
			return role, invalid("inherits", err)
		}
		if authz.IsBuiltin(parent) {
			return role, fault.Conflict("inherits: role %q is built in: it cannot be inherited from", parent)
		}
	}
	for _, kind := range role.Scopes {
		if !slices.Contains(holdableKinds, kind) {
			return role, fault.Invalid("scopes: %q is not one of tenant, organization, project, team, resource", kind)
		}
	}
	role.Inherits = slices.Compact(slices.Sorted(slices.Values(role.Inherits)))
	role.Scopes = slices.Compact(slices.Sorted(slices.Values(role.Scopes)))
	return role, nil
}

// holdableKinds are the kinds of node that a role can be held at.
var holdableKinds = []authz.Kind{
	authz.KindTenant, authz.KindOrganization, authz.KindProject, authz.KindTeam, authz.KindResource,
}

// maxAncestors is from how many roles one may inherit, at whatever distance.
const maxAncestors = 100

// requireInheritance fails where a role would inherit from one that does not exist,
// or from itself: then it names the shortest way around. It looks at no more than
// maxAncestors roles.
func requireInheritance(ctx context.Context, tx store.Tx, role authz.RoleDetail) error {
	if len(role.Inherits) == 0 {
		return nil
	}
	tooMany := fault.Conflict("inherits: role %q would inherit from more than %d roles", role.Name, maxAncestors)
	if len(role.Inherits) > maxAncestors {
		return tooMany
	}
	// One more than allowed, and the role itself, which is among them where there is a
	// way around.
	const most = maxAncestors + 2
	parents, err := tx.RolesAbove(ctx, role.Inherits, most)
	if err != nil {
		return err
	}
	parents[role.Name] = role.Inherits
	heirs := map[string]string{}
	for queue := []string{role.Name}; len(queue) > 0; queue = queue[1:] {
		heir := queue[0]
		for _, parent := range parents[heir] {
			if parent == role.Name {
				return fault.Conflict("inherits: %v", &authz.CycleError{Path: wayAround(role.Name, heir, heirs)})
			}
			if _, seen := heirs[parent]; seen {
				continue
			}
			heirs[parent] = heir
			_, found := parents[parent]
			switch {
			case len(heirs) > maxAncestors, !found && len(parents) >= most:
				return tooMany
			case !found:
				return fault.Conflict("inherits: role %q does not exist", parent)
			}
			queue = append(queue, parent)
		}
	}
	return nil
}

// requireHeirs fails where a role that inherits from one would inherit from more than
// maxAncestors with it. Only a new parent can do that.
func requireHeirs(ctx context.Context, tx store.Tx, old, role authz.RoleDetail) error {
	isOld := func(parent string) bool { return slices.Contains(old.Inherits, parent) }
	if !slices.ContainsFunc(role.Inherits, func(parent string) bool { return !isOld(parent) }) {
		return nil
	}
	specs, err := tx.Policy(ctx)
	if err != nil {
		return err
	}
	parents, children := map[string][]string{}, map[string][]string{}
	for _, spec := range specs {
		parents[spec.Name] = spec.Inherits
		for _, parent := range spec.Inherits {
			children[parent] = append(children[parent], spec.Name)
		}
	}
	parents[role.Name] = role.Inherits
	for _, heir := range reachable(children, role.Name, len(specs)) {
		if len(reachable(parents, heir, maxAncestors+1)) > maxAncestors {
			return fault.Conflict("inherits: role %q, which inherits from %q, would inherit from more than %d roles", heir, role.Name, maxAncestors)
		}
	}
	return nil
}

// reachable lists what can be reached from a role, but for itself, nearest first: all, or
// at least the given number.
func reachable(next map[string][]string, from string, enough int) []string {
	reached := []string{from}
	seen := map[string]bool{from: true}
	for i := 0; i < len(reached) && len(reached) <= enough; i++ {
		for _, role := range next[reached[i]] {
			if !seen[role] {
				seen[role] = true
				reached = append(reached, role)
			}
		}
	}
	return reached[1:]
}

// wayAround goes from a role by those that it inherits from to the last, and back
// to itself. heirs holds, for each role, the one before it.
func wayAround(role, last string, heirs map[string]string) []string {
	path := []string{role}
	for step := last; step != role; step = heirs[step] {
		path = append(path, step)
	}
	path = append(path, role)
	slices.Reverse(path)
	return path
}

// requireHeldWithin fails where a role is held at a node of a kind that its scopes
// exclude.
func requireHeldWithin(ctx context.Context, tx store.Tx, role authz.RoleDetail) error {
	if len(role.Scopes) == 0 {
		return nil
	}
	m, found, err := tx.HeldOutside(ctx, role.Name, role.Scopes)
	if err == nil && found {
		err = fault.Conflict("scopes: %s %q holds role %q at %s", m.Subject.Type, m.Subject.Name, role.Name, m.Node)
	}
	return err
}

// requireRole fails where a role that a change builds on does not exist.
func requireRole(ctx context.Context, tx store.Tx, role string) (authz.RoleDetail, error) {
	detail, exists, err := tx.Role(ctx, role)
	if err == nil && !exists {
		err = errNoRole(role)
	}
	return detail, err
}

func errNoRole(role string) error { return fault.NotFound("role %q does not exist", role) }

func roleEffect(action, role string) effect {
	return effect{kind: store.KindRole, key: key(role), event: audit.Event{Action: action}}
}

func roleDetails(role authz.RoleDetail) map[string]any {
	details := map[string]any{}
	if len(role.Inherits) > 0 {
		details["inherits"] = role.Inherits
	}
	if len(role.Scopes) > 0 {
		details["scopes"] = role.Scopes
	}
	return details
}
