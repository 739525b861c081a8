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
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

// The words of a program. Few, so that operations meet; odd, so that the engines'
// ways to compare and to sort matter.
var (
	fuzzRoles       = []string{"a", "B", "b-", "_", authz.Everyone}
	fuzzUsers       = []string{"ann", "Ann", "é", "\uFFFD", "\U0001F600", "%", `"\`}
	fuzzPermissions = []string{"read", "Read", "post:*", "post:edit", "*"}
	fuzzGroups      = []string{"g", "G", "ann", "h%"}
	fuzzNodes       = []authz.Node{authz.Root, {Type: "organization", ID: "o"}, {Type: "project", ID: "o"}, {Type: "team", ID: "é"}, {Type: "post", ID: "%"}, {Type: "tenant", ID: "x"}}
	fuzzKinds       = []authz.Kind{authz.KindTenant, authz.KindOrganization, authz.KindProject, authz.KindTeam, authz.KindResource}
	fuzzProperties  = []map[string]any{nil, {}, {"a": 1.0}, {"a": []any{"\x00", "<é>", nil}, "b": map[string]any{"": true}}}
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
	switch m.next(4) {
	case 0:
		return m.read(ctx)
	case 1:
		return m.changeSessions(ctx)
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

// subject, node and the like take one from the program.
func (m *machine) subject() authz.SubjectRef {
	if m.next(3) == 0 {
		return authz.SubjectRef{Type: authz.GroupType, Name: pick(m, fuzzGroups)}
	}
	return authz.SubjectRef{Type: authz.UserType, Name: pick(m, fuzzUsers)}
}

func (m *machine) membership() authz.Membership {
	return authz.Membership{
		Subject: m.subject(),
		Role:    pick(m, fuzzRoles),
		Node:    pick(m, fuzzNodes),
		Window:  authz.Window{NotBefore: pick(m, fuzzTimes), ExpiresAt: pick(m, fuzzTimes)},
	}
}

func (m *machine) nodeRecord() store.NodeRecord {
	// Any node may come to hang under any: circles must end as well.
	return store.NodeRecord{
		Node:       pick(m, fuzzNodes),
		Parent:     pick(m, fuzzNodes),
		Name:       pick(m, fuzzPermissions),
		Owner:      pick(m, append(fuzzUsers, "")),
		Properties: pick(m, fuzzProperties),
	}
}

func (m *machine) write(tx store.Tx) (string, func(context.Context) (bool, error)) {
	role, permission, group := pick(m, fuzzRoles), pick(m, fuzzPermissions), pick(m, fuzzGroups)
	switch m.next(29) {
	case 0, 1:
		return "CreateRole", func(ctx context.Context) (bool, error) {
			return tx.CreateRole(ctx, authz.Role{Name: role, Description: permission})
		}
	case 2:
		return "SetRoleDescription", func(ctx context.Context) (bool, error) { return tx.SetRoleDescription(ctx, role, permission) }
	case 3:
		return "DeleteRole", func(ctx context.Context) (bool, error) { return tx.DeleteRole(ctx, role) }
	case 4, 5:
		detail := authz.RoleDetail{Name: role, Description: permission, Scopes: fuzzKinds[m.next(3):][:m.next(3)]}
		for range m.next(3) {
			detail.Inherits = append(detail.Inherits, pick(m, fuzzRoles))
		}
		return "SetRole", func(ctx context.Context) (bool, error) { return tx.SetRole(ctx, detail) }
	case 6, 7:
		grant := authz.Grant{Permission: permission, Condition: pick(m, fuzzUsers)}
		return "SetGrant", func(ctx context.Context) (bool, error) { return tx.SetGrant(ctx, role, grant) }
	case 8:
		return "DeleteGrant", func(ctx context.Context) (bool, error) { return tx.DeleteGrant(ctx, role, permission) }
	case 9:
		gone := m.membership()
		return "DeleteMembership", func(ctx context.Context) (bool, error) {
			return tx.DeleteMembership(ctx, gone.Subject, gone.Role, gone.Node)
		}
	case 10, 11:
		record := m.nodeRecord()
		return "SetNode", func(ctx context.Context) (bool, error) { return tx.SetNode(ctx, record) }
	case 12:
		node := pick(m, fuzzNodes)
		return "DeleteNode", func(ctx context.Context) (bool, error) { return tx.DeleteNode(ctx, node) }
	case 13:
		return "CreateGroup", func(ctx context.Context) (bool, error) { return tx.CreateGroup(ctx, group) }
	case 14:
		return "SetGroup", func(ctx context.Context) (bool, error) {
			return tx.SetGroup(ctx, authz.Group{Name: group, Description: permission})
		}
	case 15:
		return "DeleteGroup", func(ctx context.Context) (bool, error) { return tx.DeleteGroup(ctx, group) }
	case 16, 17:
		member := m.subject()
		return "AddToGroup", func(ctx context.Context) (bool, error) { return tx.AddToGroup(ctx, group, member) }
	case 18:
		member := m.subject()
		return "RemoveFromGroup", func(ctx context.Context) (bool, error) { return tx.RemoveFromGroup(ctx, group, member) }
	case 19:
		set := authz.User{Name: pick(m, fuzzUsers), Inactive: m.next(2) == 0, Properties: pick(m, fuzzProperties)}
		return "SetUser", func(ctx context.Context) (bool, error) { return tx.SetUser(ctx, set) }
	case 20:
		user := pick(m, fuzzUsers)
		return "DeleteUser", func(ctx context.Context) (bool, error) { return tx.DeleteUser(ctx, user) }
	case 21, 22:
		tool := authz.Tool{Name: group, Description: role}
		for range m.next(3) {
			tool.Permissions = append(tool.Permissions, authz.DefinedPermission{Name: pick(m, fuzzPermissions), Description: pick(m, fuzzUsers)})
		}
		return "SetTool", func(ctx context.Context) (bool, error) { return tx.SetTool(ctx, tool) }
	case 23:
		return "DeleteTool", func(ctx context.Context) (bool, error) { return tx.DeleteTool(ctx, group) }
	case 24:
		settings := authz.Settings{StrictPermissions: m.next(2) == 0, StrictUsers: m.next(2) == 0}
		return "SetSettings", func(ctx context.Context) (bool, error) { return tx.SetSettings(ctx, settings) }
	case 25:
		user, at := pick(m, fuzzUsers), pick(m, fuzzTimes)
		return "EndUserSessions", func(ctx context.Context) (bool, error) {
			ended, err := tx.EndUserSessions(ctx, user, at, authz.EndUserDeleted)
			return len(ended) > 0, err
		}
	default:
		membership := m.membership()
		return "SetMembership", func(ctx context.Context) (bool, error) {
			created, changed, err := tx.SetMembership(ctx, membership)
			if created && !changed {
				err = errors.Join(err, errors.New("created and not changed"))
			}
			return changed, err
		}
	}
}

func (m *machine) read(ctx context.Context) (string, outcome) {
	r := storetest.Reader(m.store, m.tenant)
	role, user, node := pick(m, fuzzRoles), pick(m, fuzzUsers), pick(m, fuzzNodes)
	after, limit := pick(m, fuzzUsers), m.next(5)
	answer := func(name string, value any, err error) (string, outcome) {
		return name, outcome{Value: value, Code: fault.CodeOf(err), Failed: err != nil}
	}
	switch m.next(15) {
	case 0:
		value, err := r.Policy(ctx)
		return answer("Policy", value, err)
	case 1:
		value, err := r.Holdings(ctx, user)
		return answer("Holdings", value, err)
	case 2:
		value, found, err := r.Node(ctx, node)
		return answer("Node", []any{value, found}, err)
	case 3:
		value, found, err := r.User(ctx, user)
		return answer("User", []any{value, found}, err)
	case 4:
		value, found, err := r.Role(ctx, role)
		return answer("Role", []any{value, found}, err)
	case 5:
		value, err := r.Grants(ctx, role, after, limit)
		return answer("Grants", value, err)
	case 6:
		parents := append([]authz.Node{{}}, fuzzNodes...)
		value, err := r.Nodes(ctx, node.Type, pick(m, parents), after, limit)
		return answer("Nodes", value, err)
	case 7:
		value, err := r.Memberships(ctx, node, m.membership(), limit)
		return answer("Memberships", value, err)
	case 8:
		value, err := r.Members(ctx, m.membersQuery(), authz.Member{User: after, Role: role}, limit)
		return answer("Members", value, err)
	case 9:
		value, err := r.Catalogue(ctx, after, limit)
		return answer("Catalogue", value, err)
	case 10:
		value, err := r.Tools(ctx, after, limit)
		return answer("Tools", value, err)
	case 11:
		value, found, err := r.DefiningTool(ctx, pick(m, fuzzPermissions))
		return answer("DefiningTool", []any{value, found}, err)
	case 12:
		value, err := r.GroupMembers(ctx, pick(m, fuzzGroups), m.subject(), limit)
		return answer("GroupMembers", value, err)
	case 13:
		value, err := r.Users(ctx, after, limit)
		return answer("Users", value, err)
	default:
		value, err := r.Roles(ctx, after, limit)
		return answer("Roles", value, err)
	}
}

func (m *machine) membersQuery() store.MembersQuery {
	query := store.MembersQuery{At: pick(m, fuzzTimes), ActiveOnly: m.next(2) == 0}
	for range m.next(4) {
		query.Roles = append(query.Roles, pick(m, fuzzRoles))
	}
	return query
}

// everything reads all that the tenant holds.
func (m *machine) everything(ctx context.Context) []any {
	const all = 10000
	var found []any
	add := func(value any, err error) { found = append(found, value, err != nil) }
	look := func(value any, there bool, err error) { found = append(found, value, there, err != nil) }
	read := func(r store.Reader) {
		add(r.Revision(ctx))
		add(r.Roles(ctx, "", all))
		add(r.Policy(ctx))
		add(r.Changes(ctx, 0, all))
		for _, role := range fuzzRoles {
			role, there, err := r.Role(ctx, role)
			look(role, there, err)
		}
		for _, user := range fuzzUsers {
			add(r.Holdings(ctx, user))
			user, there, err := r.User(ctx, user)
			look(user, there, err)
		}
		add(r.Users(ctx, "", all))
		add(r.Groups(ctx, "", all))
		for _, name := range fuzzGroups {
			add(r.GroupMembers(ctx, name, authz.SubjectRef{}, all))
			group, there, err := r.Group(ctx, name)
			look(group, there, err)
			tool, there, err := r.Tool(ctx, name)
			look(tool, there, err)
		}
		add(r.Settings(ctx))
		add(r.Tools(ctx, "", all))
		add(r.Catalogue(ctx, "", all))
		for _, node := range fuzzNodes {
			add(r.Memberships(ctx, node, authz.Membership{}, all))
			add(r.Nodes(ctx, node.Type, authz.Node{}, "", all))
		}
		for _, at := range fuzzTimes {
			query := store.MembersQuery{Roles: fuzzRoles, At: at}
			members, err := r.Members(ctx, query, authz.Member{}, all)
			add(members, err)
			count, err := r.CountMembers(ctx, query)
			add(count == int64(len(members)), err)
		}
		events, err := r.AuditEvents(ctx, audit.Filter{}, "", all)
		for i := range events {
			events[i].ID = ""
		}
		add(events, err)
	}
	err := m.store.View(ctx, m.tenant, func(r store.Reader) error {
		read(r)
		return nil
	})
	// What only a Tx can be asked.
	_, txErr := m.store.Update(ctx, m.tenant, func(tx store.Tx) error {
		for _, from := range fuzzGroups {
			for _, to := range fuzzGroups {
				add(tx.GroupPath(ctx, from, to))
			}
		}
		for _, role := range fuzzRoles {
			for i := range fuzzKinds {
				membership, there, err := tx.HeldOutside(ctx, role, fuzzKinds[i:])
				look(membership, there, err)
			}
		}
		return nil
	})
	return append(found, m.allSessions(ctx), fmt.Sprint(err, txErr))
}
