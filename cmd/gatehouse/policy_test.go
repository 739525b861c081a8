package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// documentedPolicy is the example of docs/policy.md.
func documentedPolicy(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(content)
	if found == nil {
		t.Fatal("docs/policy.md has no example")
	}
	return string(found[1])
}

// keep writes a file into the installation.
func (i installation) keep(name, content string) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(content), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// prints runs a command that succeeds and returns what it prints.
func (i installation) prints(args ...string) string {
	i.t.Helper()
	got := i.run(args...)
	if got.code != exitSuccess || got.stderr != "" {
		i.t.Fatalf("%v: got %+v, want success", args, got)
	}
	return got.stdout
}

// tenant lets use at a tenant of the installation's database.
func (i installation) tenant(id string, use func(*engine.Tenant)) {
	i.t.Helper()
	e, err := engine.Open(i.t.Context(), engine.Config{Database: filepath.Join(i.dir, ".auth.sqlite3")})
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	use(e.Tenant(id))
}

func (i installation) revision(id string) (revision int64) {
	i.t.Helper()
	i.tenant(id, func(t *engine.Tenant) {
		roles, err := t.Roles(i.t.Context(), authz.Page{})
		if err != nil {
			i.t.Fatal(err)
		}
		revision = roles.Revision
	})
	return revision
}

func TestPolicyComesBackAsItWent(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.keep("policy.yaml", documentedPolicy(t))
	added := i.prints("import", "policy", "policy.yaml", "--tenant", "news")
	for _, want := range []string{
		"+ role editor\n", "+ grant editor: post:publish if context.hour < 18\n", "+ scope team:crew under project:apollo\n",
		"+ group staff\n", "+ member of group staff: group interns\n", "+ membership group staff: auditor at tenant\n",
		"+ membership user alice: editor at project:apollo from 2026-01-01T00:00:00Z until 2100-01-01T00:00:00Z\n",
	} {
		if !strings.Contains(added, want) {
			t.Errorf("got %q, want it to hold %q", added, want)
		}
	}
	if got := i.revision("news"); got != 1 {
		t.Errorf("revision: got %d, want 1", got)
	}
	exported := i.prints("export", "policy", "--tenant", "news")
	i.keep("exported.yaml", exported)
	for _, tenant := range []string{"news", "copy"} {
		i.prints("import", "policy", "exported.yaml", "--tenant", tenant, "--prune")
		if got := i.prints("import", "policy", "exported.yaml", "--tenant", tenant, "--prune"); got != "no difference\n" {
			t.Errorf("%s again: got %q, want no difference", tenant, got)
		}
		if got := i.prints("export", "policy", "--tenant", tenant); got != exported {
			t.Errorf("%s: got %s, want %s", tenant, got, exported)
		}
	}
	if got := i.revision("news"); got != 1 {
		t.Errorf("revision after the same policy: got %d, want 1", got)
	}
}

func TestExportOfATenantThatDoesNotExistFails(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.fails(exitFailure, `tenant "nobody" does not exist`, "export", "policy", "--tenant", "nobody")
	if got := i.revision("nobody"); got != 0 {
		t.Errorf("revision: got %d, want 0", got)
	}
}

