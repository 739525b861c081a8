package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

// TestTamperedRows changes every byte of sealed values in every table, and puts other
// sealed values in their place: those of other rows, columns, tables and tenants. What
// reads the row then fails, and nothing reads as something that was not written.
func TestTamperedRows(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx, url := t.Context(), e.newURL(t)
		s := open(t, sqlstore.Config{URL: url, AutoMigrate: true, Encryption: sealedWith(firstSecret)})
		for _, tenant := range []string{"one", "two"} {
			plantEverything(t, s, tenant)
		}
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		reads := readsOf(ctx, s)
		tables := slices.Sorted(maps.Keys(reads))
		cells := sealedCells(t, db, "one", tables)
		others := append(sealedCells(t, db, "two", tables), cells...)
		known := map[string]bool{}
		for _, read := range reads {
			for _, answer := range read() {
				if answer.err != nil {
					t.Fatal(answer.err)
				}
				addLeaves(known, answer.value)
			}
		}
		for i, cell := range cells {
			values := flips(cell.value)
			for j, other := range others {
				if j%7 == i%7 && other.value != cell.value {
					values = append(values, other.value)
				}
			}
			for _, value := range values {
				if !cell.set(ctx, t, db, value) {
					continue
				}
				failed := false
				for _, answer := range reads[cell.table]() {
					failed = failed || answer.err != nil
					if answer.err != nil {
						continue
					}
					leaves := map[string]bool{}
					addLeaves(leaves, answer.value)
					for leaf := range leaves {
						if !known[leaf] {
							t.Errorf("%s.%s as %s: read %q, which was never written", cell.table, cell.column, value, leaf)
						}
					}
				}
				// Nothing lists these users: one that is not found by name is not there.
				if !failed && (cell.table != "session_users" || cell.column != "name") {
					t.Errorf("%s.%s as %s instead of %s: nothing failed", cell.table, cell.column, value, cell.value)
				}
				if !cell.set(ctx, t, db, cell.value) {
					t.Fatalf("%s.%s was not restored", cell.table, cell.column)
				}
			}
		}
		for table, read := range reads {
			for _, answer := range read() {
				if answer.err != nil {
					t.Errorf("%s, restored: %v", table, answer.err)
				}
			}
		}
	})
}

