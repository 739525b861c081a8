package sdk_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

var (
	team  = authz.Node{Type: "team", ID: "a/b"}
	post  = authz.Node{Type: "post", ID: "7 8"}
	until = authz.Window{ExpiresAt: time.Date(2030, 1, 1, 1, 0, 0, 0, time.FixedZone("", 3600))}
)

func user(name string) authz.SubjectRef  { return authz.SubjectRef{Type: authz.UserType, Name: name} }
func group(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.GroupType, Name: name} }

// TestWhatChangesSend shows what each change sends: nothing that is empty, and every name
// as one segment of the path.
func TestWhatChangesSend(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call func(context.Context, *sdk.Client) (authz.Written, error)
		want string
	}{
		"a role": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutRole(ctx, authz.RoleDetail{
				Name: "editor", Description: "Edits", Inherits: []string{"reader"}, Scopes: []authz.Kind{authz.KindTeam},
			})
		}, `PUT /api/roles/editor {"description":"Edits","inherits":["reader"],"scopes":["team"]}`},
		"a role of nothing but its name": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutRole(ctx, authz.RoleDetail{Name: "editor", Inherits: []string{}})
		}, `PUT /api/roles/editor {}`},
		"a grant": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutGrant(ctx, "@owner", authz.Grant{Permission: "post:*", Condition: "1 < 2"})
		}, `PUT /api/roles/@owner/grants/post:%2A {"condition":"1 \u003c 2"}`},
		"a scope": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutScope(ctx, authz.Scope{Node: team, Parent: authz.Node{Type: "project", ID: "p/q"}, Name: "A"})
		}, `PUT /api/scopes/team/a%2Fb {"name":"A","parent":{"id":"p/q","kind":"project"}}`},
		"a scope under the root": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutScope(ctx, authz.Scope{Node: authz.Node{Type: "organization", ID: "o"}, Parent: authz.Root})
		}, `PUT /api/scopes/organization/o {}`},
		"a resource": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutResource(ctx, authz.Resource{Node: post, Parent: team, Owner: "alice", Properties: map[string]any{"n": 1}})
		}, `PUT /api/resources/post/7%208 {"owner":"alice","parent":{"id":"a/b","kind":"team"},"properties":{"n":1}}`},
		"no scope any more": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) { return c.DeleteScope(ctx, team) },
			`DELETE /api/scopes/team/a%2Fb `},
		"no resource any more": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) { return c.DeleteResource(ctx, post) },
			`DELETE /api/resources/post/7%208 `},
		"a group": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutGroup(ctx, authz.Group{Name: "g h", Description: "Both"})
		}, `PUT /api/groups/g%20h {"description":"Both"}`},
		"no group any more": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) { return c.DeleteGroup(ctx, "g") },
			`DELETE /api/groups/g `},
		"a user in a group": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.AddToGroup(ctx, "g", user("alice"))
		}, `PUT /api/groups/g/members/alice `},
		"a group in a group": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.AddToGroup(ctx, "g", group("h"))
		}, `PUT /api/groups/g/groups/h `},
		"no user in a group": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.RemoveFromGroup(ctx, "g", user("alice"))
		}, `DELETE /api/groups/g/members/alice `},
		"no group in a group": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.RemoveFromGroup(ctx, "g", group("h"))
		}, `DELETE /api/groups/g/groups/h `},
		"a user": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutUser(ctx, authz.User{Name: "alice", Properties: map[string]any{"level": 3}})
		}, `PUT /api/users/alice {"active":true,"properties":{"level":3}}`},
		"an inactive user": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutUser(ctx, authz.User{Name: "alice", Inactive: true})
		}, `PUT /api/users/alice {"active":false}`},
		"no user any more": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) { return c.DeleteUser(ctx, "alice") },
			`DELETE /api/users/alice `},
		"a tool": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutTool(ctx, authz.Tool{Name: "a/b", Permissions: []authz.DefinedPermission{{Name: "page:read", Description: "Read"}, {Name: "export"}}})
		}, `PUT /api/tools/a%2Fb {"permissions":[{"description":"Read","name":"page:read"},{"name":"export"}]}`},
		"an empty tool": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutTool(ctx, authz.Tool{Name: "wiki", Description: "Pages"})
		}, `PUT /api/tools/wiki {"description":"Pages"}`},
		"no tool any more": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) { return c.DeleteTool(ctx, "wiki") },
			`DELETE /api/tools/wiki `},
		"settings": {func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
			return c.PutSettings(ctx, authz.Settings{StrictUsers: true})
		}, `PUT /api/settings {"strict_permissions":false,"strict_users":true}`},

		"a user at the root":     {joined(user("alice"), authz.Root), `POST /api/membership/alice/editor {"expires_at":"2030-01-01T00:00:00Z"}`},
		"a group at the root":    {joined(group("g"), authz.Root), `PUT /api/groups/g/roles/editor {"expires_at":"2030-01-01T00:00:00Z"}`},
		"a user at a scope":      {joined(user("alice"), team), `PUT /api/scopes/team/a%2Fb/members/alice/roles/editor {"expires_at":"2030-01-01T00:00:00Z"}`},
		"a group at a scope":     {joined(group("g"), team), `PUT /api/scopes/team/a%2Fb/groups/g/roles/editor {"expires_at":"2030-01-01T00:00:00Z"}`},
		"a user at a resource":   {joined(user("alice"), post), `PUT /api/resources/post/7%208/members/alice/roles/editor {"expires_at":"2030-01-01T00:00:00Z"}`},
		"a group at a resource":  {joined(group("g"), post), `PUT /api/resources/post/7%208/groups/g/roles/editor {"expires_at":"2030-01-01T00:00:00Z"}`},
		"no user at the root":    {left(user("alice"), authz.Root), `DELETE /api/membership/alice/editor `},
		"no group at the root":   {left(group("g"), authz.Root), `DELETE /api/groups/g/roles/editor `},
		"no user at a scope":     {left(user("alice"), team), `DELETE /api/scopes/team/a%2Fb/members/alice/roles/editor `},
		"no group at a scope":    {left(group("g"), team), `DELETE /api/scopes/team/a%2Fb/groups/g/roles/editor `},
		"no user at a resource":  {left(user("alice"), post), `DELETE /api/resources/post/7%208/members/alice/roles/editor `},
		"no group at a resource": {left(group("g"), post), `DELETE /api/resources/post/7%208/groups/g/roles/editor `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			client, _ := fake(t, "", func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = r.Method + " " + r.URL.EscapedPath() + " " + string(body)
				w.Header().Set("Gatehouse-Revision", "5")
				envelope(w, 200, `{"result":true,"properties":{}}`)
			})
			written, err := test.call(t.Context(), client)
			if want := (authz.Written{Changed: true, Revision: 5}); err != nil || written != want {
				t.Errorf("got %+v and error %v, want %+v", written, err, want)
			}
			if got != test.want {
				t.Errorf("sent %q, want %q", got, test.want)
			}
		})
	}
}

