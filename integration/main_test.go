// Package integration_test tests the whole system: the real program in processes of
// its own, on a real PostgreSQL and on SQLite, through the SDK.
//
// installation and process stand for what an operator has; most tests run on both
// databases, see onBoth.
package integration_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/sdk"
)

// programs are the paths of what TestMain builds, by their packages.
var programs = map[string]string{
	"../cmd/gatehouse":       "",
	"../examples/quickstart": "",
	"../examples/embedded":   "",
	"../examples/notes":      "",
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "gatehouse-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	for source := range programs {
		programs[source] = filepath.Join(folder, filepath.Base(source))
		if out, err := exec.Command("go", "build", "-o", programs[source], source).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", source, err, out)
			return 1
		}
	}
	return pgtest.Run(m)
}

// onBoth runs a test on an installation with SQLite, and on one with a migrated
// PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, installation)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, installSQLite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		i := install(t, pgtest.URL(t))
		i.must("migrate")
		test(t, i)
	})
}

// client calls a server with a client key, and tries nothing twice.
func client(t *testing.T, server *process, key string) *sdk.Client {
	t.Helper()
	c, err := sdk.New(server.url, key, sdk.WithRetry(sdk.Retry{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newClient calls with a key that opens a tenant of its own.
func newClient(t *testing.T, server *process) *sdk.Client {
	t.Helper()
	return client(t, server, uuid.NewString())
}

// findProgram returns the path of the first program of the names that is on this
// machine; names are of one Debian package. Without it the test is skipped, or fails
// where GATEHOUSE_TEST_REQUIRE_PROGRAMS is true, as it is in CI.
func findProgram(t *testing.T, debian string, names ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skipf("-short leaves out what needs %s", names[0])
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "there is no %s on this machine: apt-get install %s"
	if os.Getenv("GATEHOUSE_TEST_REQUIRE_PROGRAMS") == "true" {
		t.Fatalf(missing, names[0], debian)
	}
	t.Skipf(missing, names[0], debian)
	return ""
}
