package seedimport_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/cmd/gatehouse/internal/seedimport"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/seed"
	"github.com/gatehouse/gatehouse/internal/seed/seedtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	creator = "3f2b1c9e-8a47-4d15-9c6e-0b7a5d2e4f10"
	another = "7d0a4c52-1f6b-4e38-b2a9-54c8e1f09d36"
	key     = "hunter2"
)

var quiet = seedimport.Options{Progress: func() {}}

// newEngine opens an empty database. Keys that it does not know open nothing.
func newEngine(t *testing.T, database string) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Database: database, AutoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func newSQLite(t *testing.T) *engine.Engine {
	return newEngine(t, filepath.Join(t.TempDir(), "gatehouse.sqlite3"))
}

func open(t *testing.T, d *seedtest.Database, options seed.Options) *seed.Database {
	t.Helper()
	var from *seed.Database
	var err error
	if d.Path != "" {
		from, err = seed.OpenSQLite(t.Context(), d.Path, options)
	} else {
		from, err = seed.OpenPostgres(t.Context(), d.URL, options)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = from.Close() })
	return from
}

func bring(t *testing.T, from *seed.Database, to *engine.Engine) seedimport.Report {
	t.Helper()
	report, err := seedimport.Import(t.Context(), from, to, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// tenantOf is what a client key opens.
func tenantOf(t *testing.T, e *engine.Engine, key string) *engine.Tenant {
	t.Helper()
	caller, err := e.Authenticate(t.Context(), key, engine.Actor{})
	if err != nil {
		t.Fatal(err)
	}
	if !caller.Can(engine.AbilityAdmin) {
		t.Errorf("the key cannot do everything")
	}
	return caller.Tenant
}

// mixed seals every second value.
func mixed(sealer seedtest.Sealer) seedtest.Sealer {
	n := 0
	return func(creator, value string) string {
		if n++; n%2 == 0 {
			return value
		}
		return sealer(creator, value)
	}
}

func TestEveryQuestionIsAnsweredAsBefore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make     func(testing.TB) *seedtest.Database
		sealer   seedtest.Sealer
		key      string
		postgres bool
	}{
		"plain":                {make: seedtest.SQLite, sealer: seedtest.Plain},
		"the first schema":     {make: seedtest.FirstSQLite, sealer: seedtest.Plain},
		"plain with a key":     {make: seedtest.SQLite, sealer: seedtest.Plain, key: key},
		"encrypted":            {make: seedtest.SQLite, sealer: seedtest.Sealed(key), key: key},
		"encrypted per tenant": {make: seedtest.SQLite, sealer: seedtest.SealedPerTenant(key), key: key},
		"mixed":                {make: seedtest.SQLite, sealer: mixed(seedtest.Sealed(key)), key: key},
		"on PostgreSQL": {
			make:   func(t testing.TB) *seedtest.Database { return seedtest.Postgres(t, pgtest.URL(t)) },
			sealer: mixed(seedtest.SealedPerTenant(key)), key: key, postgres: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := seedtest.Random(rand.New(rand.NewPCG(7, uint64(len(name)))))
			d := test.make(t)
			world.Write(d, test.sealer)
			from := open(t, d, seed.Options{Key: test.key})
			database := filepath.Join(t.TempDir(), "gatehouse.sqlite3")
			if test.postgres {
				database = pgtest.URL(t)
			}
			to := newEngine(t, database)
			checked, err := seedimport.Check(t.Context(), from, quiet)
			if err != nil {
				t.Fatal(err)
			}
			first := bring(t, from, to)
			if first.Found != first.Added || first.Found != checked.Found || first.LeftOut+first.Unreadable > 0 {
				t.Errorf("got %+v after %+v, want everything new and nothing left out", first, checked)
			}
			compare(t, world, to)
			revisions := revisionsOf(t, world, to)
			again := bring(t, from, to)
			if again.Found != first.Found || again.Added != [seed.Kinds]int{} {
				t.Errorf("again: got %+v, want the same found and nothing new", again)
			}
			if got := revisionsOf(t, world, to); !slices.Equal(got, revisions) {
				t.Errorf("again: got revisions %v, want %v as before", got, revisions)
			}
		})
	}
}

func revisionsOf(t *testing.T, world seedtest.World, e *engine.Engine) (revisions []int64) {
	t.Helper()
	for _, creator := range world.Creators() {
		roles, err := tenantOf(t, e, creator).Roles(t.Context(), authz.Page{})
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, roles.Revision)
	}
	return revisions
}

