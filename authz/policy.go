package authz

import (
	"fmt"
	"slices"
	"strings"
)

// Grant gives a permission to whoever holds a role.
type Grant struct {
	// Permission is a name, a prefix followed by ":*", or "*".
	Permission string
	// Condition is a CEL expression that must be true for the grant to apply;
	// empty is always true. See CompileCondition.
	Condition string
}

// RoleSpec is a role as it was written.
type RoleSpec struct {
	Name string
	// Inherits names the roles whose grants this one has too.
	Inherits []string
	Grants   []Grant
}

// Policy is a tenant's roles, compiled: what each role holds, its own and
// inherited, as sets of numbered permissions. It does not change and may be used
// by many goroutines.
type Policy struct {
	// exact, below and all number the grants' permissions: the plain names, the
	// prefixes of "prefix:*" without the suffix, and "*". A check looks up what it
	// is asked for once, and then only compares numbers.
	exact, below map[string]uint32
	all          uint32
	roles        map[string]*role
	owner        *role
	everyone     *role
	// conditions are those of the grants, by their text.
	conditions map[string]*Condition
}

// none is the number of no permission.
const none = ^uint32(0)

// role is a compiled role.
type role struct {
	name string
	// always are the permissions that the role, or one that it inherits from,
	// grants without a condition.
	always numberSet
	// conditional are those that it grants under one.
	conditional map[uint32][]*grant
	// grants are the role's own, and lineage the roles whose grants it has, itself
	// first and the rest by distance; both for explanations.
	grants  []*grant
	lineage []ancestor
}

// ancestor is a role that another has the grants of.
type ancestor struct {
	role *role
	// heir is the place in the lineage of the role that inherits from this one.
	heir int
}

// way names the roles from the holder to the one at a place in its lineage, both
// included; nil where that is the holder itself.
func (r *role) way(place int) []string {
	if place == 0 {
		return nil
	}
	var names []string
	for ; place > 0; place = r.lineage[place].heir {
		names = append(names, r.lineage[place].role.name)
	}
	names = append(names, r.name)
	slices.Reverse(names)
	return names
}

// grant is a compiled grant.
type grant struct {
	permission string
	number     uint32
	condition  *Condition
}

// CycleError says that a role would inherit from itself. Path begins and ends with
// the same role.
type CycleError struct{ Path []string }

func (e *CycleError) Error() string {
	return "inheritance would go in a circle: " + strings.Join(e.Path, " -> ")
}

// Compile makes a Policy. It fails where a role inherits from itself (*CycleError)
// or from one that is not there. A grant whose condition is not one that
// CompileCondition accepts does not apply, and an explanation says why: so that one
// that was accepted once costs a tenant no other grant.
func Compile(specs []RoleSpec) (*Policy, error) { return (&Policy{}).Recompile(specs) }

// Recompile makes the Policy that follows p, as Compile does, but compiles only the
// conditions that p does not have.
func (p *Policy) Recompile(specs []RoleSpec) (*Policy, error) {
	next := &Policy{
		exact: map[string]uint32{},
		below: map[string]uint32{},
		all:   none,
		roles: make(map[string]*role, len(specs)),

		conditions: map[string]*Condition{},
	}
	if err := next.compile(specs, p.conditions); err != nil {
		return nil, err
	}
	return next, nil
}

// compile fills in an empty policy. known are conditions that are compiled already.
func (p *Policy) compile(specs []RoleSpec, known map[string]*Condition) error {
	byName := make(map[string]RoleSpec, len(specs))
	for _, spec := range specs {
		byName[spec.Name] = spec
	}
	var numbers uint32
	for _, spec := range specs {
		r := &role{name: spec.Name, grants: make([]*grant, 0, len(spec.Grants))}
		for _, g := range spec.Grants {
			compiled := &grant{permission: g.Permission, number: p.number(g.Permission, &numbers)}
			if g.Condition != "" {
				compiled.condition = p.condition(g.Condition, known)
			}
			r.grants = append(r.grants, compiled)
		}
		p.roles[spec.Name] = r
	}
	if path := findCycle(specs, byName); path != nil {
		return &CycleError{Path: path}
	}
	for _, spec := range specs {
		if err := p.inherit(p.roles[spec.Name], byName, int(numbers)); err != nil {
			return err
		}
	}
	p.owner, p.everyone = p.roles[Owner], p.roles[Everyone]
	return nil
}

// condition returns a condition, compiled once however often it stands in the policy.
func (p *Policy) condition(source string, known map[string]*Condition) *Condition {
	c := p.conditions[source]
	if c == nil {
		c = known[source]
	}
	if c == nil {
		var err error
		if c, err = CompileCondition(source); err != nil {
			c = &Condition{source: source, refused: err}
		}
	}
	p.conditions[source] = c
	return c
}

// number returns the number of a grant's permission, a new one where it has none.
func (p *Policy) number(permission string, numbers *uint32) uint32 {
	if permission == Wildcard {
		if p.all == none {
			p.all = *numbers
			*numbers++
		}
		return p.all
	}
	index := p.exact
	if prefix, wild := strings.CutSuffix(permission, wildcardSuffix); wild {
		index, permission = p.below, prefix
	}
	n, known := index[permission]
	if !known {
		n = *numbers
		index[permission] = n
		*numbers++
	}
	return n
}

// inherit gathers what r has from the roles that it inherits from, nearest first,
// so that an explanation shows the shortest way.
func (p *Policy) inherit(r *role, specs map[string]RoleSpec, numbers int) error {
	var always []uint32
	r.lineage = []ancestor{{role: r}}
	seen := map[string]bool{r.name: true}
	for i := 0; i < len(r.lineage); i++ {
		from := r.lineage[i]
		for _, g := range from.role.grants {
			if g.condition == nil {
				always = append(always, g.number)
				continue
			}
			if r.conditional == nil {
				r.conditional = map[uint32][]*grant{}
			}
			r.conditional[g.number] = append(r.conditional[g.number], g)
		}
		for _, parent := range specs[from.role.name].Inherits {
			if seen[parent] {
				continue
			}
			seen[parent] = true
			next := p.roles[parent]
			if next == nil {
				return fmt.Errorf("role %q inherits from %q, which does not exist", from.role.name, parent)
			}
			r.lineage = append(r.lineage, ancestor{role: next, heir: i})
		}
	}
	r.always = newNumberSet(always, numbers)
	return nil
}

// findCycle returns the way from a role back to itself, or nil where there is none.
// It visits each role once.
func findCycle(specs []RoleSpec, byName map[string]RoleSpec) []string {
	const underWay, done = 1, 2
	state := make(map[string]int, len(specs))
	var way []string
	var visit func(name string) []string
	visit = func(name string) []string {
		switch state[name] {
		case done:
			return nil
		case underWay:
			return append(slices.Clone(way[slices.Index(way, name):]), name)
		}
		state[name] = underWay
		way = append(way, name)
		for _, parent := range byName[name].Inherits {
			if cycle := visit(parent); cycle != nil {
				return cycle
			}
		}
		way = way[:len(way)-1]
		state[name] = done
		return nil
	}
	for _, spec := range specs {
		if cycle := visit(spec.Name); cycle != nil {
			return cycle
		}
	}
	return nil
}
