package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

// plantPeople has ann view everything until some day, and bob edit by the group interns,
// which is in staff.
func plantPeople(ctx context.Context, s store.Store, tenant string) error {
	_, err := s.Update(ctx, tenant, func(tx store.Tx) error {
		for _, role := range []string{"viewer", "editor"} {
			if _, err := tx.CreateRole(ctx, authz.Role{Name: role}); err != nil {
				return err
			}
		}
		for _, name := range []string{"staff", "interns"} {
			if _, err := tx.SetGroup(ctx, authz.Group{Name: name, Description: "about " + name}); err != nil {
				return err
			}
		}
		for group, member := range map[string]authz.SubjectRef{
			"staff": {Type: authz.GroupType, Name: "interns"}, "interns": {Type: authz.UserType, Name: "bob"},
		} {
			if _, err := tx.AddToGroup(ctx, group, member); err != nil {
				return err
			}
		}
		for _, membership := range []authz.Membership{
			{
				Subject: authz.SubjectRef{Type: authz.UserType, Name: "ann"}, Role: "viewer", Node: authz.Root,
				Window: authz.Window{ExpiresAt: time.Unix(2_000_000_000, 0)},
			},
			{Subject: authz.SubjectRef{Type: authz.GroupType, Name: "staff"}, Role: "editor", Node: authz.Root},
		} {
			if _, _, err := tx.SetMembership(ctx, membership); err != nil {
				return err
			}
		}
		return tx.AppendChange(ctx, store.KindRole, store.KeyAll)
	})
	return err
}

// openSealed opens a store that seals new tenants, and has a second key.
func openSealed(t *testing.T, url string) *sqlstore.Store {
	t.Helper()
	s := open(t, sqlstore.Config{
		URL: url, AutoMigrate: true,
		Encryption: sqlstore.Encryption{Enabled: true, Unfit: true, Secret: "one", Previous: []string{"two"}},
	})
	if err := s.RegisterKeys(t.Context(), "one", "two"); err != nil {
		t.Fatal(err)
	}
	return s
}

// readings are what people are read by, as texts.
var readings = map[string]func(ctx context.Context, r store.Reader) (any, error){
	"ann": func(ctx context.Context, r store.Reader) (any, error) { return r.Holdings(ctx, "ann") },
	"bob": func(ctx context.Context, r store.Reader) (any, error) { return r.Holdings(ctx, "bob") },
	"subjects": func(ctx context.Context, r store.Reader) (any, error) {
		return r.Subjects(ctx, []string{"ann", "bob"}, []authz.Node{authz.Root})
	},
	"memberships": func(ctx context.Context, r store.Reader) (any, error) {
		return r.Memberships(ctx, authz.Root, authz.Membership{}, 100)
	},
	"members": func(ctx context.Context, r store.Reader) (any, error) {
		return r.Members(ctx, store.MembersQuery{Roles: []string{"viewer", "editor"}, At: time.Unix(1, 0)}, authz.Member{}, 100)
	},
	"known": func(ctx context.Context, r store.Reader) (any, error) { return r.KnownUsers(ctx, "", 100) },
	"interns": func(ctx context.Context, r store.Reader) (any, error) {
		return r.GroupMembers(ctx, "interns", authz.SubjectRef{}, 100)
	},
	"staff": func(ctx context.Context, r store.Reader) (any, error) {
		return r.GroupMembers(ctx, "staff", authz.SubjectRef{}, 100)
	},
	"groups": func(ctx context.Context, r store.Reader) (any, error) { return r.Groups(ctx, "", 100) },
	"group": func(ctx context.Context, r store.Reader) (any, error) {
		group, found, err := r.Group(ctx, "staff")
		return []any{group, found}, err
	},
}

func readPeople(ctx context.Context, s store.Store, tenant string) (texts map[string]string, failed []string) {
	texts = map[string]string{}
	for name, read := range readings {
		value, err := read(ctx, storetest.Reader(s, tenant))
		if err == nil {
			texts[name] = fmt.Sprint(value)
		} else if failed = append(failed, name); fault.CodeOf(err) != fault.CodeInternal {
			texts[name] = err.Error()
		}
	}
	slices.Sort(failed)
	return texts, failed
}