func joined(subject authz.SubjectRef, at authz.Node) func(context.Context, *sdk.Client) (authz.Written, error) {
	return func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
		return c.PutMembership(ctx, authz.Membership{Subject: subject, Role: "editor", Node: at, Window: until})
	}
}

func left(subject authz.SubjectRef, at authz.Node) func(context.Context, *sdk.Client) (authz.Written, error) {
	return func(ctx context.Context, c *sdk.Client) (authz.Written, error) {
		return c.RemoveMembership(ctx, subject, "editor", at)
	}
}

func TestChangeThatFailedChangedNothing(t *testing.T) {
	t.Parallel()
	client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) { envelope(w, 409, "null") })
	written, err := client.PutGroup(t.Context(), authz.Group{Name: "g"})
	if !errors.Is(err, sdk.ErrConflict) || written != (authz.Written{}) {
		t.Errorf("got %+v and error %v, want nothing and ErrConflict", written, err)
	}
}

// TestWhatIsRead shows each thing as it comes out of an answer.
func TestWhatIsRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call       func(context.Context, *sdk.Client) (any, error)
		path, data string
		want       any
	}{
		"a role": {shown((*sdk.Client).Role, "editor"), "/api/roles/editor",
			`{"role":"editor","description":"Edits","inherits":["reader"],"scopes":["team"]}`,
			authz.RoleDetail{Name: "editor", Description: "Edits", Inherits: []string{"reader"}, Scopes: []authz.Kind{authz.KindTeam}}},
		"a plain role": {shown((*sdk.Client).Role, "editor"), "/api/roles/editor",
			`{"role":"editor","description":"","inherits":[],"scopes":[]}`, authz.RoleDetail{Name: "editor"}},
		"a scope": {shown((*sdk.Client).Scope, team), "/api/scopes/team/a%2Fb",
			`{"kind":"team","id":"a/b","name":"A","parent":{"kind":"project","id":"p"}}`,
			authz.Scope{Node: team, Parent: authz.Node{Type: "project", ID: "p"}, Name: "A"}},
		"a scope under the root": {shown((*sdk.Client).Scope, authz.Node{Type: "organization", ID: "o"}), "/api/scopes/organization/o",
			`{"kind":"organization","id":"o","name":""}`,
			authz.Scope{Node: authz.Node{Type: "organization", ID: "o"}, Parent: authz.Root}},
		"a resource": {shown((*sdk.Client).Resource, post), "/api/resources/post/7%208",
			`{"type":"post","id":"7 8","owner":"alice","properties":{"n":1}}`,
			authz.Resource{Node: post, Parent: authz.Root, Owner: "alice", Properties: map[string]any{"n": 1.0}}},
		"a group": {shown((*sdk.Client).Group, "g"), "/api/groups/g",
			`{"group":"g","description":"Both"}`, authz.Group{Name: "g", Description: "Both"}},
		"a user": {shown((*sdk.Client).User, "alice"), "/api/users/alice",
			`{"user":"alice","active":false,"properties":{}}`, authz.User{Name: "alice", Inactive: true}},
		"a tool": {shown((*sdk.Client).Tool, "wiki"), "/api/tools/wiki",
			`{"tool":"wiki","description":"Pages","permissions":[{"name":"export"},{"name":"read","description":"Read"}]}`,
			authz.Tool{Name: "wiki", Description: "Pages", Permissions: []authz.DefinedPermission{{Name: "export"}, {Name: "read", Description: "Read"}}}},
		"an empty tool": {shown((*sdk.Client).Tool, "wiki"), "/api/tools/wiki",
			`{"tool":"wiki","description":"","permissions":[]}`, authz.Tool{Name: "wiki"}},
		"tools": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Tool], error) {
			return c.Tools(ctx, p)
		}), "/api/tools?limit=2", `[{"tool":"wiki","description":"","permissions":[]}]`, []authz.Tool{{Name: "wiki"}}},
		"the catalogue": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.CatalogueEntry], error) {
			return c.Permissions(ctx, p)
		}), "/api/permissions?limit=2", `[{"name":"fly","roles":["editor"]},{"name":"read","description":"Read","tool":"wiki","roles":[]}]`,
			[]authz.CatalogueEntry{
				{DefinedPermission: authz.DefinedPermission{Name: "fly"}, Roles: []string{"editor"}},
				{DefinedPermission: authz.DefinedPermission{Name: "read", Description: "Read"}, Tool: "wiki"},
			}},
		"grants": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Grant], error) {
			return c.Grants(ctx, "editor", p)
		}), "/api/roles/editor/grants?limit=2", `[{"role":"editor","permission":"*"},{"role":"editor","permission":"a","condition":"true"}]`,
			[]authz.Grant{{Permission: "*"}, {Permission: "a", Condition: "true"}}},
		"scopes": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Scope], error) {
			return c.Scopes(ctx, authz.KindTeam, authz.Node{Type: "project", ID: "p"}, p)
		}), "/api/scopes/team?parent_kind=project&parent_id=p&limit=2", `[{"kind":"team","id":"a/b","name":""}]`,
			[]authz.Scope{{Node: team, Parent: authz.Root}}},
		"organizations of the root": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Scope], error) {
			return c.Scopes(ctx, authz.KindOrganization, authz.Root, p)
		}), "/api/scopes/organization?limit=2", `[]`, []authz.Scope(nil)},
		"resources": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Resource], error) {
			return c.Resources(ctx, "post", p)
		}), "/api/resources/post?limit=2", `[{"type":"post","id":"7 8","properties":{}}]`,
			[]authz.Resource{{Node: post, Parent: authz.Root}}},
		"members of a scope": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Membership], error) {
			return c.NodeMembers(ctx, team, p)
		}), "/api/scopes/team/a%2Fb/members?limit=2", `[{"user":"alice","role":"editor"},{"group":"g","role":"editor","not_before":"2030-01-01T00:00:00Z"}]`,
			[]authz.Membership{
				{Subject: user("alice"), Role: "editor", Node: team},
				{Subject: group("g"), Role: "editor", Node: team, Window: authz.Window{NotBefore: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}},
			}},
		"members of a resource": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Membership], error) {
			return c.NodeMembers(ctx, post, p)
		}), "/api/resources/post/7%208/members?limit=2", `[]`, []authz.Membership(nil)},
		"changes": {listed(func(ctx context.Context, c *sdk.Client, p authz.Page) (authz.List[authz.Change], error) {
			return c.Changes(ctx, 3, p)
		}), "/api/changes?after=3&limit=2", `[{"revision":4,"kind":"role","key":"editor"}]`,
			[]authz.Change{{Revision: 4, Kind: "role", Key: "editor"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := ""
			client, _ := fake(t, "", func(w http.ResponseWriter, r *http.Request) {
				path = r.URL.String()
				w.Header().Set("Gatehouse-Revision", "5")
				envelope(w, 200, test.data)
			})
			got, err := test.call(t.Context(), client)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v and error %v, want %+v", got, err, test.want)
			}
			if path != test.path {
				t.Errorf("asked for %q, want %q", path, test.path)
			}
		})
	}
}

