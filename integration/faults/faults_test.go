package faults_test

import (
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/integration/faults/history"
	"github.com/gatehouse/gatehouse/integration/faults/wire"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

func TestPostgreSQLKilledAndRestarted(t *testing.T) {
	node, database := startPostgreSQL(t)
	i := servertest.Install(t, database)
	r := startRig(t, i, i)
	node.Kill()
	startAgain(t, node)
	r.after(1000)
	// And for longer than answers from memory may go on.
	node.Kill()
	r.outlastMemory(r.sites...)
	startAgain(t, node)
	r.isHealed()
	if v := r.finish(); v.Stale == 0 {
		t.Error("no answer says that it is stale")
	}
}

func TestNetworkCutBeforeCommit(t *testing.T) {
	v := cutCommits(t, wire.BeforeCommit)
	if v.Unknown == 0 || v.UnknownKept != 0 {
		t.Errorf("got %d unknown writes, of which %d were kept, want some and none", v.Unknown, v.UnknownKept)
	}
}

func TestNetworkCutAfterCommit(t *testing.T) {
	v := cutCommits(t, wire.AfterCommit)
	if v.Unknown == 0 || v.UnknownKept != v.Unknown {
		t.Errorf("got %d unknown writes, of which %d were kept, want some and all", v.Unknown, v.UnknownKept)
	}
}

// cutCommits has the connections of many COMMITs cut, all at the same moment.
func cutCommits(t *testing.T, moment wire.Moment) history.Verdict {
	t.Helper()
	const commits = 25
	node, database := startPostgreSQL(t)
	r, wires := startWired(t, node, database, 2)
	for _, w := range wires {
		w.CutCommits(moment, commits)
	}
	r.until("the commits are cut", func() bool {
		for _, w := range wires {
			if w.CommitsCut() < commits {
				return false
			}
		}
		return true
	})
	r.isHealed()
	return r.finish()
}

func TestNetworkCut(t *testing.T) {
	node, database := startPostgreSQL(t)
	r, wires := startWired(t, node, database, 2)
	// One server, and then all, for longer than answers from memory may go on.
	for n := range wires {
		for _, w := range wires[:n+1] {
			w.Cut()
		}
		r.outlastMemory(r.sites[:n+1]...)
		for _, w := range wires {
			w.Mend()
		}
		r.isHealed()
		r.inFullService()
	}
	r.finish()
}

func TestNetworkSilent(t *testing.T) {
	node, database := startPostgreSQL(t)
	r, wires := startWired(t, node, database, 2)
	wires[0].Silence()
	r.outlastMemory(r.sites[0])
	wires[0].Mend()
	r.isHealed()
	r.finish()
}

func TestTwoSecondsOfLatency(t *testing.T) {
	node, database := startPostgreSQL(t)
	r, wires := startWired(t, node, database, 2)
	for _, w := range wires {
		w.Delay(2 * time.Second)
	}
	r.after(40)
	for _, w := range wires {
		w.Mend()
	}
	r.isHealed()
	r.finish()
}

func TestServerKilled(t *testing.T) {
	_, database := startPostgreSQL(t)
	i := servertest.Install(t, database)
	r := startRig(t, i, i, i)
	for _, s := range r.sites[:2] {
		s.process.Kill()
		r.after(300)
		s.serve()
	}
	r.isHealed()
	r.finish()
}

func TestTerminatedUnderLoad(t *testing.T) {
	_, database := startPostgreSQL(t)
	i := servertest.Install(t, database)
	r := startRig(t, i, i)
	for _, s := range r.sites {
		s.process.Terminate()
		s.process.WantSuccess()
		r.after(300)
		s.serve()
	}
	r.isHealed()
	if v := r.finish(); v.UnknownKept != 0 {
		t.Errorf("writes that were made and not answered: got %d, want none", v.UnknownKept)
	}
}
