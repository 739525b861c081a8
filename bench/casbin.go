package main

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/casbin/casbin/v3"
	"github.com/casbin/casbin/v3/model"

	"github.com/gatehouse/gatehouse/authz"
)

// rbacModel is the RBAC model of casbin's own documentation and benchmarks.
const rbacModel = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
`

// againstCasbin puts casbin's own benchmark to both: 1,000, 10,000 and 100,000
// users, ten times fewer roles, and one permission for each role. A rule is a grant
// or a membership.
func againstCasbin(r *report) error {
	r.title("casbin v3.10.0, NewEnforcer, RBAC model: one user in ten of a role, one permission of each role")
	r.header("rules", "question", "casbin", "allocs", "Gatehouse", "allocs", "casbin/Gatehouse")
	for _, users := range []int{1_000, 10_000, 100_000} {
		roles := users / 10
		enforcer, err := newEnforcer(users, roles)
		if err != nil {
			return err
		}
		policy, err := newPolicy(roles, 1)
		if err != nil {
			return err
		}
		user := users/2 + 1
		role := user / 10
		subject := authz.NewSubject(userName(user), false, nil, []authz.Holding{{Role: roleName(role), Node: authz.Root, ExpiresAtMicros: 2}})
		for _, question := range []struct {
			name    string
			role    int
			allowed bool
		}{{"allowed", role, true}, {"denied", roles - 1, false}} {
			theirs := r.measure(func(b *testing.B) {
				b.ReportAllocs()
				name, permission := userName(user), permissionName(question.role, 0)
				for b.Loop() {
					got, err := enforcer.Enforce(name, permission, "do")
					if err != nil || got != question.allowed {
						b.Fatal(got, err)
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
						b.Fatal("not as casbin answers")
					}
				}
			})
			r.row(strconv.Itoa(users+roles), question.name, theirs.time(), theirs.allocs(), ours.time(), ours.allocs(), ratio(theirs, ours))
		}
	}
	return nil
}

func userName(n int) string { return "user-" + strconv.Itoa(n) }

func newEnforcer(users, roles int) (*casbin.Enforcer, error) {
	m, err := model.NewModelFromString(rbacModel)
	if err != nil {
		return nil, fmt.Errorf("read casbin's model: %w", err)
	}
	enforcer, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, fmt.Errorf("make casbin's enforcer: %w", err)
	}
	grants := make([][]string, roles)
	for n := range grants {
		grants[n] = []string{roleName(n), permissionName(n, 0), "do"}
	}
	memberships := make([][]string, users)
	for n := range memberships {
		memberships[n] = []string{userName(n), roleName(n / 10)}
	}
	_, errGrants := enforcer.AddPolicies(grants)
	_, errMemberships := enforcer.AddGroupingPolicies(memberships)
	return enforcer, errors.Join(errGrants, errMemberships)
}
