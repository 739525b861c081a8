package integration_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

const showcase = "../examples/showcase.sh"

// needShell leaves a test out where the programs that the script calls are missing.
func needShell(t *testing.T) {
	t.Helper()
	for _, program := range []string{"bash", "curl", "grep"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIP: examples/showcase.sh needs %s", program)
		}
	}
}

func TestShowcase(t *testing.T) {
	needShell(t)
	onBoth(t, func(t *testing.T, i installation) {
		server := i.Serve()
		key := uuid.NewString()
		// It leaves the tenant as it was, and can be run again.
		for range 2 {
			out, err := exec.CommandContext(t.Context(), "bash", showcase, server.URL, key).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "answers are as they should be") {
				t.Fatalf("showcase: %v\n%s", err, out)
			}
			if strings.Contains(string(out), key) {
				t.Error("showcase prints the client key")
			}
		}
	})
}

func TestShowcaseStopsAtAWrongAnswer(t *testing.T) {
	t.Parallel()
	needShell(t)
	server := servertest.InstallSQLite(t, "AUTH_CLIENT_REGISTRATION=closed").Serve()
	out, err := exec.CommandContext(t.Context(), "bash", showcase, server.URL).CombinedOutput()
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != 1 || !strings.Contains(string(out), "✗ The tenant is empty") || strings.Contains(string(out), "✓ A role") {
		t.Errorf("showcase with a key that is not let in: got %v, want code 1 and ✗\n%s", err, out)
	}
}

func TestShowcaseShowsEveryOperation(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(showcase)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := api.GetSpec()
	if err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\\\{\w+\\\}`)
	for path, item := range spec.Paths.Map() {
		for method := range item.Operations() {
			call := method + ` ['"]?` + parameter.ReplaceAllString(regexp.QuoteMeta(path), `[^/ ?]+`) + `(['"?)\s]|$)`
			if !regexp.MustCompile(`(?m) 20[01] .*` + call).Match(script) {
				t.Errorf("no step shows a success of %s %s", method, path)
			}
		}
	}
}

const tourOutput = `may alice@example.com edit posts? true
may bob@example.com edit posts? false
alice@example.com can delete drafts, as editor
`

func TestQuickstart(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		wantTour(t, "examples/quickstart", "-url", i.Serve().URL)
	})
}

func TestEmbedded(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		wantTour(t, "examples/embedded", "-database", i.Database)
	})
}

func wantTour(t *testing.T, source string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), servertest.Program(source), args...).CombinedOutput()
	if err != nil || string(out) != tourOutput {
		t.Errorf("%s: got %v\n%s\nwant\n%s", source, err, out, tourOutput)
	}
}
