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

func TestSessionContractOnSQLite(t *testing.T) {
	t.Parallel()
	testSessionContract(t, filepath.Join(t.TempDir(), "gatehouse.sqlite3"))
}

func TestSessionContractOnPostgreSQL(t *testing.T) {
	t.Parallel()
	testSessionContract(t, pgtest.URL(t))
}

func testSessionContract(t *testing.T, database string) {
	clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	e := openEngine(t, engine.Config{Database: database, AutoMigrate: true, Now: clock.Now}.WithSessionTime(
		func(time.Time) time.Time { return clock.Now() }))
	open := func(*testing.T) contract.SessionService { return e.Tenant(uuid.NewString()) }
	contract.RunSessions(t, open, contract.WithClock(clock))
}
