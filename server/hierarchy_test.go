package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
)

func TestRolesAsWritten(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantData(c.put("/api/roles/reader", ""), `{"description":"","inherits":[],"role":"reader","scopes":[]}`)
	c.wantData(c.put("/api/roles/author", ""), `{"description":"","inherits":[],"role":"author","scopes":[]}`)
	whole := `{"description":"Edits","inherits":["author","reader"],"role":"editor","scopes":["tenant","project"]}`
	c.wantData(c.put("/api/roles/editor", `{"description":"Edits","inherits":["reader","author","reader"],"scopes":["project","tenant","project"]}`), whole)
	c.wantData(c.get("/api/roles/editor"), whole)
	c.wantSame(func() {
		c.wantData(c.put("/api/roles/editor", `{"scopes":["project","tenant"],"description":"Edits","inherits":["author","reader"]}`), whole)
		c.wantError(c.get("/api/roles/nobody"), 404, `"nobody"`)
		c.wantError(c.get("/api/roles/no%20body"), 400, "role: ")
		c.wantError(c.put("/api/roles/@owner", ""), 409, "built in")
		c.wantError(c.put("/api/roles/new", `{"inherits":["nobody"]}`), 409, `"nobody"`)
		c.wantError(c.put("/api/roles/new", `{"inherits":["@everyone"]}`), 409, "@everyone")
		c.wantError(c.put("/api/roles/reader", `{"inherits":["editor"]}`), 409, "reader -> editor -> reader")
		c.wantError(c.put("/api/roles/reader", `{"inherits":["reader"]}`), 409, "reader -> reader")
		c.wantError(c.put("/api/roles/new", `{"scopes":["galaxy"]}`), 400, "scopes.0: ")
		c.wantError(c.put("/api/roles/new", `{"inherits":["no body"]}`), 400, "inherits.0: ")
		c.wantError(c.put("/api/roles/new", `{"grants":[]}`), 400, "grants")
	})
	c.wantData(c.put("/api/roles/editor", ""), `{"description":"","inherits":[],"role":"editor","scopes":[]}`)
	c.wantData(c.delete("/api/roles/editor"), `{"result":true}`)
	c.wantData(c.delete("/api/roles/editor"), `{"result":false}`)
	c.wantError(c.delete("/api/roles/@everyone"), 409, "built in")
}

