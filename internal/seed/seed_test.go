package seed_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/seed"
	"github.com/gatehouse/gatehouse/internal/seed/seedtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	one     = "3f2b1c9e-8a47-4d15-9c6e-0b7a5d2e4f10"
	another = "7d0a4c52-1f6b-4e38-b2a9-54c8e1f09d36"
	key     = "hunter2"
)

type openFunc func(context.Context, seed.Options) (*seed.Database, error)

// openers make an empty database of auth and the way in, by engine.
var openers = map[string]func(*testing.T) (*seedtest.Database, openFunc){
	"SQLite": func(t *testing.T) (*seedtest.Database, openFunc) {
		d := seedtest.SQLite(t)
		return d, func(ctx context.Context, o seed.Options) (*seed.Database, error) {
			return seed.OpenSQLite(ctx, d.Path, o)
		}
	},
	"PostgreSQL": func(t *testing.T) (*seedtest.Database, openFunc) {
		d := seedtest.Postgres(t, pgtest.URL(t))
		return d, func(ctx context.Context, o seed.Options) (*seed.Database, error) {
			return seed.OpenPostgres(ctx, d.URL, o)
		}
	},
}

// onBoth runs a test on both engines. read opens the database and returns its rows of
// a kind.
func onBoth(t *testing.T, test func(t *testing.T, d *seedtest.Database, read func(seed.Kind, seed.Options) []seed.Row)) {
	for name, opener := range openers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, open := opener(t)
			test(t, d, func(kind seed.Kind, options seed.Options) []seed.Row {
				t.Helper()
				from, err := open(t.Context(), options)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = from.Close() }()
				return rows(t, from, kind)
			})
		})
	}
}

func rows(t *testing.T, from *seed.Database, kind seed.Kind) (rows []seed.Row) {
	t.Helper()
	for row, err := range from.Rows(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if row.Kind == kind {
			rows = append(rows, row)
		}
	}
	return rows
}

func TestLinksThatAuthDoesNotFollow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *seedtest.Database, read func(seed.Kind, seed.Options) []seed.Row) {
		d.Role(1, one, "editor", "", true)
		d.Role(2, another, "editor", "", true)
		d.Role(3, one, "gone", "", false)
		d.Exec(`INSERT INTO auth_group (id, creator, role, is_active) VALUES (4, $1, 'unsure', NULL)`, one)
		d.User(1, one, "alice", true, 1, 2, 3, 4)
		d.User(2, one, "bob", false, 1)
		d.Permission(1, one, "edit", true, 1, 2, 3, 4)
		d.Permission(2, one, "drop", false, 1)
		for _, kind := range []seed.Kind{seed.Grant, seed.Membership} {
			got := read(kind, seed.Options{})
			if len(got) != 2 || got[0].Err != nil || got[0].Role != "editor" || !errors.Is(got[1].Err, seed.ErrForeignRole) {
				t.Errorf("kind %d: got %+v, want the link to role 1, and one that fails for its creator", kind, got)
			}
		}
		if got := read(seed.Role, seed.Options{}); len(got) != 2 {
			t.Errorf("got %+v, want the two roles that are active", got)
		}
	})
}

