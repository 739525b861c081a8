package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// loggedDecision is a decision as the API shows it.
type loggedDecision struct {
	Actor, User, Subject_Type, Permission string
	Resource                              *struct{ Type, ID string }
	Allowed                               bool
	Revision                              int64
	Reasons                               []struct{ Outcome, Role string }
	Request_ID, IP                        string
}

func (d loggedDecision) String() string {
	resource := "-"
	if d.Resource != nil {
		resource = d.Resource.Type + ":" + d.Resource.ID
	}
	return strings.Join(strings.Fields(fmt.Sprint(d.Subject_Type, " ", d.User, " ", d.Permission, " ", resource, " ", d.Allowed)), " ")
}

// decisions lists the log, oldest first.
func (c *caller) decisions(query string) []loggedDecision {
	c.t.Helper()
	var list []loggedDecision
	if err := json.Unmarshal([]byte(c.data(c.get("/api/audit/decisions"+query))), &list); err != nil {
		c.t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// waysToDecide are requests that make decisions, and what is to be logged of each.
var waysToDecide = []struct {
	request string
	logged  []string
}{
	{"GET /api/has_permission/alice/edit", []string{"alice edit - true"}},
	{"GET /api/has_permission/bob/edit", []string{"bob edit - false"}},
	{"GET /api/workflow/user/alice/can_run/edit", []string{"alice edit - true"}},
	{`POST /api/check {"user":"bob","permission":"edit","resource":{"type":"post","id":"7"}}`, []string{"bob edit post:7 false"}},
	{`POST /api/check {"user":"alice","permission":"edit","explain":true}`, []string{"alice edit - true"}},
	{
		`POST /api/check/batch {"checks":[{"user":"alice","permission":"edit"},{"user":"bob","permission":"edit"}]}`,
		[]string{"alice edit - true", "bob edit - false"},
	},
	{
		`POST /access/v1/evaluation {"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"a/b"}}`,
		[]string{"alice edit post:a/b true"},
	},
	{
		`POST /access/v1/evaluation {"subject":{"type":"service","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`,
		[]string{"service alice edit post:7 false"},
	},
	{
		`POST /access/v1/evaluation {"subject":{"type":"service","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"},"options":{"explain":true}}`,
		[]string{"service alice edit post:7 false"},
	},
	{
		`POST /access/v1/evaluations {"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"evaluations":[{"resource":{"type":"post","id":"7"}},` +
			`{"resource":{"type":"post","id":"8"},"subject":{"type":"service","id":"alice"}},{"resource":{"type":"post"}}]}`,
		[]string{"alice edit post:7 true", "service alice edit post:8 false"},
	},
	{
		`POST /access/v1/evaluations {"subject":{"type":"user","id":"bob"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`,
		[]string{"bob edit post:7 false"},
	},
	// These ask nothing that is a decision on a user.
	{"GET /api/permission/editor/edit", nil},
	{"GET /api/membership/alice/editor", nil},
	{"GET /api/which_users_can/edit", nil},
	{`POST /access/v1/search/action {"subject":{"type":"user","id":"alice"},"resource":{"type":"post","id":"7"}}`, nil},
}

func TestEveryWayToDecideIsLogged(t *testing.T) {
	t.Parallel()
	for _, which := range []string{engine.DecisionsOff, engine.DecisionsDenied, engine.DecisionsAll} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.AuditDecisions = which })
			c := s.caller(t)
			for _, step := range []string{"POST /api/role/editor", "POST /api/permission/editor/edit", "POST /api/membership/alice/editor"} {
				c.request(step)
			}
			var want, got []string
			for _, way := range waysToDecide {
				if a := c.request(way.request); a.status != http.StatusOK {
					t.Fatalf("%s: got %d %s", way.request, a.status, a.body)
				}
				for _, logged := range way.logged {
					if which == engine.DecisionsAll || which == engine.DecisionsDenied && strings.HasSuffix(logged, "false") {
						want = append(want, logged)
					}
				}
			}
			_, token := c.signIn("alice", "127.0.0.1", firefox)
			for permission, status := range map[string]int{"edit": 200, "delete": 403} {
				a := s.forward(t, "?permission="+permission+"&resource=post:7", "Authorization", "Bearer "+token)
				if a.status != status {
					t.Errorf("forward: got %d %s, want %d", a.status, a.body, status)
				}
			}
			forwarded := map[string][]string{
				engine.DecisionsAll: {"alice delete post:7 false", "alice edit post:7 true"}, engine.DecisionsDenied: {"alice delete post:7 false"},
			}[which]
			for _, d := range c.decisions("") {
				if d.Revision != 3 || d.IP != "127.0.0.1" || d.Request_ID == "" || (d.Actor == "system") != (len(got) >= len(want)) {
					t.Errorf("got %+v, want it at revision 3, from here, by the key or a proxy", d)
				}
				got = append(got, d.String())
			}
			if len(got) >= len(want) {
				slices.Sort(got[len(want):])
			}
			if want = append(want, forwarded...); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestDecisionsAreFoundByWhatTheyTell(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.AuditDecisions = engine.DecisionsAll })
	c := s.caller(t)
	for _, step := range []string{"POST /api/role/editor", "POST /api/permission/editor/edit", "POST /api/membership/alice/editor"} {
		c.request(step)
	}
	c.do("POST", "/api/check", `{"user":"alice","permission":"edit","resource":{"type":"po/st","id":"a b@c"},"explain":true}`, "X-Request-ID", "abc-123")
	c.get("/api/has_permission/alice/edit")
	c.get("/api/has_permission/bob/read")
	for query, want := range map[string]int{
		"": 3, "?user=alice": 2, "?user=ali": 0, "?permission=read": 1, "?resource=po%252Fst/a%2520b@c": 1, "?resource=post/7": 0,
		"?allowed=true": 2, "?allowed=false": 1, "?request_id=abc-123": 1, "?since=2020-01-01T00:00:00Z": 3, "?until=2020-01-01T00:00:00Z": 0,
		"?user=alice&allowed=true&permission=edit": 2, "?user=bob&allowed=true": 0, "?limit=2": 2,
	} {
		if got := len(c.decisions(query)); got != want {
			t.Errorf("%q: got %d decisions, want %d", query, got, want)
		}
	}
	if got := c.decisions("?request_id=abc-123"); len(got) != 1 || len(got[0].Reasons) != 1 || got[0].Reasons[0].Role != "editor" {
		t.Errorf("got %+v, want one decision with its reason", got)
	}
	first := c.get("/api/audit/decisions?limit=2")
	link := regexp.MustCompile(`^<(.*)>; rel="next"$`).FindStringSubmatch(first.header.Get("Link"))
	if link == nil {
		t.Fatalf("got no next page: %v", first.header)
	}
	if got := c.data(c.get(link[1])); !strings.Contains(got, `"request_id":"abc-123"`) || strings.Count(got, `"id":"0`) != 1 {
		t.Errorf("next page: got %s, want the oldest decision alone", got)
	}
	for query, part := range map[string]string{
		"?resource=post": "resource: ", "?resource=post/": "resource: ", "?resource=/7": "resource: ", "?resource=post/7/8": "resource: ", "?resource=post/%25zz": "resource: ",
		"?allowed=maybe": "allowed: ", "?since=yesterday": "since: ", "?until=0001-01-01T00:00:00Z": "until: ", "?user=%00": "user: ", "?permission=%FF": "permission: ",
		"?request_id=%00": "request_id: ", "?resource=a%2500/b": "resource: ", "?limit=0": "limit: ", "?cursor=none": "cursor: ",
	} {
		c.wantError(c.get("/api/audit/decisions"+query), 400, part)
	}
	// A page's cursor serves no other question, and nobody sees another's.
	c.wantError(c.get(strings.Replace(link[1], "limit=2", "limit=2&user=alice", 1)), 400, "cursor: ")
	if got := s.caller(t).decisions(""); len(got) > 0 {
		t.Errorf("another tenant: got %+v, want nothing", got)
	}
}
