package authz_test

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse/gatehouse/authz"
)

// corpusCase is one clause of testdata/decisions.yaml.
type corpusCase struct {
	Clause    string
	World     corpusWorld
	Decisions []struct {
		Ask     string
		At      int64
		Context map[string]any
		Is      string
		Because []string
	}
}

type corpusWorld struct {
	Roles map[string]struct {
		Grants   []corpusGrant
		Inherits []string
	}
	Nodes    map[string]string
	Owners   map[string]string
	Groups   map[string][]string // their members
	Members  []string
	Inactive []string
}

// corpusGrant is a permission, or one with a condition.
type corpusGrant struct{ Permission, Condition string }

func (g *corpusGrant) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&g.Permission)
	}
	type plain corpusGrant
	return node.Decode((*plain)(g))
}

// usualMinute is when a decision asks that does not say.
const usualMinute = 100

func TestDecisionCorpus(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/decisions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cases []corpusCase
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatal("the corpus is empty")
	}
	for _, c := range cases {
		t.Run(c.Clause, func(t *testing.T) {
			t.Parallel()
			w := c.World.world(t)
			policy, err := w.compile()
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range c.Decisions {
				user, permission, node := corpusAsk(t, d.Ask)
				now := d.At
				if now == 0 {
					now = usualMinute
				}
				q := w.question(user, permission, node, now)
				q.Context = d.Context
				explained := policy.Explain(q)
				var because []string
				for _, reason := range explained.Reasons {
					because = append(because, inWords(reason, permission))
				}
				if got := policy.Check(q); got != (d.Is == "allow") || explained.Allowed != got || !slices.Equal(because, d.Because) {
					t.Errorf("%s: got %t because %q, want %s because %q", d.Ask, got, because, d.Is, d.Because)
				}
			}
		})
	}
}

func (c corpusWorld) world(t *testing.T) *world {
	t.Helper()
	w := &world{
		roles: map[string]authz.RoleSpec{}, parents: map[authz.Node]authz.Node{}, owners: map[authz.Node]string{},
		groups: map[string][]string{}, inactive: map[string]bool{},
	}
	for name, role := range c.Roles {
		spec := authz.RoleSpec{Name: name, Inherits: role.Inherits}
		for _, g := range role.Grants {
			spec.Grants = append(spec.Grants, authz.Grant(g))
		}
		w.roles[name] = spec
	}
	for node, parent := range c.Nodes {
		w.parents[corpusNode(node)] = corpusNode(parent)
	}
	for node, owner := range c.Owners {
		w.owners[corpusNode(node)] = owner
	}
	for group, members := range c.Groups {
		for _, member := range members {
			w.groups[member] = append(w.groups[member], group)
		}
	}
	for _, user := range c.Inactive {
		w.inactive[user] = true
	}
	for _, line := range c.Members {
		w.memberships = append(w.memberships, corpusMembership(t, line))
	}
	return w
}

// corpusMembership reads "SUBJECT ROLE at NODE [from MINUTE] [until MINUTE]".
func corpusMembership(t *testing.T, line string) membership {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 4 || len(words)%2 != 0 || words[2] != "at" {
		t.Fatalf("not a membership: %q", line)
	}
	m := membership{subject: words[0], role: words[1], node: corpusNode(words[3]), expiresAt: 1 << 62}
	for bound := range slices.Chunk(words[4:], 2) {
		minute, err := strconv.ParseInt(bound[1], 10, 64)
		switch {
		case err != nil:
			t.Fatalf("%q: %v", line, err)
		case bound[0] == "from":
			m.notBefore = minute
		case bound[0] == "until":
			m.expiresAt = minute
		default:
			t.Fatalf("%q: what is %q?", line, bound[0])
		}
	}
	return m
}

// corpusAsk reads "USER PERMISSION [on NODE]".
func corpusAsk(t *testing.T, ask string) (user, permission string, node authz.Node) {
	t.Helper()
	words := strings.Fields(ask)
	switch {
	case len(words) == 2:
		return words[0], words[1], authz.Root
	case len(words) == 4 && words[2] == "on":
		return words[0], words[1], corpusNode(words[3])
	}
	t.Fatalf("not a question: %q", ask)
	return "", "", authz.Node{}
}

func corpusNode(s string) authz.Node {
	if s == authz.Root.String() {
		return authz.Root
	}
	nodeType, id, _ := strings.Cut(s, ":")
	return authz.Node{Type: nodeType, ID: id}
}

// inWords is a reason as the corpus writes it.
func inWords(reason authz.Reason, asked string) string {
	words := string(reason.Outcome) + " " + reason.Role + " at " + reason.At.String()
	if reason.Group != "" {
		words += " by " + reason.Group
	}
	if reason.Inheritance != nil {
		words += " through " + strings.Join(reason.Inheritance, " > ")
	}
	if reason.Permission != asked {
		words += " with " + reason.Permission
	}
	return words
}
