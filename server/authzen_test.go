package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// startRecords is a service with the policy that the certification of AuthZEN's
// working group asks for, one rule for each of its eight decisions.
func startRecords(t *testing.T, change ...func(*engine.Config, *server.Config)) *caller {
	c := startService(t, change...).caller(t)
	for _, step := range []string{
		`PUT /api/users/bob {"properties":{"role":"admin"}}`, "PUT /api/users/alice",
		`PUT /api/resources/record/record-1 {"properties":{"status":"active"}}`,
		`PUT /api/resources/record/record-2 {"properties":{"status":"archived"}}`,
		"PUT /api/roles/@everyone/grants/read",
		"PUT /api/roles/clerk", "PUT /api/roles/admin",
		`PUT /api/roles/clerk/grants/write {"condition":"resource.properties.status == 'active'"}`,
		`PUT /api/roles/clerk/grants/delete {"condition":"action.properties.soft == true"}`,
		`PUT /api/roles/admin/grants/write {"condition":"subject.properties.role == 'admin' && resource.properties.status == 'archived'"}`,
		"POST /api/membership/alice/clerk", "POST /api/membership/bob/admin",
	} {
		if a := c.request(step); a.status != 200 {
			t.Fatalf("%s: got %d %s", step, a.status, a.body)
		}
	}
	return c
}

const (
	alice   = `"subject":{"type":"user","id":"alice"}`
	bob     = `"subject":{"type":"user","id":"bob"}`
	record1 = `"resource":{"type":"record","id":"record-1"}`
	record2 = `"resource":{"type":"record","id":"record-2"}`
	toRead  = `"action":{"name":"read"}`
	toWrite = `"action":{"name":"write"}`
)

// evaluate sends an evaluation and returns its answer without the revision.
func (c *caller) evaluate(path, body string) string {
	c.t.Helper()
	a := c.do("POST", path, body)
	if a.status != 200 {
		c.t.Fatalf("%s: got %d %s, want 200", body, a.status, a.body)
	}
	revision := a.header.Get("Gatehouse-Revision")
	var compact bytes.Buffer
	if err := json.Compact(&compact, a.body); err != nil {
		c.t.Fatal(err)
	}
	return strings.ReplaceAll(compact.String(), `"revision":`+revision, `"revision":R`)
}

