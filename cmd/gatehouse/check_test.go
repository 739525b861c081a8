package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/sdk"
)

const checkKey = "5b1c9d1e-7c55-4d3b-8d27-6a0f4be2c913"

// policy is what the tests below write, in process and over HTTP.
type policy interface {
	PutRole(context.Context, authz.RoleDetail) (authz.Written, error)
	PutGrant(context.Context, string, authz.Grant) (authz.Written, error)
	PutScope(context.Context, authz.Scope) (authz.Written, error)
	PutResource(context.Context, authz.Resource) (authz.Written, error)
	AddToGroup(context.Context, string, authz.SubjectRef) (authz.Written, error)
	PutMembership(context.Context, authz.Membership) (authz.Written, error)
	PutUser(context.Context, authz.User) (authz.Written, error)
}

var (
	acme = authz.Node{Type: "organization", ID: "acme"}
	plan = authz.Node{Type: "document", ID: "plan:b"}
)

// write makes a tenant with a case for every outcome.
func write(t *testing.T, p policy) {
	t.Helper()
	ctx := t.Context()
	user := func(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.UserType, Name: name} }
	hold := func(subject authz.SubjectRef, role string, window authz.Window) error {
		_, err := p.PutMembership(ctx, authz.Membership{Subject: subject, Role: role, Node: acme, Window: window})
		return err
	}
	grant := func(role, permission, condition string) error {
		_, err := p.PutGrant(ctx, role, authz.Grant{Permission: permission, Condition: condition})
		return err
	}
	put := func(_ authz.Written, err error) error { return err }
	now := time.Now()
	for i, err := range []error{
		put(p.PutScope(ctx, authz.Scope{Node: acme, Parent: authz.Root})),
		put(p.PutResource(ctx, authz.Resource{Node: plan, Parent: acme, Owner: "olga", Properties: map[string]any{"level": 3}})),
		put(p.PutRole(ctx, authz.RoleDetail{Name: "editor"})),
		put(p.PutRole(ctx, authz.RoleDetail{Name: "chief", Inherits: []string{"editor"}})),
		grant("editor", "doc:*", ""),
		grant("editor", "seal", "context.level >= resource.properties.level"),
		grant(authz.Owner, "burn", ""),
		put(p.AddToGroup(ctx, "staff", user("gina"))),
		hold(authz.SubjectRef{Type: authz.GroupType, Name: "staff"}, "chief", authz.Window{}),
		hold(user("edna"), "editor", authz.Window{}),
		hold(user("past"), "editor", authz.Window{ExpiresAt: now.Add(-time.Hour)}),
		hold(user("next"), "editor", authz.Window{NotBefore: now.Add(time.Hour)}),
		hold(user("idle"), "editor", authz.Window{}),
		put(p.PutUser(ctx, authz.User{Name: "idle", Inactive: true})),
	} {
		if err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
}

// writeDatabase writes the policy for a tenant into the installation's database.
func (i installation) writeDatabase(tenant string) {
	i.t.Helper()
	e, err := engine.Open(i.t.Context(), engine.Config{Database: filepath.Join(i.dir, ".auth.sqlite3")})
	if err != nil {
		i.t.Fatal(err)
	}
	write(i.t, e.Tenant(tenant))
	if err := e.Close(); err != nil {
		i.t.Fatal(err)
	}
}

// questions are command lines, each with its whole answer.
var questions = map[string]struct {
	args   string
	stdout string
}{
	"allowed":          {"edna doc:edit --resource document:plan:b", "allowed\n"},
	"denied":           {"edna doc:edit", "denied\n"},
	"a grant":          {"edna doc:edit --resource document:plan:b --explain", "allowed\n  editor at organization:acme, grants doc:*\n"},
	"a scope":          {"edna doc:edit --resource organization:acme --explain", "allowed\n  editor at organization:acme, grants doc:*\n"},
	"ownership":        {"olga burn --resource document:plan:b --explain", "allowed\n  @owner at document:plan:b, grants burn\n"},
	"a group":          {"gina doc:edit --resource document:plan:b --explain", "allowed\n  chief at organization:acme, by the group staff, through editor, grants doc:*\n"},
	"nothing":          {"edna fly --resource document:plan:b --explain", "denied\n  no role that the user holds there grants it\n"},
	"an end":           {"past doc:edit --resource document:plan:b --explain", "denied\n  editor at organization:acme, would grant doc:*, but the membership has ended\n"},
	"a beginning":      {"next doc:edit --resource document:plan:b --explain", "denied\n  editor at organization:acme, would grant doc:*, but the membership has not begun\n"},
	"a suspension":     {"idle doc:edit --resource document:plan:b --explain", "denied\n  editor at organization:acme, would grant doc:*, but the user is not active\n"},
	"a condition":      {`edna seal --resource document:plan:b --explain --context {"level":3}`, "allowed\n  editor at organization:acme, grants seal if context.level >= resource.properties.level\n"},
	"a false one":      {`edna seal --resource document:plan:b --explain --context {"level":2}`, "denied\n  editor at organization:acme, would grant seal if context.level >= resource.properties.level, but that is not so\n"},
	"one that fails":   {"edna seal --resource document:plan:b --explain", "denied\n  editor at organization:acme, would grant seal if context.level >= resource.properties.level, but that cannot be told: no such key: level\n"},
	"an empty context": {"edna doc:edit --resource document:plan:b --context {}", "allowed\n"},
}

