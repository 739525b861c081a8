package authz_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/gatehouse/gatehouse/authz"
)

// randomWorld draws a small world, in which everything that the rule speaks of
// happens often.
func randomWorld(r *rand.Rand) *world {
	w := &world{
		roles: map[string]authz.RoleSpec{}, parents: map[authz.Node]authz.Node{}, owners: map[authz.Node]string{},
		groups: map[string][]string{}, inactive: map[string]bool{},
	}
	roles := []string{authz.Owner, authz.Everyone, "r0", "r1", "r2", "r3", "r4"}
	for i, name := range roles {
		spec := authz.RoleSpec{Name: name}
		for range r.IntN(3) {
			spec.Grants = append(spec.Grants, authz.Grant{
				Permission: pick(r, "a", "a:b", "a:b:c", "b", "b:c", "a:*", "a:b:*", "b:*", "*"),
				Condition:  pick(r, "", "", "", "true", "1 < 2", "false", "context.missing == 1", "1 / 0 == 1"),
			})
		}
		// Only from later roles, so that there is no circle.
		for _, parent := range roles[i+1:] {
			if r.IntN(6) == 0 && !strings.HasPrefix(parent, "@") {
				spec.Inherits = append(spec.Inherits, parent)
			}
		}
		if name[0] != '@' || r.IntN(2) == 0 {
			w.roles[name] = spec
		}
	}
	for i, n := range nodes {
		if i > 0 && r.IntN(3) > 0 {
			w.parents[n] = nodes[r.IntN(i)]
		}
		if n.Kind() == authz.KindResource && r.IntN(2) == 0 {
			w.owners[n] = pick(r, "u0", "u1", "u2")
		}
	}
	for _, subject := range []string{"u0", "u1", "u2", "g0", "g1", "g2"} {
		for _, group := range []string{"g0", "g1", "g2"} {
			if subject < group && r.IntN(3) == 0 || subject[0] == 'u' && r.IntN(3) == 0 {
				w.groups[subject] = append(w.groups[subject], group)
			}
		}
	}
	w.inactive[pick(r, "u0", "u1", "u2", "nobody", "nobody")] = true
	for range r.IntN(8) {
		from := int64(r.IntN(6))
		w.memberships = append(w.memberships, membership{
			subject: pick(r, "u0", "u1", "u2", "g0", "g1", "g2"), role: pick(r, "r0", "r1", "r2", "r3", "r4", "gone"),
			node: nodes[r.IntN(len(nodes))], notBefore: from, expiresAt: from + int64(r.IntN(6)),
		})
	}
	if r.IntN(4) == 0 { // more reasons than an explanation holds
		for range 150 {
			role := fmt.Sprint("many", len(w.roles))
			w.roles[role] = authz.RoleSpec{Name: role, Grants: []authz.Grant{{Permission: pick(r, "a", "a:*", "*"), Condition: pick(r, "", "", "false", "1 / 0 == 1")}}}
			w.memberships = append(w.memberships, membership{
				subject: pick(r, "u0", "g0"), role: role, node: nodes[r.IntN(2)], notBefore: 20, expiresAt: 30,
			})
		}
		r.Shuffle(len(w.memberships), func(i, j int) { w.memberships[i], w.memberships[j] = w.memberships[j], w.memberships[i] })
	}
	return w
}

