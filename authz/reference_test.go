package authz_test

import (
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
)

// world is a small tenant as it would be written down, and reference is the
// decision rule read aloud over it: no compilation, no numbers, no shortcuts.
type world struct {
	roles map[string]authz.RoleSpec
	// parents and owners of nodes; a node without a parent hangs under the root.
	parents map[authz.Node]authz.Node
	owners  map[authz.Node]string
	// groups holds the groups that a user or a group is in.
	groups      map[string][]string
	memberships []membership
	inactive    map[string]bool
}

type membership struct {
	subject   string
	role      string
	node      authz.Node
	notBefore int64
	expiresAt int64
}

func (w *world) allow(user, permission string, r authz.Node, now int64) bool {
	if w.inactive[user] {
		return false
	}
	for _, s := range w.path(r) {
		for _, q := range w.rolesHeldAt(user, s, r, now) {
			for _, name := range w.withInherited(q) {
				for _, g := range w.roles[name].Grants {
					if matches(g.Permission, permission) && conditionHolds(g.Condition) {
						return true
					}
				}
			}
		}
	}
	return false
}

// path is the node itself, then its parents up to the root.
func (w *world) path(n authz.Node) []authz.Node {
	path := []authz.Node{n}
	for n != authz.Root {
		parent, ok := w.parents[n]
		if !ok {
			parent = authz.Root
		}
		n = parent
		path = append(path, n)
	}
	return path
}

func (w *world) rolesHeldAt(user string, s, r authz.Node, now int64) []string {
	var roles []string
	for _, subject := range w.subjects(user) {
		for _, m := range w.memberships {
			if m.subject == subject && m.node == s && m.notBefore <= now && now < m.expiresAt {
				roles = append(roles, m.role)
			}
		}
	}
	if s == r && w.owners[r] == user && user != "" {
		roles = append(roles, authz.Owner)
	}
	if s == authz.Root {
		roles = append(roles, authz.Everyone)
	}
	return roles
}

// subjects is the user, and every group that the user is in, directly or not.
func (w *world) subjects(user string) []string {
	all := []string{user}
	for i := 0; i < len(all); i++ {
		for _, group := range w.groups[all[i]] {
			if !slices.Contains(all, group) {
				all = append(all, group)
			}
		}
	}
	return all
}

func (w *world) withInherited(role string) []string {
	all := []string{role}
	for i := 0; i < len(all); i++ {
		for _, parent := range w.roles[all[i]].Inherits {
			if !slices.Contains(all, parent) {
				all = append(all, parent)
			}
		}
	}
	return all
}

func matches(grant, permission string) bool {
	if prefix, wild := strings.CutSuffix(grant, "*"); wild && (prefix == "" || strings.HasSuffix(prefix, ":")) {
		return strings.HasPrefix(permission, prefix)
	}
	return grant == permission
}

// conditionHolds knows the few conditions that the random worlds use.
func conditionHolds(condition string) bool {
	return condition == "" || condition == "true" || condition == "1 < 2"
}

// The other implementation's view of the same world.

func (w *world) compile() (*authz.Policy, error) {
	var specs []authz.RoleSpec
	for _, spec := range w.roles {
		specs = append(specs, spec)
	}
	return authz.Compile(specs)
}

func (w *world) question(user, permission string, r authz.Node, now int64) *authz.Question {
	var holdings []authz.Holding
	for i, subject := range w.subjects(user) {
		for _, m := range w.memberships {
			if m.subject != subject {
				continue
			}
			h := authz.Holding{Role: m.role, Node: m.node, NotBeforeMicros: m.notBefore, ExpiresAtMicros: m.expiresAt}
			if i > 0 {
				h.Group = subject
			}
			holdings = append(holdings, h)
		}
	}
	var path []authz.Place
	for _, n := range w.path(r) {
		path = append(path, authz.Place{Node: n, Owner: w.owners[n]})
	}
	return &authz.Question{
		Subject:    authz.NewSubject(user, w.inactive[user], nil, holdings),
		Permission: permission,
		Path:       path,
		NowMicros:  now,
	}
}
