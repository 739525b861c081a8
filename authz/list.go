package authz

import (
	"maps"
	"slices"
)

// RoleHolds reports whether a role has a grant that matches a permission, its own
// or inherited, whatever its condition.
func (p *Policy) RoleHolds(name, permission string) bool {
	m := match{}
	r := p.roles[name]
	return r != nil && p.find(permission, &m) && r.holds(&m)
}

func (r *role) holds(m *match) bool {
	for _, n := range m.numbers[:m.count] {
		if r.always.has(n) || len(r.conditional[n]) > 0 {
			return true
		}
	}
	return false
}

// RolePermissions lists what is granted to a role, itself or by inheritance,
// whatever the condition: each once, sorted, wildcards as they were written.
func (p *Policy) RolePermissions(name string) []string {
	r := p.roles[name]
	if r == nil {
		return nil
	}
	permissions := map[string]bool{}
	for _, ancestor := range r.lineage {
		for _, g := range ancestor.role.grants {
			permissions[g.permission] = true
		}
	}
	return slices.Sorted(maps.Keys(permissions))
}

// RolesThatCan lists the roles for which RoleHolds, all but the built-in ones,
// sorted.
func (p *Policy) RolesThatCan(permission string) []string {
	var names []string
	m := match{}
	if !p.find(permission, &m) {
		return nil
	}
	for name, r := range p.roles {
		if !IsBuiltin(name) && r.holds(&m) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Permissions lists what a question's subject may do at its target: each grant
// that applies, once, sorted, wildcards as they were written. The question's own
// permission does not count. Once their conditions together have cost ten times what
// one may, no further grant that has one counts.
func (p *Policy) Permissions(q *Question) []string {
	if q.Subject.Inactive {
		return nil
	}
	allowed := map[string]bool{}
	seen := map[*role]bool{}
	total := &budget{listCost}
	gather := func(r *role) {
		if r == nil || seen[r] {
			return
		}
		seen[r] = true
		for _, ancestor := range r.lineage {
			for _, g := range ancestor.role.grants {
				if !allowed[g.permission] && g.applies(q, total) {
					allowed[g.permission] = true
				}
			}
		}
	}
	gather(p.everyone)
	if q.owned() {
		gather(p.owner)
	}
	for i := range q.Path {
		for _, h := range q.Subject.At(q.Path[i].Node) {
			if h.ValidAt(q.NowMicros) {
				gather(p.roles[h.Role])
			}
		}
	}
	return slices.Sorted(maps.Keys(allowed))
}

// applies evaluates a grant's condition as if the grant were what is asked for.
func (g *grant) applies(q *Question, total *budget) bool {
	if g.condition == nil {
		return true
	}
	asked := *q
	asked.Permission = g.permission
	holds, err := g.condition.holds(asked.evaluation(total))
	return holds && err == nil
}

// RolesHeld lists the roles that a subject holds at a node, each once, sorted.
func (s *Subject) RolesHeld(node Node, nowMicros int64) []string {
	held := map[string]bool{}
	for _, h := range s.holdings[node] {
		if h.ValidAt(nowMicros) {
			held[h.Role] = true
		}
	}
	return slices.Sorted(maps.Keys(held))
}
