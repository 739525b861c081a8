// Package internal_test holds the direction of the project's dependencies.
package internal_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const module = "github.com/gatehouse/gatehouse"

// rules says of each package what it may import, besides the standard library and
// what its directory holds. A package that no rule names fails the test.
var rules = []struct {
	// packages is a path below the module, or "path/..." for all below it too.
	packages string
	// own are the project's packages that may be imported.
	own []string
	// others are prefixes of other modules' packages; nil means any. A database
	// driver must be named.
	others []string
}{
	{packages: "", own: []string{}, others: []string{}},
	{packages: "internal", own: []string{}, others: []string{}},
	{packages: "authz", own: []string{}, others: []string{"cel.dev/cel-go/"}},
	{packages: "internal/fault", own: []string{}, others: []string{}},
	{packages: "internal/meter", own: []string{}, others: []string{}},
	{packages: "internal/seal", own: []string{}, others: []string{}},
	{packages: "internal/receipt", own: []string{}, others: []string{}},
	{packages: "internal/audit", own: []string{}, others: []string{"golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog"}},
	{packages: "internal/signing", own: []string{}, others: []string{"github.com/golang-jwt/jwt/v5"}},
	{
		packages: "internal/session", own: []string{"authz", "internal/signing"},
		others: []string{"github.com/golang-jwt/jwt/v5", "github.com/mileusna/useragent"},
	},
	{packages: "internal/token", own: []string{"authz", "internal/signing"}, others: []string{"github.com/golang-jwt/jwt/v5"}},
	{packages: "internal/store", own: []string{"authz", "internal/audit", "internal/fault", "internal/session", "internal/token"}, others: []string{}},
	{
		packages: "internal/store/sqlstore",
		own:      []string{"authz", "internal/audit", "internal/fault", "internal/meter", "internal/seal", "internal/session", "internal/store", "internal/token", "gen/bridge", "gen/postgres", "gen/sqlite", "schema"},
		others:   []string{"github.com/jackc/pgx/v5", "github.com/jackc/puddle/v2", "go.opentelemetry.io/otel/", "modernc.org/sqlite", "database/sql", "github.com/google/uuid", "github.com/pressly/goose/v3", "github.com/sony/gobreaker/v2", "golang.org/x/mod/sumdb/tlog"},
	},
	{packages: "internal/store/storetest", own: []string{"authz", "internal/audit", "internal/fault", "internal/session", "internal/store", "internal/token"}, others: []string{}},
	{
		packages: "internal/live", own: []string{"authz", "internal/fault", "internal/meter", "internal/store"},
		others: []string{"github.com/maypok86/otter/v2", "golang.org/x/sync/"},
	},
	{packages: "internal/pgtest", own: []string{}, others: []string{"github.com/jackc/pgx/v5", "github.com/testcontainers/"}},
	{
		packages: "internal/seed", own: []string{},
		others: []string{"github.com/jackc/pgx/v5", "modernc.org/sqlite", "database/sql"},
	},
	{
		packages: "internal/seed/seedtest", own: []string{},
		others: []string{"github.com/google/uuid", "github.com/jackc/pgx/v5", "modernc.org/sqlite", "database/sql"},
	},
	{packages: "internal/servertest", own: []string{"internal/pgtest"}, others: []string{}},
	{packages: "internal/tlstest", own: []string{}, others: []string{}},
	{packages: "internal/contract", own: []string{"authz", "internal/audit", "internal/fault"}, others: []string{}},
	{packages: "internal/tools/...", own: []string{}, others: []string{}},
	{packages: "schema", own: []string{}, others: []string{}},
	{packages: "gen/...", own: []string{"gen/postgres", "gen/sqlite"}, others: append([]string{"github.com/"}, drivers...)},
	{
		packages: "engine",
		own: []string{
			"authz", "internal/audit", "internal/fault", "internal/live", "internal/meter", "internal/receipt", "internal/session", "internal/signing", "internal/store",
			"internal/store/sqlstore", "internal/token",
		},
		others: []string{"github.com/cenkalti/backoff/v5", "github.com/google/uuid", "github.com/maypok86/otter/v2", "go.opentelemetry.io/otel/trace", "golang.org/x/mod/sumdb/tlog"},
	},
	{packages: "server", own: []string{"", "authz", "engine", "gen/api", "internal/fault"}},
	{packages: "server/extauthz", own: []string{}, others: []string{"github.com/envoyproxy/go-control-plane/envoy/", "google.golang.org/"}},
	{packages: "middleware", own: []string{"authz"}, others: []string{"github.com/felixge/httpsnoop"}},
	{packages: "middleware/echo", own: []string{"authz", "middleware"}, others: []string{"github.com/labstack/echo/v4"}},
	{packages: "middleware/gin", own: []string{"authz", "middleware"}, others: []string{"github.com/gin-gonic/gin"}},
	{packages: "middleware/grpc", own: []string{"authz", "middleware"}, others: []string{"google.golang.org/grpc"}},
	{packages: "sdk/...", own: []string{"authz", "internal/audit", "internal/fault", "sdk/api"}},
	{packages: "cmd/...", own: []string{"authz", "engine", "internal/audit", "internal/fault", "internal/seed", "sdk", "server", "server/extauthz"}},
	{packages: "examples/...", own: []string{"authz", "engine", "sdk"}, others: []string{"github.com/google/uuid"}},
	{
		// The drivers, because its notes are its own.
		packages: "examples/notes",
		own:      []string{"authz", "engine", "middleware", "sdk"},
		others:   []string{"github.com/mileusna/useragent", "golang.org/x/crypto/bcrypt", "modernc.org/sqlite", "database/sql"},
	},
	{packages: "integration/...", own: []string{"authz", "engine", "server", "sdk", "internal/pgtest"}},
	{
		// The drivers, because their own transaction rate is what writes are measured against.
		packages: "integration/bench",
		own:      []string{"authz", "engine", "internal/audit", "middleware", "server", "internal/pgtest"},
		others:   []string{"github.com/jackc/pgx/v5", "modernc.org/sqlite", "database/sql"},
	},
}

