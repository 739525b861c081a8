package contract

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// steps is how many changes a random life has.
const steps = 250

// model is what a tenant must hold, kept in the plainest way.
type model struct {
	inherits map[string][]string
	grants   map[string]map[string]bool
	parents  map[authz.Node]authz.Node
	owners   map[authz.Node]string
	groups   map[string]map[authz.SubjectRef]bool
	held     map[authz.Membership]bool
}

// The names that a random life draws from: few, so that they meet.
var (
	someRoles       = []string{"a", "b", "c"}
	someUsers       = []string{"alice", "bob"}
	someGroups      = []string{"g", "h", "i"}
	somePermissions = []string{"edit", "view"}
	someNodes       = []authz.Node{acme, umbrella, apollo, crew, post}
)

func (s *suite) model() map[string]func(*testing.T, tenant) {
	tests := map[string]func(*testing.T, tenant){}
	for seed := range uint64(3) {
		tests[fmt.Sprintf("a_random_life_goes_as_the_model_says/%d", seed)] = func(t *testing.T, x tenant) {
			m := &model{
				inherits: map[string][]string{}, grants: map[string]map[string]bool{}, parents: map[authz.Node]authz.Node{},
				owners: map[authz.Node]string{}, groups: map[string]map[authz.SubjectRef]bool{}, held: map[authz.Membership]bool{},
			}
			x.addRole("first") // with it the tenant is there
			r := rand.New(rand.NewPCG(seed, 0))
			revision := x.revision()
			for n := range steps {
				revision = x.step(m, r, n, revision)
				if n%10 == 0 {
					x.agrees(m, n)
				}
			}
			x.agrees(m, steps)
		}
	}
	return tests
}

// step makes one random change, to the tenant and to the model, and returns the
// revision after it.
func (x tenant) step(m *model, r *rand.Rand, n int, revision int64) int64 {
	x.t.Helper()
	what, do, want := x.draw(m, r)
	before := fmt.Sprintf("%+v", *m)
	wantErr := want()
	changes := before != fmt.Sprintf("%+v", *m)
	written, err := do()
	what = fmt.Sprintf("step %d: %s", n, what)
	if wantErr != fault.CodeInternal {
		if !errors.Is(err, wantErr) {
			x.t.Fatalf("%s: got error %v, want %q", what, err, wantErr.Error())
		}
		return revision
	}
	if changes {
		revision++
	}
	if err != nil || written.Revision != revision {
		x.t.Fatalf("%s: got revision %d and error %v, want %d", what, written.Revision, err, revision)
	}
	if x.suite.additionsTellChanged && written.Changed != changes {
		x.t.Fatalf("%s: got Changed %v, want %v", what, written.Changed, changes)
	}
	return revision
}

// draw draws a change: in words, as it is asked for, and as the model makes it. The
// model answers with the code that the change fails with, or fault.CodeInternal
// where it does not.
func (x tenant) draw(m *model, r *rand.Rand) (what string, do func() (authz.Written, error), want func() fault.Code) {
	ctx := x.ctx()
	role, node, name := one(r, someRoles), one(r, someNodes), one(r, someUsers)
	subject := one(r, []authz.SubjectRef{user(name), group(one(r, someGroups))})
	switch r.IntN(14) {
	case 0, 1:
		detail := authz.RoleDetail{Name: role}
		if r.IntN(2) == 0 {
			detail.Inherits = []string{one(r, someRoles)}
		}
		return fmt.Sprintf("put role %+v", detail),
			func() (authz.Written, error) { return x.PutRole(ctx, detail) },
			func() fault.Code { return m.putRole(detail) }
	case 2:
		return "delete role " + role,
			func() (authz.Written, error) { return x.DeleteRole(ctx, role) },
			func() fault.Code { return m.deleteRole(role) }
	case 3, 4:
		permission := one(r, somePermissions)
		return "grant " + permission + " to " + role,
			func() (authz.Written, error) { return x.PutGrant(ctx, role, authz.Grant{Permission: permission}) },
			func() fault.Code { return m.grant(role, permission) }
	case 5, 6:
		parent := one(r, someNodes[:2])
		if node.Kind() == authz.KindTeam {
			parent = apollo
		}
		return fmt.Sprintf("put %s under %s", node, parent),
			func() (authz.Written, error) { return x.putNode(node, parent, name) },
			func() fault.Code { return m.putNode(node, parent, name) }
	case 7:
		return fmt.Sprintf("delete %s", node),
			func() (authz.Written, error) { return x.deleteNode(node) },
			func() fault.Code { m.deleteNode(node); return fault.CodeInternal }
	case 8, 9:
		membership := authz.Membership{Subject: subject, Role: role, Node: one(r, []authz.Node{node, authz.Root})}
		return fmt.Sprintf("put membership %+v", membership),
			func() (authz.Written, error) { return x.PutMembership(ctx, membership) },
			func() fault.Code { return m.putMembership(membership) }
	case 10:
		return fmt.Sprintf("take %s at %s from %+v", role, node, subject),
			func() (authz.Written, error) { return x.RemoveMembership(ctx, subject, role, node) },
			func() fault.Code {
				delete(m.held, authz.Membership{Subject: subject, Role: role, Node: node})
				return fault.CodeInternal
			}
	case 11, 12:
		into := one(r, someGroups)
		return fmt.Sprintf("put %+v into %s", subject, into),
			func() (authz.Written, error) { return x.AddToGroup(ctx, into, subject) },
			func() fault.Code { return m.addToGroup(into, subject) }
	default:
		if subject.Type == authz.UserType {
			return "delete user " + name,
				func() (authz.Written, error) { return x.DeleteUser(ctx, name) },
				func() fault.Code { m.deleteUser(name); return fault.CodeInternal }
		}
		return "delete group " + subject.Name,
			func() (authz.Written, error) { return x.DeleteGroup(ctx, subject.Name) },
			func() fault.Code { m.deleteGroup(subject.Name); return fault.CodeInternal }
	}
}

