package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// batch sends mutations, each written as in requests.
func (c *caller) batch(mutations ...string) answer {
	c.t.Helper()
	items := make([]string, len(mutations))
	for i, mutation := range mutations {
		method, path, body := parts(mutation)
		items[i] = fmt.Sprintf(`{"method":%q,"path":%q`, method, path)
		if body != "" {
			items[i] += `,"body":` + body
		}
		items[i] += "}"
	}
	return c.do("POST", "/api/batch", `{"mutations":[`+strings.Join(items, ",")+`]}`)
}

func TestBatchAnswersAsTheSingleRequestsDo(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	a := c.batch(
		`PUT /api/roles/editor {"description":"Edits posts"}`,
		"POST /api/permission/editor/edit",
		`PUT /api/users/a%2Fb {"properties":{"level":3}}`,
		"POST /api/membership/a%2Fb/editor",
		"DELETE /api/role/none",
	)
	c.wantData(a, `{"results":[{"description":"Edits posts","inherits":[],"role":"editor","scopes":[]},{"result":true},`+
		`{"active":true,"properties":{"level":3},"user":"a/b"},{"result":true},{"result":false}]}`)
	if got := a.header.Get("Gatehouse-Revision"); got != "1" {
		t.Errorf("revision: got %s, want 1", got)
	}
	c.wantData(c.get("/api/has_permission/a%2Fb/edit"), `{"has_permission":true}`)
	events := c.get("/api/audit?request_id=" + a.header.Get("X-Request-ID"))
	if got := strings.Count(string(events.body), `"revision":1`); got != 5 {
		t.Errorf("events of the request: got %d, want 5: %s", got, events.body)
	}
}

func TestBatchChangesNothingWhereOneFails(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	c.data(c.post("/api/role/kept"))
	for name, test := range map[string]struct {
		mutation string
		status   int
		want     string
	}{
		"a missing role":      {"POST /api/permission/none/edit", 404, `role "none" does not exist`},
		"a conflict":          {"PUT /api/roles/@owner", 409, "built in"},
		"a bad name":          {"POST /api/role/a%20b", 400, "role: "},
		"a bad condition":     {`PUT /api/roles/kept/grants/edit {"condition":"1 +"}`, 400, "condition: "},
		"an unknown field":    {`PUT /api/roles/kept {"nmae":"x"}`, 400, "nmae"},
		"an unknown path":     {"POST /api/rolls/x", 404, "there is no operation POST at this path"},
		"another method":      {"PUT /api/role/x", 404, "there is no operation PUT at this path"},
		"the docs":            {"POST /docs", 404, "there is no operation"},
		"a detour":            {"POST /api/../api/role/x", 404, "there is no such path"},
		"a query":             {"POST /api/role/x?limit=1", 400, "path: must have no query"},
		"an address":          {"POST http://elsewhere/api/role/x", 400, "path: must be a path"},
		"no path":             {"POST api/role/x", 400, "path: must be a path"},
		"a check":             {`POST /api/check {"user":"a","permission":"b"}`, 400, "path: POST /api/check is not a mutation"},
		"an evaluation":       {`POST /access/v1/evaluation {}`, 400, "path: POST /access/v1/evaluation is not a mutation"},
		"a batch":             {`POST /api/batch {"mutations":[]}`, 400, "path: POST /api/batch is not a mutation"},
		"a sign-in":           {`POST /api/sessions {"user":"a","ip":"::1","user_agent":""}`, 400, "is about sessions, which a batch cannot hold"},
		"a sign-out":          {"DELETE /api/sessions/x", 400, "is about sessions"},
		"a slash as the name": {"POST /api/role/%2F", 400, "role: "},
	} {
		t.Run(name, func(t *testing.T) {
			c.wantSame(func() {
				a := c.batch("POST /api/role/new", test.mutation, "POST /api/role/%00")
				c.wantError(a, test.status, "mutations.1: ")
				c.wantError(a, test.status, test.want)
			})
		})
	}
	c.wantData(c.get("/api/roles"), `[{"description":"","role":"kept"}]`)
}

func TestBatchHasBounds(t *testing.T) {
	t.Parallel()
	c := startService(t).caller(t)
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprintf("POST /api/role/role-%04d", i)
	}
	c.wantError(c.batch(many...), 400, "mutations: ")
	c.wantError(c.batch(), 400, "mutations: ")
	c.wantError(c.do("POST", "/api/batch", `{"mutations":[{"method":"GET","path":"/api/roles"}]}`), 400, "mutations.0.method: ")
	c.wantError(c.do("POST", "/api/batch", `{"mutations":[{"method":"PUT","path":"/api/users/a","body":[]}]}`), 400, "mutations.0.body: ")
	c.wantError(c.do("POST", "/api/batch", strings.Repeat(" ", 1<<20)+"{}"), 413, "body: ")
	a := c.batch(many[:1000]...)
	if c.data(a); a.header.Get("Gatehouse-Revision") != "1" {
		t.Errorf("revision: got %s, want 1", a.header.Get("Gatehouse-Revision"))
	}
}

func TestBatchNeedsTheAbilityOfEachMutation(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.OpenRegistration = false })
	key, _, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{Abilities: []engine.Ability{engine.AbilityWrite, engine.AbilityAudit}})
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, s: s, key: key}
	a := c.batch("POST /api/role/new", `PUT /api/settings {"strict_permissions":true,"strict_users":true}`)
	c.wantError(a, 403, `mutations.1: this client key lacks the ability "admin"`)
	events := c.get("/api/audit")
	if got := strings.Count(string(events.body), `"ACCESS_REFUSED"`); got != 1 || strings.Contains(string(events.body), "ROLE_CREATED") {
		t.Errorf("got %s, want one refusal and no role", events.body)
	}
}