func TestEvaluation(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	for body, want := range map[string]bool{
		`{` + alice + `,` + toRead + `,` + record1 + `}`:                                                                    true,
		`{` + alice + `,` + toWrite + `,` + record1 + `}`:                                                                   true,
		`{` + bob + `,` + toRead + `,` + record1 + `}`:                                                                      true,
		`{` + bob + `,` + toWrite + `,` + record1 + `}`:                                                                     false,
		`{` + alice + `,` + toWrite + `,"resource":{"type":"record","id":"record-2","properties":{"status":"archived"}}}`:   false,
		`{` + alice + `,` + toWrite + `,"resource":{"type":"record","id":"record-1","properties":{"status":"archived"}}}`:   false,
		`{"subject":{"type":"user","id":"bob","properties":{"role":"admin"}},` + toWrite + `,` + record2 + `}`:              true,
		`{"subject":{"type":"user","id":"bob","properties":{"role":"guest"}},` + toWrite + `,` + record2 + `}`:              false,
		`{` + alice + `,"action":{"name":"delete","properties":{"soft":true}},` + record1 + `}`:                             true,
		`{` + alice + `,"action":{"name":"delete","properties":{"soft":false}},` + record1 + `}`:                            false,
		`{` + alice + `,"action":{"name":"delete"},` + record1 + `}`:                                                        false,
		`{` + alice + `,` + toRead + `,` + record1 + `,"context":{"time":"2025-06-27T18:03-07:00"},"foo":{"bar":[1]}}`:      true,
		`{"subject":{"type":"robot","id":"alice"},` + toRead + `,` + record1 + `}`:                                          false,
		`{"subject":{"type":"User","id":"alice"},` + toRead + `,` + record1 + `}`:                                           false,
		`{"subject":{"type":"user","id":"bob","ID":"alice"},` + toWrite + `,` + record1 + `}`:                               false,
		`{` + bob + `,` + toWrite + `,` + record1 + `,"Subject":{"type":"user","id":"alice"}}`:                              false,
		`{"subject":{"type":"user","id":"stranger"},"action":{"name":"unheard-of"},"resource":{"type":"none","id":"none"}}`: false,
	} {
		want := fmt.Sprintf(`{"context":{"revision":R},"decision":%t}`, want)
		if got := c.evaluate("/access/v1/evaluation", body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
		for _, batch := range []string{body, strings.TrimSuffix(body, "}") + `,"evaluations":[]}`} {
			if got := c.evaluate("/access/v1/evaluations", batch); got != want {
				t.Errorf("%s without evaluations: got %s, want %s", batch, got, want)
			}
		}
		all := `{"evaluations":[` + want + `,` + want + `]}`
		if got := c.evaluate("/access/v1/evaluations", `{"evaluations":[`+body+`,`+body+`]}`); got != all {
			t.Errorf("%s twice: got %s, want %s", body, got, all)
		}
	}
}

func TestEvaluationExplains(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	const explain = `,"options":{"explain":true}}`
	for body, want := range map[string]string{
		`{` + bob + `,` + toRead + `,` + record1 + explain: `{"context":{"reasons":[{"at":{"type":"tenant"},"outcome":"granted","permission":"read","role":"@everyone"}],"revision":R},"decision":true}`,
		`{` + bob + `,` + toWrite + `,` + record1 + explain: `{"context":{"reasons":[{"at":{"type":"tenant"},"condition":"subject.properties.role == 'admin' \u0026\u0026 resource.properties.status == 'archived'",` +
			`"outcome":"condition_false","permission":"write","role":"admin"}],"revision":R},"decision":false}`,
		`{"subject":{"type":"robot","id":"bob"},` + toRead + `,` + record1 + explain: `{"context":{"reasons":[],"revision":R},"decision":false}`,
	} {
		if got := c.evaluate("/access/v1/evaluation", body); got != want {
			t.Errorf("%s: got %s, want %s", body, got, want)
		}
	}
}

func TestEvaluationRefusesWhatIsNoEvaluation(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	for body, part := range map[string]string{
		`{` + toRead + `,` + record1 + `}`:                                                    "subject",
		`{` + alice + `,` + record1 + `}`:                                                     "action",
		`{` + alice + `,` + toRead + `}`:                                                      "resource",
		`{"subject":{"id":"alice"},` + toRead + `,` + record1 + `}`:                           "type",
		`{"subject":{"type":"user"},` + toRead + `,` + record1 + `}`:                          "id",
		`{` + alice + `,"action":{},` + record1 + `}`:                                         "name",
		`{` + alice + `,` + toRead + `,"resource":{"id":"record-1"}}`:                         "type",
		`{` + alice + `,` + toRead + `,"resource":{"type":"record"}}`:                         "id",
		`{"subject":"alice",` + toRead + `,` + record1 + `}`:                                  "subject",
		`{"subject":null,` + toRead + `,` + record1 + `}`:                                     "subject",
		`{` + alice + `,"action":{"name":123},` + record1 + `}`:                               "action.name",
		`{` + alice + `,"action":{"name":""},` + record1 + `}`:                                "action.name",
		`{` + alice + `,"action":{"name":"*"},` + record1 + `}`:                               "action.name",
		`{` + alice + `,` + toRead + `,` + record1 + `,"context":"x"}`:                        "context",
		`{` + alice + `,` + toRead + `,` + record1 + `,"options":{"explain":1}}`:              "options.explain",
		`{"subject":{"type":"user","id":" "},` + toRead + `,` + record1 + `}`:                 "subject.id",
		`{"subject":{"type":"user","id":"a","properties":[]},` + toRead + `,` + record1 + `}`: "subject.properties",
		`{"Subject":{"type":"user","id":"alice"},` + toRead + `,` + record1 + `}`:             "subject",
		`[]`: "body", `null`: "body", `{`: "malformed JSON", ``: "body",
	} {
		c.wantMessage(c.do("POST", "/access/v1/evaluation", body), 400, part)
		c.wantMessage(c.do("POST", "/access/v1/evaluations", body), 400, part)
	}
	whole := `{` + alice + `,` + toRead + `,` + record1 + `}`
	for _, path := range []string{"/access/v1/evaluation", "/access/v1/evaluations"} {
		for _, contentType := range []string{"text/plain", "", "application/x-www-form-urlencoded"} {
			c.wantMessage(c.do("POST", path, whole, "Content-Type", contentType), 400, "Content-Type")
		}
		c.wantMessage(c.do("POST", path, whole+strings.Repeat(" ", 1<<20)), 413, "1048576")
		a := c.do("POST", path, whole, "Authorization", "")
		c.wantMessage(a, 401, "bearer")
		if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("WWW-Authenticate: got %q, want Bearer", got)
		}
		c.wantError(c.get(path), 405, "GET")
		if got := c.do("POST", path, whole, "X-Request-ID", "abc").header.Get("X-Request-ID"); got != "abc" {
			t.Errorf("X-Request-ID: got %q, want it echoed", got)
		}
	}
	for body, part := range map[string]string{
		`{"evaluations":{}}`: "evaluations",
		`{"evaluations":[` + whole + `],"options":{"evaluations_semantic":"first"}}`: "options.evaluations_semantic",
		`{"evaluations":[` + whole + `],"options":7}`:                                "options",
		`{"evaluations":[` + whole + `],"subject":"alice"}`:                          "subject",
		`{"evaluations":[` + strings.Repeat(whole+",", 1000) + whole + `]}`:          "evaluations",
	} {
		c.wantMessage(c.do("POST", "/access/v1/evaluations", body), 400, part)
	}
}