// TestChangedPeople changes rows behind the store's back.
func TestChangedPeople(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		url := e.newURL(t)
		s := openSealed(t, url)
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		if err := plantPeople(ctx, s, "other"); err != nil {
			t.Fatal(err)
		}
		const (
			ofAnn   = "WHERE tenant = 'TENANT' AND role = 'viewer'"
			ofStaff = "WHERE tenant = 'TENANT' AND role = 'editor'"
			ofBob   = "WHERE tenant = 'TENANT' AND member_type = 'user'"
			inStaff = "WHERE tenant = 'TENANT' AND member_type = 'group'"
			oneName = "WHERE tenant = 'TENANT' AND name = (SELECT min(name) FROM user_groups WHERE tenant = 'TENANT')"
		)
		for _, test := range []struct {
			name, change string
			// failed are the readings that meet the row.
			failed []string
		}{
			{"longer window", "UPDATE memberships SET expires_at = expires_at + 1 " + ofAnn, []string{"ann", "known", "members", "memberships", "subjects"}},
			{"earlier window", "UPDATE memberships SET not_before = not_before - 1 " + ofStaff, []string{"bob", "members", "memberships", "subjects"}},
			{"another role", "UPDATE memberships SET role = 'editor' " + ofAnn, []string{"ann", "known", "members", "memberships", "subjects"}},
			{"another place", "UPDATE memberships SET node_type = 'post', node_id = 'post' " + ofAnn, []string{"ann", "known"}},
			{"another's role", "UPDATE memberships SET subject = (SELECT m.subject FROM memberships m " + ofStaff + ") " + ofAnn,
				[]string{"known", "members", "memberships"}},
			{"a user for a group", "UPDATE memberships SET subject_type = 'user' " + ofStaff, []string{"known", "members", "memberships"}},
			{"a tenant for another", "UPDATE memberships SET seal = (SELECT m.seal FROM memberships m WHERE m.tenant = 'other' AND m.role = 'viewer') " + ofAnn,
				[]string{"ann", "known", "members", "memberships", "subjects"}},
			{"another row's seal", "UPDATE memberships SET seal = (SELECT m.seal FROM memberships m " + ofStaff + ") " + ofAnn,
				[]string{"ann", "known", "members", "memberships", "subjects"}},
			{"no seal", "UPDATE memberships SET seal = '' " + ofAnn, []string{"ann", "known", "members", "memberships", "subjects"}},
			{"plain row", "UPDATE memberships SET subject = 'eve', seal = '' " + ofAnn, []string{"known", "members", "memberships"}},
			{"damaged name", "UPDATE memberships SET subject = 'k1.' || substr(subject, 5) " + ofAnn, []string{"known", "members", "memberships"}},
			{"damaged seal", "UPDATE memberships SET seal = substr(seal, 1, length(seal) - 4) || 'AAAA' " + ofAnn,
				[]string{"ann", "known", "members", "memberships", "subjects"}},
			{"unknown key", "UPDATE memberships SET seal = 'k9.' || substr(seal, 4) " + ofAnn, []string{"ann", "known", "members", "memberships", "subjects"}},
			{"another group", "UPDATE group_members SET group_name = (SELECT g.group_name FROM group_members g " + inStaff + ") " + ofBob,
				[]string{"bob", "known", "members", "subjects"}},
			{"column for column", "UPDATE group_members SET group_name = (SELECT m.subject FROM memberships m " + ofStaff + ") " + ofBob,
				[]string{"bob", "known", "subjects"}},
			{"a member's type", "UPDATE group_members SET member_type = 'user' " + inStaff, []string{"known", "members", "staff"}},
			{"a member without seal", "UPDATE group_members SET seal = '' " + inStaff, []string{"bob", "members", "staff", "subjects"}},
			{"another group's description", "UPDATE user_groups SET seal = (SELECT max(g.seal) FROM user_groups g WHERE g.tenant = 'other') " + oneName,
				[]string{"groups"}},
			{"plain description", "UPDATE user_groups SET seal = '', description = 'x' WHERE tenant = 'TENANT'", []string{"group", "groups"}},
		} {
			t.Run(test.name, func(t *testing.T) {
				tenant := strings.ReplaceAll(test.name, "'", "")
				if err := plantPeople(ctx, s, tenant); err != nil {
					t.Fatal(err)
				}
				before, failed := readPeople(ctx, s, tenant)
				if len(failed) > 0 {
					t.Fatalf("before the change %v failed", failed)
				}
				if _, err := db.ExecContext(ctx, strings.ReplaceAll(test.change, "TENANT", tenant)); err != nil {
					t.Fatal(err)
				}
				after, failed := readPeople(ctx, s, tenant)
				for _, want := range test.failed {
					if !slices.Contains(failed, want) {
						t.Errorf("%s is read: %s", want, after[want])
					}
				}
				for name, text := range after {
					// What no longer finds a row has less.
					if len(text) > len(before[name]) {
						t.Errorf("%s: got %s, want an error or no more than %s", name, text, before[name])
					}
				}
			})
		}
	})
}