func TestExportDoesNotWaitForWriters(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.tenant("news", func(tenant *engine.Tenant) {
		if _, err := tenant.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		_, err := tenant.Batch(t.Context(), func(*engine.Tenant) error {
			if got := i.prints("export", "policy", "--tenant", "news"); got != "roles:\n  editor: {}\n" {
				t.Errorf("got %q, want the role", got)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestEmptyFilePrunesNothing(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.keep("policy.yaml", documentedPolicy(t))
	i.prints("import", "policy", "policy.yaml", "--tenant", "news")
	i.keep("empty.yaml", "# nothing yet\n")
	i.fails(exitUsage, "the file is empty", "import", "policy", "empty.yaml", "--tenant", "news", "--prune")
	if got := i.revision("news"); got != 1 {
		t.Errorf("revision: got %d, want 1 as before", got)
	}
}

func TestImportPrunesOnlyWhereItIsTold(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.keep("policy.yaml", documentedPolicy(t))
	i.prints("import", "policy", "policy.yaml", "--tenant", "news")
	i.keep("small.yaml", "roles:\n  editor:\n    grants:\n      post:edit: context.hour > 8\n")
	kept := "~ role editor\n~ grant editor: post:edit if context.hour > 8\n"
	if got := i.prints("import", "policy", "small.yaml", "--tenant", "news", "--dry-run"); got != kept {
		t.Errorf("got %q, want %q", got, kept)
	}
	before := i.prints("export", "policy", "--tenant", "news")
	pruned := i.prints("import", "policy", "small.yaml", "--tenant", "news", "--dry-run", "--prune")
	for _, want := range []string{
		"- membership user carol: auditor at tenant\n", "- member of group staff: user alice\n", "- grant @owner: post:delete\n",
		"- role auditor\n", "- group staff\n", "- scope team:crew\n- scope project:apollo\n- scope organization:acme\n",
	} {
		if !strings.Contains(pruned, want) {
			t.Errorf("got %q, want it to hold %q", pruned, want)
		}
	}
	if got := i.prints("export", "policy", "--tenant", "news"); got != before || i.revision("news") != 1 {
		t.Errorf("after dry runs: got %s at revision %d, want %s at 1", got, i.revision("news"), before)
	}
	if got := i.prints("import", "policy", "small.yaml", "--tenant", "news", "--prune"); got != pruned {
		t.Errorf("got %q, want what the dry run said: %q", got, pruned)
	}
	if got := i.prints("import", "policy", "small.yaml", "--tenant", "news", "--prune"); got != "no difference\n" {
		t.Errorf("again: got %q, want no difference", got)
	}
}

func TestImportReversesInheritanceAndNesting(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.keep("one.yaml", "roles: {a: {inherits: [b]}, b: {inherits: [c]}, c: {}}\ngroups: {x: {groups: [y]}, y: {}}\n")
	i.keep("other.yaml", "roles: {c: {inherits: [b]}, b: {inherits: [a]}, a: {}}\ngroups: {y: {groups: [x]}, x: {}}\n")
	for _, file := range []string{"one.yaml", "other.yaml", "one.yaml"} {
		i.prints("import", "policy", file, "--tenant", "news", "--prune")
		if got := i.prints("import", "policy", file, "--tenant", "news", "--prune"); got != "no difference\n" {
			t.Errorf("%s again: got %q, want no difference", file, got)
		}
	}
}

func TestImportThatConflictsChangesNothing(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.tenant("news", func(tenant *engine.Tenant) {
		if _, err := tenant.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := tenant.AddMembership(t.Context(), "alice", "editor", authz.Window{}); err != nil {
			t.Fatal(err)
		}
	})
	for name, test := range map[string]struct {
		file, want string
		code       int
	}{
		"held elsewhere":     {"roles:\n  author: {}\n  editor:\n    scopes: [team]\n", `line 3: roles.editor: scopes: user "alice" holds role "editor" at tenant`, exitFailure},
		"a bad condition":    {"roles:\n  author: {}\n  editor:\n    grants:\n      edit: 1 +\n", "line 5: roles.editor.grants.edit: condition: ", exitUsage},
		"a bad name":         {"roles:\n  author: {}\n  a b: {}\n", "line 3: roles.a b: role: ", exitUsage},
		"a circle of groups": {"roles:\n  author: {}\ngroups:\n  x:\n    groups:\n      - y\n  y: {groups: [x]}\n", "groups would go in a circle", exitFailure},
	} {
		t.Run(name, func(t *testing.T) {
			i := installation{t: t, dir: i.dir, environ: i.environ}
			i.keep("policy.yaml", test.file)
			for _, flag := range [][]string{nil, {"--dry-run"}} {
				i.fails(test.code, test.want, append([]string{"import", "policy", "policy.yaml", "--tenant", "news"}, flag...)...)
			}
			if got := i.revision("news"); got != 2 {
				t.Errorf("revision: got %d, want 2 as before", got)
			}
		})
	}
}

func TestPolicyTestsAreTried(t *testing.T) {
	t.Parallel()
	// It asks no database, whatever the settings say.
	i := install(t, "AUTH_DATABASE_TYPE=nonsense")
	example := documentedPolicy(t)
	i.keep("policy.yaml", example)
	if got := i.prints("test", "policy", "policy.yaml"); got != "0 of 6 tests failed\n" {
		t.Errorf("got %q, want no failures", got)
	}
	i.keep("policy.yaml", strings.Replace(example, "context: {hour: 17}", "context: {hour: 19}", 1))
	got := i.run("test", "policy", "policy.yaml")
	for _, want := range []string{
		": alice post:publish on post:7: want allowed, got denied\n",
		"  editor at project:apollo, would grant post:publish if context.hour < 18, but that is not so\n1 of 6 tests failed\n",
	} {
		if got.code != exitFailure || got.stderr != "" || !strings.Contains(got.stdout, want) {
			t.Errorf("got %+v, want a failure that says %q", got, want)
		}
	}
	i.keep("policy.yaml", "roles: {editor: {}}\n")
	i.fails(exitUsage, "holds no tests", "test", "policy", "policy.yaml")
	i.keep("policy.yaml", "tests:\n  - {user: a, permission: 'b:*', want: denied}\n")
	i.fails(exitUsage, "line 2: tests.0: permission: ", "test", "policy", "policy.yaml")
	i.fails(exitFailure, "reading the policy: ", "test", "policy", "none.yaml")
}
