package policyfile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// Apply brings a tenant to what the file says and returns the difference: a line for
// each thing that was added (+), changed (~) or deleted (-). Without prune nothing is
// deleted that the file does not hold. It is for a batch, so that a file is applied as
// a whole; an error tells the line of the file.
func (f File) Apply(ctx context.Context, t *engine.Tenant, prune bool) ([]string, error) {
	current, err := Read(ctx, t)
	if err != nil {
		return nil, err
	}
	p := plan{have: current.state(), want: f.state(), prune: prune}
	p.draw()
	lines := make([]string, len(p.steps))
	for i, step := range p.steps {
		if _, err := step.carryOut(ctx, t); err != nil {
			if step.at == nil {
				return nil, fmt.Errorf("%s: %w", step.line, err)
			}
			return nil, f.locate(step.at, err)
		}
		lines[i] = step.line
	}
	return lines, nil
}

// step is one change on the way from one policy to another.
type step struct {
	line string
	// at is what the file says of it; nil for a deletion.
	at       path
	carryOut func(context.Context, *engine.Tenant) (authz.Written, error)
}

// plan is the way from one policy to another. Its order keeps every step possible:
// what others stand in the way of goes last, what others need comes first.
type plan struct {
	have, want state
	prune      bool
	steps      []step
}

func (p *plan) draw() {
	p.deleteMemberships()
	p.deleteInclusions()
	p.deleteGrants()
	p.putRoles()
	p.putGrants()
	p.putScopes()
	p.putGroups()
	p.putMemberships()
	p.deleteRest()
}

func (p *plan) put(existed bool, what string, key any, carryOut func(context.Context, *engine.Tenant) (authz.Written, error)) {
	sign := "+ "
	if existed {
		sign = "~ "
	}
	p.steps = append(p.steps, step{line: sign + what, at: p.want.at[key], carryOut: carryOut})
}

func (p *plan) remove(what string, carryOut func(context.Context, *engine.Tenant) (authz.Written, error)) {
	p.steps = append(p.steps, step{line: "- " + what, carryOut: carryOut})
}

// surplus are the keys that are there, sorted, and should not be.
func surplus[K comparable, V any](p *plan, have, want map[K]V, compare func(a, b K) int) []K {
	if !p.prune {
		return nil
	}
	var keys []K
	for key := range have {
		if _, wanted := want[key]; !wanted {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, compare)
	return keys
}

func (p *plan) deleteMemberships() {
	for _, h := range surplus(p, p.have.memberships, p.want.memberships, compareHoldings) {
		p.remove("membership "+h.String(), func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.RemoveMembership(ctx, h.subject, h.role, h.node)
		})
	}
}

func (p *plan) deleteInclusions() {
	for _, i := range surplus(p, p.have.inclusions, p.want.inclusions, compareInclusions) {
		p.remove(i.String(), func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.RemoveFromGroup(ctx, i.group, i.member)
		})
	}
}

func (p *plan) deleteGrants() {
	for _, g := range surplus(p, p.have.grants, p.want.grants, compareGrantings) {
		p.remove("grant "+g.role+": "+g.permission, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.DeletePermission(ctx, g.role, g.permission)
		})
	}
}

func (p *plan) putRoles() {
	for _, name := range p.parentsFirst() {
		role, wanted := p.want.roles[name]
		old, existed := p.have.roles[name]
		if !wanted || existed && reflect.DeepEqual(old, role) {
			continue
		}
		p.put(existed, "role "+name, roleKey(name), func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.PutRole(ctx, role)
		})
	}
}

// parentsFirst orders the roles so that those which a role is to inherit from have
// been put before it; then no circle comes to be that does not remain.
func (p *plan) parentsFirst() []string {
	roles := maps.Clone(p.have.roles)
	maps.Copy(roles, p.want.roles)
	var order []string
	begun := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if begun[name] {
			return
		}
		begun[name] = true
		for _, parent := range roles[name].Inherits {
			visit(parent)
		}
		order = append(order, name)
	}
	for _, name := range sortedKeys(roles) {
		visit(name)
	}
	return order
}

