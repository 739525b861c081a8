package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

func TestTools(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantData(c.get("/api/tools"), `[]`)
	c.wantData(c.get("/api/permissions"), `[]`)
	c.wantData(c.put("/api/tools/wiki", ""), `{"description":"","permissions":[],"tool":"wiki"}`)
	wiki := `{"description":"Pages","permissions":[{"name":"page:edit"},{"description":"Read a page","name":"page:read"}],"tool":"wiki"}`
	c.wantData(c.put("/api/tools/wiki", `{"description":"Pages","permissions":[{"name":"page:read","description":"Read a page"},{"name":"page:edit"}]}`), wiki)
	c.wantData(c.get("/api/tools/wiki"), wiki)
	c.wantData(c.put("/api/tools/a%2Fb", `{"permissions":[]}`), `{"description":"","permissions":[],"tool":"a/b"}`)
	c.wantData(c.get("/api/tools"), `[{"description":"","permissions":[],"tool":"a/b"},`+wiki+`]`)
	c.wantData(c.get("/api/tools?limit=1"), `[{"description":"","permissions":[],"tool":"a/b"}]`)

	c.put("/api/roles/editor", "")
	c.post("/api/permission/editor/page:*")
	c.post("/api/permission/@everyone/page:read")
	c.wantData(c.get("/api/permissions"), `[{"name":"page:*","roles":["editor"]},{"name":"page:edit","roles":[],"tool":"wiki"},`+
		`{"description":"Read a page","name":"page:read","roles":["@everyone"],"tool":"wiki"}]`)

	many := func(n int) string {
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprintf(`{"name":"p%d"}`, i)
		}
		return `{"permissions":[` + strings.Join(names, ",") + `]}`
	}
	c.wantSame(func() {
		c.wantError(c.get("/api/tools/nothing"), 404, `"nothing"`)
		c.wantError(c.put("/api/tools/%20", ""), 400, "tool: ")
		c.wantError(c.put("/api/tools/forum", `{"permissions":[{"name":"page:edit"}]}`), 409, `"page:edit" is defined by the tool "wiki"`)
		c.wantError(c.put("/api/tools/forum", `{"permissions":[{"name":"read"},{"name":"read"}]}`), 400, "permissions.1.name: ")
		c.wantError(c.put("/api/tools/forum", `{"permissions":[{"name":"read"},{"name":"page:*"}]}`), 400, "permissions.1.name: ")
		c.wantError(c.put("/api/tools/forum", `{"permissions":[{"description":"Read"}]}`), 400, "permissions.0.name: ")
		c.wantError(c.put("/api/tools/forum", `{"permissions":["read"]}`), 400, "permissions.0: ")
		c.wantError(c.put("/api/tools/forum", `{"permissions":[{"name":"read","roles":[]}]}`), 400, "permissions.0")
		c.wantError(c.put("/api/tools/forum", many(1001)), 400, "permissions: ")
		c.wantError(c.put("/api/tools/forum", `{"description":"`+strings.Repeat("x", authz.MaxDescription+1)+`"}`), 400, "description: ")
		c.wantError(c.put("/api/tools/forum", `{"name":"forum"}`), 400, "name")
		c.wantError(c.get("/api/tools?limit=0"), 400, "limit: ")
		c.wantError(c.get("/api/permissions?cursor=x"), 400, "cursor: ")
	})
	c.data(c.put("/api/tools/forum", many(1000)))
	c.wantData(c.delete("/api/tools/wiki"), `{"result":true}`)
	c.wantData(c.delete("/api/tools/wiki"), `{"result":false}`)
	c.wantData(c.get("/api/has_permission/alice/page:read"), `{"has_permission":true}`)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantData(c.get("/api/settings"), `{"strict_permissions":false,"strict_users":false}`)
	c.wantData(c.put("/api/settings", `{"strict_permissions":true,"strict_users":true}`), `{"strict_permissions":true,"strict_users":true}`)
	c.wantData(c.get("/api/settings"), `{"strict_permissions":true,"strict_users":true}`)
	c.put("/api/roles/editor", "")
	c.put("/api/scopes/organization/acme", "")
	c.wantSame(func() {
		for _, permission := range []string{"read", "page:*", "*"} {
			c.wantError(c.post("/api/permission/editor/"+permission), 409, "strict_permissions")
			c.wantError(c.put("/api/roles/editor/grants/"+permission, `{"condition":"true"}`), 409, "strict_permissions")
		}
		for _, request := range []string{
			"POST /api/membership/bob/editor", "PUT /api/scopes/organization/acme/members/bob/roles/editor", "PUT /api/groups/writers/members/bob",
		} {
			c.wantError(c.request(request), 409, `user "bob" is not registered, as strict_users demands`)
		}
		c.wantError(c.put("/api/settings", ""), 400, "body")
		c.wantError(c.put("/api/settings", `{"strict_users":"yes"}`), 400, "strict_users: ")
		c.wantError(c.put("/api/settings", `{"strict_users":null}`), 400, "strict_users: ")
		c.wantError(c.put("/api/settings", `{"strict":true}`), 400, "strict")
		c.wantError(c.put("/api/settings", `[]`), 400, "body: ")
	})
	c.put("/api/users/bob", "")
	c.wantData(c.post("/api/membership/bob/editor"), `{"result":true}`)
	c.put("/api/tools/wiki", `{"permissions":[{"name":"page:read"}]}`)
	c.wantData(c.post("/api/permission/editor/page:*"), `{"result":true}`)
	c.wantData(c.put("/api/settings", `{"strict_users":true}`), `{"strict_permissions":false,"strict_users":true}`)
	c.wantData(c.put("/api/settings", `{}`), `{"strict_permissions":false,"strict_users":false}`)
	c.wantData(c.post("/api/permission/editor/read"), `{"result":true}`)
}
