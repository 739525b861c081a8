package contract

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// A small tree: crew in apollo in acme, with a post in apollo, beside zeus in
// umbrella.
var (
	acme     = authz.Node{Type: "organization", ID: "acme"}
	umbrella = authz.Node{Type: "organization", ID: "umbrella"}
	apollo   = authz.Node{Type: "project", ID: "apollo"}
	zeus     = authz.Node{Type: "project", ID: "zeus"}
	crew     = authz.Node{Type: "team", ID: "crew"}
	post     = authz.Node{Type: "post", ID: "7"}
)

// plant makes the small tree.
func (x tenant) plant() {
	x.t.Helper()
	for _, scope := range []authz.Scope{
		{Node: acme}, {Node: umbrella, Parent: authz.Root}, {Node: apollo, Parent: acme}, {Node: zeus, Parent: umbrella}, {Node: crew, Parent: apollo},
	} {
		x.changed(x.PutScope(x.ctx(), scope))
	}
	x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo}))
}

func (s *suite) scopes() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_scope_is_read_as_it_was_put": func(t *testing.T, x tenant) {
			_, err := x.Scope(x.ctx(), acme)
			tells(t, "read an unknown scope", err, fault.CodeNotFound, `organization "acme" does not exist`)
			x.absent(x.DeleteScope(x.ctx(), acme))
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: acme, Name: "Acme & Söhne"}))
			x.repeated(x.PutScope(x.ctx(), authz.Scope{Node: acme, Parent: authz.Root, Name: "Acme & Söhne"}))
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: apollo, Parent: acme}))
			same(t, "scope", value[authz.Scope](x)(x.Scope(x.ctx(), acme)), authz.Scope{Node: acme, Parent: authz.Root, Name: "Acme & Söhne"})
			same(t, "scope", value[authz.Scope](x)(x.Scope(x.ctx(), apollo)), authz.Scope{Node: apollo, Parent: acme})
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: acme}))
			same(t, "scope", value[authz.Scope](x)(x.Scope(x.ctx(), acme)), authz.Scope{Node: acme, Parent: authz.Root})
		},

		"scopes_are_listed_by_kind_and_parent": func(t *testing.T, x tenant) {
			x.plant()
			two := authz.Node{Type: "project", ID: "Z"}
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: two, Parent: acme}))
			equal(t, "projects", x.scopeNodes(authz.KindProject, authz.Node{}), []authz.Node{two, apollo, zeus})
			equal(t, "projects of acme", x.scopeNodes(authz.KindProject, acme), []authz.Node{two, apollo})
			equal(t, "projects of nobody", x.scopeNodes(authz.KindProject, authz.Node{Type: "organization", ID: "nobody"}), nil)
			equal(t, "organizations", x.scopeNodes(authz.KindOrganization, authz.Node{}), []authz.Node{acme, umbrella})
			_, err := x.Scopes(x.ctx(), authz.KindProject, crew, authz.Page{})
			fails(t, "projects of a team", err, fault.CodeInvalid)
		},

		"a_scope_hangs_where_its_kind_does": func(t *testing.T, x tenant) {
			x.plant()
			before := x.revision()
			for _, test := range []struct {
				node, parent authz.Node
				part         string
			}{
				{acme, umbrella, "an organization hangs under the root"},
				{acme, acme, "an organization hangs under the root"},
				{acme, apollo, "an organization hangs under the root"},
				{apollo, authz.Root, "a project hangs under an organization"},
				{apollo, authz.Node{}, "a project hangs under an organization"},
				{apollo, apollo, "a project hangs under an organization"},
				{apollo, crew, "a project hangs under an organization"},
				{crew, acme, "a team hangs under a project"},
				{crew, crew, "a team hangs under a project"},
			} {
				_, err := x.PutScope(x.ctx(), authz.Scope{Node: test.node, Parent: test.parent})
				tells(t, test.node.String()+" under "+test.parent.String(), err, fault.CodeInvalid, test.part)
			}
			_, err := x.PutScope(x.ctx(), authz.Scope{Node: crew, Parent: post})
			fails(t, "a team under a resource", err, fault.CodeInvalid)
			_, err = x.PutScope(x.ctx(), authz.Scope{Node: crew, Parent: authz.Node{Type: "project", ID: "nobody"}})
			tells(t, "under an unknown parent", err, fault.CodeNotFound, `project "nobody" does not exist`)
			same(t, "revision", x.revision(), before)
		},

		"a_moved_scope_takes_what_is_below_along": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("lead")
			x.grant("lead", "edit")
			x.changed(x.PutMembership(x.ctx(), at("alice", "lead", acme)))
			x.changed(x.PutMembership(x.ctx(), at("bob", "lead", umbrella)))
			x.may("alice", "edit", post, true)
			x.may("bob", "edit", post, false)
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: apollo, Parent: umbrella}))
			for _, node := range []authz.Node{post, crew, apollo} {
				x.may("alice", "edit", node, false)
				x.may("bob", "edit", node, true)
			}
		},

		"deleting_a_scope_takes_exactly_what_is_below_along": func(t *testing.T, x tenant) {
			x.plant()
			page := authz.Node{Type: "page", ID: "1"}
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: page, Parent: zeus}))
			x.addRole("lead")
			x.grant("lead", "edit")
			for _, node := range []authz.Node{acme, apollo, crew, post, zeus, page, authz.Root} {
				x.changed(x.PutMembership(x.ctx(), at("alice", "lead", node)))
			}
			x.may("alice", "edit", post, true) // and so whoever remembers answers has them
			x.changed(x.DeleteScope(x.ctx(), acme))
			x.absent(x.DeleteScope(x.ctx(), acme))
			for _, node := range []authz.Node{acme, apollo, crew} {
				_, err := x.Scope(x.ctx(), node)
				fails(t, node.String(), err, fault.CodeNotFound)
			}
			_, err := x.Resource(x.ctx(), post)
			fails(t, "the post", err, fault.CodeNotFound)
			x.changed(x.RemoveMembership(x.ctx(), user("alice"), "lead", authz.Root))
			x.may("alice", "edit", crew, false)

			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: acme}))
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: apollo, Parent: acme}))
			x.changed(x.PutScope(x.ctx(), authz.Scope{Node: crew, Parent: apollo}))
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo}))
			for _, node := range []authz.Node{acme, apollo, crew, post} {
				equal(t, "members of "+node.String(), x.nodeMembers(node), nil)
				x.may("alice", "edit", node, false)
			}
			for _, node := range []authz.Node{zeus, page} {
				equal(t, "members of "+node.String(), x.nodeMembers(node), []authz.Membership{at("alice", "lead", node)})
				x.may("alice", "edit", node, true)
			}
		},

		"a_malformed_scope_is_refused": func(t *testing.T, x tenant) {
			x.plant()
			methods := func(node func(string) authz.Node) map[string]func(context.Context, string) error {
				return map[string]func(context.Context, string) error{
					"PutScope": func(ctx context.Context, s string) error {
						return failure(x.PutScope(ctx, authz.Scope{Node: node(s), Parent: acme}))
					},
					"Scope":       func(ctx context.Context, s string) error { return failure(x.Scope(ctx, node(s))) },
					"DeleteScope": func(ctx context.Context, s string) error { return failure(x.DeleteScope(ctx, node(s))) },
				}
			}
			x.refuses("id", badUsers, methods(func(s string) authz.Node { return authz.Node{Type: "project", ID: s} }))
			kinds := []string{"", "tenant", "resource", "post", "Project", "projects", "galaxy", ".", "..", "/"}
			x.refuses("kind", kinds, methods(func(s string) authz.Node { return authz.Node{Type: s, ID: "x"} }))
			for what, name := range map[string]string{"too long": strings.Repeat("ä", 257), "U+0000": "a\x00", "not UTF-8": "\xff"} {
				_, err := x.PutScope(x.ctx(), authz.Scope{Node: acme, Name: name})
				fails(t, what, err, fault.CodeInvalid)
			}
			_, err := x.Scopes(x.ctx(), "galaxy", authz.Node{}, authz.Page{})
			fails(t, "list an unknown kind", err, fault.CodeInvalid)
		},

		"a_scope_is_exactly_the_id_given": func(t *testing.T, x tenant) {
			for _, id := range users {
				node := authz.Node{Type: "organization", ID: id}
				x.changed(x.PutScope(x.ctx(), authz.Scope{Node: node, Name: "n"}))
				same(t, "scope", value[authz.Scope](x)(x.Scope(x.ctx(), node)), authz.Scope{Node: node, Parent: authz.Root, Name: "n"})
			}
			for _, id := range users {
				x.changed(x.DeleteScope(x.ctx(), authz.Node{Type: "organization", ID: id}))
			}
		},
	}
}

func (x tenant) scopeNodes(kind authz.Kind, parent authz.Node) []authz.Node {
	x.t.Helper()
	var nodes []authz.Node
	for _, scope := range all(x, func(ctx context.Context, page authz.Page) (authz.List[authz.Scope], error) {
		return x.Scopes(ctx, kind, parent, page)
	}) {
		nodes = append(nodes, scope.Node)
	}
	return nodes
}

// may checks what a user may do at a node.
func (x tenant) may(user, permission string, node authz.Node, want bool) {
	x.t.Helper()
	request := authz.Request{User: user, Permission: permission}
	if node != authz.Root {
		request.Resource = &authz.RequestedResource{Node: node}
	}
	decision, err := x.Check(x.ctx(), request)
	if err != nil || decision.Allowed != want {
		x.t.Errorf("may %s %s at %s: got %v and error %v, want %v", user, permission, node, decision.Allowed, err, want)
	}
}
