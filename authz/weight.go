package authz

// The weights are about how many bytes of memory something takes, for caches that must
// not grow beyond a limit.

// Weight is that of the policy.
func (p *Policy) Weight() int {
	const (
		base, permission, perRole, perGrant, ancestor, conditional = 600, 60, 300, 80, 16, 80
		// A compiled condition grows with its text.
		perCondition, character = 2000, 100
	)
	bytes := base + permission*(len(p.exact)+len(p.below))
	for name, r := range p.roles {
		bytes += perRole + len(name) + 4*len(r.always.few) + 8*len(r.always.bits) + ancestor*len(r.lineage) + conditional*len(r.conditional)
		for _, g := range r.grants {
			bytes += perGrant + len(g.permission)
		}
	}
	for source := range p.conditions {
		bytes += perCondition + character*len(source)
	}
	return bytes
}

// Weight is that of the subject without its properties.
func (s *Subject) Weight() int {
	// A map has room for eight from its first element on, and grows by doubling.
	const base, firstHolding, element, perHolding = 200, 400, 100, 100
	bytes := base + len(s.ID) + element*len(s.holdings)
	if len(s.holdings) > 0 {
		bytes += firstHolding
	}
	for node, holdings := range s.holdings {
		bytes += len(node.Type) + len(node.ID)
		for i := range holdings {
			bytes += perHolding + len(holdings[i].Group)
		}
	}
	return bytes
}
