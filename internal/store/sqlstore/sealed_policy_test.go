package sqlstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/store"
)

// newRing has the keys k1 and k2.
func newRing(t testing.TB) *seal.Ring {
	t.Helper()
	var keys []seal.Key
	for i, secret := range secrets {
		stretched := get(seal.Stretch(secret, make([]byte, seal.SaltBytes), seal.MinIterations))(t)
		keys = append(keys, stretched.Key(int64(i+1)))
	}
	return seal.NewRing(keys...)
}

var secrets = []string{"the first secret", "the second secret"}

func TestPolicyRows(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	t.Run("roles", func(t *testing.T) {
		testRows(t, ring, (*sealed).openRole, (*sealed).sealRole,
			postgres.Role{Tenant: "t", Name: "editor", Description: "edits", Scopes: "team"},
			postgres.Role{Tenant: "t", Name: "editor"})
	})
	t.Run("grants", func(t *testing.T) {
		testRows(t, ring, (*sealed).openGrant, (*sealed).sealGrant,
			postgres.Grant{Tenant: "t", Role: "editor", Permission: "post:*", Condition: "now.getHours() < 5"},
			postgres.Grant{Tenant: "t", Role: "editor", Permission: "k1.abc"})
	})
	t.Run("tools", func(t *testing.T) {
		testRows(t, ring, (*sealed).openTool, (*sealed).sealTool,
			postgres.Tool{Tenant: "t", Name: "wiki", Description: "pages"},
			postgres.Tool{Tenant: "t", Name: "blog"})
	})
	t.Run("tool_permissions", func(t *testing.T) {
		testRows(t, ring, (*sealed).openToolPermission, (*sealed).sealToolPermission,
			postgres.ToolPermission{Tenant: "t", Permission: "read", Tool: "wiki", Description: "reads"},
			postgres.ToolPermission{Tenant: "t", Permission: "k2.abc", Tool: "wiki"})
	})
	t.Run("nodes", func(t *testing.T) {
		testRows(t, ring, (*sealed).openNode, (*sealed).sealNode,
			postgres.Node{Tenant: "t", Type: "post", ID: "1", ParentType: "team", ParentID: "a", Name: "One", Owner: "ann", Properties: `{"a":1}`},
			postgres.Node{Tenant: "t", Type: "post", ID: "1", ParentType: "team", ParentID: "a", Properties: "{}"})
	})
	t.Run("changes", func(t *testing.T) {
		testRows(t, ring, (*sealed).openChange, (*sealed).sealChange,
			postgres.Change{Tenant: "t", Revision: 7, Position: 1, Kind: "role", Key: "editor"},
			postgres.Change{Tenant: "t", Revision: 7, Position: 2, Kind: "role"})
	})
}

