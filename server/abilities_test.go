package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// requests are what each ability opens, a request of every operation: method, path
// and perhaps a body. Those of an ability are sent in order. $session and $token
// stand for the id and the token of a session that none of them ends, and $refresh for a
// refresh token of the caller's.
var requests = map[engine.Ability][]string{
	engine.AbilityCheck: {
		"GET /api/permission/editor/edit", "GET /api/membership/alice/editor", "GET /api/has_permission/alice/edit",
		"GET /api/workflow/user/alice/can_run/edit",
		`POST /api/check {"user":"alice","permission":"edit"}`,
		`POST /api/check/batch {"checks":[{"user":"alice","permission":"edit"}]}`,
		`POST /access/v1/evaluation {"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`,
		`POST /access/v1/evaluations {"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`,
	},
	engine.AbilityRead: {
		"GET /api/roles", "GET /api/user_permissions/alice", "GET /api/role_permissions/editor", "GET /api/user_roles/alice",
		"GET /api/members/editor", "GET /api/which_roles_can/edit", "GET /api/which_users_can/edit", "GET /api/workflow/users/edit",
		"GET /api/roles/kept", "GET /api/roles/kept/grants", "GET /api/changes",
		"GET /api/scopes/organization", "GET /api/scopes/organization/kept", "GET /api/scopes/organization/kept/members",
		"GET /api/resources/post", "GET /api/resources/post/kept", "GET /api/resources/post/kept/members",
		"GET /api/groups/kept", "GET /api/users/kept", "GET /api/tools", "GET /api/tools/kept", "GET /api/permissions", "GET /api/settings",
		"GET /api/sessions", "GET /api/sessions/$session",
		`POST /access/v1/search/subject {"subject":{"type":"user"},"action":{"name":"edit"},"resource":{"type":"post","id":"7"}}`,
		`POST /access/v1/search/resource {"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post"}}`,
		`POST /access/v1/search/action {"subject":{"type":"user","id":"alice"},"resource":{"type":"post","id":"7"}}`,
	},
	engine.AbilityWrite: {
		"POST /api/role/editor", "POST /api/permission/editor/edit", "POST /api/membership/alice/editor",
		"DELETE /api/membership/alice/editor", "DELETE /api/permission/editor/edit", "DELETE /api/role/editor",
		"PUT /api/roles/own", "PUT /api/roles/own/grants/edit", "PUT /api/scopes/organization/acme", "PUT /api/resources/post/7",
		"PUT /api/groups/writers", "PUT /api/users/bob", "PUT /api/groups/writers/members/bob", "PUT /api/groups/writers/groups/interns",
		"PUT /api/groups/writers/roles/own", "PUT /api/scopes/organization/acme/members/bob/roles/own",
		"PUT /api/scopes/organization/acme/groups/writers/roles/own", "PUT /api/resources/post/7/members/bob/roles/own",
		"PUT /api/resources/post/7/groups/writers/roles/own",
		"DELETE /api/resources/post/7/groups/writers/roles/own", "DELETE /api/resources/post/7/members/bob/roles/own",
		"DELETE /api/scopes/organization/acme/groups/writers/roles/own", "DELETE /api/scopes/organization/acme/members/bob/roles/own",
		"DELETE /api/groups/writers/roles/own", "DELETE /api/groups/writers/groups/interns", "DELETE /api/groups/writers/members/bob",
		"DELETE /api/users/bob", "DELETE /api/groups/writers", "DELETE /api/resources/post/7", "DELETE /api/scopes/organization/acme",
		"DELETE /api/roles/own/grants/edit", "DELETE /api/roles/own",
		`POST /api/batch {"mutations":[{"method":"DELETE","path":"/api/role/none"}]}`, "PUT /api/tools/wiki", "DELETE /api/tools/wiki",
		`POST /api/sessions {"user":"alice","ip":"203.0.113.7","user_agent":""}`,
		`POST /api/sessions/rotate {"token":"$token","ip":"203.0.113.7","user_agent":""}`,
		`POST /api/sessions/verify {"token":"$token","ip":"203.0.113.7","user_agent":""}`,
		"DELETE /api/sessions?user=alice", "DELETE /api/sessions/none",
	},
	engine.AbilityAny: {
		`POST /api/token {}`, `POST /api/token/introspect {"token":"$refresh"}`, `POST /api/token/refresh {"refresh_token":"$refresh"}`,
		`POST /api/token/revoke {"token":"$refresh"}`,
	},
	engine.AbilityAudit: {
		"GET /api/audit", "GET /api/audit/decisions", "GET /api/audit/checkpoint", "GET /api/audit/proof/inclusion?seq=0", "GET /api/audit/proof/consistency?from=1",
	},
	engine.AbilityAdmin: {"PUT /api/settings {}"},
}