// compare asks Gatehouse all that auth can be asked.
func compare(t *testing.T, world seedtest.World, e *engine.Engine) {
	t.Helper()
	ctx, all := t.Context(), authz.Page{Limit: engine.MaxPage}
	for _, creator := range world.Creators() {
		tenant := tenantOf(t, e, creator)
		described := world.Described(creator)
		roles, err := tenant.Roles(ctx, authz.Page{})
		if err != nil || len(roles.Items) != len(described) {
			t.Errorf("got %+v and %v, want the roles %v", roles.Items, err, described)
		}
		for _, role := range roles.Items {
			if got, want := role.Description, described[role.Name]; got != want {
				t.Errorf("role %s: got %q, want %q", role.Name, got, want)
			}
		}
		users, permissions := namesOf(creator, world.Users), namesOf(creator, world.Permissions)
		for _, permission := range permissions {
			granted := world.RolesOf(creator, permission, world.Permissions)
			can, err := tenant.WhichRolesCan(ctx, permission, all)
			if err != nil || !slices.Equal(can.Items, granted) {
				t.Errorf("which roles can %s: got %v and %v, want %v", permission, can.Items, err, granted)
			}
			var able []authz.Member
			for _, user := range users {
				held := world.RolesOf(creator, user, world.Users)
				want := false
				for _, role := range granted {
					if slices.Contains(held, role) {
						able, want = append(able, authz.Member{User: user, Role: role}), true
					}
				}
				if got, err := tenant.UserHasPermission(ctx, user, permission); err != nil || got.Allowed != want {
					t.Errorf("may %s %s: got %t and %v, want %t", user, permission, got.Allowed, err, want)
				}
			}
			if got, err := tenant.WhichUsersCan(ctx, permission, all); err != nil || !slices.Equal(got.Items, able) {
				t.Errorf("which users can %s: got %v and %v, want %v", permission, got.Items, err, able)
			}
		}
		for _, user := range users {
			var want []authz.Member
			for _, role := range world.RolesOf(creator, user, world.Users) {
				want = append(want, authz.Member{User: user, Role: role})
			}
			if got, err := tenant.UserRoles(ctx, user, all); err != nil || !slices.Equal(got.Items, want) {
				t.Errorf("roles of %s: got %v and %v, want %v", user, got.Items, err, want)
			}
			for _, role := range world.Roles {
				want := slices.Contains(want, authz.Member{User: user, Role: role.Name})
				if got, err := tenant.HasMembership(ctx, user, role.Name); err != nil || got.Allowed != want {
					t.Errorf("is %s %s: got %t and %v, want %t", user, role.Name, got.Allowed, err, want)
				}
			}
		}
		for _, role := range world.Roles {
			var want []string
			for _, permission := range permissions {
				if slices.Contains(world.RolesOf(creator, permission, world.Permissions), role.Name) {
					want = append(want, permission)
				}
			}
			if got, err := tenant.RolePermissions(ctx, role.Name, all); err != nil || !slices.Equal(got.Items, want) {
				t.Errorf("permissions of %s: got %v and %v, want %v", role.Name, got.Items, err, want)
			}
		}
	}
}