func TestRowsThatRepeatOthers(t *testing.T) {
	t.Parallel()
	d := seedtest.FirstSQLite(t)
	d.Role(1, one, "editor", "first", false)
	d.Role(2, one, "editor", "second", true)
	d.Role(3, one, "editor", "third", true)
	d.Permission(1, one, "edit", true, 1, 2, 3)
	d.User(1, one, "alice", true, 2)
	d.User(2, one, "alice", true, 2, 3)
	from, err := seed.OpenSQLite(t.Context(), d.Path, seed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	for kind, want := range map[seed.Kind][]error{
		seed.Role:       {nil, seed.ErrDuplicateRole},
		seed.Grant:      {nil, seed.ErrDuplicateRole},
		seed.Membership: {nil, seed.ErrDuplicateUser, seed.ErrDuplicateUser},
	} {
		var got []error
		for _, row := range rows(t, from, kind) {
			got = append(got, row.Err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("kind %d: got %v, want %v", kind, got, want)
		}
	}
}

func TestStrictUsersRefusesUsersWithoutAGoodKey(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, d *seedtest.Database, read func(seed.Kind, seed.Options) []seed.Row) {
		addKey := func(user string, active bool, expires any) {
			d.Exec(`INSERT INTO auth_api_key (key_id, creator, "user", key_hash, key_prefix, is_active, expires_at) VALUES ('k', $1, $2, 'h', 'p', $3, $4)`,
				one, user, active, expires)
		}
		d.Role(1, one, "editor", "", true)
		d.Role(2, another, "editor", "", true)
		seal := seedtest.SealedPerTenant(key)
		for n, user := range []string{"keyed", "expiring", "expired", "revoked", "keyless", seal(one, "sealed later"), "sealed since"} {
			d.User(n+1, one, user, true, 1)
		}
		d.User(8, another, "elsewhere", true, 2)
		addKey("keyed", true, nil)
		addKey("expiring", true, "2999-01-01 00:00:00")
		addKey("expired", true, "2001-01-01 00:00:00")
		addKey("revoked", false, nil)
		addKey("elsewhere", true, nil) // a namesake
		addKey("sealed later", true, nil)
		addKey(seal(one, "sealed since"), true, nil)
		refused := func() (users []string) {
			for _, row := range read(seed.Membership, seed.Options{Key: key}) {
				if row.Refused {
					users = append(users, row.Name)
				}
			}
			slices.Sort(users)
			return users
		}
		if got := refused(); len(got) > 0 {
			t.Errorf("without settings: got %q refused, want nobody", got)
		}
		d.Exec(`INSERT INTO auth_tenant_settings (creator, strict_users) VALUES ($1, true)`, one)
		if got, want := refused(), []string{"expired", "keyless", "revoked"}; !slices.Equal(got, want) {
			t.Errorf("one tenant strict: got %q refused, want %q", got, want)
		}
		d.Exec(`INSERT INTO auth_tenant_settings (creator, strict_users) VALUES ('__meta:grandfathered-3.0__', false)`)
		if got, want := refused(), []string{"elsewhere", "expired", "keyless", "revoked"}; !slices.Equal(got, want) {
			t.Errorf("since 3.0: got %q refused, want %q", got, want)
		}
		d.Exec(`INSERT INTO auth_tenant_settings (creator, strict_users) VALUES ($1, false)`, another)
		if got, want := refused(), []string{"expired", "keyless", "revoked"}; !slices.Equal(got, want) {
			t.Errorf("with a setting of its own: got %q refused, want %q", got, want)
		}
	})
}

func TestValuesThatCannotBeTold(t *testing.T) {
	t.Parallel()
	const ambiguous = "tFhS5d0kVxYlTgu3b1Wm2zQn8KE3"
	sealed := seedtest.Sealed(key)(one, "alice")
	damaged := sealed[:5] + "*" + sealed[6:]
	onBoth(t, func(t *testing.T, d *seedtest.Database, read func(seed.Kind, seed.Options) []seed.Row) {
		d.Role(1, one, "editor", "", true)
		for n, name := range []string{"bob", sealed, damaged, ambiguous} {
			d.User(n+1, one, name, true, 1)
		}
		for name, test := range map[string]struct {
			options seed.Options
			names   []string
			errs    []error
		}{
			"without a key":         {seed.Options{}, []string{"bob", sealed, damaged, ambiguous}, []error{nil, seed.ErrSealed, nil, seed.ErrSealed}},
			"with the key":          {seed.Options{Key: key}, []string{"bob", "alice", damaged, ambiguous}, []error{nil, nil, seed.ErrDamaged, seed.ErrNotOpened}},
			"with another key":      {seed.Options{Key: "x"}, []string{"bob", sealed, damaged, ambiguous}, []error{nil, seed.ErrNotOpened, seed.ErrDamaged, seed.ErrNotOpened}},
			"plain names allowed":   {seed.Options{Key: key, AllowPlain: true}, []string{"bob", "alice", damaged, ambiguous}, make([]error, 4)},
			"nothing but plain":     {seed.Options{AllowPlain: true}, []string{"bob", sealed, damaged, ambiguous}, make([]error, 4)},
			"plain and another key": {seed.Options{Key: "x", AllowPlain: true}, []string{"bob", sealed, damaged, ambiguous}, make([]error, 4)},
		} {
			for i, row := range read(seed.Membership, test.options) {
				if row.Name != test.names[i] || !errors.Is(row.Err, test.errs[i]) {
					t.Errorf("%s: got %q and %v, want %q and %v", name, row.Name, row.Err, test.names[i], test.errs[i])
				}
				if row.Err != nil && strings.Contains(row.Place()+row.Err.Error(), row.Name) {
					t.Errorf("%s: %q tells the value", name, row.Err)
				}
			}
		}
	})
}

