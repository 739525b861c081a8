package faults_test

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/integration/faults/visibility"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestVisibility(t *testing.T) {
	const (
		writes = 300
		// bound is that of a poll a second, on a busy machine.
		bound = 5 * time.Second
	)
	node, database := startPostgreSQL(t)
	for _, hears := range []struct {
		what     string
		settings []string
	}{
		{what: "NOTIFY and the poll"},
		// Who listens in another database hears nothing of this one, as behind a pooler.
		{what: "the poll alone", settings: []string{"AUTH_POSTGRESQL_LISTEN_URL=" + node.URL("postgres")}},
	} {
		t.Run(hears.what, func(t *testing.T) {
			i := servertest.Install(t, database, hears.settings...)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			delays, err := visibility.Measure(ctx, i.Serve().URL, i.Serve().URL, writes)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(delays)
			if longest := delays.Quantile(1); longest > bound {
				t.Errorf("got a write that was seen after %v, want at most %v", longest, bound)
			}
		})
	}
}