// kept are what the requests with the ability to read ask for.
var kept = []string{"/api/roles/kept", "/api/scopes/organization/kept", "/api/resources/post/kept", "/api/groups/kept", "/api/users/kept", "/api/tools/kept"}

func TestAbilities(t *testing.T) {
	t.Parallel()
	s := startService(t, func(cfg *engine.Config, _ *server.Config) { cfg.OpenRegistration = false })
	key, admin, err := s.engine.CreateClientKey(t.Context(), engine.ClientKeyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range kept {
		c := &caller{t: t, s: s, key: key}
		c.data(c.put(path, ""))
	}
	keeper := &caller{t: t, s: s, key: key}
	id, token := keeper.signIn("kept", "203.0.113.7", "")
	if err := s.engine.SequenceAudit(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := []engine.Ability{engine.AbilityCheck, engine.AbilityRead, engine.AbilityWrite, engine.AbilityAudit, engine.AbilityAdmin}
	for i, ability := range append(all, all...) {
		// First with a key that has the ability, then with an access token that has it, of a
		// key that has all.
		byToken := i >= len(all)
		options := engine.ClientKeyOptions{Tenant: admin.Tenant}
		if !byToken {
			options.Abilities = []engine.Ability{ability}
		}
		narrow, info, err := s.engine.CreateClientKey(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		c := &caller{t: t, s: s, key: narrow}
		tokens := c.tokens(fmt.Sprintf(`{"abilities":[%q]}`, ability))
		if byToken {
			c.key = tokens.AccessToken
		}
		values := strings.NewReplacer("$session", id, "$token", token, "$refresh", tokens.RefreshToken)
		refused := 0
		for of, list := range requests {
			for _, request := range list {
				a := c.request(values.Replace(request))
				switch {
				case of == engine.AbilityAny && byToken:
					c.wantTokenError(a, 401, "invalid_client", "client key")
				case of == engine.AbilityAny || ability == of || ability == engine.AbilityAdmin:
					if a.status != 200 && a.status != 201 {
						t.Errorf("%s with the ability %q, by a token %t: got %d %s, want a success", request, ability, byToken, a.status, a.body)
					}
					continue
				case strings.Contains(request, " /access/"):
					c.wantMessage(a, 403, fmt.Sprintf("%q", of))
				default:
					c.wantError(a, 403, fmt.Sprintf("%q", of))
				}
				refused++
			}
		}
		c.key = key
		var events struct {
			Data []struct{ Actor, Action, Outcome string }
		}
		if err := json.Unmarshal(c.get("/api/audit?action=ACCESS_REFUSED&outcome=refused").body, &events); err != nil {
			t.Fatal(err)
		}
		counted := 0
		for _, event := range events.Data {
			if event.Actor == info.Fingerprint {
				counted++
			}
		}
		if counted != refused {
			t.Errorf("refusals of the ability %q in the audit log, by a token %t: got %d, want %d", ability, byToken, counted, refused)
		}
	}
}

// TestAbilitiesCoverEveryOperation fails for an operation of openapi.yaml that
// TestAbilities does not try, or tries with another ability.
func TestAbilitiesCoverEveryOperation(t *testing.T) {
	t.Parallel()
	s := startService(t)
	tried := map[string]engine.Ability{}
	for ability, list := range requests {
		for _, request := range list {
			method, path, _ := parts(request)
			r, err := http.NewRequest(method, s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			route, _, err := s.routes.FindRoute(r)
			if err != nil {
				t.Fatalf("%s: %v", request, err)
			}
			tried[route.Operation.OperationID] = ability
		}
	}
	for path, item := range s.spec.Paths.Map() {
		for method, operation := range item.Operations() {
			needed, _ := operation.Extensions["x-ability"].(string)
			if got := tried[operation.OperationID]; got != engine.Ability(needed) {
				t.Errorf("%s %s: tried with the ability %q, want %q", method, path, got, needed)
			}
		}
	}
}

// request sends a request as requests writes it.
func (c *caller) request(request string) answer {
	c.t.Helper()
	method, path, body := parts(request)
	return c.do(method, path, body)
}

func parts(request string) (method, path, body string) {
	method, rest, _ := strings.Cut(request, " ")
	path, body, _ = strings.Cut(rest, " ")
	return method, path, body
}
