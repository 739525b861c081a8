package server_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

const (
	searchSubjects  = "/access/v1/search/subject"
	searchResources = "/access/v1/search/resource"
	searchActions   = "/access/v1/search/action"

	users   = `"subject":{"type":"user"}`
	records = `"resource":{"type":"record"}`
)

// results is the answer to a search that finds subjects, resources or actions of
// one type.
func results(format string, names ...string) string {
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf(format, name))
	}
	return `{"page":{"next_token":""},"results":[` + strings.Join(list, ",") + `]}`
}

func TestSearches(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	const user, record, action = `{"id":%q,"type":"user"}`, `{"id":%q,"type":"record"}`, `{"name":%q}`
	for _, test := range []struct{ path, body, want string }{
		{searchSubjects, `{` + users + `,` + toRead + `,` + record1 + `}`, results(user, "alice", "bob")},
		{searchSubjects, `{` + users + `,` + toWrite + `,` + record1 + `}`, results(user, "alice")},
		{searchSubjects, `{` + users + `,` + toWrite + `,` + record2 + `}`, results(user, "bob")},
		{searchSubjects, `{"subject":{"type":"user","id":"ignored"},` + toWrite + `,` + record2 + `,"foo":[1]}`, results(user, "bob")},
		{searchSubjects, `{"subject":{"type":"user","properties":{"role":"guest"}},` + toWrite + `,` + record2 + `}`, results(user)},
		{searchSubjects, `{` + users + `,"action":{"name":"delete","properties":{"soft":true}},` + record1 + `}`, results(user, "alice")},
		{searchSubjects, `{` + users + `,"action":{"name":"delete"},` + record1 + `}`, results(user)},
		{searchSubjects, `{` + users + `,` + toWrite + `,"resource":{"type":"record","id":"record-1","properties":{"status":"archived"}}}`, results(user, "bob")},
		{searchSubjects, `{"subject":{"type":"robot"},` + toRead + `,` + record1 + `}`, results(user)},
		{searchResources, `{` + alice + `,` + toRead + `,` + records + `}`, results(record, "record-1", "record-2")},
		{searchResources, `{` + alice + `,` + toWrite + `,` + records + `}`, results(record, "record-1")},
		{searchResources, `{` + bob + `,` + toWrite + `,` + records + `,"page":{"token":""}}`, results(record, "record-2")},
		{searchResources, `{` + bob + `,` + toWrite + `,"resource":{"type":"record","id":"record-1"}}`, results(record, "record-2")},
		{searchResources, `{` + alice + `,` + toWrite + `,"resource":{"type":"record","properties":{"status":"active"}}}`, results(record, "record-1", "record-2")},
		{searchResources, `{` + alice + `,` + toRead + `,"resource":{"type":"none"}}`, results(record)},
		{searchResources, `{"subject":{"type":"robot","id":"alice"},` + toRead + `,` + records + `}`, results(record)},
		{searchActions, `{` + alice + `,` + record1 + `}`, results(action, "read", "write")},
		{searchActions, `{` + alice + `,"action":{"name":"ignored","properties":{"soft":true}},` + record2 + `}`, results(action, "delete", "read")},
		{searchActions, `{` + bob + `,` + record2 + `}`, results(action, "read", "write")},
		{searchActions, `{"subject":{"type":"user","id":"stranger"},` + record1 + `}`, results(action, "read")},
		{searchActions, `{"subject":{"type":"robot","id":"alice"},` + record1 + `}`, results(action)},
	} {
		if got := c.evaluate(test.path, test.body); got != test.want {
			t.Errorf("%s %s: got %s, want %s", test.path, test.body, got, test.want)
		}
	}
}

// nextToken sends a search and returns the next page's token, and how many results
// there are.
func (c *caller) nextToken(path, body string) (token string, count int) {
	c.t.Helper()
	var answer struct {
		Page struct {
			NextToken string `json:"next_token"`
		}
		Results []any
	}
	a := c.do("POST", path, body)
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || a.status != 200 {
		c.t.Fatalf("%s %s: got %d %s, want a page", path, body, a.status, a.body)
	}
	return answer.Page.NextToken, len(answer.Results)
}

