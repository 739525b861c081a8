package policyfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/internal/fault"
)

func TestParseTellsWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, want string }{
		"an unknown field":           {"roles:\n  a:\n    inherit: [b]\n", "line 3: field inherit not found"},
		"an unknown part":            {"rolls: {}\n", "line 1: field rolls not found"},
		"a key twice":                {"roles:\n  a: {}\n  a: {}\n", `line 3: mapping key "a" already defined at line 2`},
		"another type":               {"roles:\n  - a\n", "line 2: cannot unmarshal !!seq"},
		"no YAML":                    {"roles: [\n", "line "},
		"two documents":              {"roles: {}\n---\nroles: {}\n", "one YAML document"},
		"an unknown parent":          {"roles:\n  a:\n    inherits:\n      - b\n", `line 4: roles.a.inherits.0: role "b" is not in this file`},
		"a parent twice":             {"roles:\n  a: {inherits: [b, b]}\n  b: {}\n", `line 2: roles.a.inherits.1: "b" is there twice`},
		"a circle":                   {"roles:\n  a: {inherits: [b]}\n  b: {inherits: [a]}\n", "line 2: roles.a.inherits: inheritance would go in a circle: a -> b -> a"},
		"a described built-in role":  {"roles:\n  '@owner': {description: x}\n", "line 2: roles.@owner: is built in"},
		"an unknown child":           {"groups:\n  a: {groups: [b]}\n", `line 2: groups.a.groups.0: group "b" is not in this file`},
		"a role that none holds":     {"groups:\n  a: {roles: [b]}\n", `line 2: groups.a.roles.0: role "b" is not in this file`},
		"another kind":               {"scopes:\n  - {kind: galaxy, id: a}\n", "line 2: scopes.0.kind: "},
		"a parentless team":          {"scopes:\n  - {kind: team, id: a}\n", "line 2: scopes.0: a team needs a parent"},
		"an organization's parent":   {"scopes:\n  - {kind: organization, id: a, parent: b}\n", "line 2: scopes.0.parent: "},
		"an unknown project":         {"scopes:\n  - {kind: team, id: a, parent: b}\n", "line 2: scopes.0.parent: project:b is not in this file"},
		"a scope twice":              {"scopes:\n  - {kind: organization, id: a}\n  - {kind: organization, id: a}\n", "line 3: scopes.1: organization:a is there twice"},
		"nobody":                     {"roles: {a: {}}\nmemberships:\n  - {role: a}\n", "line 3: memberships.0: must name a user or a group"},
		"an unknown group":           {"roles: {a: {}}\nmemberships:\n  - {group: g, role: a}\n", `line 3: memberships.0.group: group "g" is not in this file`},
		"an unknown role":            {"memberships:\n  - {user: u, role: a}\n", `line 2: memberships.0.role: role "a" is not in this file`},
		"an unknown place":           {"roles: {a: {}}\nmemberships:\n  - {user: u, role: a, at: {kind: team, id: t}}\n", "line 3: memberships.0.at: scope team:t is not in this file"},
		"a membership twice":         {"roles: {a: {}}\ngroups: {g: {roles: [a]}}\nmemberships:\n  - {group: g, role: a}\n", "line 4: memberships.0: group g: a at tenant is there twice"},
		"the zero time":              {"roles: {a: {}}\nmemberships:\n  - {user: u, role: a, expires_at: 0001-01-01T00:00:00Z}\n", "line 3: memberships.0.expires_at: must not be the zero time"},
		"no expectation":             {"tests:\n  - {user: u, permission: p}\n", `line 2: tests.0.want: must be "allowed" or "denied"`},
		"nearly the zero time":       {"roles: {a: {}}\nmemberships:\n  - {user: u, role: a, expires_at: 0001-01-01T00:00:00.0000001Z}\n", "line 3: memberships.0.expires_at: must not be the zero time"},
		"nothing":                    {"# roles: {}\n", "the file is empty"},
		"null":                       {"~\n", "is left empty"},
		"an empty part":              {"roles:\n", "line 1: roles: is left empty"},
		"an empty place":             {"roles: {a: }\nmemberships:\n  - user: u\n    role: a\n    at:\n", "line 5: memberships.0.at: is left empty"},
		"an empty end":               {"roles: {a: }\nmemberships:\n  - user: u\n    role: a\n    expires_at:\n", "line 5: memberships.0.expires_at: is left empty"},
		"an empty list of scopes":    {"roles:\n  a:\n    scopes:\n", "line 3: roles.a.scopes: is left empty"},
		"an empty member":            {"groups:\n  a: {members: [~]}\n", "line 2: groups.a.members.0: is left empty"},
		"an empty parent":            {"roles:\n  a: {inherits: [null]}\n", "line 2: roles.a.inherits.0: is left empty"},
		"an empty alias":             {"roles:\n  a: &none\n  b: {inherits: *none}\n", "line 3: roles.b.inherits: is left empty"},
		"an empty resource":          {"tests:\n  - user: u\n    permission: p\n    want: denied\n    resource:\n", "line 5: tests.0.resource: is left empty"},
		"an empty owner":             {"tests:\n  - {user: u, permission: p, want: denied, resource: {type: t, id: i, owner: }}\n", "line 2: tests.0.resource.owner: is left empty"},
		"a test of no scope":         {"tests:\n  - {user: u, permission: p, want: denied, resource: {type: team, id: t}}\n", "line 2: tests.0.resource: scope team:t is not in this file"},
		"a test under no scope":      {"tests:\n  - {user: u, permission: p, want: denied, resource: {type: t, id: i, parent: {kind: team, id: t}}}\n", "line 2: tests.0.resource.parent: scope team:t is not in this file"},
		"a number that is too large": {"tests:\n  - {user: u, permission: p, want: denied, context: {id: 9007199254740993}}\n", "line 2: tests.0.context: id: must be a number between"},
		"what JSON cannot carry":     {"tests:\n  - {user: u, permission: p, want: denied, context: {a: .inf}}\n", "line 2: tests.0.context: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse([]byte(test.file))
			if !errors.Is(err, fault.CodeInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "policyfile") {
				t.Errorf("got %v, want an error that says %q", err, test.want)
			}
		})
	}
}

func TestParseTellsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte("roles: {a: {inherits: [b]}}\ntests:\n  - {user: u, permission: p}\n"))
	if err == nil || strings.Count(err.Error(), "line ") != 2 {
		t.Errorf("got %v, want two mistakes", err)
	}
}

func TestParseTakesWhatMayBeEmpty(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"{}\n",
		"roles:\n  a:\n  b:\n    grants:\n      read:\n",
		"groups:\n  a:\n",
		"roles:\n  a: &a {grants: {read: }}\n  b: {<<: *a}\n",
		"tests:\n  - {user: u, permission: p, want: denied, context: {a: null}, resource: {type: t, id: i, properties: {b: [null]}}}\n",
	} {
		if _, err := Parse([]byte(file)); err != nil {
			t.Errorf("%q: got %v, want it read", file, err)
		}
	}
}
