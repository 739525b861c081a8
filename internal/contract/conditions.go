package contract

import (
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) conditions() map[string]func(*testing.T, tenant) {
	const office = `context.ip == "10.0.0.1"`
	return map[string]func(*testing.T, tenant){
		"a_grant_is_listed_as_it_was_put": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "post:*", Condition: office}))
			x.repeated(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "post:*", Condition: office}))
			x.grant("editor", "a/b")
			x.repeated(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "a/b"}))
			equal(t, "grants", x.grantsOf("editor"), []authz.Grant{{Permission: "a/b"}, {Permission: "post:*", Condition: office}})
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "post:*"}))
			equal(t, "grants", x.grantsOf("editor"), []authz.Grant{{Permission: "a/b"}, {Permission: "post:*"}})
			x.changed(x.DeletePermission(x.ctx(), "editor", "post:*"))
			equal(t, "grants", x.grantsOf("editor"), []authz.Grant{{Permission: "a/b"}})
			equal(t, "grants of nobody", x.grantsOf("nobody"), nil)
		},

		"a_role_lists_only_its_own_grants": func(t *testing.T, x tenant) {
			x.putRole("viewer")
			x.putRole("editor", "viewer")
			x.grant("viewer", "view")
			equal(t, "grants", x.grantsOf("editor"), nil)
		},

		"granting_again_without_a_condition_does_not_widen": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "edit", Condition: office}))
			x.repeated(x.AddPermission(x.ctx(), "editor", "edit"))
			equal(t, "grants", x.grantsOf("editor"), []authz.Grant{{Permission: "edit", Condition: office}})
		},

		"a_grant_applies_where_its_condition_is_true": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "edit", Condition: office}))
			x.join("alice", "editor")
			ask := func(context map[string]any) (authz.Decision, error) {
				return x.Check(x.ctx(), authz.Request{User: "alice", Permission: "edit", Context: context})
			}
			x.allows(ask(map[string]any{"ip": "10.0.0.1"}))
			x.denies(ask(map[string]any{"ip": "10.0.0.2"}))
			x.denies(ask(nil))
			x.changed(x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "edit", Condition: "context.ip != ''"}))
			x.allows(ask(map[string]any{"ip": "10.0.0.2"}))
		},

		"the_built-in_roles_are_granted_under_conditions": func(t *testing.T, x tenant) {
			for _, role := range []string{authz.Everyone, authz.Owner} {
				x.changed(x.PutGrant(x.ctx(), role, authz.Grant{Permission: "view", Condition: office}))
				equal(t, "grants", x.grantsOf(role), []authz.Grant{{Permission: "view", Condition: office}})
			}
			x.allows(x.Check(x.ctx(), authz.Request{User: "bob", Permission: "view", Context: map[string]any{"ip": "10.0.0.1"}}))
		},

		"a_bad_condition_is_refused_and_shown": func(t *testing.T, x tenant) {
			x.addRole("editor")
			x.grant("editor", "edit")
			for condition, part := range map[string]string{
				"1 +":                "1:4",
				"true &&\n  nobody":  "2:3",
				"user == 'a'":        "1:1",
				"'text'":             "must be a bool",
				" ":                  "condition",
				"'a\x00' == 'a'":     "condition",
				"subject.id.size(1)": "1:16",
				"true" + strings.Repeat(" ", authz.MaxCondition): "4096",
			} {
				_, err := x.PutGrant(x.ctx(), "editor", authz.Grant{Permission: "edit", Condition: condition})
				tells(t, condition, err, fault.CodeInvalid, part)
			}
			equal(t, "grants", x.grantsOf("editor"), []authz.Grant{{Permission: "edit"}})
		},

		"a_conditional_grant_needs_its_role": func(t *testing.T, x tenant) {
			_, err := x.PutGrant(x.ctx(), "nobody", authz.Grant{Permission: "edit"})
			tells(t, "put a grant on an unknown role", err, fault.CodeNotFound, `role "nobody"`)
		},
	}
}

func (x tenant) grantsOf(role string) []authz.Grant {
	x.t.Helper()
	return all(x, of(x.Grants, role))
}
