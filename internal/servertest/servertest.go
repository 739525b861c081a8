package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/internal/pgtest"
)

const module = "github.com/gatehouse/gatehouse/"

// programs are the paths of what Run has built, by their packages.
var programs = map[string]string{}

// Run builds Gatehouse's program, and packages of the module that are named too, such as
// "examples/notes". Then it runs a package's tests, and returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(servertest.Run(m)) }
func Run(m *testing.M, packages ...string) int {
	folder, err := os.MkdirTemp("", "gatehouse-servertest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	for _, source := range append([]string{"cmd/gatehouse"}, packages...) {
		programs[source] = filepath.Join(folder, path.Base(source))
		if out, err := exec.Command("go", "build", "-o", programs[source], module+source).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", source, err, out)
			return 1
		}
	}
	return pgtest.Run(m)
}

// Program is the path of what Run has built of a package, such as "cmd/gatehouse".
func Program(source string) string { return programs[source] }

// FindProgram returns the path of the first program of the names that is on this
// machine; names are of one Debian package. Without it the test is skipped, or fails
// where GATEHOUSE_TEST_REQUIRE_PROGRAMS is true, as it is in CI.
func FindProgram(t *testing.T, debian string, names ...string) string {
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
