package faults_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestReplicaPromoted(t *testing.T) {
	primary, name := startPrimary(t, pgtest.NodeConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	standby, err := primary.StartStandby(ctx, pgtest.NodeConfig{})
	removeAfter(t, standby, err)
	// From here on what is acknowledged is on the standby as well.
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"} {
		if err := primary.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	i := servertest.Install(t, eitherURL(t, name, primary, standby))
	r := startRig(t, i, i)
	primary.Kill()
	r.after(200)
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	r.isHealed()
	r.finish()
}

// eitherURL is that of a database on whichever of the nodes takes writes.
func eitherURL(t *testing.T, database string, nodes ...*pgtest.Node) string {
	t.Helper()
	u, err := url.Parse(nodes[0].URL(database))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[1:] {
		u.Host += "," + n.Address()
	}
	query := u.Query()
	query.Set("target_session_attrs", "read-write")
	u.RawQuery = query.Encode()
	return u.String()
}