func (p *plan) putGrants() {
	for _, g := range slices.SortedFunc(maps.Keys(p.want.grants), compareGrantings) {
		condition := p.want.grants[g]
		old, existed := p.have.grants[g]
		if existed && old == condition {
			continue
		}
		what := "grant " + g.role + ": " + g.permission
		if condition != "" {
			what += " if " + condition
		}
		p.put(existed, what, g, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.PutGrant(ctx, g.role, authz.Grant{Permission: g.permission, Condition: condition})
		})
	}
}

func (p *plan) putScopes() {
	for _, node := range slices.SortedFunc(maps.Keys(p.want.scopes), compareScopes) {
		scope := p.want.scopes[node]
		old, existed := p.have.scopes[node]
		if existed && old == scope {
			continue
		}
		p.put(existed, fmt.Sprintf("scope %s under %s", node, scope.Parent), node, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.PutScope(ctx, scope)
		})
	}
}

func (p *plan) putGroups() {
	for _, name := range sortedKeys(p.want.groups) {
		description := p.want.groups[name]
		old, existed := p.have.groups[name]
		if existed && old == description {
			continue
		}
		p.put(existed, "group "+name, groupKey(name), func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.PutGroup(ctx, authz.Group{Name: name, Description: description})
		})
	}
	for _, i := range slices.SortedFunc(maps.Keys(p.want.inclusions), compareInclusions) {
		if _, existed := p.have.inclusions[i]; existed {
			continue
		}
		p.put(false, i.String(), i, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.AddToGroup(ctx, i.group, i.member)
		})
	}
}

func (p *plan) putMemberships() {
	for _, h := range slices.SortedFunc(maps.Keys(p.want.memberships), compareHoldings) {
		window := p.want.memberships[h]
		old, existed := p.have.memberships[h]
		if existed && old.NotBefore.Equal(window.NotBefore) && old.ExpiresAt.Equal(window.ExpiresAt) {
			continue
		}
		p.put(existed, "membership "+h.String()+bounds(window), h, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) {
			return t.PutMembership(ctx, authz.Membership{Subject: h.subject, Role: h.role, Node: h.node, Window: window})
		})
	}
}

func (p *plan) deleteRest() {
	for _, name := range surplus(p, p.have.roles, p.want.roles, cmp.Compare) {
		p.remove("role "+name, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) { return t.DeleteRole(ctx, name) })
	}
	for _, name := range surplus(p, p.have.groups, p.want.groups, cmp.Compare) {
		p.remove("group "+name, func(ctx context.Context, t *engine.Tenant) (authz.Written, error) { return t.DeleteGroup(ctx, name) })
	}
	for _, node := range slices.Backward(surplus(p, p.have.scopes, p.want.scopes, compareScopes)) {
		p.remove("scope "+node.String(), func(ctx context.Context, t *engine.Tenant) (authz.Written, error) { return t.DeleteScope(ctx, node) })
	}
}

// bounds says when a membership holds; nothing where that is always.
func bounds(w authz.Window) string {
	var b strings.Builder
	if !w.NotBefore.IsZero() {
		b.WriteString(" from " + w.NotBefore.Format(time.RFC3339Nano))
	}
	if !w.ExpiresAt.IsZero() {
		b.WriteString(" until " + w.ExpiresAt.Format(time.RFC3339Nano))
	}
	return b.String()
}

func (i inclusion) String() string {
	return fmt.Sprintf("member of group %s: %s %s", i.group, i.member.Type, i.member.Name)
}

func compareGrantings(a, b granting) int {
	return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.permission, b.permission))
}

func compareSubjects(a, b authz.SubjectRef) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
}

func compareInclusions(a, b inclusion) int {
	return cmp.Or(cmp.Compare(a.group, b.group), compareSubjects(a.member, b.member))
}

func compareHoldings(a, b holding) int {
	return cmp.Or(compareScopes(a.node, b.node), compareSubjects(a.subject, b.subject), cmp.Compare(a.role, b.role))
}

// compareScopes puts parents first; the root comes before all.
func compareScopes(a, b authz.Node) int {
	depth := func(n authz.Node) int { return slices.Index(scopeKinds, authz.Kind(n.Type)) }
	return cmp.Or(cmp.Compare(depth(a), depth(b)), cmp.Compare(a.ID, b.ID))
}