// TestOneForm writes the same while the key changes: each row is found in the form that it
// has, and stays in one.
func TestOneForm(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		url := e.newURL(t)
		s := openSealed(t, url)
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		member := authz.SubjectRef{Type: authz.UserType, Name: "ann"}
		write := func(tx store.Tx, description string) []bool {
			t.Helper()
			var changed []bool
			add := func(did bool, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				changed = append(changed, did)
			}
			expiry := authz.Window{ExpiresAt: time.Unix(int64(len(description)), 0)}
			add(tx.CreateRole(ctx, authz.Role{Name: "viewer"}))
			add(tx.CreateGroup(ctx, "staff"))
			add(tx.SetGroup(ctx, authz.Group{Name: "staff", Description: description}))
			add(tx.AddToGroup(ctx, "staff", member))
			_, did, err := tx.SetMembership(ctx, authz.Membership{Subject: member, Role: "viewer", Node: authz.Root, Window: expiry})
			add(did, err)
			return changed
		}
		for i, step := range []struct {
			with        string
			also        []string
			description string
			want        []bool
		}{
			{"k1", nil, "a", []bool{true, true, true, true, true}},
			{"k2", []string{"k1"}, "a", []bool{false, false, false, false, false}},
			{"k2", []string{"k1"}, "aa", []bool{false, false, true, false, true}},
			{"k1", []string{seal.Plain, "k2"}, "aa", []bool{false, false, false, false, false}},
			{seal.Plain, []string{"k1", "k2"}, "aaa", []bool{false, false, true, false, true}},
			{"k2", []string{seal.Plain, "k1"}, "aaa", []bool{false, false, false, false, false}},
			{"k2", []string{seal.Plain, "k1"}, "", []bool{false, false, true, false, true}},
		} {
			if err := s.SetSealing(ctx, "tenant", step.with, step.also...); err != nil {
				t.Fatal(err)
			}
			_, err := s.Update(ctx, "tenant", func(tx store.Tx) error {
				if got := write(tx, step.description); !slices.Equal(got, step.want) {
					t.Errorf("step %d: got changes %v, want %v", i, got, step.want)
				}
				return tx.AppendChange(ctx, store.KindRole, store.KeyAll)
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range []string{"memberships", "group_members", "user_groups"} {
				var rows int
				if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&rows); err != nil || rows != 1 {
					t.Errorf("step %d: %s has %d rows, %v, want 1", i, table, rows, err)
				}
			}
		}
		_, err = s.Update(ctx, "tenant", func(tx store.Tx) error {
			if _, err := tx.RemoveFromGroup(ctx, "staff", member); err != nil {
				return err
			}
			if _, err := tx.DeleteMembership(ctx, member, "viewer", authz.Root); err != nil {
				return err
			}
			if _, err := tx.DeleteGroup(ctx, "staff"); err != nil {
				return err
			}
			return tx.AppendChange(ctx, store.KindRole, store.KeyAll)
		})
		if err != nil {
			t.Fatal(err)
		}
		var rows int
		err = db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM memberships) + (SELECT count(*) FROM group_members) + (SELECT count(*) FROM user_groups)").Scan(&rows)
		if err != nil || rows != 0 {
			t.Errorf("after the deletion: got %d rows, %v", rows, err)
		}
	})
}

// TestSealedNameAsked asks for a user by what another's name is sealed as, while some rows
// are plain.
func TestSealedNameAsked(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		url := e.newURL(t)
		s := openSealed(t, url)
		if err := plantPeople(ctx, s, "tenant"); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		var form string
		if err := db.QueryRowContext(ctx, "SELECT subject FROM memberships WHERE subject_type = 'user'").Scan(&form); err != nil {
			t.Fatal(err)
		}
		for _, also := range [][]string{nil, {"k2", seal.Plain}} {
			if err := s.SetSealing(ctx, "tenant", "k1", also...); err != nil {
				t.Fatal(err)
			}
			if holdings, err := storetest.Reader(s, "tenant").Holdings(ctx, form); len(holdings) > 0 || (err == nil) != (also == nil) {
				t.Errorf("also %v: got %v, %v", also, holdings, err)
			}
		}
	})
}

// BenchmarkSealedHoldings reads what a user holds, as a cache fill does.
func BenchmarkSealedHoldings(b *testing.B) {
	for _, encryption := range []sqlstore.Encryption{{}, {Enabled: true, Unfit: true, Secret: "one"}} {
		ctx := context.Background()
		s, err := sqlstore.Open(ctx, sqlstore.Config{URL: filepath.Join(b.TempDir(), "gatehouse.sqlite3"), Encryption: encryption})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		if encryption.Enabled {
			if err := s.RegisterKeys(ctx, "one"); err != nil {
				b.Fatal(err)
			}
		}
		if err := plantPeople(ctx, s, "tenant"); err != nil {
			b.Fatal(err)
		}
		for _, user := range []string{"ann", "bob"} {
			b.Run(fmt.Sprintf("sealed=%t/%s", encryption.Enabled, user), func(b *testing.B) {
				r := storetest.Reader(s, "tenant")
				for b.Loop() {
					if holdings, err := r.Holdings(ctx, user); err != nil || len(holdings) != 1 {
						b.Fatal(holdings, err)
					}
				}
			})
		}
	}
}
