package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var keyPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n$`)

// result is how a command line ended.
type result struct {
	code           int
	stdout, stderr string
}

// installation is a folder with a database, for commands of one test.
type installation struct {
	t       *testing.T
	dir     string
	environ []string
}

func install(t *testing.T, environ ...string) installation {
	t.Helper()
	dir := t.TempDir()
	return installation{t: t, dir: dir, environ: append([]string{"HOME=" + dir}, environ...)}
}

func (i installation) run(args ...string) result {
	i.t.Helper()
	return i.fed("", args...)
}

// fed runs a command that finds content on its standard input.
func (i installation) fed(content string, args ...string) result {
	i.t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(i.t.Context(), args, i.environ, i.dir, strings.NewReader(content), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// must runs a command that succeeds and returns its standard output.
func (i installation) must(args ...string) string {
	i.t.Helper()
	got := i.run(args...)
	if got.code != exitSuccess {
		i.t.Fatalf("%q: %+v, want success", args, got)
	}
	return got.stdout
}

// fails runs a command that ends with code and one line that holds want.
func (i installation) fails(code int, want string, args ...string) {
	i.t.Helper()
	got := i.run(args...)
	line, more := strings.CutSuffix(got.stderr, "\n")
	if got.code != code || got.stdout != "" || !more || strings.Contains(line, "\n") ||
		!strings.HasPrefix(line, "gatehouse: ") || !strings.Contains(line, want) {
		i.t.Errorf("%q: %+v, want code %d and one line with %q", args, got, code, want)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_NONSENSE=1") // help needs no good settings
	for _, command := range []string{
		"", "serve", "migrate", "client", "client create", "client list", "client rotate", "client revoke",
		"keys", "keys list", "keys rotate", "encryption", "encryption status", "encryption enable", "encryption rotate", "encryption disable", "check", "import auth", "health", "version",
	} {
		args := append(strings.Fields(command), "--help")
		got := i.must(args...)
		wanted := []string{strings.TrimSpace("Usage: gatehouse " + command), "Exit codes: 0 success, 1 failure, 2 wrong usage"}
		if command != "" && command != "client" && command != "keys" {
			wanted = append(wanted, "Example", "    ", "gatehouse "+command)
		}
		for _, want := range wanted {
			if !strings.Contains(got, want) {
				t.Errorf("%q: got %q, want %q in it", args, got, want)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := install(t, "AUTH_NONSENSE=1").must("version")
	if want := regexp.MustCompile(`^gatehouse \S+ \(go\S+ \w+/\w+\)\n$`); !want.MatchString(got) {
		t.Errorf("got %q, want %s", got, want)
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.fails(exitUsage, "expected one of")
	i.fails(exitUsage, "expected one of", "client")
	i.fails(exitUsage, "unexpected argument frobnicate", "frobnicate")
	i.fails(exitUsage, "unexpected argument now", "serve", "now")
	i.fails(exitUsage, "unknown flag --nmae", "client", "create", "--nmae", "x")
	i.fails(exitUsage, "expected \"<fingerprint>\"", "client", "rotate")
	i.fails(exitUsage, "expected \"<fingerprint>\"", "client", "revoke")
	i.fails(exitUsage, "--expires", "client", "create", "--expires", "90d")
	i.fails(exitUsage, "abilities", "client", "create", "--abilities", "check,everything")
	i.fails(exitUsage, "must be at least 1s", "client", "create", "--expires=-1h")
	i.fails(exitUsage, "must be at least 1s", "client", "create", "--expires=1ns")
	i.fails(exitUsage, "--expires", "client", "create", "--expires=0s")
	i.fails(exitUsage, "at least one ability", "client", "create", "--abilities", "")
	i.fails(exitUsage, "must not be negative", "client", "rotate", "0123456789abcdef", "--overlap=-1h")
	i.fails(exitUsage, "at most 256 characters", "client", "create", "--name", strings.Repeat("n", 257))
	if got, want := strings.Count(i.must("client", "list"), "\n"), 1; got != want {
		t.Errorf("%d lines are listed after that, want %d", got, want)
	}
}

func TestBadSettingsStopEveryCommandThatNeedsThem(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_DATABASE_URL=mysql://u:"+marker+"@h/db")
	for _, command := range []string{
		"serve", "migrate", "client create", "client list", "client rotate x", "client revoke x", "keys list", "keys rotate", "encryption status", "encryption enable", "encryption rotate", "encryption disable", "check u p --tenant x", "import auth --from sqlite:x", "health",
	} {
		i.fails(exitUsage, "AUTH_DATABASE_URL: must be ", strings.Fields(command)...)
		if got := i.run(strings.Fields(command)...).stderr; strings.Contains(got, marker) {
			t.Errorf("%s: %q shows a secret", command, got)
		}
	}
}

func TestClientKeys(t *testing.T) {
	t.Parallel()
	i := install(t)
	if got, want := i.must("client", "list"), "FINGERPRINT  TENANT  NAME  ABILITIES  CREATED  EXPIRES  STATUS\n"; got != want {
		t.Errorf("the empty list is %q, want %q", got, want)
	}

	made := i.run("client", "create", "--name", "the\nback\tend", "--abilities", "read,check", "--expires", "2160h")
	if made.code != exitSuccess || !keyPattern.MatchString(made.stdout) {
		t.Fatalf("create: %+v, want a UUID4 alone on standard output", made)
	}
	first := i.rows()[0]
	if got, want := strings.Join(first[2:6], " "), "the back end check,read"; got != want {
		t.Errorf("created %q, want %q", got, want)
	}
	if got, want := made.stderr, "client key "+first[0]+" of tenant "+first[1]+"; the key itself is shown this once\n"; got != want {
		t.Errorf("standard error %q, want %q", got, want)
	}

	i.must("client", "create", "--tenant", first[1])
	for _, row := range i.rows() {
		if row[0] != first[0] {
			i.must("client", "rotate", row[0], "--overlap", "0s")
		}
	}
	expired := i.fingerprint("expired")
	i.fails(exitFailure, "the client key "+expired+" is expired", "client", "rotate", expired)

	if got := i.must("client", "rotate", first[0], "--overlap", "1h"); !keyPattern.MatchString(got) || got == made.stdout {
		t.Errorf("rotate printed %q, want another UUID4 than %q", got, made.stdout)
	}
	if got, want := len(i.rows()), 4; got != want {
		t.Errorf("%d keys after two rotations, want %d", got, want)
	}
	for _, row := range i.rows() {
		if row[1] != first[1] {
			t.Errorf("key %q is of tenant %q, want %q", row[0], row[1], first[1])
		}
	}

	if got, want := i.must("client", "revoke", first[0]), "client key "+first[0]+" revoked\n"; got != want {
		t.Errorf("revoke printed %q, want %q", got, want)
	}
	if got, want := i.must("client", "revoke", first[0]), "client key "+first[0]+" was revoked before\n"; got != want {
		t.Errorf("revoking again printed %q, want %q", got, want)
	}
	if got, want := i.fingerprint("revoked"), first[0]; got != want {
		t.Errorf("%q is listed as revoked, want %q", got, want)
	}
	i.fails(exitFailure, "is revoked", "client", "rotate", first[0])
	i.fails(exitFailure, "no such client key", "client", "revoke", "0123456789abcdef")
	i.fails(exitFailure, "no such client key", "client", "rotate", "0123456789abcdef")
	i.fails(exitFailure, `tenant "nobody" does not exist`, "client", "create", "--tenant", "nobody")
}

// rows returns the listed keys, split into words.
func (i installation) rows() [][]string {
	i.t.Helper()
	var rows [][]string
	for _, line := range strings.Split(i.must("client", "list"), "\n")[1:] {
		if line != "" {
			rows = append(rows, strings.Fields(line))
		}
	}
	return rows
}

// fingerprint returns that of the listed key with a status.
func (i installation) fingerprint(status string) string {
	i.t.Helper()
	for _, row := range i.rows() {
		if row[len(row)-1] == status {
			return row[0]
		}
	}
	i.t.Fatalf("no key is %s", status)
	return ""
}

func TestMigrateSQLite(t *testing.T) {
	t.Parallel()
	i := install(t)
	if got, want := i.must("migrate"), regexp.MustCompile(`^schema version 0 -> \d+\n$`); !want.MatchString(got) {
		t.Errorf("got %q, want %s", got, want)
	}
	if got, want := i.must("migrate"), regexp.MustCompile(`^schema version \d+: nothing to do\n$`); !want.MatchString(got) {
		t.Errorf("a second time: got %q, want %s", got, want)
	}
	if _, err := os.Stat(filepath.Join(i.dir, ".auth.sqlite3")); err != nil {
		t.Errorf("no database at the default path: %v", err)
	}
}

func TestUnusableSQLite(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_SQLITE_PATH=missing/auth.sqlite3")
	i.fails(exitFailure, "opening the database of AUTH_SQLITE_PATH: ", "client", "list")
	i.fails(exitFailure, "migrating the database of AUTH_SQLITE_PATH: ", "migrate")
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	i := install(t, "AUTH_DATABASE_TYPE=postgresql", "AUTH_POSTGRESQL_URL="+url)
	i.fails(exitFailure, "run `gatehouse migrate`", "client", "list")
	if got, want := i.must("migrate"), regexp.MustCompile(`^schema version 0 -> \d+\n$`); !want.MatchString(got) {
		t.Errorf("got %q, want %s", got, want)
	}
	if got := i.must("client", "create"); !keyPattern.MatchString(got) {
		t.Errorf("create printed %q, want a UUID4", got)
	}
}

func TestPostgreSQLIsMigratedWhereSettingsSaySo(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_DATABASE_URL="+pgtest.URL(t), "AUTH_AUTO_MIGRATE=true")
	if got := i.must("client", "create"); !keyPattern.MatchString(got) {
		t.Errorf("create printed %q, want a UUID4", got)
	}
}

func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://u:" + marker + "@127.0.0.1:1/db",
		"postgres://u@127.0.0.1:1/db?password=" + marker,
		"postgres://u:" + marker + "@127.0.0.1/db?sslmode=nonsense",
		"postgres://u@127.0.0.1/db?sslmode=nonsense&password=" + marker,
		"postgres://u:" + marker + "@127.0.0.1:port/db",
	} {
		i := install(t, "AUTH_DATABASE_URL="+url)
		for _, command := range []string{"serve", "migrate", "client list"} {
			got := i.run(strings.Fields(command)...)
			if got.code == exitSuccess || strings.Contains(got.stderr+got.stdout, marker) || !strings.Contains(got.stderr, "AUTH_DATABASE_URL") {
				t.Errorf("%s on %s: %+v, want a failure that names AUTH_DATABASE_URL without the password", command, url, got)
			}
		}
	}
}

func TestFailuresAreToldWithTheirCause(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_DATABASE_URL=postgres://u@127.0.0.1:1/db")
	i.fails(exitFailure, "connection refused", "migrate")
	i.fails(exitFailure, "connection refused", "client", "list")
}

func TestCancelledCommandFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	dir := t.TempDir()
	if got, want := run(ctx, []string{"client", "create"}, []string{"HOME=" + dir}, dir, strings.NewReader(""), &stdout, &stderr), exitFailure; got != want || stdout.Len() > 0 {
		t.Errorf("code %d with %q on standard output, want %d and nothing", got, &stdout, want)
	}
}
