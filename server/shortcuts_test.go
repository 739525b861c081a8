package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/server"
)

// twins are a server and one without shortcuts, on the same engine, asked with the
// same key.
type twins struct {
	short, generic http.Handler
	key            string
}

func startTwins(t testing.TB) twins {
	t.Helper()
	s := startService(t, quiet)
	cfg := server.Config{Engine: s.engine, Logger: slog.New(slog.DiscardHandler)}
	generic, err := server.NewWithoutShortcuts(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := s.caller(t)
	for _, step := range []string{
		"PUT /api/scopes/organization/acme",
		`PUT /api/resources/post/7 {"owner":"carol","parent":{"kind":"organization","id":"acme"},"properties":{"status":"draft","n":1}}`,
		"PUT /api/roles/editor", "PUT /api/roles/editor/grants/read",
		`PUT /api/roles/editor/grants/edit {"condition":"resource.properties.status == 'draft'"}`,
		`PUT /api/roles/editor/grants/publish {"condition":"context.ip == '10.0.0.1' && action.properties.n < 2.0"}`,
		"PUT /api/roles/@owner/grants/delete",
		"PUT /api/scopes/organization/acme/members/alice/roles/editor",
		"PUT /api/scopes/organization/acme/members/名前/roles/editor",
		`PUT /api/users/bob {"active":false}`,
	} {
		if a := c.request(step); a.status != http.StatusOK {
			t.Fatalf("%s: got %d %s", step, a.status, a.body)
		}
	}
	return twins{short: s.Config.Handler, generic: generic, key: c.key}
}

// ask sends a request to both, and returns the answer that they agree on.
func (tw twins) ask(t testing.TB, method, path, body string) answer {
	t.Helper()
	short, generic := tw.askOne(tw.short, method, path, body), tw.askOne(tw.generic, method, path, body)
	if !reflect.DeepEqual(short, generic) {
		t.Errorf("%s %s %q: got %d %v %s\nwant %d %v %s as without shortcuts", method, path, body,
			short.status, short.header, short.body, generic.status, generic.header, generic.body)
	}
	return short
}

var anyTimestamp = regexp.MustCompile(`"timestamp":"[^"]*"`)

func (tw twins) askOne(h http.Handler, method, path, body string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+tw.key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-ID", "the-same")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{status: w.Code, header: w.Header(), body: anyTimestamp.ReplaceAll(w.Body.Bytes(), []byte(`"timestamp":""`))}
}

func TestShortcutsAnswerAsTheGenericWay(t *testing.T) {
	t.Parallel()
	tw := startTwins(t)
	for path, want := range map[string]int{
		"/api/has_permission/alice/read":                                   http.StatusOK,
		"/api/has_permission/alice/*":                                      http.StatusBadRequest,
		"/api/has_permission/%20/read":                                     http.StatusBadRequest,
		"/api/workflow/user/alice/can_run/read":                            http.StatusOK,
		"/api/workflow/user/alice/can_run/read%0A":                         http.StatusBadRequest,
		"/api/workflow/user/" + strings.Repeat("a", 257) + "/can_run/read": http.StatusBadRequest,
	} {
		if a := tw.ask(t, http.MethodGet, path, ""); a.status != want {
			t.Errorf("GET %s: got %d %s, want %d", path, a.status, a.body, want)
		}
	}
	for _, test := range questions {
		a := tw.ask(t, http.MethodPost, test.path, test.body)
		if a.status != test.status || !strings.Contains(string(a.body), test.part) {
			t.Errorf("POST %s %s: got %d %s, want %d with %s", test.path, test.body, a.status, a.body, test.status, test.part)
		}
	}
}

const (
	checkPath      = "/api/check"
	evaluationPath = "/access/v1/evaluation"
)

// questions are asked of the policy of startTwins.
var questions = []struct {
	path, body string
	status     int
	part       string
}{
	{checkPath, `{"user":"alice","permission":"read"}`, 200, `"allowed":false`},
	{checkPath, `{"user":"alice","permission":"read","resource":{"type":"post","id":"7"}}`, 200, `"allowed":true`},
	{checkPath, " {\n\t\"resource\" : { \"id\" : \"7\" , \"type\":\"post\" } ,\r\n\"permission\":\"read\",\"user\":\"名前\" } ", 200, `"allowed":true`},
	{checkPath, `{"user":"alice","permission":"edit","resource":{"type":"post","id":"7","properties":{"status":"final"}}}`, 200, `"allowed":false`},
	{checkPath, `{"user":"alice","permission":"edit","resource":{"type":"post","id":"7","properties":{}}}`, 200, `"allowed":true`},
	{checkPath, `{"user":"bob","permission":"delete","resource":{"type":"post","id":"8","owner":"bob"}}`, 200, `"allowed":false`},
	{checkPath, `{"user":"eve","permission":"delete","resource":{"type":"post","id":"8","owner":"eve"},"context":{"a":[{"}":"{\"\\"}]}}`, 200, `"allowed":true`},
	{checkPath, `{"user":"eve","permission":"delete","resource":{"type":"post","id":"8","owner":""}}`, 400, "resource.owner"},
	{checkPath, `{"user":"alice","permission":"read","resource":{"type":"post","id":"8","parent":{"kind":"organization","id":"acme"}}}`, 200, `"allowed":true`},
	{checkPath, `{"user":"alice","permission":"read","resource":{"type":"post","id":"7"},"explain":true}`, 200, `"reasons":[`},
	{checkPath, `{"user":"\u0061lice","permission":"read","resource":{"type":"post","id":"7"}}`, 200, `"allowed":true`},
	{checkPath, `{"user":"bob","user":"alice","permission":"read","resource":{"type":"post","id":"7"}}`, 200, `"allowed":true`},
	{checkPath, `{"user":"alice","permission":"read","resource":{"type":"post"},"resource":{"id":"7"}}`, 400, `type`},
	{checkPath, `{"User":"alice","permission":"read"}`, 400, `User`},
	{checkPath, `{"user":"alice","permission":"read","extra":1}`, 400, "extra"},
	{checkPath, `{"user":"alice","permission":"read","context":null}`, 400, "context"},
	{checkPath, `{"user":"alice","permission":"read","context":{"n":1e999}}`, 400, "too large"},
	{checkPath, `{"user":"alice","permission":"read","context":{"n":1}`, 400, "too early"},
	{checkPath, `{"user":"alice","permission":"read"}}`, 400, "after"},
	{checkPath, `{"user":"alice","permission":"read",}`, 400, "malformed"},
	{checkPath, `{"user":"alice" "permission":"read"}`, 400, "malformed"},
	{checkPath, "{\"user\":\"a\nb\",\"permission\":\"read\"}", 400, "malformed"},
	{checkPath, "{\"user\":\"a\xff\",\"permission\":\"read\"}", 400, "UTF-8"},
	{checkPath, "{\"user\":\"alice\",\"permission\":\"read\",\"context\":{\"a\":\"\xff\"}}", 400, "UTF-8"},
	{checkPath, "{\"user\":\"a\x7f\",\"permission\":\"read\"}", 400, "control"},
	{checkPath, `{"user":"` + strings.Repeat("é", 129) + `","permission":"read"}`, 400, "user"},
	{checkPath, `{"user":"alice","permission":"read","context":{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}}`, 400, ""},
	{checkPath, `{}`, 400, "user"},
	{checkPath, ``, 400, "body"},
	{evaluationPath, `{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`, 200, `"decision":true`},
	{evaluationPath, `{"subject":{"type":"robot","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`, 200, `"decision":false`},
	{evaluationPath, `{"subject":{"type":"user","id":"alice","properties":{"a":1}},"action":{"name":"publish","properties":{"n":1}},` +
		`"resource":{"type":"post","id":"7"},"context":{"ip":"10.0.0.1"}}`, 200, `"decision":true`},
	{evaluationPath, `{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"},"extra":{"a":1}}`, 200, `"decision":true`},
	{evaluationPath, `{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"},"options":{"explain":true}}`, 200, `"reasons":[`},
	{evaluationPath, `{"subject":{"type":"user","ID":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`, 400, "id"},
	{evaluationPath, `{"subject":{"type":"user","id":"alice"},"action":{"name":"*"},"resource":{"type":"post","id":"7"}}`, 400, "action.name"},
	{evaluationPath, `{"subject":{"type":" ","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`, 200, `"decision":false`},
	{evaluationPath, `{"subject":{"type":"user","id":"alice"},"action":{"name":"read"}}`, 400, "resource"},
	{evaluationPath, `[]`, 400, "body"},
}

// FuzzQuestion asks arbitrary bodies, and questions with arbitrary JSON in place of
// each of their parts, with the shortcuts and without.
func FuzzQuestion(f *testing.F) {
	for _, q := range questions {
		f.Add(q.body)
	}
	for _, part := range []string{
		`"alice"`, `"\u0061"`, `null`, `7`, `true`, `[]`, `{}`, `{"type":"post","id":"7"}`, `"x","user":"bob"`, `"x","User":"bob"`, `"alice","explain":false`,
		`{"a":1,"a":{"b":null}}`, `{"a":1}x`, `{"a":1e400}`, "\"\u2028\"", `""`, `"*"`, ` "alice" `, "\v\"alice\"", `"user"},"context":{"ip":"10.0.0.1"`,
	} {
		f.Add(part)
	}
	tw := startTwins(f)
	f.Fuzz(func(t *testing.T, text string) {
		tw.ask(t, http.MethodPost, checkPath, text)
		tw.ask(t, http.MethodPost, evaluationPath, text)
		for _, form := range []string{
			`{"user":%,"permission":"read","resource":{"type":"post","id":"7"}}`,
			`{"user":"alice","permission":%,"context":{}}`,
			`{"user":"alice","permission":"edit","resource":%}`,
			`{"user":"alice","permission":"edit","resource":{"type":"post","id":%,"owner":"alice"}}`,
			`{"user":"alice","permission":"edit","resource":{"type":"post","id":"7","properties":%}}`,
			`{"user":"alice","permission":"edit","resource":{"type":"post","id":"7"},%}`,
			`{"user":"alice","permission":"publish","resource":{"type":"post","id":"7"},"context":%}`,
		} {
			tw.ask(t, http.MethodPost, checkPath, strings.Replace(form, "%", text, 1))
		}
		for _, form := range []string{
			`{"subject":%,"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`,
			`{"subject":{"type":%,"id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`,
			`{"subject":{"type":"user","id":%},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`,
			`{"subject":{"type":"user","id":"alice"},"action":{"name":%},"resource":{"type":"post","id":"7"}}`,
			`{"subject":{"type":"user","id":"alice"},"action":{"name":"publish","properties":%},"resource":{"type":"post","id":"7"},"context":{"ip":"10.0.0.1"}}`,
			`{"subject":{"type":"user","id":"alice"},"action":{"name":"edit"},"resource":{"type":"post","id":"7","properties":%}}`,
			`{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"},%}`,
		} {
			tw.ask(t, http.MethodPost, evaluationPath, strings.Replace(form, "%", text, 1))
		}
	})
}
