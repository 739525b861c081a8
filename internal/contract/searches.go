package contract

import (
	"context"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// searches promises that searches find all that Check allows, and nothing else.
func (s *suite) searches() map[string]func(*testing.T, tenant) {
	return map[string]func(*testing.T, tenant){
		"searches_find_what_a_check_allows": func(t *testing.T, x tenant) {
			ctx := x.ctx()
			x.addRole("editor")
			x.grant("editor", "edit")
			x.grant(authz.Owner, "delete")
			x.changed(x.PutGrant(ctx, authz.Everyone, authz.Grant{Permission: "read", Condition: "resource.properties.open == true"}))
			x.changed(x.PutScope(ctx, authz.Scope{Node: acme}))
			x.changed(x.PutResource(ctx, authz.Resource{Node: post, Parent: acme, Owner: "olga", Properties: map[string]any{"open": true}}))
			draft := authz.Node{Type: post.Type, ID: "draft"}
			x.changed(x.PutResource(ctx, authz.Resource{Node: draft}))
			x.changed(x.PutUser(ctx, authz.User{Name: "reader"}))
			x.changed(x.AddToGroup(ctx, "staff", authz.SubjectRef{Type: authz.UserType, Name: "greta"}))
			x.changed(x.PutMembership(ctx, authz.Membership{Subject: authz.SubjectRef{Type: authz.GroupType, Name: "staff"}, Role: "editor", Node: acme}))
			x.join("chief", "editor")

			everyone := []string{"chief", "greta", "olga", "reader"}
			for _, test := range []struct {
				permission string
				at         authz.Node
				want       []string
			}{
				{"edit", post, []string{"chief", "greta"}}, {"edit", draft, []string{"chief"}}, {"edit", acme, []string{"chief", "greta"}},
				{"delete", post, []string{"olga"}}, {"delete", draft, nil},
				{"read", post, everyone}, {"read", draft, nil}, {"fly", post, nil},
			} {
				request := authz.Request{Permission: test.permission, Resource: &authz.RequestedResource{Node: test.at}}
				equal(t, "who may "+test.permission+" "+test.at.String(), all(x, of(x.Subjects, request)), test.want)
			}
			for _, test := range []struct {
				user, permission, nodeType string
				want                       []string
			}{
				{"greta", "edit", post.Type, []string{post.ID}}, {"greta", "edit", acme.Type, []string{acme.ID}},
				{"chief", "edit", acme.Type, []string{acme.ID}}, {"olga", "delete", post.Type, []string{post.ID}},
				{"stranger", "read", post.Type, []string{post.ID}}, {"stranger", "edit", post.Type, nil},
			} {
				request := authz.Request{User: test.user, Permission: test.permission}
				equal(t, "what "+test.user+" may "+test.permission, all(x, func(ctx context.Context, page authz.Page) (authz.List[string], error) {
					return x.ResourcesFor(ctx, request, test.nodeType, page)
				}), test.want)
			}
			for user, want := range map[string][]string{
				"chief": {"edit", "read"}, "olga": {"delete", "read"}, "stranger": {"read"},
			} {
				request := authz.Request{User: user, Resource: &authz.RequestedResource{Node: post}}
				equal(t, "what "+user+" may do", all(x, of(x.Actions, request)), want)
			}
		},

		"a_search_goes_on_from_its_cursor": func(t *testing.T, x tenant) {
			x.addRole("editor")
			revision := x.grant("editor", "edit")
			for _, user := range []string{"a", "b", "c"} {
				revision = x.join(user, "editor")
			}
			request := authz.Request{Permission: "edit", Resource: &authz.RequestedResource{Node: post}}
			first, err := x.Subjects(x.ctx(), request, authz.Page{Limit: 2})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "first page", first.Items, []string{"a", "b"})
			same(t, "revision", first.Revision, revision)
			last, err := x.Subjects(x.ctx(), request, authz.Page{Limit: 2, Cursor: first.Next})
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "last page", last.Items, []string{"c"})
			same(t, "next of the last page", last.Next, "")
			other := request
			other.Permission = "view"
			_, err = x.Subjects(x.ctx(), other, authz.Page{Cursor: first.Next})
			fails(t, "another question's cursor", err, fault.CodeInvalid)
		},

		"a_search_about_what_has_no_name_is_refused": func(t *testing.T, x tenant) {
			named := &authz.RequestedResource{Node: post}
			_, err := x.Subjects(x.ctx(), authz.Request{Permission: "*", Resource: named}, authz.Page{})
			fails(t, "a wildcard", err, fault.CodeInvalid)
			_, err = x.Actions(x.ctx(), authz.Request{User: " ", Resource: named}, authz.Page{})
			fails(t, "no user", err, fault.CodeInvalid)
			_, err = x.ResourcesFor(x.ctx(), authz.Request{User: "a", Permission: "edit"}, "", authz.Page{})
			fails(t, "no type", err, fault.CodeInvalid)
			_, err = x.Actions(x.ctx(), authz.Request{User: "a", Resource: named}, authz.Page{Limit: 10_001})
			fails(t, "too large a page", err, fault.CodeInvalid)
		},
	}
}
