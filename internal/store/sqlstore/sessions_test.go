package sqlstore_test

import (
	"database/sql"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

var signInTime = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)

func signIn(t testing.TB, s store.Store, ids ...string) {
	t.Helper()
	err := s.UpdateSessions(t.Context(), "tenant", func(tx store.SessionTx) error {
		if _, err := tx.LockUser(t.Context(), "ann"); err != nil {
			return err
		}
		for _, id := range ids {
			if err := tx.CreateSession(t.Context(), signedIn(id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func signedIn(id string) session.Row {
	return session.Row{
		ID: id, User: "ann", Generation: 1, CreatedAt: signInTime, RotatedAt: signInTime,
		IdleExpiresAt: signInTime.Add(time.Hour), ExpiresAt: signInTime.Add(time.Hour), Binding: authz.BindingOff,
	}
}

// onTwoStores gives a test two stores of one database, as two servers have them.
func onTwoStores(t *testing.T, test func(t *testing.T, stores [2]store.Store)) {
	onBoth(t, func(t *testing.T, e engine) {
		url := e.newURL(t)
		test(t, [2]store.Store{
			open(t, sqlstore.Config{URL: url, AutoMigrate: true}),
			open(t, sqlstore.Config{URL: url}),
		})
	})
}

func TestTwoStoresRotateOneSession(t *testing.T) {
	onTwoStores(t, func(t *testing.T, stores [2]store.Store) {
		signIn(t, stores[0], "s")
		var won atomic.Int64
		var group sync.WaitGroup
		for i := range 50 {
			group.Go(func() {
				next := signedIn("s")
				next.Generation = 2
				did, err := stores[i%2].RotateSession(t.Context(), "tenant", 1, next)
				if err != nil {
					t.Errorf("rotate: %v", err)
				}
				if did {
					won.Add(1)
				}
			})
		}
		group.Wait()
		if got := won.Load(); got != 1 {
			t.Errorf("got %d rotations, want 1", got)
		}
		for i, s := range stores {
			record, _, err := s.Session(t.Context(), "tenant", "s")
			if err != nil || record.Generation != 2 {
				t.Errorf("store %d: got generation %d, %v; want 2", i, record.Generation, err)
			}
		}
	})
}

func TestTwoStoresSweep(t *testing.T) {
	onTwoStores(t, func(t *testing.T, stores [2]store.Store) {
		const sessions = 200
		var want []string
		for i := range sessions {
			want = append(want, fmt.Sprintf("s%03d", i))
		}
		signIn(t, stores[0], want...)
		var total atomic.Int64
		var group sync.WaitGroup
		for _, s := range stores {
			group.Go(func() {
				for total.Load() < sessions {
					n, err := s.ExpireSessions(t.Context(), signInTime.Add(2*time.Hour), 9, func(row session.Row) audit.Event {
						return audit.Event{Time: row.EndedAt, Resource: row.ID}
					})
					if err != nil {
						t.Errorf("expire: %v", err)
						return
					}
					total.Add(int64(n))
				}
			})
		}
		group.Wait()
		if got := total.Load(); got != sessions {
			t.Errorf("got %d sessions expired, want %d", got, sessions)
		}
		events, err := storetest.Reader(stores[1], "tenant").AuditEvents(t.Context(), audit.Filter{}, "", 2*sessions)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, event := range events {
			got = append(got, event.Resource)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got events of %v, want one of each session", got)
		}
	})
}

func TestTwoStoresMakeOneSigningKey(t *testing.T) {
	onTwoStores(t, func(t *testing.T, stores [2]store.Store) {
		var created atomic.Int64
		var group sync.WaitGroup
		for i, s := range stores {
			group.Go(func() {
				did, err := s.CreateSigningKey(t.Context(), store.SigningKey{Use: "session", Number: 1, ID: fmt.Sprint(i)})
				if err != nil {
					t.Errorf("create: %v", err)
				}
				if did {
					created.Add(1)
				}
			})
		}
		group.Wait()
		if got := created.Load(); got != 1 {
			t.Errorf("got %d keys created, want 1", got)
		}
	})
}

// TestDeadlockIsRunAgain has two transactions hold a session each, and want the
// other's.
func TestDeadlockIsRunAgain(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(pgtest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	query := target.Query()
	query.Set("deadlock_timeout", "10ms")
	target.RawQuery = query.Encode()
	s := open(t, sqlstore.Config{URL: target.String(), AutoMigrate: true})
	signIn(t, s, "a", "b")
	holding := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var calls, ended atomic.Int64
	var group sync.WaitGroup
	for i, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		group.Go(func() {
			first := true
			mine := int64(0)
			err := s.UpdateSessions(t.Context(), "tenant", func(tx store.SessionTx) error {
				calls.Add(1)
				mine = 0
				for _, id := range order {
					did, err := tx.EndSession(t.Context(), id, signInTime, authz.EndRevoked)
					if err != nil {
						return err
					}
					if did {
						mine++
					}
					if first {
						first = false
						close(holding[i])
						<-holding[1-i]
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("end: %v", err)
			}
			ended.Add(mine)
		})
	}
	group.Wait()
	if got := ended.Load(); got != 2 {
		t.Errorf("got %d sessions ended, want 2", got)
	}
	if got := calls.Load(); got != 3 {
		t.Errorf("got %d calls, want 3: two that met, and one of them again", got)
	}
}

// TestRotationChangesNoIndex holds the rotation to what makes it cheap: it sets only
// columns that no index has.
func TestRotationChangesNoIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		_, set, _ := strings.Cut(generatedQueries(t, e.dialect)["rotateSession"], " SET ")
		set, _, _ = strings.Cut(set, "WHERE")
		var columns []string
		for _, match := range regexp.MustCompile(`(\w+) = `).FindAllStringSubmatch(set, -1) {
			columns = append(columns, match[1])
		}
		if !slices.Contains(columns, "generation") {
			t.Fatalf("got columns %v, want those that the rotation sets", columns)
		}
		url := e.newURL(t)
		if _, _, err := sqlstore.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		rows, err := db.QueryContext(t.Context(), map[string]string{
			"sqlite":     "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'sessions' AND sql IS NOT NULL",
			"postgresql": "SELECT indexdef FROM pg_indexes WHERE tablename = 'sessions'",
		}[e.dialect])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		indexes := 0
		for rows.Next() {
			var definition string
			if err := rows.Scan(&definition); err != nil {
				t.Fatal(err)
			}
			indexes++
			_, definition, _ = strings.Cut(definition, "(")
			for _, column := range columns {
				if regexp.MustCompile(`\b` + column + `\b`).MatchString(definition) {
					t.Errorf("the rotation sets %s, which is in the index (%s", column, definition)
				}
			}
		}
		if err := rows.Err(); err != nil || indexes < 4 {
			t.Errorf("got %d indexes, %v; want those of the table", indexes, err)
		}
	})
}

// BenchmarkRotateSession rotates among 1000 sessions, beside an update of one integer in
// a row of their table.
func BenchmarkRotateSession(b *testing.B) {
	for name, url := range map[string]string{"sqlite": b.TempDir() + "/bench.sqlite3", "postgresql": pgtest.URL(b)} {
		s, err := sqlstore.Open(b.Context(), sqlstore.Config{URL: url, AutoMigrate: true})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		rows := make([]session.Row, 1000)
		for i := range rows {
			rows[i] = signedIn(fmt.Sprint("s", i))
			signIn(b, s, rows[i].ID)
		}
		turn := 0
		b.Run(name+"/rotate", func(b *testing.B) {
			for b.Loop() {
				row := &rows[turn%len(rows)]
				turn++
				row.Recent = []session.Superseded{{UpTo: row.Generation, At: signInTime}}
				row.Generation++
				if did, err := s.RotateSession(b.Context(), "tenant", row.Generation-1, *row); err != nil || !did {
					b.Fatalf("got %v, %v; want a rotation", did, err)
				}
			}
		})
		b.Run(name+"/update", func(b *testing.B) {
			for b.Loop() {
				row := &rows[turn%len(rows)]
				turn++
				if did, err := s.CountReplay(b.Context(), "tenant", row.ID, row.Generation, 1<<40); err != nil || !did {
					b.Fatalf("got %v, %v; want an update", did, err)
				}
			}
		})
	}
}
