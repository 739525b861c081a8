package sqlstore

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// An uptime may end while a read gives its connection back: that hurts neither the
// process nor the next read.
func TestUptimeEndsAsAReadDoes(t *testing.T) {
	t.Parallel()
	pool, err := pgxpool.New(t.Context(), pgtest.URL(t)+"&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for range 200 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		up := &uptime{ctx, end}
		release := up.take(conn)
		up.end()
		release()
		if _, err := pool.Exec(t.Context(), "SELECT 1"); err != nil {
			t.Fatalf("the next read of the connection: %v", err)
		}
	}
}
