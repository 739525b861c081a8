package main

import (
	"fmt"
	"testing"

	"github.com/cedar-policy/cedar-go"

	"github.com/gatehouse/gatehouse/authz"
)

const cedarPolicies = 1000

// againstCedar asks of a thousand roles that hold a permission each: in Cedar a
// policy for each, which permits the role's members one action.
func againstCedar(r *report) error {
	r.title("cedar-go v1.9.0: %d policies, one for each role", cedarPolicies)
	r.header("question", "cedar", "allocs", "Gatehouse", "allocs", "cedar/Gatehouse")
	policies := cedar.NewPolicySet()
	for n := range cedarPolicies {
		var policy cedar.Policy
		text := fmt.Sprintf(`permit (principal in Role::%q, action == Action::%q, resource);`, roleName(n), permissionName(n, 0))
		if err := policy.UnmarshalCedar([]byte(text)); err != nil {
			return fmt.Errorf("read a Cedar policy: %w", err)
		}
		policies.Add(cedar.PolicyID(roleName(n)), &policy)
	}
	const role = cedarPolicies / 2
	alice, root := cedar.NewEntityUID("User", "alice"), cedar.NewEntityUID("Tenant", "root")
	member := cedar.NewEntityUID("Role", cedar.String(roleName(role)))
	entities := cedar.EntityMap{
		alice:  {UID: alice, Parents: cedar.NewEntityUIDSet(member)},
		member: {UID: member},
		root:   {UID: root},
	}
	policy, err := newPolicy(cedarPolicies, 1)
	if err != nil {
		return err
	}
	subject := authz.NewSubject("alice", false, nil, []authz.Holding{{Role: roleName(role), Node: authz.Root, ExpiresAtMicros: 2}})
	for _, question := range []struct {
		name    string
		role    int
		allowed bool
	}{{"allowed", role, true}, {"denied", role + 1, false}} {
		theirs := r.measure(func(b *testing.B) {
			b.ReportAllocs()
			request := cedar.Request{
				Principal: alice, Action: cedar.NewEntityUID("Action", cedar.String(permissionName(question.role, 0))), Resource: root,
			}
			for b.Loop() {
				if got, _ := cedar.Authorize(policies, entities, request); bool(got) != question.allowed {
					b.Fatal(got)
				}
			}
		})
		ours := r.measure(func(b *testing.B) {
			b.ReportAllocs()
			path := []authz.Place{{Node: authz.Root}}
			permission := permissionName(question.role, 0)
			q := &authz.Question{Subject: subject, Permission: permission, Path: path, NowMicros: 1}
			for b.Loop() {
				if policy.Check(q) != question.allowed {
					b.Fatal("not as Cedar answers")
				}
			}
		})
		r.row(question.name, theirs.time(), theirs.allocs(), ours.time(), ours.allocs(), ratio(theirs, ours))
	}
	return nil
}
