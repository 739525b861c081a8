package server_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	for _, step := range []string{
		"PUT /api/scopes/organization/acme",
		`PUT /api/scopes/project/apollo {"parent":{"kind":"organization","id":"acme"}}`,
		`PUT /api/resources/post/7 {"owner":"carol","parent":{"kind":"project","id":"apollo"},"properties":{"status":"draft"}}`,
		"PUT /api/roles/reader", "PUT /api/roles/reader/grants/post:read",
		`PUT /api/roles/editor {"inherits":["reader"]}`, `PUT /api/roles/editor/grants/post:edit {"condition":"resource.properties.status == 'draft'"}`,
		"PUT /api/roles/@owner/grants/post:delete",
		"PUT /api/groups/writers/members/bob",
		"PUT /api/scopes/organization/acme/groups/writers/roles/editor",
		`PUT /api/scopes/project/apollo/members/dave/roles/editor {"expires_at":"2020-01-01T00:00:00Z"}`,
	} {
		if a := c.request(step); a.status != 200 {
			t.Fatalf("%s: got %d %s", step, a.status, a.body)
		}
	}
	const revision = 11
	for _, test := range []struct{ check, want string }{
		{`{"user":"bob","permission":"post:read","resource":{"type":"post","id":"7"}}`, `{"allowed":true,"revision":R}`},
		{`{"user":"bob","permission":"post:read"}`, `{"allowed":false,"revision":R}`},
		{`{"user":"bob","permission":"post:read","resource":{"type":"project","id":"apollo"}}`, `{"allowed":true,"revision":R}`},
		{`{"user":"carol","permission":"post:delete","resource":{"type":"post","id":"7"}}`, `{"allowed":true,"revision":R}`},
		{`{"user":"bob","permission":"post:delete","resource":{"type":"post","id":"7","owner":"bob"}}`, `{"allowed":false,"revision":R}`},
		{`{"user":"bob","permission":"post:delete","resource":{"type":"post","id":"8","owner":"bob"}}`, `{"allowed":true,"revision":R}`},
		{`{"user":"bob","permission":"post:read","resource":{"type":"post","id":"8","parent":{"kind":"project","id":"apollo"}}}`, `{"allowed":true,"revision":R}`},
		{`{"user":"bob","permission":"post:edit","resource":{"type":"post","id":"7","properties":{"status":"final"}}}`, `{"allowed":false,"revision":R}`},
		{
			`{"user":"bob","permission":"post:read","resource":{"type":"post","id":"7"},"explain":true}`,
			`{"allowed":true,"reasons":[{"at":{"id":"acme","type":"organization"},"group":"writers","inheritance":["editor","reader"],` +
				`"outcome":"granted","permission":"post:read","role":"editor"}],"revision":R}`,
		},
		{
			`{"user":"bob","permission":"post:edit","resource":{"type":"post","id":"8","parent":{"kind":"project","id":"apollo"},"properties":{"status":"final"}},"explain":true}`,
			`{"allowed":false,"revision":R,"trace":[{"at":{"id":"acme","type":"organization"},"condition":"resource.properties.status == 'draft'",` +
				`"group":"writers","outcome":"condition_false","permission":"post:edit","role":"editor"}]}`,
		},
		{
			`{"user":"dave","permission":"post:read","resource":{"type":"post","id":"7"},"explain":true}`,
			`{"allowed":false,"revision":R,"trace":[{"at":{"id":"apollo","type":"project"},"inheritance":["editor","reader"],"outcome":"expired","permission":"post:read","role":"editor"}]}`,
		},
		{`{"user":"eve","permission":"post:read","explain":true}`, `{"allowed":false,"revision":R,"trace":[]}`},
	} {
		want := strings.ReplaceAll(test.want, "R", fmt.Sprint(revision))
		a := c.do("POST", "/api/check", test.check)
		c.wantData(a, want)
		if got := a.header.Get("Gatehouse-Revision"); got != fmt.Sprint(revision) {
			t.Errorf("%s: Gatehouse-Revision: got %q, want %d", test.check, got, revision)
		}
		c.wantData(c.do("POST", "/api/check/batch", `{"checks":[`+test.check+`,`+test.check+`]}`), `{"results":[`+want+`,`+want+`]}`)
	}
}

