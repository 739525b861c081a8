package engine_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestContractOnSQLite(t *testing.T) {
	t.Parallel()
	testContract(t, filepath.Join(t.TempDir(), "gatehouse.sqlite3"))
}

func TestContractOnPostgreSQL(t *testing.T) {
	t.Parallel()
	testContract(t, pgtest.URL(t))
}

func testContract(t *testing.T, database string) {
	clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	e, err := engine.Open(t.Context(), engine.Config{Database: database, AutoMigrate: true, Now: clock.Now, AuditDecisions: engine.DecisionsAll})
	if err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	open := func(*testing.T) contract.Service { return e.Tenant(uuid.NewString()) }
	contract.Run(t, open, contract.WithClock(clock), contract.AdditionsTellChanged())
}