func TestRecordRows(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	t.Run("users", func(t *testing.T) {
		testRows(t, ring, (*sealed).openUser, (*sealed).sealUser,
			postgres.User{Tenant: "t", Name: "ann", Active: 1, Properties: `{"a":1}`},
			postgres.User{Tenant: "t", Name: "k1.abc", Properties: "{}"})
	})
	t.Run("sessions", func(t *testing.T) {
		testRows(t, ring, (*sealed).openSession, (*sealed).sealSession,
			postgres.Session{Tenant: "t", ID: "1", Subject: "ann", Epoch: 2, CreatedAt: 3, ExpiresAt: 4, Binding: "ip", Ip: "192.0.2.1", UserAgent: "a browser"},
			postgres.Session{Tenant: "t", ID: "2", Subject: "bob", Binding: "off"})
	})
	t.Run("session_users", func(t *testing.T) {
		testRows(t, ring, (*sealed).openSessionUser, (*sealed).sealSessionUser,
			postgres.SessionUser{Tenant: "t", Name: "ann", Epoch: 1}, postgres.SessionUser{Tenant: "t", Name: "bob"})
	})
	t.Run("audit_events", func(t *testing.T) {
		testRows(t, ring, (*sealed).openAuditEvent, (*sealed).sealAuditEvent,
			postgres.AuditEvent{
				ID: "1", Tenant: "t", OccurredAt: 2, Actor: "abc", Action: "GRANTED", Subject: "ann", Resource: "post", Outcome: "ok",
				Details: "{}", Ip: "192.0.2.1", UserAgent: "a browser", RequestID: "r", Revision: 3,
			},
			postgres.AuditEvent{ID: "2", Tenant: "t", Actor: "system", Subject: "k2.abc", Details: "{}"})
	})
	t.Run("signing_keys", func(t *testing.T) {
		testRows(t, ring, (*sealed).openSigningKey, (*sealed).sealSigningKey,
			postgres.SigningKey{Purpose: "session", Number: 1, ID: "a", Algorithm: "HS256", Material: "secret", CreatedAt: 2, SignsFrom: 3},
			postgres.SigningKey{Purpose: "access", Number: 2, ID: "b", Algorithm: "EdDSA", Material: "another"})
	})
	t.Run("token_families", func(t *testing.T) {
		testRows(t, ring, (*sealed).openTokenFamily, (*sealed).sealTokenFamily,
			postgres.TokenFamily{Tenant: "t", ID: "1", ClientKey: "hash", Subject: "ann", Abilities: "check", Handle: "h", Current: "c", Generation: 1, CreatedAt: 2},
			postgres.TokenFamily{Tenant: "t", ID: "2", ClientKey: "hash", Abilities: "admin", Handle: "i", Current: "d"})
	})
	t.Run("decisions", func(t *testing.T) {
		testRows(t, ring, (*sealed).openDecision, (*sealed).sealDecision,
			postgres.Decision{
				Tenant: "t", ID: "1", DecidedAt: 2, Actor: "abc", Subject: "ann", Permission: "read", ResourceType: "post", ResourceID: "7",
				Allowed: 1, Revision: 3, Details: `{"a":1}`, RequestID: "r", Ip: "192.0.2.1",
			},
			postgres.Decision{Tenant: "t", ID: "2", Actor: "system", Subject: "ann", Permission: "ann", Details: "{}"},
			postgres.Decision{Tenant: "t", ID: "3", Actor: "system", Permission: "k1.abc", Details: "{}"})
	})
}

// unbound are the columns of a row's state, which its seal says nothing of.
var unbound = map[reflect.Type][]string{
	reflect.TypeFor[postgres.Session](): {
		"Generation", "Recent", "Confirmed", "Recovered", "Replays", "RotatedAt", "IdleExpiresAt", "EndedAt", "SweepAt", "EndReason",
	},
	reflect.TypeFor[postgres.AuditEvent]():  {"Seq"}, // which the tree holds
	reflect.TypeFor[postgres.TokenFamily](): {"Current", "Generation", "RefreshedAt", "ExpiresAt", "TokensUntil", "EndedAt", "EndReason"},
}

// TestSealedTables holds the list to the schema: what is not on it is not purged.
func TestSealedTables(t *testing.T) {
	t.Parallel()
	s := openSealed(t, dialectSQLite)
	rows := get(s.db.(*sqliteDB).readers.QueryContext(t.Context(), "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'seal' ORDER BY m.name"))(t)
	defer func() { _ = rows.Close() }()
	var got []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			t.Fatal(err)
		}
		got = append(got, table)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(slices.Values(sealedTables)); !slices.Equal(got, want) {
		t.Errorf("got tables with a seal %v, want %v", got, want)
	}
}