func TestDatabasesThatAreNotAuths(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ change, want string }{
		{`DROP TABLE permission_groups`, "there is no table permission_groups"},
		{`ALTER TABLE auth_group DROP COLUMN is_active`, "the table auth_group has no column is_active"},
		{`ALTER TABLE auth_membership RENAME COLUMN "user" TO account`, "the table auth_membership has no column user"},
	} {
		for name, opener := range openers {
			t.Run(name+": "+test.want, func(t *testing.T) {
				t.Parallel()
				d, open := opener(t)
				d.Exec(test.change)
				if _, err := open(t.Context(), seed.Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %q", err, test.want)
				}
			})
		}
	}
	if _, err := seed.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "none.sqlite3"), seed.Options{}); err == nil {
		t.Error("a file that is not there was opened")
	}
}

func TestSchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	d := seedtest.Postgres(t, pgtest.URL(t))
	d.Role(1, one, "editor", "", true)
	d.Exec(`CREATE SCHEMA auth_rbac`)
	for _, table := range []string{
		"auth_group", "auth_membership", "auth_permission", "membership_groups", "permission_groups", "auth_api_key", "auth_tenant_settings",
	} {
		d.Exec(`ALTER TABLE ` + table + ` SET SCHEMA auth_rbac`)
	}
	if _, err := seed.OpenPostgres(t.Context(), d.URL, seed.Options{}); err == nil || !strings.Contains(err.Error(), "search_path") {
		t.Errorf("got %v, want a hint at search_path", err)
	}
	from, err := seed.OpenPostgres(t.Context(), with(d.URL, "search_path=auth_rbac"), seed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	if got := rows(t, from, seed.Role); len(got) != 1 {
		t.Errorf("got %+v, want the role", got)
	}
}

// with adds a parameter to a URL.
func with(url, parameter string) string {
	if strings.Contains(url, "?") {
		return url + "&" + parameter
	}
	return url + "?" + parameter
}

// Later releases hide all tenants but one from whoever does not bypass row-level
// security.
func TestHiddenTenantsAreAnError(t *testing.T) {
	t.Parallel()
	d := seedtest.Postgres(t, pgtest.URL(t))
	d.Role(1, one, "editor", "", true)
	d.Exec(`ALTER TABLE auth_group ENABLE ROW LEVEL SECURITY; ALTER TABLE auth_group FORCE ROW LEVEL SECURITY`)
	d.Exec(`CREATE POLICY tenant_isolation ON auth_group USING (creator = current_setting('auth.tenant_fp', true))`)
	reader := "reader_" + uuid.NewString()[:8]
	d.Exec(`CREATE ROLE ` + reader + ` NOLOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + reader)
	t.Cleanup(func() { d.Exec(`DROP OWNED BY ` + reader + `; DROP ROLE ` + reader) })
	from, err := seed.OpenPostgres(t.Context(), with(d.URL, "role="+reader), seed.Options{})
	if err == nil {
		t.Fatalf("got %+v, want an error", rows(t, from, seed.Role))
	}
	if !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("got %v, want one that tells of row-level security", err)
	}
}

func TestSourceIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, one, "editor", "", true)
	before, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	from, err := seed.OpenSQLite(t.Context(), d.Path, seed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows(t, from, seed.Role)
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(d.Path)
	if err != nil || string(after) != string(before) {
		t.Errorf("the file was changed (%v)", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(d.Path)); err != nil || len(entries) != 1 {
		t.Errorf("got %v and %v beside the file, want nothing", entries, err)
	}
}
