package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

func TestRBAC(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)

	c.wantData(c.get("/api/roles"), `[]`)
	c.wantData(c.do(http.MethodPost, "/api/role/editor", `{"description":"Edits"}`), `{"result":true}`)
	c.wantData(c.post("/api/role/admin"), `{"result":true}`)
	c.wantData(c.post("/api/role/editor"), `{"result":true}`)
	c.wantData(c.get("/api/roles"), `[{"description":"","role":"admin"},{"description":"Edits","role":"editor"}]`)
	c.wantData(c.do(http.MethodPost, "/api/role/editor", `{"description":""}`), `{"result":true}`)
	c.wantData(c.get("/api/roles"), `[{"description":"","role":"admin"},{"description":"","role":"editor"}]`)

	c.wantData(c.post("/api/permission/editor/post:edit"), `{"result":true}`)
	c.wantData(c.post("/api/permission/editor/post:edit"), `{"result":true}`)
	c.wantData(c.post("/api/permission/admin/post:*"), `{"result":true}`)
	c.wantError(c.post("/api/permission/nobody/post:edit"), 404, `role "nobody"`)
	c.wantData(c.get("/api/permission/editor/post:edit"), `{"result":true}`)
	c.wantData(c.get("/api/permission/admin/post:delete"), `{"result":true}`)
	c.wantData(c.get("/api/permission/editor/post:delete"), `{"result":false}`)
	c.wantData(c.get("/api/permission/nobody/post:edit"), `{"result":false}`)
	c.wantData(c.get("/api/role_permissions/admin"), `[{"name":"post:*"}]`)
	c.wantData(c.get("/api/role_permissions/nobody"), `[]`)

	c.wantData(c.post("/api/membership/alice@example.com/editor"), `{"result":true}`)
	c.wantData(c.post("/api/membership/alice@example.com/admin"), `{"result":true}`)
	c.wantData(c.post("/api/membership/bob/editor"), `{"result":true}`)
	c.wantError(c.post("/api/membership/bob/nobody"), 404, `role "nobody"`)
	c.wantData(c.get("/api/membership/bob/editor"), `{"has_membership":true,"has_permission":true}`)
	c.wantData(c.get("/api/membership/bob/admin"), `{"has_membership":false,"has_permission":false}`)

	c.wantData(c.get("/api/has_permission/bob/post:edit"), `{"has_permission":true}`)
	c.wantData(c.get("/api/has_permission/bob/post:delete"), `{"has_permission":false}`)
	c.wantData(c.get("/api/has_permission/alice@example.com/post:delete"), `{"has_permission":true}`)
	c.wantData(c.get("/api/has_permission/nobody/post:edit"), `{"has_permission":false}`)
	c.wantData(c.get("/api/user_permissions/alice@example.com"), `{"count":2,"permissions":[{"name":"post:*"},{"name":"post:edit"}]}`)
	c.wantData(c.get("/api/user_permissions/nobody"), `{"count":0,"permissions":[]}`)
	c.wantData(c.get("/api/user_roles/alice@example.com"), `[{"role":"admin","user":"alice@example.com"},{"role":"editor","user":"alice@example.com"}]`)
	c.wantData(c.get("/api/members/editor"), `[{"role":"editor","user":"alice@example.com"},{"role":"editor","user":"bob"}]`)
	c.wantData(c.get("/api/members/nobody"), `[]`)
	c.wantData(c.get("/api/which_roles_can/post:edit"), `[{"role":"admin"},{"role":"editor"}]`)
	c.wantData(c.get("/api/which_users_can/post:edit"),
		`[{"role":"admin","user":"alice@example.com"},{"role":"editor","user":"alice@example.com"},{"role":"editor","user":"bob"}]`)
	c.wantData(c.get("/api/workflow/users/post:delete"), `{"count":1,"members":[{"role":"admin","user":"alice@example.com"}]}`)
	c.wantData(c.get("/api/workflow/user/bob/can_run/post:edit"), `{"has_permission":true}`)
	c.wantData(c.get("/api/workflow/user/bob/can_run/post:delete"), `{"has_permission":false}`)

	c.wantData(c.delete("/api/permission/editor/post:edit"), `{"result":true}`)
	c.wantData(c.delete("/api/permission/editor/post:edit"), `{"result":false}`)
	c.wantData(c.delete("/api/membership/bob/editor"), `{"result":true}`)
	c.wantData(c.delete("/api/membership/bob/editor"), `{"result":false}`)
	c.wantData(c.delete("/api/role/admin"), `{"result":true}`)
	c.wantData(c.delete("/api/role/admin"), `{"result":false}`)
	c.wantData(c.post("/api/role/admin"), `{"result":true}`)
	c.wantData(c.get("/api/members/admin"), `[]`)
	c.wantData(c.get("/api/role_permissions/admin"), `[]`)
}

