package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

// The synthetic worlds: users hold a handful of roles each, at the root and at
// projects, as internal/live caches them.
const (
	membershipsPerUser = 10
	worldRoles         = 1000
	worldPermissions   = 20 // of each role
	worldProjects      = 1000
)

// world is a policy with its subjects, all in memory.
type world struct {
	policy   *authz.Policy
	subjects []*authz.Subject
	// bytes is what the subjects take of the heap.
	bytes uint64
}

func roleName(n int) string { return "role-" + strconv.Itoa(n) }

func permissionName(role, n int) string {
	return "permission-" + strconv.Itoa(role) + "-" + strconv.Itoa(n)
}

func project(n int) authz.Node { return authz.Node{Type: "project", ID: "project-" + strconv.Itoa(n)} }

// newPolicy compiles roles that hold a number of permissions each.
func newPolicy(roles, permissions int) (*authz.Policy, error) {
	specs := make([]authz.RoleSpec, roles)
	for r := range specs {
		specs[r].Name = roleName(r)
		for p := range permissions {
			specs[r].Grants = append(specs[r].Grants, authz.Grant{Permission: permissionName(r, p)})
		}
	}
	return authz.Compile(specs)
}

// newWorld makes subjects that have a number of memberships among them. No two
// strings of theirs share memory, as none do that a database was asked for.
func newWorld(memberships int) (*world, error) {
	policy, err := newPolicy(worldRoles, worldPermissions)
	if err != nil {
		return nil, err
	}
	w := &world{policy: policy, subjects: make([]*authz.Subject, memberships/membershipsPerUser)}
	before := heap()
	for u := range w.subjects {
		holdings := make([]authz.Holding, membershipsPerUser)
		for m := range holdings {
			holdings[m] = authz.Holding{Role: roleName((u + m) % worldRoles), Node: authz.Root, ExpiresAtMicros: math.MaxInt64}
			if m%2 == 1 {
				holdings[m].Node = project((u*7 + m) % worldProjects)
			}
		}
		w.subjects[u] = authz.NewSubject("user-"+strconv.Itoa(u)+"@example.com", false, nil, holdings)
	}
	w.bytes = heap() - before
	return w, nil
}

// heap is what is reachable, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// worlds measures one check among more and more memberships. One user is asked
// about again and again, and then users at random, whom no processor cache holds.
func worlds(r *report) error {
	r.title("authz.Check among memberships in memory (%d for each user, %d roles of %d permissions)",
		membershipsPerUser, worldRoles, worldPermissions)
	r.header("memberships", "one user", "allocs", "any user", "allocs", "any/one", "bytes/membership")
	for _, memberships := range []int{10_000, 1_000_000, 10_000_000} {
		w, err := newWorld(memberships)
		if err != nil {
			return err
		}
		one := r.measure(func(b *testing.B) { w.check(b, func(int) int { return len(w.subjects) / 2 }) })
		order := rand.New(rand.NewPCG(1, 2)).Perm(len(w.subjects))
		anyUser := r.measure(func(b *testing.B) { w.check(b, func(n int) int { return order[n%len(order)] }) })
		r.row(strconv.Itoa(memberships), one.time(), one.allocs(), anyUser.time(), anyUser.allocs(),
			fmt.Sprintf("%.1f x", anyUser.nanoseconds/one.nanoseconds), fmt.Sprintf("%.0f", float64(w.bytes)/float64(memberships)))
		runtime.KeepAlive(w)
	}
	return nil
}

// check asks for what a user may do at a project where they hold a role.
func (w *world) check(b *testing.B, choose func(n int) int) {
	path := []authz.Place{{}, {Node: authz.Root}}
	nodes := make([]authz.Node, worldProjects)
	for n := range nodes {
		nodes[n] = project(n)
	}
	permissions := make([]string, worldRoles)
	for n := range permissions {
		permissions[n] = permissionName(n, worldPermissions-1)
	}
	q := &authz.Question{Path: path, NowMicros: 1}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		u := choose(n)
		n++
		path[0].Node = nodes[(u*7+1)%worldProjects]
		q.Subject, q.Permission = w.subjects[u], permissions[(u+1)%worldRoles]
		if !w.policy.Check(q) {
			b.Fatal("denied")
		}
	}
}
