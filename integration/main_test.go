// Package integration_test tests the whole system: the real program in processes of
// its own, on a real PostgreSQL and on SQLite, through the SDK.
//
// installation and process stand for what an operator has; most tests run on both
// databases, see onBoth.
package integration_test

import (
	"os"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// An operator's view of the system.
type (
	installation = servertest.Installation
	process      = servertest.Process
)

func TestMain(m *testing.M) {
	os.Exit(servertest.Run(m, "examples/quickstart", "examples/embedded", "examples/notes"))
}

// onBoth runs a test on an installation with SQLite, and on one with a migrated
// PostgreSQL.
func onBoth(t *testing.T, test func(*testing.T, installation)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, servertest.InstallSQLite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		i := servertest.Install(t, pgtest.URL(t))
		i.Must("migrate")
		test(t, i)
	})
}

// client calls a server with a client key, and tries nothing twice.
func client(t *testing.T, server *process, key string) *sdk.Client {
	t.Helper()
	c, err := sdk.New(server.URL, key, sdk.WithRetry(sdk.Retry{Tries: 1}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newClient calls with a key that opens a tenant of its own.
func newClient(t *testing.T, server *process) *sdk.Client {
	t.Helper()
	return client(t, server, uuid.NewString())
}