func TestBuiltinRoles(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantData(c.post("/api/permission/@everyone/read"), `{"result":true}`)
	c.wantData(c.get("/api/has_permission/anybody/read"), `{"has_permission":true}`)
	c.wantData(c.get("/api/user_permissions/anybody"), `{"count":1,"permissions":[{"name":"read"}]}`)
	c.wantData(c.get("/api/roles"), `[]`)
	c.wantData(c.get("/api/which_roles_can/read"), `[]`)
	c.wantData(c.get("/api/which_users_can/read"), `[]`)
	c.wantSame(func() {
		c.wantError(c.post("/api/role/@everyone"), 409, "built in")
		c.wantError(c.delete("/api/role/@owner"), 409, "built in")
		c.wantError(c.post("/api/membership/alice/@everyone"), 409, "built in")
		c.wantError(c.delete("/api/membership/alice/@owner"), 409, "built in")
		c.wantError(c.post("/api/role/@admin"), 400, "role: ")
	})
}

func TestMembershipWindow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	c := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.Now = at(now) }).caller(t)
	c.post("/api/role/editor")
	c.post("/api/permission/editor/edit")
	for _, test := range []struct {
		body string
		want bool
	}{
		{`{"expires_at":"2026-01-15T12:00:00.000001Z"}`, true},
		{`{"expires_at":"2026-01-15T12:00:00Z"}`, false},
		{`{"not_before":"2026-01-15T12:00:00Z"}`, true},
		{`{"not_before":"2026-01-15T12:00:00.000001Z"}`, false},
		{`{"not_before":"2026-01-15T13:00:00+01:00","expires_at":"2026-01-15T13:00:01+01:00"}`, true},
		{`{}`, true},
	} {
		c.wantData(c.do(http.MethodPost, "/api/membership/alice/editor", test.body), `{"result":true}`)
		c.wantData(c.get("/api/has_permission/alice/edit"), fmt.Sprintf(`{"has_permission":%t}`, test.want))
		c.wantData(c.get("/api/membership/alice/editor"), fmt.Sprintf(`{"has_membership":%t,"has_permission":%[1]t}`, test.want))
	}
	c.wantSame(func() {
		for body, part := range map[string]string{
			`{"expire_at":"2026-01-15T12:00:00Z"}`:                                      "expire_at",
			`{"Expires_at":"2026-01-15T12:00:00Z"}`:                                     "Expires_at",
			`{"expires_at":"tomorrow"}`:                                                 "expires_at: ",
			`{"expires_at":"2026-13-15T12:00:00Z"}`:                                     "expires_at: ",
			`{"expires_at":7}`:                                                          "expires_at: ",
			`{"expires_at":null}`:                                                       "expires_at: ",
			`{"expires_at":"0001-01-01T00:00:00Z"}`:                                     "expires_at: ",
			`{"not_before":"0001-01-01T00:00:00Z"}`:                                     "not_before: ",
			`{"not_before":"2026-01-15T12:00:00Z","expires_at":"2026-01-15T12:00:00Z"}`: "expires_at: must be later",
			`[]`: "body: ",
		} {
			c.wantError(c.do(http.MethodPost, "/api/membership/alice/editor", body), 400, part)
		}
	})
}

