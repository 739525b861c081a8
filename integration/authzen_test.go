package integration_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

// loadRecords writes the policy of the certification of AuthZEN's working group
// through the SDK: everyone reads, alice writes what is active and bob, an admin,
// what is archived, and alice deletes softly.
func loadRecords(t *testing.T, c *sdk.Client) {
	t.Helper()
	ctx := t.Context()
	must := func(_ authz.Written, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.PutUser(ctx, authz.User{Name: "alice"}))
	must(c.PutUser(ctx, authz.User{Name: "bob", Properties: map[string]any{"role": "admin"}}))
	for id, status := range map[string]string{"record-1": "active", "record-2": "archived"} {
		must(c.PutResource(ctx, authz.Resource{Node: authz.Node{Type: "record", ID: id}, Properties: map[string]any{"status": status}}))
	}
	must(c.PutRole(ctx, authz.RoleDetail{Name: "clerk"}))
	must(c.PutRole(ctx, authz.RoleDetail{Name: "admin"}))
	for _, g := range []authz.RoleGrant{
		{Role: authz.Everyone, Grant: authz.Grant{Permission: "read"}},
		{Role: "clerk", Grant: authz.Grant{Permission: "write", Condition: "resource.properties.status == 'active'"}},
		{Role: "clerk", Grant: authz.Grant{Permission: "delete", Condition: "action.properties.soft == true"}},
		{Role: "admin", Grant: authz.Grant{Permission: "write", Condition: "subject.properties.role == 'admin' && resource.properties.status == 'archived'"}},
	} {
		must(c.PutGrant(ctx, g.Role, g.Grant))
	}
	must(c.AddMembership(ctx, "alice", "clerk", authz.Window{}))
	must(c.AddMembership(ctx, "bob", "admin", authz.Window{}))
}

// TestAuthZENCertification asks what the certification asks, at each of its levels:
// evaluation, evaluations and search.
func TestAuthZENCertification(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		server := i.Serve()
		key := uuid.NewString()
		loadRecords(t, client(t, server, key))
		const (
			alice   = `"subject":{"type":"user","id":"alice"}`
			bob     = `"subject":{"type":"user","id":"bob"}`
			record1 = `"resource":{"type":"record","id":"record-1"}`
			record2 = `"resource":{"type":"record","id":"record-2"}`
			read    = `"action":{"name":"read"}`
			write   = `"action":{"name":"write"}`
		)
		for _, rule := range []struct {
			question string
			want     bool
		}{
			{alice + `,` + read + `,` + record1, true},
			{alice + `,` + write + `,` + record1, true},
			{bob + `,` + read + `,` + record1, true},
			{bob + `,` + write + `,` + record1, false},
			{alice + `,` + write + `,"resource":{"type":"record","id":"record-1","properties":{"status":"archived"}}`, false},
			{`"subject":{"type":"user","id":"bob","properties":{"role":"admin"}},` + write + `,` + record2, true},
			{alice + `,"action":{"name":"delete","properties":{"soft":true}},` + record1, true},
			{alice + `,"action":{"name":"delete","properties":{"soft":false}},` + record1, false},
		} {
			one := ask(t, server, key, "evaluation", `{`+rule.question+`}`)
			if one["decision"] != rule.want {
				t.Errorf("%s: got %v, want %v", rule.question, one["decision"], rule.want)
			}
			many, _ := ask(t, server, key, "evaluations", `{"evaluations":[{`+rule.question+`},{`+rule.question+`}]}`)["evaluations"].([]any)
			if len(many) != 2 || many[0].(map[string]any)["decision"] != rule.want || many[1].(map[string]any)["decision"] != rule.want {
				t.Errorf("%s twice: got %v, want %v", rule.question, many, rule.want)
			}
		}
		for _, search := range []struct {
			kind, question, member string
			want                   []string
		}{
			{"subject", `"subject":{"type":"user"},` + read + `,` + record1, "id", []string{"alice", "bob"}},
			{"subject", `"subject":{"type":"user"},` + write + `,` + record1, "id", []string{"alice"}},
			{"subject", `"subject":{"type":"user"},` + write + `,` + record2, "id", []string{"bob"}},
			{"resource", alice + `,` + read + `,"resource":{"type":"record"}`, "id", []string{"record-1", "record-2"}},
			{"resource", bob + `,` + write + `,"resource":{"type":"record"}`, "id", []string{"record-2"}},
			{"action", alice + `,` + record1, "name", []string{"read", "write"}},
			{"action", bob + `,` + record1, "name", []string{"read"}},
		} {
			if got := searchAll(t, server, key, search.kind, search.question, search.member); !reflect.DeepEqual(got, search.want) {
				t.Errorf("%s search, %s: got %v, want %v", search.kind, search.question, got, search.want)
			}
		}
	})
}

// ask sends a question in AuthZEN's own form.
func ask(t *testing.T, server *process, key, endpoint, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/access/v1/"+endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	answer, err := io.ReadAll(rsp.Body)
	var object map[string]any
	if err != nil || rsp.StatusCode != http.StatusOK || json.Unmarshal(answer, &object) != nil {
		t.Fatalf("%s %s: got %d %s and error %v", endpoint, body, rsp.StatusCode, answer, err)
	}
	return object
}

// searchAll reads a search to its end, one result a page.
func searchAll(t *testing.T, server *process, key, kind, question, member string) (names []string) {
	t.Helper()
	page := `{"limit":1}`
	for {
		answer := ask(t, server, key, "search/"+kind, `{`+question+`,"page":`+page+`}`)
		for _, result := range answer["results"].([]any) {
			names = append(names, result.(map[string]any)[member].(string))
		}
		token, _ := answer["page"].(map[string]any)["next_token"].(string)
		if token == "" {
			return names
		}
		page = `{"token":"` + token + `"}`
	}
}