func one[T any](r *rand.Rand, choices []T) T { return choices[r.IntN(len(choices))] }

// putNode puts an organization under the root, a resource with an owner, and any
// other scope under the parent.
func (x tenant) putNode(node, parent authz.Node, owner string) (authz.Written, error) {
	switch node.Kind() {
	case authz.KindResource:
		return x.PutResource(x.ctx(), authz.Resource{Node: node, Parent: parent, Owner: owner})
	case authz.KindOrganization:
		return x.PutScope(x.ctx(), authz.Scope{Node: node})
	default:
		return x.PutScope(x.ctx(), authz.Scope{Node: node, Parent: parent})
	}
}

func (x tenant) deleteNode(node authz.Node) (authz.Written, error) {
	if node.Kind() == authz.KindResource {
		return x.DeleteResource(x.ctx(), node)
	}
	return x.DeleteScope(x.ctx(), node)
}

func (m *model) putRole(role authz.RoleDetail) fault.Code {
	for _, parent := range role.Inherits {
		if m.inherits[parent] == nil && parent != role.Name || slices.Contains(m.lineage(parent), role.Name) {
			return fault.CodeConflict
		}
	}
	m.inherits[role.Name] = append([]string{}, role.Inherits...)
	return fault.CodeInternal
}

func (m *model) deleteRole(role string) fault.Code {
	delete(m.inherits, role)
	delete(m.grants, role)
	for heir, parents := range m.inherits {
		m.inherits[heir] = slices.DeleteFunc(parents, func(parent string) bool { return parent == role })
	}
	maps.DeleteFunc(m.held, func(h authz.Membership, _ bool) bool { return h.Role == role })
	return fault.CodeInternal
}

func (m *model) grant(role, permission string) fault.Code {
	if m.inherits[role] == nil {
		return fault.CodeNotFound
	}
	if m.grants[role] == nil {
		m.grants[role] = map[string]bool{}
	}
	m.grants[role][permission] = true
	return fault.CodeInternal
}

func (m *model) putNode(node, parent authz.Node, owner string) fault.Code {
	if node.Kind() == authz.KindOrganization {
		parent = authz.Root
	}
	if !m.exists(parent) {
		return fault.CodeNotFound
	}
	m.parents[node] = parent
	if node.Kind() == authz.KindResource {
		m.owners[node] = owner
	}
	return fault.CodeInternal
}

func (m *model) deleteNode(node authz.Node) {
	delete(m.parents, node)
	delete(m.owners, node)
	maps.DeleteFunc(m.held, func(h authz.Membership, _ bool) bool { return h.Node == node })
	for child, parent := range m.parents {
		if parent == node {
			m.deleteNode(child)
		}
	}
}

func (m *model) putMembership(membership authz.Membership) fault.Code {
	if m.inherits[membership.Role] == nil || !m.exists(membership.Node) {
		return fault.CodeNotFound
	}
	m.name(membership.Subject)
	m.held[membership] = true
	return fault.CodeInternal
}

func (m *model) addToGroup(into string, member authz.SubjectRef) fault.Code {
	if member == group(into) || slices.Contains(m.subjects(group(into)), member) {
		return fault.CodeConflict
	}
	m.name(group(into))
	m.name(member)
	m.groups[into][member] = true
	return fault.CodeInternal
}

// name makes a group that is not there.
func (m *model) name(subject authz.SubjectRef) {
	if subject.Type == authz.GroupType && m.groups[subject.Name] == nil {
		m.groups[subject.Name] = map[authz.SubjectRef]bool{}
	}
}