func TestGrants(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.put("/api/roles/editor", "")
	c.wantData(c.put("/api/roles/editor/grants/post:*", ""), `{"permission":"post:*","role":"editor"}`)
	conditional := `{"condition":"resource.properties.status == \"draft\"","permission":"edit","role":"editor"}`
	c.wantData(c.put("/api/roles/editor/grants/edit", `{"condition":"resource.properties.status == \"draft\""}`), conditional)
	c.wantData(c.get("/api/roles/editor/grants"), `[`+conditional+`,{"permission":"post:*","role":"editor"}]`)
	c.wantData(c.get("/api/roles/nobody/grants"), `[]`)
	c.wantSame(func() {
		c.wantError(c.put("/api/roles/nobody/grants/edit", ""), 404, `"nobody"`)
		c.wantError(c.put("/api/roles/editor/grants/ed*it", ""), 400, "permission: ")
		for condition, where := range map[string]string{
			"subject.id ==":               "1:14",
			"true &&\n  unknown > 1":      "2:3",
			"1 + 1":                       "bool",
			"resource.id.startsWith(":     "1:",
			strings.Repeat("true||", 800): "condition: ",
		} {
			a := c.put("/api/roles/editor/grants/edit", fmt.Sprintf(`{"condition":%q}`, condition))
			c.wantError(a, 400, "condition: ")
			c.wantError(a, 400, where)
		}
		c.wantError(c.put("/api/roles/editor/grants/edit", `{"condition":7}`), 400, "condition: ")
	})
	c.wantData(c.delete("/api/roles/editor/grants/edit"), `{"result":true}`)
	c.wantData(c.delete("/api/roles/editor/grants/edit"), `{"result":false}`)
	c.wantData(c.delete("/api/permission/editor/post:*"), `{"result":true}`)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantData(c.put("/api/scopes/organization/acme", `{"name":"Acme"}`), `{"id":"acme","kind":"organization","name":"Acme"}`)
	c.put("/api/scopes/organization/umbrella", "")
	apollo := `{"id":"apollo","kind":"project","name":"","parent":{"id":"acme","kind":"organization"}}`
	c.wantData(c.put("/api/scopes/project/apollo", `{"parent":{"kind":"organization","id":"acme"}}`), apollo)
	c.wantData(c.get("/api/scopes/project/apollo"), apollo)
	c.put("/api/scopes/team/core", `{"parent":{"kind":"project","id":"apollo"}}`)
	c.wantData(c.get("/api/scopes/organization"), `[{"id":"acme","kind":"organization","name":"Acme"},{"id":"umbrella","kind":"organization","name":""}]`)
	c.wantData(c.get("/api/scopes/project?parent_kind=organization&parent_id=acme"), `[`+apollo+`]`)
	c.wantData(c.get("/api/scopes/project?parent_kind=organization&parent_id=umbrella"), `[]`)

	c.wantSame(func() {
		c.wantError(c.put("/api/scopes/project/new", ""), 400, "parent: a project hangs under an organization")
		c.wantError(c.put("/api/scopes/team/new", `{"parent":{"kind":"organization","id":"acme"}}`), 400, "parent: a team hangs under a project")
		c.wantError(c.put("/api/scopes/organization/new", `{"parent":{"kind":"organization","id":"acme"}}`), 400, "parent: an organization hangs under the root")
		c.wantError(c.put("/api/scopes/project/apollo", `{"parent":{"kind":"project","id":"apollo"}}`), 400, "parent: ")
		c.wantError(c.put("/api/scopes/project/apollo", `{"parent":{"kind":"team","id":"core"}}`), 400, "parent: ")
		c.wantError(c.put("/api/scopes/project/new", `{"parent":{"kind":"organization","id":"nowhere"}}`), 404, `"nowhere"`)
		c.wantError(c.put("/api/scopes/project/new", `{"parent":{"kind":"galaxy","id":"acme"}}`), 400, "parent.kind: ")
		c.wantError(c.put("/api/scopes/project/new", `{"parent":{"kind":"organization"}}`), 400, "parent")
		c.wantError(c.put("/api/scopes/organization/new", `{"owner":"alice"}`), 400, "owner")
		c.wantError(c.put("/api/scopes/organization/a%0Ab", ""), 400, "id: ")
		for _, kind := range []string{"galaxy", "tenant", "resource", "Team", "post"} {
			for _, request := range []string{
				"PUT /api/scopes/%s/x", "GET /api/scopes/%s/x", "DELETE /api/scopes/%s/x", "GET /api/scopes/%s", "GET /api/scopes/%s/x/members",
				"PUT /api/scopes/%s/x/members/alice/roles/editor", "DELETE /api/scopes/%s/x/members/alice/roles/editor",
				"PUT /api/scopes/%s/x/groups/writers/roles/editor", "DELETE /api/scopes/%s/x/groups/writers/roles/editor",
			} {
				c.wantError(c.request(fmt.Sprintf(request, kind)), 400, "kind: must be")
			}
		}
		c.wantError(c.get("/api/scopes/project?parent_kind=organization"), 400, "parent_kind and parent_id")
		c.wantError(c.get("/api/scopes/project?parent_id=acme"), 400, "parent_kind and parent_id")
		c.wantError(c.get("/api/scopes/project?parent_kind=galaxy&parent_id=acme"), 400, "parent_kind: must be")
		c.wantError(c.get("/api/scopes/project/nowhere"), 404, `"nowhere"`)
	})

	c.put("/api/scopes/project/apollo", `{"parent":{"kind":"organization","id":"umbrella"}}`)
	c.wantData(c.get("/api/scopes/project?parent_kind=organization&parent_id=acme"), `[]`)
	c.wantData(c.delete("/api/scopes/organization/umbrella"), `{"result":true}`)
	c.wantData(c.delete("/api/scopes/organization/umbrella"), `{"result":false}`)
	c.wantError(c.get("/api/scopes/team/core"), 404, `"core"`)
}

