package sqlstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

// TestPostgreSQLFailures has the server fail an update in its middle or in its
// COMMIT, by a trigger.
func TestPostgreSQLFailures(t *testing.T) {
	t.Parallel()
	const (
		inTheMiddle = "AFTER INSERT ON roles"
		inCommit    = "AFTER INSERT ON changes DEFERRABLE INITIALLY DEFERRED"
		disconnect  = "PERFORM pg_terminate_backend(pg_backend_pid())"
		sleep       = "PERFORM pg_sleep(60)"
	)
	raise := func(code string) string { return "RAISE EXCEPTION USING ERRCODE = '" + code + "'" }
	for _, c := range []struct {
		name, when, do string
		// always has every try fail, not only the first.
		always bool
		calls  int
		code   fault.Code
		detail string
	}{
		{name: "serialization failure in the middle", when: inTheMiddle, do: raise("40001"), calls: 2},
		{name: "serialization failure in COMMIT", when: inCommit, do: raise("40001"), calls: 2},
		{name: "deadlock in COMMIT", when: inCommit, do: raise("40P01"), calls: 2},
		{name: "serialization failure for ever", when: inTheMiddle, do: raise("40001"), always: true, calls: 10,
			code: fault.CodeUnavailable, detail: "busy"},
		{name: "constraint in COMMIT", when: inCommit, do: raise("23514"), calls: 1, code: fault.CodeInternal},
		{name: "connection lost in the middle", when: inTheMiddle, do: disconnect, calls: 2},
		{name: "connection lost in the middle for ever", when: inTheMiddle, do: disconnect, always: true, calls: 4,
			code: fault.CodeUnavailable, detail: "does not answer"},
		{name: "connection lost in COMMIT", when: inCommit, do: disconnect, calls: 1,
			code: fault.CodeUnavailable, detail: "unknown"},
		{name: "given up in the middle", when: inTheMiddle, do: sleep, calls: 2},
		{name: "given up in COMMIT", when: inCommit, do: sleep, calls: 1,
			code: fault.CodeUnavailable, detail: "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			url := pgtest.URL(t)
			s := open(t, sqlstore.Config{URL: url, AutoMigrate: true})
			// The tenant is there before, so that only fn's role meets the trigger.
			if _, err := s.Update(ctx, "tenant", func(tx store.Tx) error { return createRole(ctx, tx, "first") }); err != nil {
				t.Fatal(err)
			}
			condition := "nextval('tries') = 1"
			if c.always {
				condition = "true"
			}
			// A sequence counts on through rollbacks.
			execute(t, url, fmt.Sprintf(`
				CREATE SEQUENCE tries;
				CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
					$$ BEGIN IF %s THEN %s; END IF; RETURN NULL; END $$;
				CREATE CONSTRAINT TRIGGER fail %s FOR EACH ROW EXECUTE FUNCTION fail()`, condition, c.do, c.when))

			if c.do == sleep {
				go cutAsleep(t, url, s)
			}
			calls := 0
			revision, err := s.Update(ctx, "tenant", func(tx store.Tx) error {
				calls++
				return createRole(ctx, tx, "editor")
			})
			if calls != c.calls {
				t.Errorf("got %d calls, want %d", calls, c.calls)
			}
			want := int64(1)
			if c.code == 0 && c.detail == "" && c.calls > 1 {
				if want = 2; err != nil || revision != want {
					t.Errorf("got revision %d, error %v; want %d", revision, err, want)
				}
			} else if err == nil || fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.detail) {
				t.Errorf("got error %v, want code %v with %q", err, c.code, c.detail)
			}
			if got, err := storetest.Reader(s, "tenant").Revision(ctx); err != nil || got != want {
				t.Errorf("got revision %d, error %v; want %d", got, err, want)
			}
		})
	}
}

// cutAsleep gives up a store's connections once one of them sleeps.
func cutAsleep(t *testing.T, url string, s *sqlstore.Store) {
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for asleep := false; !asleep; {
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = 'PgSleep')`).Scan(&asleep)
		if err != nil {
			t.Error(err)
			return
		}
	}
	s.CutConnections()
}

func createRole(ctx context.Context, tx store.Tx, name string) error {
	if _, err := tx.CreateRole(ctx, authz.Role{Name: name}); err != nil {
		return err
	}
	return tx.AppendChange(ctx, store.KindRole, name)
}

func execute(t *testing.T, url, statements string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkHoldings reads what a check needs of a user that no cache holds, among
// 1000 users of 100 roles.
func BenchmarkHoldings(b *testing.B) {
	for name, url := range map[string]string{"sqlite": b.TempDir() + "/bench.sqlite3", "postgresql": pgtest.URL(b)} {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			s, err := sqlstore.Open(ctx, sqlstore.Config{URL: url, AutoMigrate: true})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			_, err = s.Update(ctx, "tenant", func(tx store.Tx) error {
				for i := range 1000 {
					role := fmt.Sprint("role", i%100)
					if i < 100 {
						if err := createRole(ctx, tx, role); err != nil {
							return err
						}
					}
					_, _, err := tx.SetMembership(ctx, authz.Membership{
						Subject: authz.SubjectRef{Type: authz.UserType, Name: fmt.Sprint("user", i)}, Role: role, Node: authz.Root,
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := storetest.Reader(s, "tenant").Holdings(ctx, "user5"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