// shown calls a method that shows one thing.
func shown[A, T any](call func(*sdk.Client, context.Context, A) (authz.Snapshot[T], error), about A) func(context.Context, *sdk.Client) (any, error) {
	return func(ctx context.Context, c *sdk.Client) (any, error) {
		s, err := call(c, ctx, about)
		if err == nil && s.Revision != 5 {
			err = errors.New("the revision is not that of the answer")
		}
		return s.Value, err
	}
}

// listed calls a method that lists, for two items.
func listed[T any](call func(context.Context, *sdk.Client, authz.Page) (authz.List[T], error)) func(context.Context, *sdk.Client) (any, error) {
	return func(ctx context.Context, c *sdk.Client) (any, error) {
		l, err := call(ctx, c, authz.Page{Limit: 2})
		if err == nil && l.Revision != 5 {
			err = errors.New("the revision is not that of the answer")
		}
		return l.Items, err
	}
}

func TestWhatCannotBeSentIsNot(t *testing.T) {
	t.Parallel()
	client, requests := fake(t, "", func(w http.ResponseWriter, _ *http.Request) { envelope(w, 200, `{"result":true}`) })
	ctx := t.Context()
	const broken = "a\xff"
	deep := map[string]any{"a": []any{map[string]any{"b": broken}}}
	for field, call := range map[string]func() error{
		"role": func() error { _, err := client.Role(ctx, ""); return err },
		"kind": func() error { _, err := client.PutScope(ctx, authz.Scope{}); return err },
		"id":   func() error { _, err := client.DeleteScope(ctx, authz.Node{Type: "team", ID: ".."}); return err },
		"type": func() error {
			_, err := client.RemoveMembership(ctx, user("alice"), "editor", authz.Node{})
			return err
		},
		"user": func() error { _, err := client.AddToGroup(ctx, "g", user("")); return err },
		"group": func() error {
			_, err := client.RemoveMembership(ctx, group("."), "editor", authz.Root)
			return err
		},
		"tool": func() error { _, err := client.DeleteTool(ctx, "."); return err },
		"permissions[0]": func() error {
			_, err := client.PutTool(ctx, authz.Tool{Name: "wiki", Permissions: []authz.DefinedPermission{{Name: broken}}})
			return err
		},
		"subject": func() error { _, err := client.AddToGroup(ctx, "g", authz.SubjectRef{Name: "alice"}); return err },
		"node":    func() error { _, err := client.NodeMembers(ctx, authz.Root, authz.Page{}); return err },
		"permission": func() error {
			_, err := client.PutGrant(ctx, "editor", authz.Grant{Permission: "/"})
			return err
		},
		"description": func() error { _, err := client.PutGroup(ctx, authz.Group{Name: "g", Description: broken}); return err },
		"inherits": func() error {
			_, err := client.PutRole(ctx, authz.RoleDetail{Name: "r", Inherits: []string{broken}})
			return err
		},
		"condition": func() error {
			_, err := client.PutGrant(ctx, "r", authz.Grant{Permission: "p", Condition: broken})
			return err
		},
		"name":  func() error { _, err := client.PutScope(ctx, authz.Scope{Node: team, Name: broken}); return err },
		"owner": func() error { _, err := client.PutResource(ctx, authz.Resource{Node: post, Owner: broken}); return err },
		"parent": func() error {
			_, err := client.PutResource(ctx, authz.Resource{Node: post, Parent: authz.Node{ID: broken}})
			return err
		},
		"properties.a[0].b": func() error {
			_, err := client.PutUser(ctx, authz.User{Name: "alice", Properties: deep})
			return err
		},
		"context": func() error {
			_, err := client.Check(ctx, authz.Request{User: "alice", Permission: "p", Context: map[string]any{broken: 1}})
			return err
		},
		"resource.id": func() error {
			_, err := client.CheckBatch(ctx, []authz.Request{{
				User: "alice", Permission: "p", Resource: &authz.RequestedResource{Node: authz.Node{Type: "post", ID: broken}},
			}})
			return err
		},
		"properties": func() error {
			_, err := client.Check(ctx, authz.Request{User: "alice", Permission: "p", UserProperties: map[string]any{"level": 3}})
			return err
		},
	} {
		if err := call(); !errors.Is(err, sdk.ErrInvalid) || !strings.HasPrefix(err.Error(), field+":") {
			t.Errorf("%s: got error %v, want ErrInvalid that names the field", field, err)
		}
	}
	if got := requests.Load(); got != 0 {
		t.Errorf("requests: got %d, want none", got)
	}
}

func TestAtLeast(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	client, _ := fake(t, "", func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Gatehouse-Min-Revision")
		envelope(w, 200, `{"has_permission":true}`)
	})
	later := client.AtLeast(7)
	for _, test := range []struct {
		client *sdk.Client
		want   string
	}{{client, ""}, {later, "7"}, {later.AtLeast(9), "9"}, {later, "7"}, {client.AtLeast(-1), "0"}, {client, ""}} {
		if _, err := test.client.UserHasPermission(t.Context(), "alice", "edit"); err != nil {
			t.Fatal(err)
		}
		if got := <-asked; got != test.want {
			t.Errorf("asked for %q, want %q", got, test.want)
		}
	}
}