func TestTenantsAreIsolated(t *testing.T) {
	t.Parallel()
	s := startService(t)
	a, b := s.caller(t), s.caller(t)
	a.do(http.MethodPost, "/api/role/editor", `{"description":"of a"}`)
	a.post("/api/permission/editor/edit")
	a.post("/api/membership/alice/editor")
	empty := map[string]string{
		"/api/roles":                            `[]`,
		"/api/permission/editor/edit":           `{"result":false}`,
		"/api/membership/alice/editor":          `{"has_membership":false,"has_permission":false}`,
		"/api/has_permission/alice/edit":        `{"has_permission":false}`,
		"/api/user_permissions/alice":           `{"count":0,"permissions":[]}`,
		"/api/role_permissions/editor":          `[]`,
		"/api/user_roles/alice":                 `[]`,
		"/api/members/editor":                   `[]`,
		"/api/which_roles_can/edit":             `[]`,
		"/api/which_users_can/edit":             `[]`,
		"/api/workflow/users/edit":              `{"count":0,"members":[]}`,
		"/api/workflow/user/alice/can_run/edit": `{"has_permission":false}`,
		"/api/audit":                            `[]`,
	}
	for path, want := range empty {
		b.wantData(b.get(path), want)
	}
	b.wantError(b.post("/api/permission/editor/edit"), 404, "editor")
	b.wantError(b.post("/api/membership/alice/editor"), 404, "editor")
	b.post("/api/role/editor")
	b.wantData(b.delete("/api/permission/editor/edit"), `{"result":false}`)
	b.wantData(b.delete("/api/membership/alice/editor"), `{"result":false}`)
	b.wantData(b.delete("/api/role/editor"), `{"result":true}`)
	a.wantData(a.get("/api/has_permission/alice/edit"), `{"has_permission":true}`)
	a.wantData(a.get("/api/roles"), `[{"description":"of a","role":"editor"}]`)
}