func TestCheckRefusesWhatIsNoQuestion(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	for check, part := range map[string]string{
		`{}`:                                             "user",
		`{"user":"alice"}`:                               "permission",
		`{"user":"","permission":"edit"}`:                "user: ",
		`{"user":" alice","permission":"edit"}`:          "user: ",
		`{"user":"alice","permission":"*"}`:              "permission: ",
		`{"user":"alice","permission":"post:*"}`:         "permission: ",
		`{"user":"alice","permission":"edit","extra":1}`: "extra",
		`{"user":"alice","permission":"edit","resource":{"type":"post"}}`:                                           "id",
		`{"user":"alice","permission":"edit","resource":"post:7"}`:                                                  "resource: ",
		`{"user":"alice","permission":"edit","context":[]}`:                                                         "context: ",
		`{"user":"alice","permission":"edit","explain":"yes"}`:                                                      "explain: ",
		`{"user":"alice","permission":"edit","resource":{"type":"p","id":"."}}`:                                     "resource.id: ",
		`{"user":"alice","permission":"edit","resource":{"type":"p","id":"7","parent":{"kind":"galaxy","id":"x"}}}`: "resource.parent.kind: ",
		`{"user":"alice","permission":"edit","resource":{"type":"p","id":"7","owner":" "}}`:                         "resource.owner: ",
	} {
		c.wantError(c.do("POST", "/api/check", check), 400, part)
		c.wantError(c.do("POST", "/api/check/batch", `{"checks":[{"user":"bob","permission":"edit"},`+check+`]}`), 400, "checks.1")
	}
	c.wantError(c.do("POST", "/api/check", ""), 400, "body: ")
	c.wantError(c.do("POST", "/api/check", `{"user":"a","permission":"b"}`, "Content-Type", "text/plain"), 415, "Content-Type")
	c.wantError(c.do("POST", "/api/check/batch", `{"checks":[]}`), 400, "checks: ")

	one := `{"user":"alice","permission":"edit"}`
	most := strings.Repeat(one+",", 999) + one
	if got := strings.Count(c.data(c.do("POST", "/api/check/batch", `{"checks":[`+most+`]}`)), `"allowed":false`); got != 1000 {
		t.Errorf("decisions on 1,000 checks: got %d", got)
	}
	c.wantError(c.do("POST", "/api/check/batch", `{"checks":[`+most+`,`+one+`]}`), 400, "checks: ")
}

func TestMinRevision(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.post("/api/role/editor")
	c.post("/api/permission/editor/edit")
	written := c.post("/api/membership/alice/editor").header.Get("Gatehouse-Revision")
	const evaluation = `POST /access/v1/evaluation {"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`
	for _, request := range []string{
		"GET /api/has_permission/alice/edit", "GET /api/roles", "GET /api/changes", "GET /api/roles/editor", "GET /api/audit", "GET /api/role_permissions/editor",
		`POST /api/check {"user":"alice","permission":"edit"}`, evaluation,
	} {
		method, path, body := parts(request)
		for _, revision := range []string{written, "0"} {
			a := c.do(method, path, body, "Gatehouse-Min-Revision", revision)
			if got := a.header.Get("Gatehouse-Revision"); a.status != 200 || got != written {
				t.Errorf("%s from revision %s: got %d at %q, want 200 at %s", request, revision, a.status, got, written)
			}
		}
		for _, bad := range []string{"x", "-1", "+1", "1.0", "1,2", "9223372036854775808", " ", "0x1"} {
			a := c.do(method, path, body, "Gatehouse-Min-Revision", bad)
			if request == evaluation {
				c.wantMessage(a, 400, "Gatehouse-Min-Revision: ")
			} else {
				c.wantError(a, 400, "Gatehouse-Min-Revision: ")
			}
		}
	}
	a := c.do("GET", "/api/roles", "", "Gatehouse-Min-Revision", "x", "Authorization", "")
	c.wantError(a, 401, "bearer")
	c.wantData(c.do("POST", "/api/role/editor", "", "Gatehouse-Min-Revision", "x"), `{"result":true}`)
}
