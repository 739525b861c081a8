package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse/gatehouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestURL(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"first", "second"} {
		t.Run(name+" database is empty", func(t *testing.T) {
			t.Parallel()
			conn, err := pgx.Connect(t.Context(), pgtest.URL(t))
			if err != nil {
				t.Fatal(err)
			}
			// It stays open, and the database is dropped all the same.
			if _, err := conn.Exec(t.Context(), "CREATE TABLE only_here (id bigint)"); err != nil {
				t.Error(err)
			}
		})
	}
}
