package contract

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (s *suite) resources() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"a_resource_is_read_as_it_was_put": func(t *testing.T, x tenant) {
			x.plant()
			page := authz.Node{Type: "page", ID: "a/b"}
			_, err := x.Resource(x.ctx(), page)
			tells(t, "read an unknown resource", err, fault.CodeNotFound, `page "a/b" does not exist`)
			x.absent(x.DeleteResource(x.ctx(), page))
			wanted := authz.Resource{Node: page, Parent: crew, Owner: "alice", Properties: map[string]any{
				"state": "draft <&>", "size": 1.5, "tags": []any{"a", nil, true}, "deep": map[string]any{"ä": "\x00"},
			}}
			x.changed(x.PutResource(x.ctx(), wanted))
			x.repeated(x.PutResource(x.ctx(), wanted))
			x.seesResource(wanted)
			for _, parent := range []authz.Node{acme, apollo, authz.Root} {
				wanted.Parent = parent
				x.changed(x.PutResource(x.ctx(), wanted))
				x.seesResource(wanted)
			}
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: page}))
			x.repeated(x.PutResource(x.ctx(), authz.Resource{Node: page, Parent: authz.Root, Properties: map[string]any{}}))
			x.seesResource(authz.Resource{Node: page, Parent: authz.Root})
			x.changed(x.DeleteResource(x.ctx(), page))
			x.absent(x.DeleteResource(x.ctx(), page))
		},

		"resources_are_listed_by_type": func(t *testing.T, x tenant) {
			for _, node := range []authz.Node{{Type: "post", ID: "b"}, {Type: "post", ID: "B"}, {Type: "page", ID: "a"}, {Type: "post", ID: "a"}} {
				x.changed(x.PutResource(x.ctx(), authz.Resource{Node: node}))
			}
			var ids []string
			for _, resource := range all(x, of(x.Resources, "post")) {
				ids = append(ids, resource.ID)
			}
			equal(t, "posts", ids, []string{"B", "a", "b"})
			equal(t, "pages of nobody", all(x, of(x.Resources, "nothing")), nil)
		},

		"an_owner_may_do_what_owners_may": func(t *testing.T, x tenant) {
			x.plant()
			x.grant(authz.Owner, "edit")
			x.may("alice", "edit", post, false)
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo, Owner: "alice"}))
			x.may("alice", "edit", post, true)
			x.may("bob", "edit", post, false)
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo, Owner: "bob"}))
			x.may("alice", "edit", post, false)
			x.may("bob", "edit", post, true)
		},

		"conditions_see_stored_properties": func(t *testing.T, x tenant) {
			x.plant()
			x.changed(x.PutGrant(x.ctx(), authz.Everyone, authz.Grant{Permission: "view", Condition: `resource.properties.state == "public"`}))
			for state, want := range map[string]bool{"public": true, "draft": false} {
				x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo, Properties: map[string]any{"state": state}}))
				x.may("alice", "view", post, want)
			}
		},

		"a_resource_needs_its_parent": func(t *testing.T, x tenant) {
			x.plant()
			before := x.revision()
			_, err := x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: authz.Node{Type: "team", ID: "gone"}})
			tells(t, "under an unknown scope", err, fault.CodeNotFound, `team "gone" does not exist`)
			for _, parent := range []authz.Node{post, {Type: "page", ID: "1"}, {Type: "team"}} {
				_, err := x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: parent})
				fails(t, "under "+parent.String(), err, fault.CodeInvalid)
			}
			same(t, "revision", x.revision(), before)
		},

		"deleting_a_resource_takes_its_memberships_along": func(t *testing.T, x tenant) {
			x.plant()
			x.addRole("author")
			x.grant("author", "edit")
			x.changed(x.PutMembership(x.ctx(), at("alice", "author", post)))
			x.may("alice", "edit", post, true)
			x.changed(x.DeleteResource(x.ctx(), post))
			x.may("alice", "edit", post, false)
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Parent: apollo}))
			equal(t, "members", x.nodeMembers(post), nil)
			x.may("alice", "edit", post, false)
		},

		"a_malformed_resource_is_refused": func(t *testing.T, x tenant) {
			x.addRole("first")
			methods := func(node func(string) authz.Node) map[string]func(context.Context, string) error {
				return map[string]func(context.Context, string) error{
					"PutResource": func(ctx context.Context, s string) error {
						return failure(x.PutResource(ctx, authz.Resource{Node: node(s)}))
					},
					"Resource":       func(ctx context.Context, s string) error { return failure(x.Resource(ctx, node(s))) },
					"DeleteResource": func(ctx context.Context, s string) error { return failure(x.DeleteResource(ctx, node(s))) },
				}
			}
			x.refuses("id", badUsers, methods(func(s string) authz.Node { return authz.Node{Type: "post", ID: s} }))
			types := append([]string{"organization", "project", "team"}, badUsers...)
			x.refuses("type", types, methods(func(s string) authz.Node { return authz.Node{Type: s, ID: "7"} }))
			x.refuses("type", types, map[string]func(context.Context, string) error{
				"Resources": func(ctx context.Context, s string) error { return failure(x.Resources(ctx, s, authz.Page{})) },
			})
			x.refuses("owner", badUsers[1:], map[string]func(context.Context, string) error{
				"PutResource": func(ctx context.Context, s string) error {
					return failure(x.PutResource(ctx, authz.Resource{Node: post, Owner: s}))
				},
			})
		},

		"a_resource_is_exactly_the_name_given": func(t *testing.T, x tenant) {
			for i, id := range users {
				node := authz.Node{Type: users[len(users)-1-i], ID: id}
				x.changed(x.PutResource(x.ctx(), authz.Resource{Node: node, Owner: id}))
				x.seesResource(authz.Resource{Node: node, Parent: authz.Root, Owner: id})
			}
			for i, id := range users {
				x.changed(x.DeleteResource(x.ctx(), authz.Node{Type: users[len(users)-1-i], ID: id}))
			}
		},

		"properties_are_at_most_16_KiB": func(t *testing.T, x tenant) {
			const frame = len(`{"a":""}`)
			largest := map[string]any{"a": strings.Repeat("<", 16<<10-frame)}
			tooLarge := map[string]any{"a": strings.Repeat("x", 16<<10-frame+1)}
			x.changed(x.PutResource(x.ctx(), authz.Resource{Node: post, Properties: largest}))
			x.changed(x.PutUser(x.ctx(), authz.User{Name: "alice", Properties: largest}))
			before := x.revision()
			_, err := x.PutResource(x.ctx(), authz.Resource{Node: post, Properties: tooLarge})
			tells(t, "resource", err, fault.CodeInvalid, "properties: ")
			_, err = x.PutUser(x.ctx(), authz.User{Name: "alice", Properties: tooLarge})
			tells(t, "user", err, fault.CodeInvalid, "properties: ")
			same(t, "revision", x.revision(), before)
			x.seesResource(authz.Resource{Node: post, Parent: authz.Root, Properties: largest})
		},
	}
}

func (x tenant) seesResource(want authz.Resource) {
	x.t.Helper()
	got := value[authz.Resource](x)(x.Resource(x.ctx(), want.Node))
	if len(got.Properties)+len(want.Properties) == 0 {
		got.Properties, want.Properties = nil, nil
	}
	same(x.t, "resource", got, want)
}
