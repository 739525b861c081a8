package authz

import (
	"iter"
	"unique"
)

// Subject is what is known of a user: whether they may act at all, and every role
// that they hold, directly and through groups. It does not change and may be used
// by many goroutines. Make one with NewSubject.
type Subject struct {
	ID         string
	Inactive   bool
	Properties map[string]any

	holdings map[Node][]Holding
	// shared keeps the names of roles in one place in memory for all subjects, so that
	// a check finds them in the processor's cache, whoever it is about.
	shared []unique.Handle[string]
}

// Holding says that a subject holds a role at a node.
type Holding struct {
	Role string
	Node Node
	// Group is the group that holds the role, where the subject does so by being
	// in it; empty where the subject itself does.
	Group string
	// NotBeforeMicros and ExpiresAtMicros bound when the holding is valid, in
	// microseconds since 1970 in UTC: from the first, and before the second.
	NotBeforeMicros, ExpiresAtMicros int64
}

// NewSubject arranges a user's holdings for checks.
func NewSubject(id string, inactive bool, properties map[string]any, holdings []Holding) *Subject {
	s := &Subject{
		ID: id, Inactive: inactive, Properties: properties,
		holdings: map[Node][]Holding{}, shared: make([]unique.Handle[string], len(holdings)),
	}
	for i, h := range holdings {
		s.shared[i] = unique.Make(h.Role)
		h.Role = s.shared[i].Value()
		s.holdings[h.Node] = append(s.holdings[h.Node], h)
	}
	return s
}

// With returns the same subject with other properties.
func (s *Subject) With(properties map[string]any) *Subject {
	with := *s
	with.Properties = properties
	return &with
}

// Holds reports whether the subject holds a role at a node at a time.
func (s *Subject) Holds(role string, node Node, nowMicros int64) bool {
	holdings := s.holdings[node]
	for i := range holdings {
		if h := &holdings[i]; h.Role == role && h.ValidAt(nowMicros) {
			return true
		}
	}
	return false
}

// Len counts the holdings.
func (s *Subject) Len() int {
	n := 0
	for _, holdings := range s.holdings {
		n += len(holdings)
	}
	return n
}

// At returns what the subject holds at a node; the caller must not change it.
func (s *Subject) At(node Node) []Holding { return s.holdings[node] }

// All iterates over what the subject holds, at each node in turn.
func (s *Subject) All() iter.Seq[Holding] {
	return func(yield func(Holding) bool) {
		for _, holdings := range s.holdings {
			for _, h := range holdings {
				if !yield(h) {
					return
				}
			}
		}
	}
}

// ValidAt reports whether a holding is valid at a time.
func (h *Holding) ValidAt(nowMicros int64) bool {
	return h.NotBeforeMicros <= nowMicros && nowMicros < h.ExpiresAtMicros
}

// Question asks whether a user may do something, here and now.
type Question struct {
	Subject *Subject
	// Permission is a name; a wildcard matches nothing.
	Permission string
	// Path is the resource, then its parents up to and including the root; the root
	// alone where no resource is named.
	Path []Place
	// NowMicros is the time of the question, in microseconds since 1970 in UTC.
	NowMicros int64

	// ActionProperties and Context are for conditions.
	ActionProperties map[string]any
	Context          map[string]any
}

// target is the place that the question is about.
func (q *Question) target() *Place { return &q.Path[0] }

// owned reports whether the subject owns the resource in question.
func (q *Question) owned() bool {
	return q.target().Owner != "" && q.target().Owner == q.Subject.ID
}

// Check decides a question by the rule: a role held at the target or above it, as
// its owner, or by everyone, has a grant that matches and whose condition is
// absent or true. Nothing else allows.
func (p *Policy) Check(q *Question) bool {
	if q.Subject.Inactive {
		return false
	}
	m := match{question: q}
	return p.find(q.Permission, &m) && p.allows(q, &m)
}

// allows decides for the subject of a question, who is active.
func (p *Policy) allows(q *Question, m *match) bool {
	if p.everyone.allows(m) {
		return true
	}
	if q.owned() && p.owner.allows(m) {
		return true
	}
	for i := range q.Path {
		holdings := q.Subject.holdings[q.Path[i].Node]
		for j := range holdings {
			if h := &holdings[j]; h.ValidAt(q.NowMicros) && p.roles[h.Role].allows(m) {
				return true
			}
		}
	}
	return false
}

// maxMatches is how many numbers a permission can match: itself, a prefix for each
// of its colons, and "*".
const maxMatches = MaxPermissionName + 2

// match is what grants a permission, and the question that conditions are about.
type match struct {
	question *Question
	numbers  [maxMatches]uint32
	count    int
	// evaluation is made when the first condition is met, and each condition is
	// evaluated once, by however many roles and ways it is reached.
	evaluation *evaluation
	outcomes   map[*Condition]outcome
}

// find fills in the numbers of the grants that match a permission, and reports
// whether there are any.
func (p *Policy) find(permission string, m *match) bool {
	if len(permission) > MaxPermissionName {
		return false
	}
	add := func(n uint32) {
		m.numbers[m.count] = n
		m.count++
	}
	if n, ok := p.exact[permission]; ok {
		add(n)
	}
	if len(p.below) > 0 {
		for i := range len(permission) {
			if permission[i] != ':' {
				continue
			}
			if n, ok := p.below[permission[:i]]; ok {
				add(n)
			}
		}
	}
	if p.all != none {
		add(p.all)
	}
	return m.count > 0
}

// allows reports whether a role has a grant that matches and applies. A role that
// is not there has none.
func (r *role) allows(m *match) bool {
	if r == nil {
		return false
	}
	numbers := m.numbers[:m.count]
	for _, n := range numbers {
		if r.always.has(n) {
			return true
		}
	}
	if r.conditional == nil {
		return false
	}
	for _, n := range numbers {
		for _, g := range r.conditional[n] {
			if holds, err := m.condition(g.condition); holds && err == nil {
				return true
			}
		}
	}
	return false
}

// condition evaluates a condition on the question.
func (m *match) condition(c *Condition) (bool, error) {
	if m.evaluation == nil {
		m.evaluation = m.question.evaluation(&budget{questionCost})
		m.outcomes = map[*Condition]outcome{}
	}
	o, known := m.outcomes[c]
	if !known {
		o.holds, o.err = c.holds(m.evaluation)
		m.outcomes[c] = o
	}
	return o.holds, o.err
}

// outcome is what a condition came to.
type outcome struct {
	holds bool
	err   error
}