func TestSearchPages(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	for path, question := range map[string]string{
		searchSubjects:  users + `,` + toRead + `,` + record1,
		searchResources: alice + `,` + toRead + `,` + records,
		searchActions:   alice + `,` + record1,
	} {
		token, count := c.nextToken(path, `{`+question+`,"page":{"limit":1}}`)
		if token == "" || count != 1 {
			t.Errorf("%s: got %d results and token %q, want one and a next page", path, count, token)
		}
		// The limit travels in the token.
		last, count := c.nextToken(path, fmt.Sprintf(`{%s,"page":{"token":%q}}`, question, token))
		if last != "" || count != 1 {
			t.Errorf("%s, second page: got %d results and token %q, want one and no next page", path, count, last)
		}
		for _, page := range []string{
			fmt.Sprintf(`{%s,"context":{"a":1},"page":{"token":%q}}`, question, token),
			strings.Replace(fmt.Sprintf(`{%s,"page":{"token":%q}}`, question, token), `"user"`, `"robot"`, 1),
			fmt.Sprintf(`{%s,"page":{"token":%q}}`, question, token+"x"),
			fmt.Sprintf(`{%s,"page":{"token":%q}}`, question, "0"+token),
			`{` + question + `,"page":{"token":"x"}}`,
			`{` + question + `,"page":{"token":"1."}}`,
		} {
			c.wantMessage(c.do("POST", path, page), 400, "page.token")
		}
	}
}

func TestSearchRefusesWhatIsNoSearch(t *testing.T) {
	t.Parallel()
	c := startRecords(t)
	for _, test := range []struct{ path, body, part string }{
		{searchSubjects, `{` + toRead + `,` + record1 + `}`, "subject"},
		{searchSubjects, `{"subject":{},` + toRead + `,` + record1 + `}`, "type"},
		{searchSubjects, `{` + users + `,` + record1 + `}`, "action"},
		{searchSubjects, `{` + users + `,` + toRead + `}`, "resource"},
		{searchSubjects, `{` + users + `,` + toRead + `,` + records + `}`, "id"},
		{searchSubjects, `{` + users + `,"action":{"name":"*"},` + record1 + `}`, "action.name"},
		{searchSubjects, `{` + users + `,` + toRead + `,"resource":{"type":"record","id":" "}}`, "resource.id"},
		{searchResources, `{` + users + `,` + toRead + `,` + records + `}`, "id"},
		{searchResources, `{"subject":{"type":"user","id":" "},` + toRead + `,` + records + `}`, "subject.id"},
		{searchResources, `{` + alice + `,` + toRead + `,"resource":{"type":" "}}`, "resource.type"},
		{searchResources, `{` + alice + `,` + records + `}`, "action"},
		{searchActions, `{` + alice + `}`, "resource"},
		{searchActions, `{` + alice + `,` + record1 + `,"action":7}`, "action"},
		{searchActions, `{` + alice + `,` + record1 + `,"context":[]}`, "context"},
		{searchActions, `{` + alice + `,` + record1 + `,"page":{"limit":0}}`, "page.limit"},
		{searchActions, `{` + alice + `,` + record1 + `,"page":{"limit":10001}}`, "page.limit"},
		{searchActions, `{` + alice + `,` + record1 + `,"page":{"limit":1.5}}`, "page.limit"},
		{searchActions, `{` + alice + `,` + record1 + `,"page":{"token":7}}`, "page.token"},
		{searchActions, `[]`, "body"}, {searchActions, `{`, "malformed JSON"}, {searchActions, ``, "body"},
	} {
		c.wantMessage(c.do("POST", test.path, test.body), 400, test.part)
	}
	c.wantMessage(c.do("POST", searchActions, `{`+alice+`,`+record1+`}`, "Authorization", ""), 401, "bearer")
	c.wantError(c.get(searchActions), 405, "GET")
}

func TestSearchNamesSubjectsByTheTypeThatWasAskedFor(t *testing.T) {
	t.Parallel()
	c := startRecords(t, func(_ *engine.Config, cfg *server.Config) { cfg.AuthZENSubjectTypes = []string{"identity", "person"} })
	for _, subjectType := range []string{"identity", "person"} {
		want := results(`{"id":%q,"type":"`+subjectType+`"}`, "alice")
		if got := c.evaluate(searchSubjects, fmt.Sprintf(`{"subject":{"type":%q},%s,%s}`, subjectType, toWrite, record1)); got != want {
			t.Errorf("subject type %q: got %s, want %s", subjectType, got, want)
		}
	}
}
