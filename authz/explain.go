package authz

// Outcome says what became of a grant that was looked at.
type Outcome string

// The outcomes, each but the first a reason why a grant did not allow.
const (
	Granted         Outcome = "granted"
	NotYetValid     Outcome = "not_yet_valid"    // the membership begins later
	Expired         Outcome = "expired"          // the membership has ended
	ConditionFalse  Outcome = "condition_false"  // the condition came to false
	ConditionFailed Outcome = "condition_failed" // the condition could not be evaluated
	UserInactive    Outcome = "user_inactive"    // the user is suspended
)

// Reason is one grant that matched a question, and what became of it.
type Reason struct {
	Outcome Outcome
	// Role is the role held, At where, and Group by which group, where it was one.
	Role  string
	At    Node
	Group string
	// Inheritance names the roles from Role to the one that has the grant, both
	// included; nil where Role itself has it.
	Inheritance []string
	// Permission is the grant's, as it was written; Condition likewise.
	Permission string
	Condition  string
	// Error says why a condition could not be evaluated.
	Error string
}

// maxReasons bounds an explanation: a user may hold thousands of roles.
const maxReasons = 100

// Explanation is a decision with its reasons: on an allow every grant that
// allowed, on a deny every one that would have but for what its outcome says. At
// most 100, those at the target first.
type Explanation struct {
	Allowed bool
	Reasons []Reason
	// Truncated tells that there were more reasons.
	Truncated bool
}

// Explain decides like Check, and says why.
func (p *Policy) Explain(q *Question) Explanation {
	m := match{question: q}
	if !p.find(q.Permission, &m) {
		return Explanation{}
	}
	// The decision comes first, so that it is Check's, whatever the reasons cost; and
	// only the reasons for it are gathered.
	allowed := !q.Subject.Inactive && p.allows(q, &m)
	var reasons []Reason
	truncated := false
	gather := func(r *role, at Node, group string, outcome Outcome) {
		if r == nil || truncated {
			return
		}
		for _, reason := range r.explain(&m, outcome) {
			if (reason.Outcome == Granted) != allowed {
				continue
			}
			if len(reasons) == maxReasons {
				truncated = true
				return
			}
			reason.At, reason.Group = at, group
			reasons = append(reasons, reason)
		}
	}
	whenValid := Granted
	if q.Subject.Inactive {
		whenValid = UserInactive
	}
	if q.owned() {
		gather(p.owner, q.target().Node, "", whenValid)
	}
	for i := range q.Path {
		node := q.Path[i].Node
		holdings := q.Subject.holdings[node]
		for j := range holdings {
			h := &holdings[j]
			outcome := whenValid
			switch {
			case q.Subject.Inactive:
			case q.NowMicros < h.NotBeforeMicros:
				outcome = NotYetValid
			case !h.ValidAt(q.NowMicros):
				outcome = Expired
			}
			gather(p.roles[h.Role], node, h.Group, outcome)
		}
	}
	gather(p.everyone, Root, "", whenValid)
	return Explanation{Allowed: allowed, Reasons: reasons, Truncated: truncated}
}

// explain lists the role's grants that match, its own and inherited, nearest
// first. outcome is what becomes of those that nothing else stands against.
func (r *role) explain(m *match, outcome Outcome) []Reason {
	var reasons []Reason
	for place, ancestor := range r.lineage {
		for _, g := range ancestor.role.grants {
			if !m.matches(g.number) {
				continue
			}
			reason := Reason{Outcome: outcome, Role: r.name, Permission: g.permission, Inheritance: r.way(place)}
			if g.condition != nil {
				reason.Condition = g.condition.String()
				if outcome == Granted {
					m.judge(g.condition, &reason)
				}
			}
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

func (m *match) judge(c *Condition, reason *Reason) {
	switch holds, err := m.condition(c); {
	case err != nil:
		reason.Outcome, reason.Error = ConditionFailed, err.Error()
	case !holds:
		reason.Outcome = ConditionFalse
	}
}

func (m *match) matches(number uint32) bool {
	for _, n := range m.numbers[:m.count] {
		if n == number {
			return true
		}
	}
	return false
}