func (m *model) deleteGroup(name string) {
	delete(m.groups, name)
	m.forget(group(name))
}

func (m *model) deleteUser(name string) {
	m.forget(user(name))
	for node, owner := range m.owners {
		if owner == name {
			m.owners[node] = ""
		}
	}
}

// forget takes a subject out of every group, and every role from it.
func (m *model) forget(subject authz.SubjectRef) {
	for _, members := range m.groups {
		delete(members, subject)
	}
	maps.DeleteFunc(m.held, func(h authz.Membership, _ bool) bool { return h.Subject == subject })
}

func (m *model) exists(node authz.Node) bool {
	_, exists := m.parents[node]
	return exists || node == authz.Root
}

// lineage is a role and all that it inherits from.
func (m *model) lineage(role string) []string {
	all := []string{role}
	for i := 0; i < len(all); i++ {
		all = append(all, m.inherits[all[i]]...)
	}
	return all
}

// subjects is a subject and every group that it is in.
func (m *model) subjects(subject authz.SubjectRef) []authz.SubjectRef {
	all := []authz.SubjectRef{subject}
	for i := 0; i < len(all); i++ {
		for name, members := range m.groups {
			if members[all[i]] {
				all = append(all, group(name))
			}
		}
	}
	return all
}

// allows is the decision rule, read aloud.
func (m *model) allows(name, permission string, node authz.Node) bool {
	for {
		for _, subject := range m.subjects(user(name)) {
			for _, role := range someRoles {
				if m.held[authz.Membership{Subject: subject, Role: role, Node: node}] && m.holds(role, permission) {
					return true
				}
			}
		}
		if node == authz.Root {
			return false
		}
		parent, exists := m.parents[node]
		if !exists {
			parent = authz.Root
		}
		node = parent
	}
}

func (m *model) holds(role, permission string) bool {
	return slices.ContainsFunc(m.lineage(role), func(name string) bool { return m.grants[name][permission] })
}

// agrees compares all that can be read of a tenant with the model.
func (x tenant) agrees(m *model, n int) {
	x.t.Helper()
	what := fmt.Sprintf("after step %d: ", n)
	for _, role := range someRoles {
		if detail, err := x.Role(x.ctx(), role); x.there(what+"role "+role, err, m.inherits[role] != nil) {
			equal(x.t, what+"inherits of "+role, detail.Value.Inherits, m.inherits[role])
		}
	}
	for _, name := range someGroups {
		_, err := x.Group(x.ctx(), name)
		x.there(what+"group "+name, err, m.groups[name] != nil)
	}
	for _, node := range someNodes {
		x.agreesAt(m, node, what)
	}
	var requests []authz.Request
	var want []bool
	for _, name := range someUsers {
		for _, permission := range somePermissions {
			for _, node := range append([]authz.Node{authz.Root}, someNodes...) {
				request := authz.Request{User: name, Permission: permission}
				if node != authz.Root {
					request.Resource = &authz.RequestedResource{Node: node}
				}
				requests = append(requests, request)
				want = append(want, m.allows(name, permission, node))
			}
		}
	}
	decisions, err := x.CheckBatch(x.ctx(), requests)
	if err != nil {
		x.t.Fatalf("%scheck: %v", what, err)
	}
	for i, decision := range decisions {
		if decision.Allowed != want[i] {
			x.t.Errorf("%s%+v at %+v: got %v, want %v", what, requests[i], requests[i].Resource, decision.Allowed, want[i])
		}
	}
}

// agreesAt compares what can be read of a node, and who holds what there.
func (x tenant) agreesAt(m *model, node authz.Node, what string) {
	x.t.Helper()
	what += node.String()
	if node.Kind() == authz.KindResource {
		if resource, err := x.Resource(x.ctx(), node); x.there(what, err, m.exists(node)) {
			same(x.t, what+": parent", resource.Value.Parent, m.parents[node])
			same(x.t, what+": owner", resource.Value.Owner, m.owners[node])
		}
	} else if scope, err := x.Scope(x.ctx(), node); x.there(what, err, m.exists(node)) {
		same(x.t, what+": parent", scope.Value.Parent, m.parents[node])
	}
	got := map[authz.Membership]bool{}
	for _, membership := range x.nodeMembers(node) {
		got[membership] = true
	}
	want := maps.Clone(m.held)
	maps.DeleteFunc(want, func(h authz.Membership, _ bool) bool { return h.Node != node })
	same(x.t, what+": members", got, want)
}

// there checks whether something could be read.
func (x tenant) there(what string, err error, want bool) bool {
	x.t.Helper()
	if got := !errors.Is(err, fault.CodeNotFound); got != want || got && err != nil {
		x.t.Fatalf("%s: got error %v, want it there: %v", what, err, want)
	}
	return want
}
