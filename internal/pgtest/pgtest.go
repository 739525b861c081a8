// Package pgtest gives tests a real PostgreSQL. It looks for one in this order:
//
//  1. the server that GATEHOUSE_TEST_POSTGRES_URL names, where databases may be
//     created; if it does not answer, that is an error, and nothing else is tried,
//  2. Docker, with the image GATEHOUSE_TEST_POSTGRES_IMAGE (default
//     postgres:17-alpine),
//  3. PostgreSQL's programs on this machine, for a private server in a temporary
//     folder.
//
// One line on standard error says what was found. Tests start at [URL], with
// [Main] in their package's TestMain; other programs start at [Start].
package pgtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

const startTimeout = 3 * time.Minute

// shared is the server of this process's tests, started by the first URL.
var shared struct {
	once   sync.Once
	server *Server
	err    error
}

// URL returns the URL of a new, empty database, which is dropped when the test
// ends. Without a PostgreSQL the test fails; under -short it is skipped.
func URL(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("pgtest: skipped, because -short leaves PostgreSQL out")
	}
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		shared.server, shared.err = Start(ctx)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	url, drop, err := shared.server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(drop)
	return url
}

// Main runs a package's tests, stops the server if a test started it, and exits:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main without the exit, for a package that has something of its own to
// clean up. It returns the exit code.
func Run(m *testing.M) int {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}