func TestEvaluationsTakeWhatTheyLackFromTheTop(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	yes, no := `{"context":{"revision":R},"decision":true}`, `{"context":{"revision":R},"decision":false}`
	for _, test := range []struct{ body, want string }{
		{`{` + alice + `,` + toRead + `,"evaluations":[{` + record1 + `},{` + record2 + `}]}`, yes + `,` + yes},
		{`{` + bob + `,` + record1 + `,"evaluations":[{` + toRead + `},{` + toWrite + `}]}`, yes + `,` + no},
		{`{` + toWrite + `,` + record2 + `,"evaluations":[{` + alice + `},{` + bob + `}]}`, no + `,` + yes},
		// An entity of its own is completed in type and id, never in properties.
		{`{` + alice + `,` + toWrite + `,"resource":{"type":"record","properties":{"status":"archived"}},"evaluations":[{"resource":{"id":"record-1"}}]}`, yes},
		{`{` + alice + `,` + toWrite + `,"resource":{"type":"record","id":"record-1","properties":{"status":"archived"}},"evaluations":[{}]}`, no},
		{`{` + alice + `,"action":{"name":"delete","properties":{"soft":true}},` + record1 + `,"evaluations":[{},{"action":{"properties":{"soft":false}}},{"action":{}}]}`, yes + `,` + no + `,` + no},
		{`{` + alice + `,` + toRead + `,"evaluations":[{` + record1 + `,"options":7,"evaluations":9}]}`, yes},
	} {
		if got, want := c.evaluate("/access/v1/evaluations", test.body), `{"evaluations":[`+test.want+`]}`; got != want {
			t.Errorf("%s: got %s, want %s", test.body, got, want)
		}
	}
}

