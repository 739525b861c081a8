package authz_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

// under asks for a permission that everyone is granted under each of some conditions.
func under(t *testing.T, context map[string]any, conditions ...string) authz.Explanation {
	t.Helper()
	spec := authz.RoleSpec{Name: authz.Everyone}
	for _, condition := range conditions {
		spec.Grants = append(spec.Grants, authz.Grant{Permission: "read", Condition: condition})
	}
	policy, err := authz.Compile([]authz.RoleSpec{spec})
	if err != nil {
		t.Fatal(err)
	}
	q := &authz.Question{
		Subject: authz.NewSubject("alice", false, nil, nil), Permission: "read", Path: []authz.Place{{Node: authz.Root}}, Context: context,
	}
	explained := policy.Explain(q)
	if got := policy.Check(q); got != explained.Allowed {
		t.Errorf("Check: got %t, want what Explain says: %t", got, explained.Allowed)
	}
	return explained
}

// large is as much as a request can carry.
func large() map[string]any {
	list, flags, object := make([]any, 60_000), make([]any, 200_000), map[string]any{}
	for i := range list {
		list[i] = float64(i)
		object[fmt.Sprint(i)] = float64(i)
	}
	for i := range flags {
		flags[i] = false
	}
	return map[string]any{"list": list, "flags": flags, "object": object, "text": strings.Repeat("a", 500_000), "word": "abc"}
}