func namesOf(creator string, rows []seedtest.Linked) (names []string) {
	for _, row := range rows {
		if row.Creator == creator {
			names = append(names, row.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestBrokenOffImportGoesOn(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	world := seedtest.Random(random)
	// So many that one tenant takes several transactions.
	role := &world.Roles[len(world.Roles)-1]
	role.Active = true
	for n := range 700 {
		world.Users = append(world.Users, seedtest.Linked{
			ID: len(world.Users) + 1, Creator: role.Creator, Name: fmt.Sprintf("one-of-many-%d", n), Active: true, Roles: []int{role.ID},
		})
	}
	d := seedtest.SQLite(t)
	world.Write(d, seedtest.Sealed(key))
	from := open(t, d, seed.Options{Key: key})

	// The clock is asked within a transaction, for each event: there the import ends.
	var left atomic.Int64
	var kill atomic.Pointer[context.CancelFunc]
	to, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), Now: func() time.Time {
		if left.Add(-1) == 0 {
			(*kill.Load())()
		}
		return time.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = to.Close() }()

	checked, err := seedimport.Check(t.Context(), from, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var added [seed.Kinds]int
	killed := 0
	for added != checked.Found {
		if killed > checked.Rows() {
			t.Fatalf("got %v added by all runs together, want %v", added, checked.Found)
		}
		ctx, cancel := context.WithCancel(t.Context())
		kill.Store(&cancel)
		left.Store(int64(1 + random.IntN(checked.Rows())))
		report, err := seedimport.Import(ctx, from, to, quiet)
		cancel()
		if err != nil {
			killed++
		}
		for kind, n := range report.Added {
			added[kind] += n
		}
	}
	if killed == 0 {
		t.Error("no run was broken off")
	}
	t.Logf("%d runs were broken off", killed)
	left.Store(0)
	if again := bring(t, from, to); again.Added != [seed.Kinds]int{} {
		t.Errorf("got %v added afterwards, want nothing", again.Added)
	}
	compare(t, world, to)
}

func TestWhatIsThereStays(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, creator, "editor", "theirs", true)
	d.Permission(1, creator, "edit", true, 1)
	d.User(1, creator, "alice", true, 1)
	d.User(2, creator, "bob", true, 1)
	from := open(t, d, seed.Options{})
	to := newSQLite(t)
	tenant, adopted, err := to.AdoptClientKey(t.Context(), creator)
	if err != nil || !adopted {
		t.Fatalf("got %t and %v, want a key that was not there", adopted, err)
	}
	ours := "ours"
	window := authz.Window{ExpiresAt: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, err := range []error{
		wrote(tenant.AddRole(t.Context(), "editor", authz.RoleOptions{Description: &ours})),
		wrote(tenant.AddRole(t.Context(), "auditor", authz.RoleOptions{})),
		wrote(tenant.PutGrant(t.Context(), "editor", authz.Grant{Permission: "edit", Condition: "context.hour < 8"})),
		wrote(tenant.AddMembership(t.Context(), "alice", "editor", window)),
		wrote(tenant.AddMembership(t.Context(), "carol", "auditor", authz.Window{})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	report := bring(t, from, to)
	if want := [seed.Kinds]int{seed.Membership: 1}; report.Added != want {
		t.Errorf("got %v added, want bob's membership alone", report.Added)
	}
	role, err := tenant.Role(t.Context(), "editor")
	if err != nil || role.Value.Description != ours {
		t.Errorf("got %+v and %v, want the description %q", role.Value, err, ours)
	}
	grants, err := tenant.Grants(t.Context(), "editor", authz.Page{})
	if err != nil || len(grants.Items) != 1 || grants.Items[0].Condition == "" {
		t.Errorf("got %+v and %v, want the grant with its condition", grants.Items, err)
	}
	members, err := tenant.NodeMembers(t.Context(), authz.Root, authz.Page{})
	if err != nil || len(members.Items) != 3 || members.Items[0].Window != window {
		t.Errorf("got %+v and %v, want alice until %s, bob and carol", members.Items, err, window.ExpiresAt)
	}
}

func wrote(_ authz.Written, err error) error { return err }

func TestRowsThatGatehouseCannotHoldAreTold(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	for n, role := range []string{"editor", "two words", "@owner", strings.Repeat("r", 65)} {
		d.Role(n+1, creator, role, "", true)
	}
	d.Role(5, creator, "described", strings.Repeat("d", 1025), true)
	d.Role(6, "not-a-key", "editor", "", true)
	d.Role(7, "3f2b1c9e-8a47-1d15-9c6e-0b7a5d2e4f10", "editor", "", true)
	// To auth these are names like any other.
	for n, permission := range []string{"edit", "*", "post:*", "übersetzen"} {
		d.Permission(n+1, creator, permission, true, 1)
	}
	d.Permission(5, creator, "drop", true, 2)
	for n, user := range []string{"alice", " bob", "carol\n", strings.Repeat("u", 257)} {
		d.User(n+1, creator, user, true, 1)
	}
	to := newSQLite(t)
	report := bring(t, open(t, d, seed.Options{}), to)
	want := []string{
		"auth_group row 2: role: ", "auth_group row 3: role: ", "auth_group row 4: role: ", "auth_group row 5: description: ",
		"auth_group row 7: creator: ", "auth_group row 6: creator: ",
		"auth_permission row 2: permission: ", "auth_permission row 3: permission: ", "auth_permission row 4: permission: ",
		"auth_permission row 5: role: ",
		"auth_membership row 2: user: ", "auth_membership row 3: user: ", "auth_membership row 4: user: ",
	}
	if report.LeftOut != len(want) || len(report.Problems) != len(want) {
		t.Fatalf("got %+v, want %d left out", report, len(want))
	}
	for _, prefix := range want {
		if !slices.ContainsFunc(report.Problems, func(p string) bool { return strings.HasPrefix(p, prefix) }) {
			t.Errorf("got %q, want one with %q", report.Problems, prefix)
		}
	}
	if got, want := report.Added, [seed.Kinds]int{1, 2, 1, 1}; got != want {
		t.Errorf("got %v added, want %v", got, want)
	}
	tenant := tenantOf(t, to, creator)
	if got, err := tenant.UserHasPermission(t.Context(), "alice", "post:drop"); err != nil || got.Allowed {
		t.Errorf("alice may post:drop: got %t and %v, want a name with an asterisk to be no wildcard", got.Allowed, err)
	}
}

func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	for n := range 30 {
		d.Role(n+1, creator, fmt.Sprintf("role %d", n), "", true)
	}
	if report := bring(t, open(t, d, seed.Options{}), newSQLite(t)); report.LeftOut != 30 || len(report.Problems) != 20 {
		t.Errorf("got %d problems of %d, want 20 of 30", len(report.Problems), report.LeftOut)
	}
}

func TestUsersWhomAuthRefusesStayRefused(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, creator, "editor", "", true)
	d.Role(2, creator, "author", "", true)
	d.Permission(1, creator, "edit", true, 1)
	d.User(1, creator, "keyless", true, 1, 2)
	d.Exec(`INSERT INTO auth_tenant_settings (creator, strict_users) VALUES ($1, true)`, creator)
	from := open(t, d, seed.Options{})

	to := newSQLite(t)
	if report := bring(t, from, to); report.Inactive != 1 || report.Added[seed.Membership] != 2 {
		t.Errorf("got %+v, want one user inactive, with two memberships", report)
	}
	tenant := tenantOf(t, to, creator)
	allowed := func(want bool) {
		t.Helper()
		if got, err := tenant.UserHasPermission(t.Context(), "keyless", "edit"); err != nil || got.Allowed != want {
			t.Errorf("got %t and %v, want %t", got.Allowed, err, want)
		}
	}
	allowed(false)
	if _, err := tenant.PutUser(t.Context(), authz.User{Name: "keyless"}); err != nil {
		t.Fatal(err)
	}
	if report := bring(t, from, to); report.Inactive != 0 {
		t.Errorf("again: got %+v, want the user left active", report)
	}
	allowed(true)

	to = newSQLite(t)
	report, err := seedimport.Import(t.Context(), from, to, seedimport.Options{IgnoreStrictUsers: true, Progress: func() {}})
	if err != nil || report.Inactive != 0 {
		t.Errorf("got %+v and %v, want nobody inactive", report, err)
	}
	tenant = tenantOf(t, to, creator)
	allowed(true)
}

func TestKeysInEitherCaseAreOne(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, strings.ToUpper(creator), "editor", "", true)
	d.Role(2, creator, "author", "", true)
	d.User(1, strings.ToUpper(creator), "alice", true, 1)
	to := newSQLite(t)
	bring(t, open(t, d, seed.Options{}), to)
	roles, err := tenantOf(t, to, creator).Roles(t.Context(), authz.Page{})
	if err != nil || len(roles.Items) != 2 {
		t.Errorf("got %+v and %v, want both roles", roles.Items, err)
	}
	if keys, err := to.ClientKeys(t.Context()); err != nil || len(keys) != 1 {
		t.Errorf("got %+v and %v, want one key", keys, err)
	}
}

func TestKeyOfATenantWithNothingInForceGoesOn(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, creator, "editor", "", false)
	to := newSQLite(t)
	bring(t, open(t, d, seed.Options{}), to)
	tenantOf(t, to, creator)
	if _, err := to.Authenticate(t.Context(), another, engine.Actor{}); !errors.Is(err, engine.ErrUnauthenticated) {
		t.Errorf("another key: got %v, want %v", err, engine.ErrUnauthenticated)
	}
}

func TestRevokedKeyStaysRevoked(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, creator, "editor", "", true)
	from, to := open(t, d, seed.Options{}), newSQLite(t)
	bring(t, from, to)
	keys, err := to.ClientKeys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Fatalf("got %+v and %v, want one key", keys, err)
	}
	if _, err := to.RevokeClientKey(t.Context(), keys[0].Fingerprint); err != nil {
		t.Fatal(err)
	}
	bring(t, from, to)
	if _, err := to.Authenticate(t.Context(), creator, engine.Actor{}); !errors.Is(err, engine.ErrUnauthenticated) {
		t.Errorf("got %v, want %v", err, engine.ErrUnauthenticated)
	}
}

// A tenant opened by its key before the import is the one that is imported to.
func TestOpenRegistrationOpensTheSameTenant(t *testing.T) {
	t.Parallel()
	e, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), OpenRegistration: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	opened := tenantOf(t, e, creator)
	adopted, _, err := e.AdoptClientKey(t.Context(), strings.ToUpper(creator))
	if err != nil || adopted.ID() != opened.ID() {
		t.Errorf("got %v and %v, want tenant %s", adopted, err, opened.ID())
	}
}

func TestKeyThatOpensNothingIsAnError(t *testing.T) {
	t.Parallel()
	d := seedtest.SQLite(t)
	d.Role(1, creator, "editor", "", true)
	d.User(1, creator, seedtest.Sealed(key)(creator, "alice"), true, 1)
	if _, err := seedimport.Check(t.Context(), open(t, d, seed.Options{Key: "x", AllowPlain: true}), quiet); !errors.Is(err, seedimport.ErrOddKey) {
		t.Errorf("got %v, want %v", err, seedimport.ErrOddKey)
	}
}