func TestNames(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.post("/api/role/editor")
	for _, user := range []string{
		"alice@example.com", "ünï©ödé 𝕌ser", "a/b", "a//b", "/a", "a%2Fb", "%", "a b", "a+b", "a?b", "a#b", "a&b=c", "a;b,c", "a:b", "..a", "a..", "'; DROP TABLE roles; --",
		"\"quoted\"", `back\slash`, "{json}", "<html>", strings.Repeat("x", 256), strings.Repeat("é", 128), "\u200bzero", "\u00a0nbsp",
	} {
		path := url.PathEscape(user)
		c.wantData(c.post("/api/membership/"+path+"/editor"), `{"result":true}`)
		c.wantData(c.get("/api/membership/"+path+"/editor"), `{"has_membership":true,"has_permission":true}`)
		c.wantData(c.delete("/api/membership/"+path+"/editor"), `{"result":true}`)
	}
	c.wantData(c.get("/api/members/editor"), `[]`)
	for _, role := range []string{"a", "A.b_c-9", strings.Repeat("r", 64)} {
		c.wantData(c.post("/api/role/"+role), `{"result":true}`)
		c.wantData(c.delete("/api/role/"+role), `{"result":true}`)
	}
	for _, permission := range []string{"a", "A.b_c-9:x", "a%2Fb", strings.Repeat("p", 128), "*", "a:*", strings.Repeat("p", 126) + ":*"} {
		c.wantData(c.post("/api/permission/editor/"+permission), `{"result":true}`)
		c.wantData(c.delete("/api/permission/editor/"+permission), `{"result":true}`)
	}
	c.wantSame(func() {
		for _, user := range []string{
			"%20a", "a%20", "a%0A", "%0Aa", "a%00", "%7F", "a%C2%85", "%FF", "%C0%AF", "%2E", "%2E%2E", "%2F", strings.Repeat("x", 257), strings.Repeat("%C3%A9", 129),
		} {
			c.wantError(c.post("/api/membership/"+user+"/editor"), 400, "user: ")
			c.wantError(c.get("/api/has_permission/"+user+"/edit"), 400, "user: ")
		}
		for _, role := range []string{"%2E", "%2E%2E", "%2F", "a%20", "a%0A", "%C3%A9", "a%2Fb", "@", "@nobody", "a:b", strings.Repeat("r", 65)} {
			c.wantError(c.post("/api/role/"+role), 400, "role: ")
			c.wantError(c.get("/api/members/"+role), 400, "role: ")
		}
		for _, permission := range []string{"%2E", "%2E%2E", "%2F", "a%20", "a%0A", "%C3%A9", "a*", "*a", "a*b:*", "**", "a*:*", strings.Repeat("p", 129), strings.Repeat("p", 127) + ":*"} {
			c.wantError(c.post("/api/permission/editor/"+permission), 400, "permission: ")
			c.wantError(c.get("/api/has_permission/alice/"+permission), 400, "permission: ")
		}
		for _, wildcard := range []string{"*", "post:*"} {
			c.wantError(c.get("/api/has_permission/alice/"+wildcard), 400, "wildcard")
			c.wantError(c.get("/api/permission/editor/"+wildcard), 400, "wildcard")
			c.wantError(c.get("/api/which_users_can/"+wildcard), 400, "wildcard")
			c.wantError(c.get("/api/workflow/users/"+wildcard), 400, "wildcard")
		}
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	for i := range 7 {
		c.post(fmt.Sprintf("/api/role/r%d", i))
		c.post(fmt.Sprintf("/api/permission/r%d/run", i))
		c.post(fmt.Sprintf("/api/permission/r%d/do%d", i, i))
		c.post(fmt.Sprintf("/api/permission/r0/do%d", i))
		c.post(fmt.Sprintf("/api/membership/u%d/r%d", i/2, i))
		c.post(fmt.Sprintf("/api/membership/v%d/r0", i))
		c.post(fmt.Sprintf("/api/membership/u0/r%d", i))
	}
	for _, path := range []string{
		"/api/roles", "/api/user_permissions/u0", "/api/role_permissions/r0", "/api/user_roles/u0",
		"/api/members/r0", "/api/which_roles_can/run", "/api/which_users_can/run", "/api/workflow/users/run", "/api/audit?action=ROLE_CREATED",
	} {
		whole := items(c.data(c.get(path)))
		if len(whole) < 7 {
			t.Errorf("%s: got %d items, want at least 7", path, len(whole))
		}
		var paged []string
		for next, pages := withQuery(path, "limit=3"), 0; next != ""; pages++ {
			a := c.get(next)
			part := items(c.data(a))
			if len(part) > 3 || pages > len(whole) {
				t.Fatalf("%s: page %d holds %d items, want at most 3", path, pages, len(part))
			}
			paged = append(paged, part...)
			next = ""
			if link := a.header.Get("Link"); link != "" {
				next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			}
		}
		if got, want := strings.Join(paged, "\n"), strings.Join(whole, "\n"); got != want {
			t.Errorf("%s: got in pages\n%s\nwant\n%s", path, got, want)
		}
		for _, bad := range []string{"limit=0", "limit=-1", "limit=10001", "limit=abc", "limit=", "limit=99999999999999999999"} {
			c.wantError(c.get(withQuery(path, bad)), 400, "limit: ")
		}
		c.wantError(c.get(withQuery(path, "cursor=nonsense")), 400, "cursor: ")
		if strings.HasPrefix(path, "/api/audit") {
			link := c.get(withQuery(path, "limit=1")).header.Get("Link")
			cursor, err := url.Parse(link[1:strings.Index(link, ">")])
			if err != nil {
				t.Fatal(err)
			}
			c.wantError(c.get("/api/audit?action=ROLE_DELETED&cursor="+cursor.Query().Get("cursor")), 400, "cursor: ")
		}
		if path != "/api/roles" {
			link := c.get("/api/roles?limit=1").header.Get("Link")
			foreign := link[strings.Index(link, "cursor="):strings.Index(link, "&")]
			c.wantError(c.get(withQuery(path, foreign)), 400, "cursor: ")
		}
	}
}

func withQuery(path, query string) string {
	if strings.Contains(path, "?") {
		return path + "&" + query
	}
	return path + "?" + query
}

// items cuts a list's data into its objects, the list being data itself or a
// member of it.
func items(data string) []string {
	list := data[strings.Index(data, "[")+1 : strings.LastIndex(data, "]")]
	if list == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(list, "{"), "}"), "},{")
}