// testRows seals rows of a table and opens them, changed and unchanged.
func testRows[R comparable](t *testing.T, ring *seal.Ring, open, write func(*sealed, R) (R, error), rows ...R) {
	queries := func(tenant, with string, also ...string) *sealed {
		return &sealed{tenant: tenant, seals: ring.Tenant(tenant), sealing: sealing{with: with, also: also}, broken: new(atomic.Uint64)}
	}
	for _, row := range rows {
		plain, err := write(queries("t", seal.Plain), row)
		if err != nil || plain != row {
			t.Errorf("plain: got %+v, %v, want %+v", plain, err, row)
		}
		if _, err := open(queries("t", "k1", "k2"), row); err == nil {
			t.Error("a plain row was opened where none may be")
		}
		if opened, err := open(queries("t", "k1", seal.Plain), row); err != nil || opened != row {
			t.Errorf("a plain row: got %+v, %v, want %+v", opened, err, row)
		}
		for _, key := range []string{"k1", "k2"} {
			kept := get(write(queries("t", key, seal.Plain), row))(t)
			for _, with := range []string{seal.Plain, "k1", "k2"} {
				if opened, err := open(queries("t", with, key), kept); err != nil || opened != row {
					t.Errorf("sealed with %s: got %+v, %v, want %+v", key, opened, err, row)
				}
			}
			if _, err := open(queries("other", key), kept); err == nil {
				t.Error("another tenant opened the row")
			}
			others := []R{get(write(queries("other", key), row))(t)}
			for _, other := range rows {
				if other != row {
					others = append(others, get(write(queries("t", key), other))(t))
				}
			}
			testChangedRow(t, kept, row, others, func(changed R) (R, error) { return open(queries("t", key), changed) })
		}
	}
}

// testChangedRow changes each byte of each column of a sealed row, and puts there what
// its other columns and other rows have. A column whose content is in the seal is empty,
// and means nothing.
func testChangedRow[R comparable](t *testing.T, kept, row R, others []R, open func(R) (R, error)) {
	t.Helper()
	columns := reflect.TypeFor[R]()
	for i := range columns.NumField() {
		column := columns.Field(i).Name
		if column == "Tenant" || slices.Contains(unbound[reflect.TypeFor[R]()], column) {
			continue
		}
		changed := kept
		field := reflect.ValueOf(&changed).Elem().Field(i)
		if field.Kind() == reflect.Int64 {
			field.SetInt(field.Int() + 1)
			if opened, err := open(changed); err == nil {
				t.Errorf("%s changed: got %+v", column, opened)
			}
			continue
		}
		text := field.String()
		instead := []string{text + "x"}
		for _, other := range append(others, kept) {
			for j := range columns.NumField() {
				if value := reflect.ValueOf(other).Field(j); value.Kind() == reflect.String && columns.Field(j).Name != "Tenant" {
					instead = append(instead, value.String())
				}
			}
		}
		for _, value := range instead {
			field.SetString(value)
			if opened, err := open(changed); err == nil && value != text && (opened != row || text != "") {
				t.Errorf("%s with %q for %q: got %+v", column, value, text, opened)
			}
		}
		for at := range text {
			bytes := []byte(text)
			bytes[at] ^= 1
			field.SetString(string(bytes))
			if opened, err := open(changed); err == nil {
				t.Errorf("%s with byte %d changed: got %+v", column, at, opened)
			}
		}
	}
}