func TestCheckOfADatabase(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.writeDatabase("newsroom")
	for name, question := range questions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers(t, i.run(append([]string{"check", "--tenant", "newsroom"}, strings.Fields(question.args)...)...), question.stdout)
		})
	}
	t.Run("another tenant", func(t *testing.T) {
		t.Parallel()
		answers(t, i.run("check", "edna", "doc:edit", "--explain", "--tenant", "nwesroom"),
			"denied\n  no role that the user holds there grants it\n  the tenant is empty: nothing was ever written to it\n")
	})
}

func TestCheckOfAServer(t *testing.T) {
	t.Parallel()
	i := install(t)
	server := i.serve()
	defer server.stop()
	client, err := sdk.New(server.url, checkKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, client)
	// It asks the server, whatever the settings here say.
	elsewhere := install(t, "AUTH_DATABASE_TYPE=nonsense")
	if err := os.WriteFile(filepath.Join(elsewhere.dir, "key"), []byte(checkKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, question := range questions {
		args := append([]string{"check", "--server", server.url}, strings.Fields(question.args)...)
		t.Run(name, func(t *testing.T) {
			answers(t, elsewhere.fed(checkKey+"\n", args...), question.stdout)
			answers(t, elsewhere.run(append(args, "--key-file", "key")...), question.stdout)
		})
	}
	elsewhere.fails(exitUsage, "key: must not be empty", "check", "u", "p", "--server", server.url)
	elsewhere.fails(exitFailure, "reading the client key: ", "check", "u", "p", "--server", server.url, "--key-file", "none")
}

func TestCheckFailsWithoutTellingTheKey(t *testing.T) {
	t.Parallel()
	i := install(t)
	for name, test := range map[string]struct {
		status int
		want   string
	}{
		"refused": {http.StatusUnauthorized, "asking whether u may p: 401 unauthorized"},
		"broken":  {http.StatusTeapot, "asking whether u may p: 418"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Value
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent.Store(r.Header.Get("Authorization"))
				w.WriteHeader(test.status)
			}))
			defer s.Close()
			got := i.fed(checkKey, "check", "u", "p", "--server", s.URL)
			if got.code != exitFailure || got.stdout != "" || !strings.Contains(got.stderr, test.want) || strings.Contains(got.stderr, checkKey) {
				t.Errorf("got %+v, want a failure with %q alone", got, test.want)
			}
			if got, want := sent.Load(), "Bearer "+checkKey; got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

func TestCheckRefusesWhatIsNoQuestion(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.fails(exitUsage, "missing flags", "check", "u", "p")
	i.fails(exitUsage, "can't be used together", "check", "u", "p", "--tenant", "x", "--server", "http://h")
	i.fails(exitUsage, "expected \"<permission>\"", "check", "u", "--tenant", "x")
	i.fails(exitUsage, "--resource: must be TYPE:ID", "check", "u", "p", "--tenant", "x", "--resource", "post")
	i.fails(exitUsage, "resource.id: ", "check", "u", "p", "--tenant", "x", "--resource", "post:")
	i.fails(exitUsage, "permission: ", "check", "u", "post:*", "--tenant", "x")
	i.fails(exitUsage, "--key-file: is for --server", "check", "u", "p", "--tenant", "x", "--key-file", "key")
	i.fails(exitUsage, "base URL: ", "check", "u", "p", "--server", "localhost:8000")
	for _, context := range []string{"null", "[]", "3", "{", `{"a":1}{}`} {
		i.fails(exitUsage, "--context: must be a JSON object", "check", "u", "p", "--tenant", "x", "--context", context)
	}
}

func TestReportTellsAllAndHarmsNoTerminal(t *testing.T) {
	t.Parallel()
	got := report(authz.Decision{Truncated: true, Revision: 1, Stale: 3 * time.Second, Reasons: []authz.Reason{{
		Outcome: "of_another_release", Role: "r", At: authz.Node{Type: "post", ID: "\u009b2J"}, Permission: "p", Condition: "true\n||\x1b[0m false",
	}}}, true)
	want := "denied\n  r at post: 2J, would grant p if true || [0m false, but: of_another_release\n  and more than these\n  from memory: the database has been away for 3s\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCheckTellsThatStandardInputIsBroken(t *testing.T) {
	t.Parallel()
	p := &program{stdin: failing{}}
	if _, err := p.readKey(""); err == nil || !strings.Contains(err.Error(), "reading the client key: broken") {
		t.Errorf("got error %v, want that of standard input", err)
	}
}

// failing is a standard input that cannot be read.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

// answers checks how a check ended: its output, and the code that goes with it.
func answers(t *testing.T, got result, stdout string) {
	t.Helper()
	code := exitFailure
	if strings.HasPrefix(stdout, "allowed\n") {
		code = exitSuccess
	}
	if want := (result{code: code, stdout: stdout}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
