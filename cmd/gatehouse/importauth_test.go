package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/seed/seedtest"
)

const (
	importedKey  = "3f2b1c9e-8a47-4d15-9c6e-0b7a5d2e4f10"
	importSecret = "a-key-that-nobody-is-told"
)

// fill lets alice edit, and bob who is not active not.
func fill(d *seedtest.Database, sealer seedtest.Sealer) {
	d.Role(1, importedKey, "editor", sealer(importedKey, "Edits what others write"), true)
	d.Permission(1, importedKey, sealer(importedKey, "edit"), true, 1)
	d.User(1, importedKey, sealer(importedKey, "alice@example.com"), true, 1)
	d.User(2, importedKey, sealer(importedKey, "bob@example.com"), false, 1)
}

const imported = "client keys: 1, 1 new\nroles: 1, 1 new\npermissions of roles: 1, 1 new\nmemberships: 1, 1 new\n"

// onlyTenant is the id of the one that has a client key.
func (i installation) onlyTenant() string {
	i.t.Helper()
	rows := i.rows()
	if len(rows) != 1 {
		i.t.Fatalf("got the keys %v, want one", rows)
	}
	return rows[0][1]
}

// holdsNothing tells that nothing was ever imported.
func (i installation) holdsNothing() {
	i.t.Helper()
	if rows := i.rows(); len(rows) > 0 {
		i.t.Errorf("got the keys %v, want none", rows)
	}
}

func TestImportAuth(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	fill(d, seedtest.SealedPerTenant(importSecret))
	for name, test := range map[string]struct{ environ, args []string }{
		"by a flag":         {nil, []string{"--encryption-key", importSecret}},
		"by an environment": {[]string{"GATEHOUSE_IMPORT_ENCRYPTION_KEY=" + importSecret}, nil},
	} {
		t.Run("key given "+name, func(t *testing.T) {
			t.Parallel()
			i := install(t, test.environ...)
			args := append([]string{"import", "auth", "--from", d.URL}, test.args...)
			if got, want := i.prints(append(args, "--dry-run")...), "client keys: 1\nroles: 1\npermissions of roles: 1\nmemberships: 1\n"; got != want {
				t.Errorf("dry run: got %q, want %q", got, want)
			}
			i.holdsNothing()
			if got := i.prints(args...); got != imported {
				t.Errorf("got %q, want %q", got, imported)
			}
			if got, want := i.prints(args...), strings.ReplaceAll(imported, "1 new", "0 new"); got != want {
				t.Errorf("again: got %q, want %q", got, want)
			}
			i.prints("check", "alice@example.com", "edit", "--tenant", i.onlyTenant())
			if got := i.run("check", "bob@example.com", "edit", "--tenant", i.onlyTenant()); got.code != exitFailure {
				t.Errorf("bob: got %+v, want a denial", got)
			}
		})
	}
}

func TestImportAuthFromPostgreSQL(t *testing.T) {
	t.Parallel()
	d := seedtest.Postgres(t, pgtest.URL(t))
	fill(d, seedtest.Plain)
	i := install(t)
	if got := i.prints("import", "auth", "--from", d.URL); got != imported {
		t.Errorf("got %q, want %q", got, imported)
	}
	i.prints("check", "alice@example.com", "edit", "--tenant", i.onlyTenant())
}

func TestImportAuthFindsFilesAsSettingsDo(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	fill(d, seedtest.Plain)
	i := install(t)
	content, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	i.keep("old.sqlite3", string(content))
	for _, url := range []string{"sqlite:old.sqlite3", "sqlite:~/old.sqlite3", "sqlite:///old.sqlite3", "sqlite:///" + filepath.Join(i.dir, "old.sqlite3")} {
		i.prints("import", "auth", "--from", url)
	}
}