// openSealed opens an empty database whose new tenants are sealed with k1.
func openSealed(t testing.TB, dialect string) *Store {
	t.Helper()
	url := filepath.Join(t.TempDir(), "sealed.sqlite3")
	if dialect == dialectPostgreSQL {
		url = pgtest.URL(t)
	}
	ctx := context.Background()
	s := get(Open(ctx, Config{URL: url, AutoMigrate: true, Encryption: Encryption{Secret: secrets[0], Previous: secrets[1:]}}))(t)
	t.Cleanup(func() { _ = s.Close() })
	salt := make([]byte, seal.SaltBytes)
	db := s.db.statements()
	for i, secret := range secrets {
		stretched := get(seal.Stretch(secret, salt, seal.MinIterations))(t)
		err := db.CreateEncryptionKey(ctx, postgres.CreateEncryptionKeyParams{Number: int64(i + 1), Iterations: seal.MinIterations, CheckValue: stretched.Check()})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := db.SetEncryption(ctx, postgres.SetEncryptionParams{SealedWith: "k1", Salt: base64.RawURLEncoding.EncodeToString(salt)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// onSealed runs a test on a sealed database of each engine.
func onSealed(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Parallel()
	for _, dialect := range []string{dialectSQLite, dialectPostgreSQL} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			test(t, openSealed(t, dialect))
		})
	}
}

// sealTenant says how the tenant "t" is sealed from now on.
func sealTenant(t testing.TB, s *Store, state sealing) {
	t.Helper()
	if err := s.SetSealing(t.Context(), "t", state.with, state.also...); err != nil {
		t.Fatal(err)
	}
}

// change makes a change in the tenant "t", and reports whether it found anything to do.
func change(t testing.TB, s *Store, fn func(tx store.Tx) (bool, error)) bool {
	t.Helper()
	var changed bool
	_, err := s.Update(t.Context(), "t", func(tx store.Tx) (err error) {
		if changed, err = fn(tx); err != nil || !changed {
			return err
		}
		return tx.AppendChange(t.Context(), store.KindRole, "a key")
	})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestPolicyWrites writes everything again and again while the tenant's key changes.
func TestPolicyWrites(t *testing.T) {
	onSealed(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		// Each write says another thing in each round, of one and the same row.
		writes := map[string]func(tx store.Tx, text string) (bool, error){
			"a role": func(tx store.Tx, text string) (bool, error) {
				return tx.SetRole(ctx, authz.RoleDetail{Name: "editor", Description: text, Scopes: []authz.Kind{authz.KindTeam}})
			},
			"a description": func(tx store.Tx, text string) (bool, error) {
				return tx.SetRoleDescription(ctx, "editor", text+" described")
			},
			"a grant": func(tx store.Tx, text string) (bool, error) {
				return tx.SetGrant(ctx, authz.Everyone, authz.Grant{Permission: "post:edit", Condition: fmt.Sprintf("%q == ''", text)})
			},
			"a tool": func(tx store.Tx, text string) (bool, error) {
				return tx.SetTool(ctx, authz.Tool{Name: "wiki", Description: text, Permissions: []authz.DefinedPermission{{Name: "post:read", Description: text}}})
			},
			"a node": func(tx store.Tx, text string) (bool, error) {
				return tx.SetNode(ctx, store.NodeRecord{
					Node: authz.Node{Type: "post", ID: "1"}, Parent: authz.Root, Owner: "ann", Properties: map[string]any{"a": text},
				})
			},
		}
		change(t, s, func(tx store.Tx) (bool, error) { return tx.SetGrant(ctx, authz.Owner, authz.Grant{Permission: "*"}) })
		for round, state := range []sealing{
			{with: "k1"},
			{with: "k2", also: []string{"k1"}},
			{with: "k2", also: []string{"k1", seal.Plain}},
			{with: seal.Plain, also: []string{"k2", "k1"}},
			{with: "k1", also: []string{seal.Plain, "k2"}},
		} {
			sealTenant(t, s, state)
			text := fmt.Sprint("secret text ", round)
			for _, what := range []string{"a role", "a description", "a grant", "a tool", "a node"} {
				write := writes[what]
				if !change(t, s, func(tx store.Tx) (bool, error) { return write(tx, text) }) {
					t.Errorf("round %d: %s was not written", round, what)
				}
				if what == "a role" {
					continue // it would write back what the description changes
				}
				// As it is, whatever it is sealed with.
				for _, later := range []sealing{state, {with: "k2", also: []string{"k1", seal.Plain}}} {
					sealTenant(t, s, later)
					if change(t, s, func(tx store.Tx) (bool, error) { return write(tx, text) }) {
						t.Errorf("round %d: %s was written again as it was", round, what)
					}
				}
				sealTenant(t, s, state)
			}
			checkKept(t, s, state.with)
			err := s.View(ctx, "t", func(r store.Reader) error {
				role, _, err := r.Role(ctx, "editor")
				if want := (authz.RoleDetail{Name: "editor", Description: text + " described", Scopes: []authz.Kind{authz.KindTeam}}); err != nil || !reflect.DeepEqual(role, want) {
					t.Errorf("round %d: got role %+v, %v, want %+v", round, role, err, want)
				}
				catalogue, err := r.Catalogue(ctx, "*", 10)
				want := []authz.CatalogueEntry{
					{DefinedPermission: authz.DefinedPermission{Name: "post:edit"}, Roles: []string{authz.Everyone}},
					{DefinedPermission: authz.DefinedPermission{Name: "post:read", Description: text}, Tool: "wiki"},
				}
				if err != nil || !reflect.DeepEqual(catalogue, want) {
					t.Errorf("round %d: got catalogue %+v, %v, want %+v", round, catalogue, err, want)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		deletions := map[string]func(tx store.Tx) (bool, error){
			"a grant":    func(tx store.Tx) (bool, error) { return tx.DeleteGrant(ctx, authz.Everyone, "post:edit") },
			"ownerships": func(tx store.Tx) (bool, error) { return tx.DeleteUser(ctx, "ann") },
			"a tool":     func(tx store.Tx) (bool, error) { return tx.DeleteTool(ctx, "wiki") },
		}
		sealTenant(t, s, sealing{with: "k2", also: []string{"k1", seal.Plain}})
		for what, remove := range deletions {
			if !change(t, s, remove) || change(t, s, remove) {
				t.Errorf("%s was not deleted once", what)
			}
		}
		err := s.View(ctx, "t", func(r store.Reader) error {
			node, found, err := r.Node(ctx, authz.Node{Type: "post", ID: "1"})
			if !found || node.Owner != "" || node.Properties["a"] != "secret text 4" {
				t.Errorf("got %+v, %v, %v, want a node without owner", node, found, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// checkKept looks at the rows as the database has them: one of each thing, as the key of
// an id writes it.
func checkKept(t *testing.T, s *Store, with string) {
	t.Helper()
	ctx, raw := t.Context(), s.db.queries()
	var all []any
	collect := func(rows any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for i := range reflect.ValueOf(rows).Len() {
			all = append(all, reflect.ValueOf(rows).Index(i).Interface())
		}
	}
	collect(raw.Role(ctx, postgres.RoleParams{Tenant: "t", Name: "editor"}))
	collect(raw.Grants(ctx, postgres.GrantsParams{Tenant: "t", Role: authz.Everyone, MaxRows: 10}))
	collect(raw.Tool(ctx, postgres.ToolParams{Tenant: "t", Name: "wiki"}))
	collect(raw.Nodes(ctx, postgres.NodesParams{Tenant: "t", Type: "post", MaxRows: 10}))
	changes, err := raw.ChangesAfter(ctx, postgres.ChangesAfterParams{Tenant: "t", MaxRows: 1000})
	collect(changes[len(changes)-1:], err)
	if len(all) != 5 {
		t.Errorf("got rows %+v, want one of each thing", all)
	}
	for _, row := range all {
		text := fmt.Sprintf("%+v", row)
		plain := slices.ContainsFunc([]string{"secret text", "ann", "post:", "a key"}, func(word string) bool { return strings.Contains(text, word) })
		if key := seal.KeyID(reflect.ValueOf(row).FieldByName("Seal").String()); key != with || plain != (with == seal.Plain) {
			t.Errorf("got %s, want it sealed with %q", text, with)
		}
	}
}

// TestSwappedPolicyRows makes of what is Ann's what is Bob's, by values that are sealed in
// the right column.
func TestSwappedPolicyRows(t *testing.T) {
	onSealed(t, func(t *testing.T, s *Store) {
		ctx, raw := t.Context(), s.db.statements()
		for _, name := range []string{"ann", "bob"} {
			permission := "edit:" + name
			for _, write := range []func(tx store.Tx) (bool, error){
				func(tx store.Tx) (bool, error) { return tx.SetRole(ctx, authz.RoleDetail{Name: name}) },
				func(tx store.Tx) (bool, error) {
					return tx.SetGrant(ctx, name, authz.Grant{Permission: permission})
				},
				func(tx store.Tx) (bool, error) {
					return tx.SetTool(ctx, authz.Tool{Name: name, Permissions: []authz.DefinedPermission{{Name: permission}}})
				},
				func(tx store.Tx) (bool, error) {
					return tx.SetNode(ctx, store.NodeRecord{Node: authz.Node{Type: "post", ID: name}, Parent: authz.Root, Owner: name})
				},
			} {
				change(t, s, write)
			}
		}
		reads := map[string]func(r store.Reader) error{
			"Role":             func(r store.Reader) error { _, _, err := r.Role(ctx, "bob"); return err },
			"Roles":            func(r store.Reader) error { _, err := r.Roles(ctx, "", 10); return err },
			"Policy":           func(r store.Reader) error { _, err := r.Policy(ctx); return err },
			"Grant":            func(r store.Reader) error { _, _, err := r.Grant(ctx, "bob", "edit:ann"); return err },
			"Grants":           func(r store.Reader) error { _, err := r.Grants(ctx, "bob", "", 10); return err },
			"KnownPermissions": func(r store.Reader) error { _, err := r.KnownPermissions(ctx, "", 10); return err },
			"Catalogue":        func(r store.Reader) error { _, err := r.Catalogue(ctx, "", 10); return err },
			"Tool":             func(r store.Reader) error { _, _, err := r.Tool(ctx, "bob"); return err },
			"Tools":            func(r store.Reader) error { _, err := r.Tools(ctx, "", 10); return err },
			"DefiningTool":     func(r store.Reader) error { _, _, err := r.DefiningTool(ctx, "edit:ann"); return err },
			"DefiningTool *":   func(r store.Reader) error { _, _, err := r.DefiningTool(ctx, "edit:*"); return err },
			"Node":             func(r store.Reader) error { _, _, err := r.Node(ctx, authz.Node{Type: "post", ID: "bob"}); return err },
			"Nodes":            func(r store.Reader) error { _, err := r.Nodes(ctx, "post", authz.Node{}, "", 10); return err },
			"Nodes under":      func(r store.Reader) error { _, err := r.Nodes(ctx, "post", authz.Root, "", 10); return err },
			"NodesNamed":       func(r store.Reader) error { _, err := r.NodesNamed(ctx, "post", []string{"bob"}); return err },
			"NodesOwned":       func(r store.Reader) error { _, err := r.NodesOwned(ctx, "post", "ann", "", 10); return err },
		}
		for name, read := range reads {
			if err := s.View(ctx, "t", read); err != nil {
				t.Errorf("%s before: %v", name, err)
			}
		}
		role := get(raw.Role(ctx, postgres.RoleParams{Tenant: "t", Name: "ann"}))(t)[0]
		grant := get(raw.Grants(ctx, postgres.GrantsParams{Tenant: "t", Role: "ann", MaxRows: 1}))(t)[0]
		tool := get(raw.Tool(ctx, postgres.ToolParams{Tenant: "t", Name: "ann"}))(t)[0]
		node := get(raw.Node(ctx, postgres.NodeParams{Tenant: "t", Type: "post", ID: "ann"}))(t)
		node.ID = "bob"
		for _, swap := range []struct {
			do    func() (int64, error)
			fails []string
		}{
			{
				do:    func() (int64, error) { return raw.SetNode(ctx, postgres.SetNodeParams(node)) },
				fails: []string{"Node", "Nodes", "Nodes under", "NodesNamed", "NodesOwned"},
			},
			{
				do: func() (int64, error) {
					return raw.SetGrant(ctx, postgres.SetGrantParams{Tenant: "t", Role: "bob", Permission: grant.Permission, Seal: grant.Seal})
				},
				fails: []string{"Policy", "Grant", "Grants", "KnownPermissions", "Catalogue"},
			},
			{
				do: func() (int64, error) {
					get(raw.DeletePermissionsOfTool(ctx, postgres.DeletePermissionsOfToolParams{Tenant: "t", Tool: "ann"}))(t)
					return raw.SetToolPermission(ctx, postgres.SetToolPermissionParams{
						Tenant: "t", Tool: "bob", Permission: tool.Permission, Seal: tool.PermissionSeal,
					})
				},
				fails: []string{"Tool", "Tools", "DefiningTool", "DefiningTool *", "Catalogue"},
			},
			{
				do: func() (int64, error) {
					return raw.SetRole(ctx, postgres.SetRoleParams{Tenant: "t", Name: "bob", Seal: role.Seal})
				},
				fails: []string{"Role", "Roles", "Policy"},
			},
		} {
			if rows := get(swap.do())(t); rows != 1 {
				t.Errorf("got %d rows changed, want 1", rows)
			}
			for _, name := range swap.fails {
				if err := s.View(ctx, "t", reads[name]); err == nil || strings.Contains(err.Error(), "k1.") {
					t.Errorf("%s: got error %v", name, err)
				}
			}
		}
	})
}

// get unwraps a result that must come without an error, as in get(f())(t).
func get[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