var nodes = []authz.Node{
	authz.Root, {Type: "organization", ID: "o"}, {Type: "project", ID: "p"}, {Type: "team", ID: "t"},
	{Type: "post", ID: "1"}, {Type: "post", ID: "2"}, {Type: "tenant", ID: "x"},
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// FuzzCheck holds Check and Explain to the reference on random worlds.
func FuzzCheck(f *testing.F) {
	for seed := range uint64(500) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := randomWorld(r)
		policy, err := w.compile()
		if err != nil {
			t.Fatalf("seed %d: compile: %v", seed, err)
		}
		for _, user := range []string{"u0", "u1", "u2", "stranger"} {
			for _, permission := range []string{"a", "a:b", "a:b:c", "a:", "b:c", "c", "*", "a:*"} {
				if strings.HasSuffix(permission, "*") {
					continue // cannot be asked for
				}
				for _, node := range nodes {
					now := int64(r.IntN(10))
					want := w.allow(user, permission, node, now)
					q := w.question(user, permission, node, now)
					if got := policy.Check(q); got != want {
						t.Fatalf("seed %d: Check(%s, %s, %s, %d): got %t, want %t in %+v", seed, user, permission, node, now, got, want, w)
					}
					explained := policy.Explain(q)
					if explained.Allowed != want {
						t.Fatalf("seed %d: Explain(%s, %s, %s, %d): got %+v, want %t", seed, user, permission, node, now, explained, want)
					}
					for _, reason := range explained.Reasons {
						if (reason.Outcome == authz.Granted) != want {
							t.Fatalf("seed %d: reason %+v of a decision that is %t", seed, reason, want)
						}
					}
					if want && len(explained.Reasons) == 0 {
						t.Fatalf("seed %d: allowed for no reason", seed)
					}
				}
			}
		}
	})
}