// plantEverything writes to every table of sealed rows.
func plantEverything(t *testing.T, s store.Store, tenant string) {
	t.Helper()
	ctx := t.Context()
	if err := plantPeople(ctx, s, tenant); err != nil {
		t.Fatal(err)
	}
	check := func(_ bool, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Update(ctx, tenant, func(tx store.Tx) error {
		for _, user := range []string{"ann", "bob"} {
			check(tx.SetUser(ctx, authz.User{Name: user, Properties: map[string]any{"of": "the planted " + user}}))
			check(tx.SetGrant(ctx, "editor", authz.Grant{Permission: "edit:" + user, Condition: "context.a == '" + user + "'"}))
			check(tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: user}, Owner: user, Properties: map[string]any{"by": "the planted " + user}}))
			check(tx.SetTool(ctx, authz.Tool{Name: "tool-" + user, Description: "the planted tool", Permissions: []authz.DefinedPermission{{Name: "use:" + user, Description: "by " + user}}}))
			if err := tx.AppendChange(ctx, store.KindUser, user); err != nil {
				return err
			}
			if err := tx.AppendEvent(ctx, audit.Event{Action: "A", User: user, Resource: "user/" + user, Details: map[string]any{"a": "the planted " + user}, IP: "192.0.2.1"}); err != nil {
				return err
			}
			if _, err := tx.EndUserSessions(ctx, user, time.Unix(1, 0), authz.EndRevoked); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ann", "bob"} {
		err := s.UpdateSessions(ctx, tenant, func(tx store.SessionTx) error {
			if _, err := tx.LockUser(ctx, user); err != nil {
				return err
			}
			at := time.Unix(1_900_000_000, 0).UTC()
			return tx.CreateSession(ctx, session.Row{
				ID: "session-" + user, User: user, Epoch: 1, Generation: 1, CreatedAt: at, RotatedAt: at,
				IdleExpiresAt: at.Add(time.Hour), ExpiresAt: at.Add(time.Hour), IP: "192.0.2.1", UserAgent: "the planted browser", Binding: authz.BindingOff,
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for number := range int64(2) {
		_, err := s.CreateSigningKey(ctx, store.SigningKey{Use: "test", Number: number + 1, ID: fmt.Sprint("key", number), Algorithm: "HS256", Material: fmt.Sprint("the planted material", number)})
		if err != nil {
			t.Fatal(err)
		}
	}
}

type answer struct {
	value any
	err   error
}

// readsOf reads what the tenant "one" has in each table; the first of a table's finds
// every row, whatever its names read.
func readsOf(ctx context.Context, s *sqlstore.Store) map[string]func() []answer {
	r := storetest.Reader(s, "one")
	of := func(value any, err error) answer { return answer{value, err} }
	found := func(value any, _ bool, err error) answer { return answer{value, err} }
	session := func(user string) answer {
		record, _, err := s.Session(ctx, "one", "session-"+user)
		return answer{record.Row, err}
	}
	users, groups := []string{"ann", "bob"}, []string{"staff", "interns"}
	return map[string]func() []answer{
		"users":            func() []answer { return []answer{of(r.Users(ctx, "", 100)), found(r.User(ctx, "ann"))} },
		"user_groups":      func() []answer { return []answer{of(r.Groups(ctx, "", 100)), found(r.Group(ctx, "staff"))} },
		"roles":            func() []answer { return []answer{of(r.Roles(ctx, "", 100)), of(r.Policy(ctx))} },
		"grants":           func() []answer { return []answer{of(r.Policy(ctx)), of(r.Grants(ctx, "editor", "", 100))} },
		"tools":            func() []answer { return []answer{of(r.Tools(ctx, "", 100)), found(r.Tool(ctx, "tool-ann"))} },
		"tool_permissions": func() []answer { return []answer{of(r.Catalogue(ctx, "", 100)), of(r.Tools(ctx, "", 100))} },
		"nodes": func() []answer {
			return []answer{of(r.Nodes(ctx, "post", authz.Node{}, "", 100)), of(r.NodesOwned(ctx, "post", "ann", "", 100))}
		},
		"changes": func() []answer { return []answer{of(r.Changes(ctx, 0, 100))} },
		"audit_events": func() []answer {
			return []answer{of(r.AuditEvents(ctx, audit.Filter{}, "", 100)), of(r.AuditEvents(ctx, audit.Filter{User: "ann"}, "", 100))}
		},
		"memberships": func() (answers []answer) {
			answers = append(answers, of(r.Memberships(ctx, authz.Root, authz.Membership{}, 100)))
			for _, user := range users {
				answers = append(answers, of(r.Holdings(ctx, user)))
			}
			return answers
		},
		"group_members": func() (answers []answer) {
			for _, group := range groups {
				answers = append(answers, of(r.GroupMembers(ctx, group, authz.SubjectRef{}, 100)))
			}
			for _, user := range users {
				answers = append(answers, of(r.Holdings(ctx, user)))
			}
			return answers
		},
		"sessions": func() []answer {
			return []answer{of(s.SessionList(ctx, "one", store.SessionQuery{WithEnded: true}, "", 100)), session("ann")}
		},
		"session_users": func() []answer {
			return []answer{session("ann"), session("bob")}
		},
		"signing_keys": func() []answer { return []answer{of(s.SigningKeys(ctx, "test"))} },
	}
}

// sealedCell is a sealed value of a tenant, or of the installation.
type sealedCell struct {
	table, column, value string
	// where finds the row by its other columns, $2 and so on, which are others.
	where  string
	others []any
}

func sealedCells(t *testing.T, db *sql.DB, tenant string, tables []string) (cells []sealedCell) {
	t.Helper()
	for _, table := range tables {
		where := " WHERE tenant = '" + tenant + "'"
		if table == "signing_keys" {
			where = ""
		}
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+where)
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		before := len(cells)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			text := func(i int) string { return fmt.Sprint(*values[i].(*any)) }
			for i, column := range columns {
				if seal.KeyID(text(i)) == "" {
					continue
				}
				cell := sealedCell{table: table, column: column, value: text(i)}
				var conditions []string
				for j, other := range columns {
					if j != i {
						cell.others = append(cell.others, *values[j].(*any))
						conditions = append(conditions, fmt.Sprintf("%s = $%d", other, len(cell.others)+1))
					}
				}
				cell.where = strings.Join(conditions, " AND ")
				cells = append(cells, cell)
			}
		}
		if err := rows.Err(); err != nil || len(cells) == before {
			t.Fatalf("%s: found no sealed value, %v", table, err)
		}
	}
	return cells
}

// set reports whether the table takes the value: a key may be taken.
func (c sealedCell) set(ctx context.Context, t *testing.T, db *sql.DB, value string) bool {
	t.Helper()
	result, err := db.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET %s = $1 WHERE %s", c.table, c.column, c.where), append([]any{value}, c.others...)...)
	if err != nil {
		return false
	}
	if rows, err := result.RowsAffected(); err != nil || rows != 1 {
		t.Fatalf("%s.%s: changed %d rows, %v", c.table, c.column, rows, err)
	}
	return true
}

// flips are a value with each of its bytes changed, in one way.
func flips(value string) []string {
	var list []string
	for i := range len(value) {
		flipped := []byte(value)
		flipped[i] ^= 1
		list = append(list, strings.ToValidUTF8(string(flipped), ""))
	}
	return append(list, value[:len("k1.")], value[:len(value)-1], value+"A")
}

// addLeaves adds the strings in a value.
func addLeaves(leaves map[string]bool, value any) {
	text, _ := json.Marshal(value)
	var decoded any
	_ = json.Unmarshal(text, &decoded)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			leaves[v] = true
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(decoded)
}
