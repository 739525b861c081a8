package faults_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/integration/faults/wire"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestReplicaPromoted(t *testing.T) {
	failOver(t, func(primary *pgtest.Node, _ *wire.Wire) { primary.Kill() })
}

// The primary does not even refuse any more, as where its machine has lost power.
func TestPrimaryFallsSilent(t *testing.T) {
	failOver(t, func(_ *pgtest.Node, way *wire.Wire) { way.Silence() })
}

// failOver has the primary fail, to which there is a way, and promotes its standby.
func failOver(t *testing.T, fail func(primary *pgtest.Node, way *wire.Wire)) {
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
	way, err := wire.Start(primary.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.Close)
	i := servertest.Install(t, eitherURL(t, primary.URL(name), way, standby))
	r := startRig(t, i, i)
	fail(primary, way)
	r.after(200)
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	r.isHealed()
	r.finish()
}

func TestFirstHostSilent(t *testing.T) {
	node, name := startPrimary(t, pgtest.NodeConfig{})
	first, err := wire.Start(node.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(first.Close)
	first.Silence()
	i := servertest.Install(t, eitherURL(t, node.URL(name), first, node))
	r := startRig(t, i, i)
	node.Kill()
	startAgain(t, node)
	r.isHealed()
	r.finish()
}

// addressed is a node, or a wire to one.
type addressed interface{ Address() string }

// eitherURL is that of a database on whichever of the hosts takes writes.
func eitherURL(t *testing.T, database string, hosts ...addressed) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	addresses := make([]string, len(hosts))
	for n, h := range hosts {
		addresses[n] = h.Address()
	}
	u.Host = strings.Join(addresses, ",")
	query := u.Query()
	query.Set("target_session_attrs", "read-write")
	u.RawQuery = query.Encode()
	return u.String()
}