func TestCompile(t *testing.T) {
	t.Parallel()
	t.Run("a_circle_is_named", func(t *testing.T) {
		t.Parallel()
		_, err := authz.Compile([]authz.RoleSpec{
			{Name: "a", Inherits: []string{"b"}}, {Name: "b", Inherits: []string{"c"}}, {Name: "c", Inherits: []string{"a"}},
		})
		var cycle *authz.CycleError
		if !errors.As(err, &cycle) || fmt.Sprint(cycle.Path) != "[a b c a]" {
			t.Errorf("got %v, want a circle a b c a", err)
		}
	})
	t.Run("an_unknown_parent_is_refused", func(t *testing.T) {
		t.Parallel()
		if _, err := authz.Compile([]authz.RoleSpec{{Name: "a", Inherits: []string{"b"}}}); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("fifty_deep", func(t *testing.T) {
		t.Parallel()
		specs := []authz.RoleSpec{{Name: "r0", Grants: []authz.Grant{{Permission: "deep"}}}}
		for i := 1; i <= 50; i++ {
			specs = append(specs, authz.RoleSpec{Name: fmt.Sprintf("r%d", i), Inherits: []string{fmt.Sprintf("r%d", i-1)}})
		}
		policy, err := authz.Compile(specs)
		if err != nil {
			t.Fatal(err)
		}
		q := &authz.Question{
			Subject:    authz.NewSubject("u", false, nil, []authz.Holding{{Role: "r50", Node: authz.Root, ExpiresAtMicros: math.MaxInt64}}),
			Permission: "deep", Path: []authz.Place{{Node: authz.Root}},
		}
		explained := policy.Explain(q)
		if !policy.Check(q) || len(explained.Reasons) != 1 || len(explained.Reasons[0].Inheritance) != 51 {
			t.Errorf("got %+v", explained)
		}
	})
}

func TestConditions(t *testing.T) {
	t.Parallel()
	ask := func(t *testing.T, condition string) authz.Explanation {
		t.Helper()
		policy, err := authz.Compile([]authz.RoleSpec{{Name: authz.Everyone, Grants: []authz.Grant{{Permission: "read", Condition: condition}}}})
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		return policy.Explain(&authz.Question{
			Subject:          authz.NewSubject("alice", false, map[string]any{"level": 3}, nil),
			Permission:       "read",
			Path:             []authz.Place{{Node: authz.Node{Type: "post", ID: "1"}, Properties: map[string]any{"status": "active", "tags": []any{"a", "b"}}}, {Node: authz.Root}},
			NowMicros:        1_700_000_000_000_000,
			ActionProperties: map[string]any{"soft": true},
			Context:          map[string]any{"ip": "10.0.0.1"},
		})
	}
	for condition, want := range map[string]authz.Outcome{
		`subject.id == "alice" && subject.type == "user"`:                          authz.Granted,
		`subject.properties.level >= 3`:                                            authz.Granted,
		`resource.type == "post" && resource.id == "1"`:                            authz.Granted,
		`resource.properties.status == "active"`:                                   authz.Granted,
		`"a" in resource.properties.tags`:                                          authz.Granted,
		`action.name == "read" && action.properties.soft`:                          authz.Granted,
		`context.ip.startsWith("10.")`:                                             authz.Granted,
		`now < timestamp("2030-01-01T00:00:00Z")`:                                  authz.Granted,
		`has(context.ip) && !has(context.mfa)`:                                     authz.Granted,
		`context.ip`:                                                               authz.ConditionFailed,
		`context.mfa == true`:                                                      authz.ConditionFailed,
		`now > timestamp("2030-01-01T00:00:00Z")`:                                  authz.ConditionFalse,
		`resource.properties.tags.all(x, resource.properties.tags.all(y, x == y))`: authz.ConditionFalse,
	} {
		explained := ask(t, condition)
		if len(explained.Reasons) != 1 || explained.Reasons[0].Outcome != want || explained.Allowed != (want == authz.Granted) {
			t.Errorf("%s: got %+v, want %s", condition, explained, want)
		}
	}
	ten := "[0,1,2,3,4,5,6,7,8,9]"
	loop := ten + ".all(a, " + ten + ".all(b, " + ten + ".all(c, " + ten + ".all(d, " + ten + ".all(e, a+b+c+d+e >= 0)))))"
	if explained := ask(t, loop); explained.Allowed || explained.Reasons[0].Outcome != authz.ConditionFailed {
		t.Errorf("a condition that loops: got %+v, want it to fail", explained)
	}
	for _, bad := range []string{"1", `"yes"`, "subject.id ==", "nobody.id", "now + 1 > now", "subject", "{}", strings.Repeat(" ", 5000) + "true"} {
		if _, err := authz.CompileCondition(bad); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
}

func benchmarkCheck(b *testing.B, held int) {
	specs := []authz.RoleSpec{{Name: authz.Everyone}, {Name: authz.Owner, Grants: []authz.Grant{{Permission: "post:edit"}}}}
	for i := range 1000 {
		spec := authz.RoleSpec{Name: fmt.Sprintf("role%d", i)}
		for j := range 10 {
			spec.Grants = append(spec.Grants, authz.Grant{Permission: fmt.Sprintf("permission%d:do%d", i, j)})
		}
		specs = append(specs, spec)
	}
	policy, err := authz.Compile(specs)
	if err != nil {
		b.Fatal(err)
	}
	team, project, org := authz.Node{Type: "team", ID: "t"}, authz.Node{Type: "project", ID: "p"}, authz.Node{Type: "organization", ID: "o"}
	holdings := []authz.Holding{{Role: "role999", Node: org, ExpiresAtMicros: math.MaxInt64}}
	for i := range held - 1 {
		holdings = append(holdings, authz.Holding{Role: fmt.Sprintf("role%d", i%999), Node: authz.Node{Type: "team", ID: fmt.Sprint(i)}, ExpiresAtMicros: math.MaxInt64})
	}
	q := &authz.Question{
		Subject:    authz.NewSubject("alice", false, nil, holdings),
		Permission: "permission999:do9",
		Path:       []authz.Place{{Node: authz.Node{Type: "post", ID: "1"}}, {Node: team}, {Node: project}, {Node: org}, {Node: authz.Root}},
	}
	if !policy.Check(q) {
		b.Fatal("denied")
	}
	b.ReportAllocs()
	for b.Loop() {
		policy.Check(q)
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, held := range []int{1, 100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) { benchmarkCheck(b, held) })
	}
}

func TestSubjectsShareTheNamesOfRoles(t *testing.T) {
	t.Parallel()
	var first *byte
	for range 2 {
		name := strings.Clone("editor")
		subject := authz.NewSubject("alice", false, nil, []authz.Holding{{Role: name, Node: authz.Root}})
		got := subject.At(authz.Root)[0].Role
		if at := unsafe.StringData(got); got != "editor" || first != nil && at != first {
			t.Errorf("got %q in memory of its own, want that of the other subject", got)
		} else {
			first = at
		}
		defer runtime.KeepAlive(subject)
	}
}