func TestImportAuthThatCannotBeginWritesNothing(t *testing.T) {
	t.Parallel()
	plain, sealed, foreign := seedtest.SQLite(t), seedtest.SQLite(t), seedtest.SQLite(t)
	fill(plain, seedtest.Plain)
	fill(sealed, seedtest.Sealed(importSecret))
	foreign.Exec(`DROP TABLE auth_group`)
	i := install(t)
	for name, test := range map[string]struct {
		code int
		want string
		args []string
	}{
		"no database":       {exitUsage, "missing flags: --from", nil},
		"another engine":    {exitUsage, "--from: must be ", []string{"--from", "mysql://u:" + marker + "@h/db"}},
		"a URL that is bad": {exitFailure, "driver does not accept", []string{"--from", "postgres://u:" + marker + "@127.0.0.1/db?sslmode=nonsense"}},
		"nobody there":      {exitFailure, "connection refused", []string{"--from", "postgres://u:" + marker + "@127.0.0.1:1/db"}},
		"no file":           {exitFailure, "opening the database of --from: ", []string{"--from", "sqlite:none.sqlite3"}},
		"not auth's":        {exitFailure, "there is no table auth_group", []string{"--from", foreign.URL}},
		"the wrong key, whatever it does not open": {
			exitFailure, "opens none of the values", []string{"--from", sealed.URL, "--allow-plain", "--encryption-key", marker},
		},
	} {
		t.Run(name, func(t *testing.T) {
			i.fails(test.code, test.want, append([]string{"import", "auth"}, test.args...)...)
			if got := i.run(append([]string{"import", "auth"}, test.args...)...); strings.Contains(got.stderr, marker) {
				t.Errorf("got %q, which tells a secret", got.stderr)
			}
		})
	}
	for name, args := range map[string][]string{
		"no key": nil, "the wrong key": {"--encryption-key", marker}, "the wrong key, as a trial": {"--encryption-key", marker, "--dry-run"},
	} {
		got := i.run(append([]string{"import", "auth", "--from", sealed.URL}, args...)...)
		for _, want := range []string{
			"auth_group row 1: description: looks encrypted", "auth_permission row 1: name: looks encrypted",
			"auth_membership row 1: user: looks encrypted", "gatehouse: nothing was imported; values that cannot be read, with the encryption key that is given or without: 3 ",
		} {
			if got.code != exitFailure || got.stdout != "" || !strings.Contains(got.stderr, want) || strings.Contains(got.stderr, marker) {
				t.Errorf("%s: got %+v, want a failure with %q", name, got, want)
			}
		}
	}
	i.holdsNothing()
	itself := install(t, "AUTH_SQLITE_PATH="+plain.Path)
	itself.fails(exitUsage, "is the configured database itself", "import", "auth", "--from", plain.URL)
}

func TestImportAuthOfAChangedValueWritesNothing(t *testing.T) {
	t.Parallel()
	for _, change := range []string{
		`UPDATE auth_group SET description = 'A' || substr(description, 2)`,
		`UPDATE auth_permission SET name = '*' || substr(name, 2)`,
		`UPDATE auth_membership SET "user" = substr("user", 1, 30) || '!' || substr("user", 32)`,
		`UPDATE auth_membership SET "user" = (SELECT name FROM auth_permission), creator = '7d0a4c52-1f6b-4e38-b2a9-54c8e1f09d36' WHERE id = 1`,
	} {
		d := seedtest.SQLite(t)
		fill(d, seedtest.SealedPerTenant(importSecret))
		d.Exec(strings.ReplaceAll(change, "'A'", "CASE substr(description, 1, 1) WHEN 'A' THEN 'B' ELSE 'A' END"))
		i := install(t)
		got := i.run("import", "auth", "--from", d.URL, "--encryption-key", importSecret)
		if got.code != exitFailure || !strings.Contains(got.stderr, "nothing was imported; values that cannot be read, with the encryption key that is given or without: 1 ") || strings.Contains(got.stderr, importSecret) {
			t.Errorf("%s: got %+v, want a failure", change, got)
		}
		i.holdsNothing()
	}
}

func TestImportAuthTellsWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	fill(d, seedtest.Plain)
	d.Permission(2, importedKey, "*", true, 1)
	i := install(t)
	args := []string{"import", "auth", "--from", d.URL}
	left := "auth_permission row 2: permission: a wildcard can be granted but not asked for\n"
	for _, flag := range []string{"--strict", "--dry-run"} {
		if got := i.run(append(args, flag)...); got.code != exitFailure || !strings.HasPrefix(got.stderr, left) {
			t.Errorf("%s: got %+v, want a failure that tells of the row", flag, got)
		}
		i.holdsNothing()
	}
	if got := i.run(args...); got.code != exitFailure || got.stdout != imported || got.stderr != left+"gatehouse: rows left out: 1\n" {
		t.Errorf("got %+v, want the rest and a failure that tells of the row", got)
	}
}

func TestImportAuthIntoAStrictTenantSaysWhy(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	fill(d, seedtest.Plain)
	i := install(t)
	i.prints("import", "auth", "--from", d.URL)
	i.tenant(i.onlyTenant(), func(tenant *engine.Tenant) {
		if _, err := tenant.PutSettings(t.Context(), authz.Settings{StrictUsers: true}); err != nil {
			t.Fatal(err)
		}
	})
	d.User(3, importedKey, "carol@example.com", true, 1)
	i.fails(exitFailure, "auth_membership row 3 to tenant "+i.onlyTenant(), "import", "auth", "--from", d.URL)
}
