package sdk_test

import (
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/sdk"
	"github.com/gatehouse/gatehouse/server"
)

// startServer starts a server on an empty SQLite database, where every key opens a
// tenant of its own, and returns its address.
func startServer(t testing.TB, now func() time.Time) string {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{
		Database:         filepath.Join(t.TempDir(), "gatehouse.sqlite3"),
		OpenRegistration: true,
		Now:              now,
		AuditDecisions:   engine.DecisionsAll,
	})
	if err != nil {
		t.Fatalf("open the engine: %v", err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the engine: %v", err)
		}
	})
	handler, err := server.New(server.Config{Engine: e})
	if err != nil {
		t.Fatalf("make the server: %v", err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// newClient returns a client with a key that was never used before.
func newClient(t testing.TB, address string, opts ...sdk.Option) *sdk.Client {
	t.Helper()
	client, err := sdk.New(address, uuid.NewString(), opts...)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	return client
}

func TestContract(t *testing.T) {
	t.Parallel()
	clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	address := startServer(t, clock.Now)
	open := func(t *testing.T) contract.Service { return newClient(t, address) }
	contract.Run(t, open, contract.WithClock(clock))
}

func TestSessionContract(t *testing.T) {
	t.Parallel()
	clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	address := startServer(t, clock.Now)
	open := func(t *testing.T) contract.SessionService { return newClient(t, address) }
	contract.RunSessions(t, open, contract.WithClock(clock))
}