// drivers may be imported only where a rule names them.
var drivers = []string{"github.com/jackc/pgx", "modernc.org/sqlite", "database/sql"}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, module+"/...") {
		path := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		rule := -1
		for i, r := range rules {
			below, all := strings.CutSuffix(r.packages, "/...")
			if path == below || all && strings.HasPrefix(path, below+"/") {
				rule = i
			}
		}
		if rule < 0 {
			t.Errorf("package %q has no rule here: say what it may import", path)
			continue
		}
		for _, imported := range p.Imports {
			if why := refusal(rules[rule].own, rules[rule].others, path, imported); why != "" {
				t.Errorf("package %q imports %q: %s", path, imported, why)
			}
		}
	}
}

// refusal says why an import is against a rule; empty where it is not.
func refusal(own, others []string, path, imported string) string {
	if imported == module || strings.HasPrefix(imported, module+"/") {
		of := strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")
		for _, allowed := range own {
			if of == allowed {
				return ""
			}
		}
		if strings.HasPrefix(of, path+"/") {
			return ""
		}
		return "dependencies point one way, see the table in this test"
	}
	if hasPrefix(others, imported) {
		return ""
	}
	if hasPrefix(drivers, imported) {
		return "only the store knows a database driver"
	}
	if standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], "."); standard || others == nil {
		return ""
	}
	return "not one of the modules that it may use"
}

func hasPrefix(prefixes []string, s string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	return false
}

// TestSDKIsLight keeps a client service free of what only a server needs.
func TestSDKIsLight(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "-deps", module+"/sdk") {
		for _, heavy := range append([]string{
			module + "/engine", module + "/server", module + "/gen/", module + "/internal/store",
			"github.com/getkin/kin-openapi", "github.com/go-co-op/gocron",
		}, drivers[:2]...) {
			if strings.HasPrefix(p.ImportPath, heavy) {
				t.Errorf("sdk depends on %s", p.ImportPath)
			}
		}
	}
}

// TestEnvironmentIsReadInOnePlace keeps every setting visible in the commands.
// The tests' own settings are read by pgtest and servertest.
func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	t.Parallel()
	reads := regexp.MustCompile(`os\.(Getenv|LookupEnv|Environ)\b`)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		name := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		allowed := strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "internal/pgtest/") ||
			strings.HasPrefix(name, "internal/servertest/") || strings.HasSuffix(name, "_test.go")
		if err != nil || entry.IsDir() || allowed || filepath.Ext(name) != ".go" {
			return err
		}
		source, err := os.ReadFile(path)
		if err == nil && reads.Match(source) {
			t.Errorf("%s reads the environment", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Standard"}, args...)...)
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}
