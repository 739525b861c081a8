package policyfile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// holding is a membership but for its window.
type holding struct {
	subject authz.SubjectRef
	role    string
	node    authz.Node
}

func (h holding) String() string {
	return fmt.Sprintf("%s %s: %s at %s", h.subject.Type, h.subject.Name, h.role, h.node)
}

// granting is a grant but for its condition.
type granting struct{ role, permission string }

// inclusion is a subject's place in a group.
type inclusion struct {
	group  string
	member authz.SubjectRef
}

// state is a policy as a set of things that can be put and deleted one by one.
type state struct {
	roles       map[string]authz.RoleDetail
	grants      map[granting]string
	scopes      map[authz.Node]authz.Scope
	groups      map[string]string // descriptions
	inclusions  map[inclusion]struct{}
	memberships map[holding]authz.Window
	// at is where in the file each key of the maps above stands.
	at map[any]path
}

func (f File) state() state {
	s := state{
		roles: map[string]authz.RoleDetail{}, grants: map[granting]string{}, scopes: map[authz.Node]authz.Scope{},
		groups: map[string]string{}, inclusions: map[inclusion]struct{}{}, memberships: map[holding]authz.Window{},
		at: map[any]path{},
	}
	for name, role := range f.Roles {
		at := path{"roles", name}
		if !authz.IsBuiltin(name) {
			s.roles[name] = authz.RoleDetail{
				Name: name, Description: role.Description, Inherits: sorted(role.Inherits), Scopes: sorted(role.Scopes),
			}
			s.at[roleKey(name)] = at
		}
		for permission, condition := range role.Grants {
			key := granting{name, permission}
			s.grants[key], s.at[key] = condition, at.to("grants", permission)
		}
	}
	for i, scope := range f.Scopes {
		node := authz.Node{Type: string(scope.Kind), ID: scope.ID}
		s.scopes[node] = authz.Scope{Node: node, Parent: scope.parent(), Name: scope.Name}
		s.at[node] = path{"scopes"}.to(i)
	}
	for name, g := range f.Groups {
		s.addGroup(name, g)
	}
	for i, m := range f.Memberships {
		key := holding{m.subject(), m.Role, m.At.node()}
		s.memberships[key], s.at[key] = m.window(), path{"memberships"}.to(i)
	}
	return s
}

func (s state) addGroup(name string, g Group) {
	at := path{"groups", name}
	s.groups[name], s.at[groupKey(name)] = g.Description, at
	include := func(field string, names []string, ref func(string) authz.SubjectRef) {
		for i, member := range names {
			key := inclusion{name, ref(member)}
			s.inclusions[key], s.at[key] = struct{}{}, at.to(field, i)
		}
	}
	include("members", g.Members, user)
	include("groups", g.Groups, group)
	for i, role := range g.Roles {
		key := holding{group(name), role, authz.Root}
		s.memberships[key], s.at[key] = authz.Window{}, at.to("roles", i)
	}
}

// roleKey and groupKey tell roles from groups of the same name.
type (
	roleKey  string
	groupKey string
)

// Read makes a policy of what a tenant holds, but for the tests. In a batch it is of
// one moment.
func Read(ctx context.Context, t *engine.Tenant) (File, error) {
	f := File{Roles: map[string]Role{}, Groups: map[string]Group{}}
	for _, read := range []func(context.Context, *engine.Tenant) error{f.readRoles, f.readGroups, f.readScopes, f.readMemberships} {
		if err := read(ctx, t); err != nil {
			return File{}, err
		}
	}
	return f, nil
}

func (f *File) readRoles(ctx context.Context, t *engine.Tenant) error {
	names := []string{authz.Owner, authz.Everyone}
	roles := func(p authz.Page) (authz.List[authz.Role], error) { return t.Roles(ctx, p) }
	for role, err := range authz.All(roles) {
		if err != nil {
			return err
		}
		names = append(names, role.Name)
	}
	for _, name := range names {
		detail, err := t.Role(ctx, name)
		if err != nil {
			return err
		}
		role := Role{Description: detail.Value.Description, Inherits: sorted(detail.Value.Inherits), Scopes: sorted(detail.Value.Scopes)}
		grants := func(p authz.Page) (authz.List[authz.Grant], error) { return t.Grants(ctx, name, p) }
		for grant, err := range authz.All(grants) {
			if err != nil {
				return err
			}
			if role.Grants == nil {
				role.Grants = map[string]string{}
			}
			role.Grants[grant.Permission] = grant.Condition
		}
		if !authz.IsBuiltin(name) || len(role.Grants) > 0 {
			f.Roles[name] = role
		}
	}
	return nil
}

func (f *File) readGroups(ctx context.Context, t *engine.Tenant) error {
	groups := func(p authz.Page) (authz.List[authz.Group], error) { return t.Groups(ctx, p) }
	for g, err := range authz.All(groups) {
		if err != nil {
			return err
		}
		read := Group{Description: g.Description}
		members := func(p authz.Page) (authz.List[authz.SubjectRef], error) { return t.GroupMembers(ctx, g.Name, p) }
		for member, err := range authz.All(members) {
			if err != nil {
				return err
			}
			if member.Type == authz.GroupType {
				read.Groups = append(read.Groups, member.Name)
			} else {
				read.Members = append(read.Members, member.Name)
			}
		}
		f.Groups[g.Name] = read
	}
	return nil
}

// scopeKinds are the kinds of scope, parents first.
var scopeKinds = []authz.Kind{authz.KindOrganization, authz.KindProject, authz.KindTeam}

func (f *File) readScopes(ctx context.Context, t *engine.Tenant) error {
	for _, kind := range scopeKinds {
		scopes := func(p authz.Page) (authz.List[authz.Scope], error) { return t.Scopes(ctx, kind, authz.Node{}, p) }
		for scope, err := range authz.All(scopes) {
			if err != nil {
				return err
			}
			f.Scopes = append(f.Scopes, Scope{Kind: kind, ID: scope.ID, Parent: scope.Parent.ID, Name: scope.Name})
		}
	}
	return nil
}

func (f *File) readMemberships(ctx context.Context, t *engine.Tenant) error {
	places := []*ScopeRef{nil}
	for _, scope := range f.Scopes {
		places = append(places, &ScopeRef{Kind: scope.Kind, ID: scope.ID})
	}
	for _, at := range places {
		memberships := func(p authz.Page) (authz.List[authz.Membership], error) { return t.NodeMembers(ctx, at.node(), p) }
		for m, err := range authz.All(memberships) {
			if err != nil {
				return err
			}
			f.addMembership(m, at)
		}
	}
	return nil
}

// addMembership writes a membership down where it takes the fewest words.
func (f *File) addMembership(m authz.Membership, at *ScopeRef) {
	if m.Subject.Type == authz.GroupType && at == nil && m.Window == (authz.Window{}) {
		g := f.Groups[m.Subject.Name]
		g.Roles = append(g.Roles, m.Role)
		f.Groups[m.Subject.Name] = g
		return
	}
	written := Membership{Role: m.Role, At: at}
	if m.Subject.Type == authz.GroupType {
		written.Group = m.Subject.Name
	} else {
		written.User = m.Subject.Name
	}
	if from := m.Window.NotBefore; !from.IsZero() {
		written.NotBefore = &from
	}
	if until := m.Window.ExpiresAt; !until.IsZero() {
		written.ExpiresAt = &until
	}
	f.Memberships = append(f.Memberships, written)
}

func sorted[T cmp.Ordered](list []T) []T { return slices.Sorted(slices.Values(list)) }

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