func TestResources(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.put("/api/scopes/organization/acme", "")
	c.wantData(c.put("/api/resources/post/7", ""), `{"id":"7","properties":{},"type":"post"}`)
	whole := `{"id":"7","owner":"alice","parent":{"id":"acme","kind":"organization"},"properties":{"status":"draft","tags":["a",1.5,null]},"type":"post"}`
	c.wantData(c.put("/api/resources/post/7", `{"owner":"alice","parent":{"kind":"organization","id":"acme"},"properties":{"tags":["a",1.5,null],"status":"draft"}}`), whole)
	c.wantData(c.get("/api/resources/post/7"), whole)
	c.wantData(c.get("/api/resources/post"), `[`+whole+`]`)
	c.wantData(c.get("/api/resources/page"), `[]`)
	c.wantData(c.put("/api/resources/a%2Fb/%7Bid%7D", ""), `{"id":"{id}","properties":{},"type":"a/b"}`)
	c.wantData(c.get("/api/resources/a%2Fb"), `[{"id":"{id}","properties":{},"type":"a/b"}]`)
	c.wantData(c.put("/api/resources/post/large", `{"properties":`+properties(16<<10)+`}`), `{"id":"large","properties":`+properties(16<<10)+`,"type":"post"}`)

	c.wantSame(func() {
		c.wantError(c.put("/api/resources/post/7", `{"properties":`+properties(16<<10+1)+`}`), 400, "properties: ")
		c.wantError(c.put("/api/resources/post/7", `{"properties":[]}`), 400, "properties: ")
		c.wantError(c.put("/api/resources/post/7", `{"owner":""}`), 400, "owner: ")
		c.wantError(c.put("/api/resources/post/7", `{"owner":" alice"}`), 400, "owner: ")
		c.wantError(c.put("/api/resources/post/7", `{"parent":{"kind":"resource","id":"8"}}`), 400, "parent.kind: ")
		c.wantError(c.put("/api/resources/post/7", `{"parent":{"kind":"team","id":"nowhere"}}`), 404, `"nowhere"`)
		for _, kind := range []string{"organization", "project", "team"} {
			for _, request := range []string{
				"PUT /api/resources/%s/x", "GET /api/resources/%s/x", "DELETE /api/resources/%s/x", "GET /api/resources/%s", "GET /api/resources/%s/x/members",
				"PUT /api/resources/%s/x/members/alice/roles/editor", "DELETE /api/resources/%s/x/members/alice/roles/editor",
				"PUT /api/resources/%s/x/groups/writers/roles/editor", "DELETE /api/resources/%s/x/groups/writers/roles/editor",
			} {
				c.wantError(c.request(fmt.Sprintf(request, kind)), 400, "type: ")
			}
		}
		c.wantError(c.get("/api/resources/post/nothing"), 404, `"nothing"`)
	})
	c.wantData(c.delete("/api/resources/post/7"), `{"result":true}`)
	c.wantData(c.delete("/api/resources/post/7"), `{"result":false}`)
}

// properties is a JSON object of the given size in bytes.
func properties(size int) string {
	const frame = `{"x":""}`
	return `{"x":"` + strings.Repeat("x", size-len(frame)) + `"}`
}

func TestMembershipsAtNodes(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.put("/api/roles/editor", "")
	c.put("/api/roles/lead", `{"scopes":["project"]}`)
	c.put("/api/scopes/organization/acme", "")
	c.put("/api/resources/post/7", "")
	for _, place := range []string{"/api/scopes/organization/acme", "/api/resources/post/7"} {
		alice := `{"expires_at":"2999-01-01T00:00:00.123456Z","not_before":"2026-01-15T12:00:00Z","role":"editor","user":"alice"}`
		c.wantData(c.put(place+"/members/alice/roles/editor",
			`{"not_before":"2026-01-15T13:00:00+01:00","expires_at":"2999-01-01T00:00:00.1234569Z"}`), alice)
		writers := `{"group":"writers","role":"editor"}`
		c.wantData(c.put(place+"/groups/writers/roles/editor", ""), writers)
		c.wantData(c.get(place+"/members"), `[`+alice+`,`+writers+`]`)
		c.wantSame(func() {
			c.wantError(c.put(place+"/members/alice/roles/nobody", ""), 404, `"nobody"`)
			c.wantError(c.put(place+"/members/alice/roles/@owner", ""), 409, "built in")
			c.wantError(c.put(place+"/members/alice/roles/lead", ""), 409, "lead")
			c.wantError(c.put(place+"/members/%20/roles/editor", ""), 400, "user: ")
			c.wantError(c.put(place+"/groups/%20/roles/editor", ""), 400, "group: ")
			c.wantError(c.put(place+"/members/alice/roles/editor", `{"expires_at":"tomorrow"}`), 400, "expires_at: ")
			c.wantError(c.put(place+"x/members/alice/roles/editor", ""), 404, "x")
			c.wantData(c.get(place+"x/members"), `[]`)
			c.wantData(c.delete(place+"/members/bob/roles/editor"), `{"result":false}`)
		})
		c.wantData(c.delete(place+"/members/alice/roles/editor"), `{"result":true}`)
		c.wantData(c.delete(place+"/groups/writers/roles/editor"), `{"result":true}`)
		c.wantData(c.get(place+"/members"), `[]`)
	}
	c.wantData(c.get("/api/groups/writers"), `{"description":"","group":"writers"}`)
	c.wantData(c.put("/api/groups/writers/roles/editor", ""), `{"group":"writers","role":"editor"}`)
	c.wantError(c.put("/api/groups/writers/roles/lead", ""), 409, "lead")
	c.put("/api/groups/writers/members/bob", "")
	c.wantData(c.get("/api/membership/bob/editor"), `{"has_membership":true,"has_permission":true}`)
	c.wantData(c.delete("/api/groups/writers/roles/editor"), `{"result":true}`)
	c.wantData(c.get("/api/membership/bob/editor"), `{"has_membership":false,"has_permission":false}`)
}

