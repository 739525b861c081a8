package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// The words of a program. Few, so that operations meet; odd, so that the engines'
// ways to compare and to sort matter.
var (
	fuzzRoles       = []string{"a", "B", "b-", "_", authz.Everyone}
	fuzzUsers       = []string{"ann", "Ann", "é", "\uFFFD", "\U0001F600", "%", `"\`}
	fuzzPermissions = []string{"read", "Read", "post:*", "post:edit", "*"}
	fuzzTimes       = []time.Time{{}, time.UnixMicro(1), time.UnixMicro(1000), time.UnixMicro(1001), time.Unix(1<<40, 0)}
)

// FuzzEnginesAgree reads its input as a program of store operations, runs it on
// both engines and wants the same answers from both.
func FuzzEnginesAgree(f *testing.F) {
	ctx := context.Background()
	lite, err := sqlstore.Open(ctx, sqlstore.Config{URL: filepath.Join(f.TempDir(), "fuzz.sqlite3")})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = lite.Close() })
	post, err := sqlstore.Open(ctx, sqlstore.Config{URL: pgtest.URL(f), AutoMigrate: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = post.Close() })

	f.Add([]byte{})
	f.Add([]byte("\x00\x00\x00\x00\x04\x00\x00\x00\x06\x00\x00\x00\x0c\x00\x00\x00"))
	for seed := range 12 {
		// A xorshift makes programs that touch everything, the same ones each time.
		state := uint32(seed)*2654435761 + 1
		program := make([]byte, 600)
		for i := range program {
			state ^= state << 13
			state ^= state >> 17
			state ^= state << 5
			program[i] = byte(state >> 11)
		}
		f.Add(program)
	}

	var tenants atomic.Int64
	f.Fuzz(func(t *testing.T, program []byte) {
		// A longer program says nothing new.
		program = program[:min(len(program), 2000)]
		tenant := "tenant-" + strconv.FormatInt(tenants.Add(1), 10)
		left := &machine{store: lite, tenant: tenant, program: program}
		right := &machine{store: post, tenant: tenant, program: program}
		for step := 0; len(left.program) > 0; step++ {
			operation, got := left.step(t.Context())
			_, want := right.step(t.Context())
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("step %d: %s: SQLite answers %+v, PostgreSQL %+v", step, operation, got, want)
			}
		}
		got, want := left.everything(t.Context()), right.everything(t.Context())
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("in the end SQLite holds %+v, PostgreSQL %+v", got, want)
		}
	})
}

// machine runs a program on one store.
type machine struct {
	store   *sqlstore.Store
	tenant  string
	program []byte
}

// next takes a number below n from the program; the end of it is zeros.
func (m *machine) next(n int) int {
	if len(m.program) == 0 {
		return 0
	}
	b := m.program[0]
	m.program = m.program[1:]
	return int(b) % n
}

func pick[T any](m *machine, words []T) T { return words[m.next(len(words))] }

// outcome is what an operation answers, without what may differ: IDs and the text
// of errors.
type outcome struct {
	Value    any
	Revision int64
	Code     fault.Code
	Failed   bool
}

func (m *machine) step(ctx context.Context) (name string, result outcome) {
	if m.next(3) == 0 {
		return m.read(ctx)
	}
	// One to three writes in one transaction, which sometimes fails or is run again.
	writes, fate, calls := 1+m.next(3), m.next(8), 0
	begin := m.program
	var did []bool
	revision, err := m.store.Update(ctx, m.tenant, func(tx store.Tx) error {
		m.program, did, name = begin, nil, ""
		calls++
		for range writes {
			operation, write := m.write(tx)
			name += operation + " "
			changed, err := write(ctx)
			if err != nil {
				return err
			}
			did = append(did, changed)
			if !changed {
				continue
			}
			if err := tx.AppendChange(ctx, store.KindRole, operation); err != nil {
				return err
			}
			if err := tx.AppendEvent(ctx, audit.Event{Time: fuzzTimes[2], Action: operation}); err != nil {
				return err
			}
		}
		switch {
		case fate == 0:
			return fault.Conflict("an error of the function's own")
		case fate == 1 && calls == 1:
			return store.ErrRetry
		}
		return nil
	})
	return name, outcome{Value: did, Revision: revision, Code: fault.CodeOf(err), Failed: err != nil}
}

func (m *machine) write(tx store.Tx) (string, func(context.Context) (bool, error)) {
	role, permission := pick(m, fuzzRoles), pick(m, fuzzPermissions)
	member := authz.Member{User: pick(m, fuzzUsers), Role: role}
	window := authz.Window{NotBefore: pick(m, fuzzTimes), ExpiresAt: pick(m, fuzzTimes)}
	switch m.next(10) {
	case 0, 1:
		return "CreateRole", func(ctx context.Context) (bool, error) {
			return tx.CreateRole(ctx, authz.Role{Name: role, Description: permission})
		}
	case 2:
		return "SetRoleDescription", func(ctx context.Context) (bool, error) { return tx.SetRoleDescription(ctx, role, permission) }
	case 3:
		return "DeleteRole", func(ctx context.Context) (bool, error) { return tx.DeleteRole(ctx, role) }
	case 4, 5:
		return "CreateGrant", func(ctx context.Context) (bool, error) { return tx.CreateGrant(ctx, role, permission) }
	case 6:
		return "DeleteGrant", func(ctx context.Context) (bool, error) { return tx.DeleteGrant(ctx, role, permission) }
	case 7:
		return "SetMembershipWindow", func(ctx context.Context) (bool, error) { return tx.SetMembershipWindow(ctx, member, window) }
	case 8:
		return "DeleteMembership", func(ctx context.Context) (bool, error) { return tx.DeleteMembership(ctx, member) }
	default:
		return "CreateMembership", func(ctx context.Context) (bool, error) { return tx.CreateMembership(ctx, member, window) }
	}
}

func (m *machine) read(ctx context.Context) (string, outcome) {
	r := m.store.Read(m.tenant)
	role, user, at := pick(m, fuzzRoles), pick(m, fuzzUsers), pick(m, fuzzTimes)
	patterns := authz.Patterns(pick(m, fuzzPermissions))
	after, limit := pick(m, fuzzUsers), m.next(5)
	answer := func(name string, value any, err error) (string, outcome) {
		return name, outcome{Value: value, Code: fault.CodeOf(err), Failed: err != nil}
	}
	switch m.next(9) {
	case 0:
		value, err := r.CheckPermission(ctx, user, patterns, at)
		return answer("CheckPermission", value, err)
	case 1:
		value, err := r.CheckRolePermission(ctx, role, patterns)
		return answer("CheckRolePermission", value, err)
	case 2:
		value, err := r.CheckMembership(ctx, user, role, at)
		return answer("CheckMembership", value, err)
	case 3:
		value, err := r.UserPermissions(ctx, user, at, after, limit)
		return answer("UserPermissions", value, err)
	case 4:
		value, err := r.UserRoles(ctx, user, at, after, limit)
		return answer("UserRoles", value, err)
	case 5:
		value, err := r.Members(ctx, role, at, after, limit)
		return answer("Members", value, err)
	case 6:
		value, err := r.RolesWithPermission(ctx, patterns, after, limit)
		return answer("RolesWithPermission", value, err)
	case 7:
		value, err := r.UsersWithPermission(ctx, patterns, at, authz.Member{User: after, Role: role}, limit)
		return answer("UsersWithPermission", value, err)
	default:
		value, err := r.Roles(ctx, after, limit)
		return answer("Roles", value, err)
	}
}

// everything reads all that the tenant holds.
func (m *machine) everything(ctx context.Context) []any {
	const all = 10000
	var found []any
	add := func(value any, err error) { found = append(found, value, err != nil) }
	err := m.store.View(ctx, m.tenant, func(r store.Reader) error {
		add(r.Revision(ctx))
		add(r.Roles(ctx, "", all))
		add(r.Changes(ctx, 0, all))
		for _, role := range fuzzRoles {
			add(r.RolePermissions(ctx, role, "", all))
		}
		for _, at := range fuzzTimes {
			add(r.UsersWithPermission(ctx, fuzzPermissions, at, authz.Member{}, all))
			add(r.CountUsersWithPermission(ctx, fuzzPermissions, at))
			for _, role := range fuzzRoles {
				add(r.Members(ctx, role, at, "", all))
			}
			for _, user := range fuzzUsers {
				add(r.UserRoles(ctx, user, at, "", all))
				add(r.CountUserPermissions(ctx, user, at))
			}
		}
		events, err := r.AuditEvents(ctx, audit.Filter{}, "", all)
		for i := range events {
			events[i].ID = ""
		}
		add(events, err)
		return errors.Join(err)
	})
	return append(found, fmt.Sprint(err))
}