func TestConditionThatCostsTooMuchFails(t *testing.T) {
	t.Parallel()
	context := large()
	// again nests a step sixty deep, each of which doubles a.
	again := func(step, last string) string {
		return "[[1]].exists(a, " + strings.Repeat("["+step+"].exists(a, ", 60) + last + strings.Repeat(")", 61)
	}
	for name, condition := range map[string]string{
		"a large text matched":             `context.text.matches("(a|b)*c{10}d")`,
		"a long loop":                      `context.list.all(x, x >= 0.0)`,
		"a long loop that finds nothing":   `context.flags.exists_one(a, context.flags.exists_one(b, b))`,
		"a loop that begins long loops":    `context.object.all(a, context.object.exists(b, true))`,
		"a list that is doubled":           again("a + a", "a.size() == 3"),
		"a deep value that is compared":    again("[a, a]", "a == a"),
		"a deep value that is told apart":  again("[a, a]", "a != a"),
		"a deep value that is looked for":  again("[a, a]", "a in [a]"),
		"large texts compared":             `context.list.all(x, context.text <= context.text)`,
		"large texts put together":         `context.list.all(x, context.text + context.text != "")`,
		"a large key":                      `context.list.all(x, context.object[context.text] == 1.0)`,
		"time zones looked up":             `context.list.all(x, now.getHours("Europe/Berlin") >= 0)`,
		"a written list that is gone over": `context.list.all(x, [[1], [2], [3], [4], [5], [6], [7], [8]].size() == 8)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			explained := under(t, context, condition)
			if explained.Allowed || explained.Reasons[0].Outcome != authz.ConditionFailed || !strings.Contains(explained.Reasons[0].Error, "costs more") {
				t.Errorf("got %+v, want it to fail for its cost", explained)
			}
		})
	}
}

func TestConditionPaysForWhatItDoesAlone(t *testing.T) {
	t.Parallel()
	context := large()
	for _, condition := range []string{
		`context.list.size() > 3`,
		`"1" in context.object && context.object["1"] == 1.0 && context.object[context.list[1] == 1.0 ? "7" : "8"] == 7.0`,
		`(context.word == "abc" ? context.list : context.flags).size() > 1`,
		`context.word.matches("^[a-z]{3}$") && matches(context.word, 'b')`,
		`[1, 2, 3].map(x, x * 2).filter(x, x > 2) == [4, 6] && has(context.word) && !has(context.none)`,
		`{1: {2: context}}[1][2].object["7"] == 7.0`,
		"[" + strings.Repeat("1,", 1000) + "1].map(x, x + 1).size() == 1001",
	} {
		if explained := under(t, context, condition); !explained.Allowed {
			t.Errorf("%s: got %+v, want it to hold", condition, explained)
		}
	}
}

// TestQuestionHasOneBudget asks under conditions of which each by itself would take as
// long as one may, and then under one that is cheap.
func TestQuestionHasOneBudget(t *testing.T) {
	t.Parallel()
	var conditions []string
	for i := range 100 {
		conditions = append(conditions, fmt.Sprintf("context.list.all(x, x >= %d.0)", -i))
	}
	if explained := under(t, large(), "context.list.all(x, x >= 0.0)", "context.word == 'abc'"); !explained.Allowed {
		t.Errorf("behind one that costs too much: got %+v, want it to hold", explained)
	}
	if explained := under(t, large(), append(conditions, "context.word == 'abc'")...); explained.Allowed {
		t.Errorf("behind a hundred that cost too much: got %+v, want no budget left", explained)
	}
}

func TestPatternsAndKeysAreWrittenOut(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		`context.s.matches(context.s)`:                                 "1:26: pattern: must be written out",
		`context.s.matches("a" + "b")`:                                 "1:23: pattern: must be written out",
		`true || matches(context.s, context.s)`:                        "1:35: pattern: must be written out",
		`context.s.matches("(a?){900}b")`:                              "1:19: pattern: compiles to 3603 instructions",
		`context.s.matches("(")`:                                       "1:19: pattern: error parsing regexp",
		`context.s.matches("` + strings.Repeat("a", 300) + `")`:        "pattern: must be at most 256 bytes",
		`timestamp("yesterday") < now`:                                 "1:11: invalid timestamp",
		`context.list.exists(p, "text".matches(p))`:                    "1:39: pattern: must be written out",
		`context.s.matches("a{1000}") && context.s.matches("a{1001}")`: "pattern: ",
		`{"a": 1, context.s: 2}.size() == 2`:                           "1:17: key: must be written out",
		"[1].exists(a, " + strings.Repeat("[{a: a}].exists(a, ", 40) + "true" + strings.Repeat(")", 41): "key: must be written out",
	} {
		if _, err := authz.CompileCondition(condition); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", condition, err, want)
		}
	}
}

// TestRefusedConditionCostsItsGrantAlone is for what an older release has stored.
func TestRefusedConditionCostsItsGrantAlone(t *testing.T) {
	t.Parallel()
	explained := under(t, map[string]any{"s": "a"}, `context.s.matches(context.s)`)
	if explained.Allowed || explained.Reasons[0].Outcome != authz.ConditionFailed || !strings.Contains(explained.Reasons[0].Error, "must be written out") {
		t.Errorf("got %+v, want a failure that says why", explained)
	}
	if explained := under(t, map[string]any{"s": "a"}, `context.s.matches(context.s)`, `context.s == "a"`); !explained.Allowed {
		t.Errorf("got %+v, want the other grant to allow", explained)
	}
}

func TestPermissionsHaveOneBudget(t *testing.T) {
	t.Parallel()
	spec := authz.RoleSpec{Name: authz.Everyone}
	for i := range 100 {
		spec.Grants = append(spec.Grants, authz.Grant{Permission: fmt.Sprint("p", i), Condition: "context.list.all(x, x >= 0.0)"})
	}
	spec.Grants = append(spec.Grants, authz.Grant{Permission: "cheap", Condition: "context.word == 'abc'"}, authz.Grant{Permission: "free"})
	policy, err := authz.Compile([]authz.RoleSpec{spec})
	if err != nil {
		t.Fatal(err)
	}
	got := policy.Permissions(&authz.Question{
		Subject: authz.NewSubject("alice", false, nil, nil), Path: []authz.Place{{Node: authz.Root}}, Context: large(),
	})
	if fmt.Sprint(got) != "[free]" {
		t.Errorf("got %v, want what has no condition alone", got)
	}
}