func TestGroups(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.wantError(c.get("/api/groups/writers"), 404, `"writers"`)
	c.wantData(c.put("/api/groups/writers", `{"description":"Write"}`), `{"description":"Write","group":"writers"}`)
	c.wantData(c.get("/api/groups/writers"), `{"description":"Write","group":"writers"}`)
	c.wantData(c.put("/api/groups/writers", ""), `{"description":"","group":"writers"}`)
	c.wantData(c.put("/api/groups/writers/members/alice", ""), `{"result":true}`)
	c.wantData(c.put("/api/groups/writers/members/alice", ""), `{"result":true}`)
	c.wantData(c.put("/api/groups/staff/groups/writers", ""), `{"result":true}`)
	c.wantSame(func() {
		c.wantError(c.put("/api/groups/writers/groups/staff", ""), 409, " -> ")
		c.wantError(c.put("/api/groups/writers/groups/writers", ""), 409, "writers -> writers")
		c.wantError(c.put("/api/groups/writers/members/%20", ""), 400, "user: ")
		c.wantError(c.put("/api/groups/%20", ""), 400, "group: ")
		c.wantError(c.put("/api/groups/writers", `{"description":"`+strings.Repeat("x", authz.MaxDescription+1)+`"}`), 400, "description: ")
		c.wantError(c.put("/api/groups/writers", `{"members":[]}`), 400, "members")
		c.wantData(c.delete("/api/groups/writers/groups/staff"), `{"result":false}`)
	})
	c.wantData(c.delete("/api/groups/staff/groups/writers"), `{"result":true}`)
	c.wantData(c.delete("/api/groups/writers/members/alice"), `{"result":true}`)
	c.wantData(c.delete("/api/groups/writers/members/alice"), `{"result":false}`)
	c.wantData(c.delete("/api/groups/writers"), `{"result":true}`)
	c.wantData(c.delete("/api/groups/writers"), `{"result":false}`)
}

func TestUsers(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.post("/api/permission/@everyone/read")
	c.wantError(c.get("/api/users/alice"), 404, `"alice"`)
	c.wantData(c.get("/api/has_permission/alice/read"), `{"has_permission":true}`)
	c.wantData(c.put("/api/users/alice", `{"active":false,"properties":{"level":3}}`), `{"active":false,"properties":{"level":3},"user":"alice"}`)
	c.wantData(c.get("/api/users/alice"), `{"active":false,"properties":{"level":3},"user":"alice"}`)
	c.wantData(c.get("/api/has_permission/alice/read"), `{"has_permission":false}`)
	c.wantData(c.put("/api/users/alice", ""), `{"active":true,"properties":{},"user":"alice"}`)
	c.wantData(c.get("/api/has_permission/alice/read"), `{"has_permission":true}`)
	c.wantSame(func() {
		c.wantError(c.put("/api/users/alice", `{"active":"no"}`), 400, "active: ")
		c.wantError(c.put("/api/users/alice", `{"Active":false}`), 400, "Active")
		c.wantError(c.put("/api/users/alice", `{"properties":`+properties(16<<10+1)+`}`), 400, "properties: ")
		c.wantError(c.put("/api/users/%20", ""), 400, "user: ")
	})
	c.wantData(c.delete("/api/users/alice"), `{"result":true}`)
	c.wantData(c.delete("/api/users/alice"), `{"result":false}`)
}
