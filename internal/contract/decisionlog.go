package contract

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) decisionLog() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"decisions_are_logged_and_found_by_what_they_tell": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit")
			x.join("a/b@c", "editor")
			post := authz.Node{Type: "a b", ID: "7/8 & 9"}
			check := func(request authz.Request) authz.Decision {
				t.Helper()
				made, err := x.Check(x.ctx(), request)
				if err != nil {
					t.Fatal(err)
				}
				return made
			}
			reasons := check(authz.Request{User: "a/b@c", Permission: "edit", Resource: &authz.RequestedResource{Node: post}, Explain: true}).Reasons
			check(authz.Request{User: "bob", Permission: "edit"})
			x.denies(x.UserHasPermission(x.ctx(), "bob", "read"))
			if _, err := x.CheckBatch(x.ctx(), []authz.Request{{User: "bob", Permission: "read"}, {User: "a/b@c", Permission: "edit"}}); err != nil {
				t.Fatal(err)
			}
			want := []authz.LoggedDecision{
				{User: "a/b@c", Permission: "edit", Resource: post, Allowed: true, Revision: 3, Reasons: reasons},
				{User: "bob", Permission: "edit", Revision: 3},
				{User: "bob", Permission: "read", Revision: 3},
				{User: "bob", Permission: "read", Revision: 3},
				{User: "a/b@c", Permission: "edit", Allowed: true, Revision: 3},
			}
			yes, no := true, false
			for what, test := range map[string]struct {
				filter authz.DecisionFilter
				want   []int
			}{
				"nothing":           {authz.DecisionFilter{}, []int{4, 3, 2, 1, 0}},
				"user":              {authz.DecisionFilter{User: "a/b@c"}, []int{4, 0}},
				"permission":        {authz.DecisionFilter{Permission: "read"}, []int{3, 2}},
				"resource":          {authz.DecisionFilter{Resource: post}, []int{0}},
				"a yes":             {authz.DecisionFilter{Allowed: &yes}, []int{4, 0}},
				"a no":              {authz.DecisionFilter{Allowed: &no}, []int{3, 2, 1}},
				"unknown request":   {authz.DecisionFilter{RequestID: "none"}, nil},
				"since long ago":    {authz.DecisionFilter{Since: distantWindow.NotBefore, User: "bob"}, []int{3, 2, 1}},
				"until long ago":    {authz.DecisionFilter{Until: distantWindow.NotBefore}, nil},
				"all that fit":      {authz.DecisionFilter{User: "bob", Permission: "edit", Allowed: &no}, []int{1}},
				"one that does not": {authz.DecisionFilter{User: "bob", Allowed: &yes}, nil},
			} {
				var expected []authz.LoggedDecision
				for _, n := range test.want {
					expected = append(expected, want[n])
				}
				for _, limit := range []int{0, 1, 2} {
					var got []authz.LoggedDecision
					for d, err := range authz.All(func(page authz.Page) (authz.List[authz.LoggedDecision], error) {
						page.Limit = limit
						return x.LoggedDecisions(x.ctx(), test.filter, page)
					}) {
						if err != nil {
							t.Fatal(err)
						}
						if d.ID == "" || d.Time.IsZero() || d.Actor == "" {
							t.Errorf("got %+v, want an id, a time and an actor", d)
						}
						d.ID, d.Time, d.Actor, d.IP, d.RequestID = "", time.Time{}, "", "", ""
						got = append(got, d)
					}
					equal(t, "by "+what, got, expected)
				}
			}
			_, err := x.LoggedDecisions(x.ctx(), authz.DecisionFilter{Resource: authz.Node{Type: "post"}}, authz.Page{})
			fails(t, "a type alone", err, fault.CodeInvalid)
		},
	}
}