func TestEvaluationsAreDeniedOneByOne(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	body := `{` + alice + `,` + toRead + `,"evaluations":[{` + record1 + `},{},7,null,{"resource":"x"},{"resource":{"type":"record"}},{` + record1 + `,"action":{"name":"a b"}},{` + record1 + `,"context":1},{` + record2 + `}]}`
	var answer struct {
		Evaluations []struct {
			Decision bool
			Context  struct {
				Revision int64
				Error    struct {
					Status  int
					Message string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(c.do("POST", "/access/v1/evaluations", body).body), &answer); err != nil {
		t.Fatal(err)
	}
	parts := []string{"", "resource", "object", "object", "resource", "id", "action.name", "context", ""}
	if len(answer.Evaluations) != len(parts) {
		t.Fatalf("got %d decisions, want %d", len(answer.Evaluations), len(parts))
	}
	for i, part := range parts {
		e := answer.Evaluations[i]
		switch {
		case part == "" && (!e.Decision || e.Context.Revision == 0):
			t.Errorf("evaluation %d: got %+v, want it allowed", i, e)
		case part != "" && (e.Decision || e.Context.Error.Status != 400 || !strings.Contains(e.Context.Error.Message, part)):
			t.Errorf("evaluation %d: got %+v, want a deny whose error says %q", i, e, part)
		}
	}
	if a := c.do("POST", "/access/v1/evaluations", `{"evaluations":[{}]}`); a.status != 200 || a.header.Get("Gatehouse-Revision") != "" {
		t.Errorf("no whole evaluation: got %d at %q, want 200 and no revision", a.status, a.header.Get("Gatehouse-Revision"))
	}
}

func TestEvaluationsSemantics(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	yes, no := `{"context":{"revision":R},"decision":true}`, `{"context":{"revision":R},"decision":false}`
	items := map[bool]string{true: `{` + toRead + `}`, false: `{` + toWrite + `}`}
	for _, test := range []struct {
		semantic string
		items    []bool
		want     string
	}{
		{"execute_all", []bool{true, false, true}, yes + `,` + no + `,` + yes},
		{"deny_on_first_deny", []bool{true, false, true}, yes + `,` + no},
		{"deny_on_first_deny", []bool{true, true}, yes + `,` + yes},
		{"deny_on_first_deny", []bool{false, true}, no},
		{"permit_on_first_permit", []bool{false, true, false}, no + `,` + yes},
		{"permit_on_first_permit", []bool{false, false}, no + `,` + no},
		{"permit_on_first_permit", []bool{true, false}, yes},
	} {
		var list []string
		for _, allowed := range test.items {
			list = append(list, items[allowed])
		}
		body := fmt.Sprintf(`{%s,%s,"evaluations":[%s],"options":{"evaluations_semantic":%q}}`, bob, record1, strings.Join(list, ","), test.semantic)
		if got, want := c.evaluate("/access/v1/evaluations", body), `{"evaluations":[`+test.want+`]}`; got != want {
			t.Errorf("%s of %v: got %s, want %s", test.semantic, test.items, got, want)
		}
	}
	// An evaluation that cannot be made is a deny.
	body := `{` + bob + `,` + record1 + `,"evaluations":[{},{` + toRead + `}],"options":{"evaluations_semantic":"deny_on_first_deny"}}`
	if got := c.evaluate("/access/v1/evaluations", body); strings.Count(got, `"decision"`) != 1 {
		t.Errorf("deny_on_first_deny behind an error: got %s, want one decision", got)
	}
}

func TestAuthZENSubjectTypes(t *testing.T) {
	t.Parallel()
	c := startRecords(t, func(_ *engine.Config, cfg *server.Config) { cfg.AuthZENSubjectTypes = []string{"identity", "person"} })
	for subjectType, want := range map[string]bool{"identity": true, "person": true, "user": false} {
		body := fmt.Sprintf(`{"subject":{"type":%q,"id":"alice"},%s,%s}`, subjectType, toWrite, record1)
		if got := c.evaluate("/access/v1/evaluation", body); got != fmt.Sprintf(`{"context":{"revision":R},"decision":%t}`, want) {
			t.Errorf("subject type %q: got %s, want %t", subjectType, got, want)
		}
	}
}

func TestAuthZENDiscovery(t *testing.T) {
	t.Parallel()
	const path = "/.well-known/authzen-configuration"
	for configured, base := range map[string]string{
		"https://auth.example.com": "https://auth.example.com", "https://auth.example.com/gate/": "https://auth.example.com/gate", "http://127.0.0.1:8000": "http://127.0.0.1:8000",
	} {
		s := startService(t, func(_ *engine.Config, cfg *server.Config) { cfg.PublicURL = configured })
		a := (&caller{t: t, s: s}).get(path)
		want := fmt.Sprintf(`{"access_evaluation_endpoint":"%[1]s/access/v1/evaluation","access_evaluations_endpoint":"%[1]s/access/v1/evaluations","policy_decision_point":"%[1]s",`+
			`"search_action_endpoint":"%[1]s/access/v1/search/action","search_resource_endpoint":"%[1]s/access/v1/search/resource","search_subject_endpoint":"%[1]s/access/v1/search/subject"}`, base)
		if got := strings.TrimSpace(string(a.body)); a.status != 200 || got != want {
			t.Errorf("public URL %q: got %d %s, want %s", configured, a.status, got, want)
		}
	}
	c := &caller{t: t, s: startService(t)}
	c.wantMessage(c.get(path), 404, "public URL")
	for _, bad := range []string{"auth.example.com", "ftp://auth.example.com", "https://", "https://auth.example.com?x=1", "https://auth.example.com/#x", "https://a:b@auth.example.com", "https://%zz", "/x"} {
		if _, err := server.New(server.Config{Engine: c.s.engine, PublicURL: bad}); err == nil {
			t.Errorf("public URL %q: got a server, want an error", bad)
		}
	}
}
