package authz

import (
	"fmt"
	"testing"
)

func TestRecompileKeepsConditions(t *testing.T) {
	t.Parallel()
	conditions := func(sources ...string) *RoleSpec {
		spec := &RoleSpec{Name: Everyone}
		for _, source := range sources {
			spec.Grants = append(spec.Grants, Grant{Permission: "read", Condition: source})
		}
		return spec
	}
	before, err := Compile([]RoleSpec{*conditions("1 == 1", "2 == 2", "not one")})
	if err != nil {
		t.Fatal(err)
	}
	after, err := before.Recompile([]RoleSpec{*conditions("2 == 2", "not one", "3 == 3")})
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range []string{"2 == 2", "not one"} {
		if after.conditions[kept] == nil || after.conditions[kept] != before.conditions[kept] {
			t.Errorf("%s: got compiled again, want kept", kept)
		}
	}
	if after.conditions["3 == 3"] == nil || len(after.conditions) != 3 {
		t.Errorf("got %v, want what the policy has now", after.conditions)
	}
}

func TestNumberSetTakesTheMemoryOfItsNumbers(t *testing.T) {
	t.Parallel()
	const bound = 60_000
	for _, test := range []struct{ count, most int }{{0, 0}, {1, 4}, {100, 400}, {2000, 7504}, {bound, 7504}} {
		t.Run(fmt.Sprint(test.count), func(t *testing.T) {
			t.Parallel()
			step := bound / max(test.count, 1)
			var numbers []uint32
			for i := range test.count {
				numbers = append(numbers, uint32(bound-1-i*step), uint32(bound-1-i*step))
			}
			set := newNumberSet(numbers, bound)
			if got := 4*cap(set.few) + 8*cap(set.bits); got > test.most {
				t.Errorf("got %d bytes, want at most %d", got, test.most)
			}
			held := 0
			for n := range uint32(bound) {
				if set.has(n) {
					held++
				}
			}
			if held != test.count {
				t.Errorf("got %d numbers, want %d", held, test.count)
			}
		})
	}
}
