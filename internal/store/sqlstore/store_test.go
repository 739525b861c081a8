package sqlstore_test

import (
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openSQLite)
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openPostgreSQL)
}

func openSQLite(t *testing.T) store.Store {
	t.Helper()
	return open(t, sqlstore.Config{URL: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})
}

func openPostgreSQL(t *testing.T) store.Store {
	t.Helper()
	return open(t, sqlstore.Config{URL: pgtest.URL(t), AutoMigrate: true})
}

func open(t *testing.T, config sqlstore.Config) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
