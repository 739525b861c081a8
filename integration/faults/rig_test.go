package faults_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/integration/faults/history"
	"github.com/gatehouse/gatehouse/integration/faults/wire"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	// maxStaleness is what servers are told.
	maxStaleness = 3 * time.Second
	// staleBound is how old an answer may be: a poll, and a busy machine, take their time.
	staleBound = maxStaleness + time.Second
	// maxRecovery bounds the time to full service.
	maxRecovery = 15 * time.Second
	// patience bounds every wait of the tests themselves.
	patience = 90 * time.Second
	// fullStreak is how many requests of each kind, in a row, each server must have
	// answered to be in full service.
	fullStreak = 3
	// maxShown bounds what is shown of each rule that was broken.
	maxShown = 10
)

// settings are those of every server here.
var settings = []string{
	"AUTH_MAX_STALENESS=" + maxStaleness.String(),
	// A client that waits for the fault's end before it tries again is no thief.
	"AUTH_SESSION_OVERLAP=5m",
}

// startPostgreSQL starts a primary, and makes a migrated database in it.
func startPostgreSQL(t *testing.T, settings ...string) (node *pgtest.Node, database string) {
	t.Helper()
	node, name := startPrimary(t, pgtest.NodeConfig{Settings: settings})
	return node, node.URL(name)
}

// startPrimary starts a primary, and makes a migrated database in it.
func startPrimary(t *testing.T, config pgtest.NodeConfig) (node *pgtest.Node, name string) {
	t.Helper()
	pgtest.RequirePrograms(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	node, err := pgtest.StartPrimary(ctx, config)
	removeAfter(t, node, err)
	if name, err = node.CreateDatabase(ctx); err != nil {
		t.Fatal(err)
	}
	servertest.Install(t, node.URL(name)).Must("migrate")
	return node, name
}

// removeAfter removes a node that was started, when the test has ended.
func removeAfter(t *testing.T, node *pgtest.Node, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Remove(); err != nil {
			t.Error(err)
		}
	})
}

// startAgain starts PostgreSQL again.
func startAgain(t *testing.T, node *pgtest.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
}

// wired is an installation that reaches its database over a wire of its own.
func wired(t *testing.T, node *pgtest.Node, database string) (servertest.Installation, *wire.Wire) {
	t.Helper()
	w, err := wire.Start(node.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	url, err := w.URL(database)
	if err != nil {
		t.Fatal(err)
	}
	return servertest.Install(t, url), w
}

// site is where a server runs: one after the other, each at an address of its own.
type site struct {
	name         string
	installation servertest.Installation

	mu      sync.Mutex
	process *servertest.Process
}

// serve starts a server at the site, and waits until it serves.
func (s *site) serve() {
	s.installation.T.Helper()
	process := s.installation.Serve()
	process.Outage = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = process
}

// dial connects to the server of the moment.
func (s *site) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	s.mu.Lock()
	address := strings.TrimPrefix(s.process.URL, "http://")
	s.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

// rig is servers under load.
type rig struct {
	t     *testing.T
	sites []*site
	load  *load
	// healed is when the last fault was gone.
	healed time.Duration
}

// startRig starts a server on each installation, all on the same database, and the load
// on them, as startLoad does.
func startRig(t *testing.T, installations ...servertest.Installation) *rig {
	t.Helper()
	return startLoad(t, startSites(installations...))
}

// startSites starts a server on each installation.
func startSites(installations ...servertest.Installation) []*site {
	var sites []*site
	for n, i := range installations {
		s := &site{name: fmt.Sprint("server-", n+1), installation: i.With(settings...)}
		s.serve()
		sites = append(sites, s)
	}
	return sites
}

// startLoad puts a load on servers, in a tenant of its own. It returns when every kind of
// request is answered by every server.
func startLoad(t *testing.T, sites []*site) *rig {
	t.Helper()
	r := &rig{t: t, sites: sites, load: newLoad(t, sites)}
	r.load.start()
	r.until("every server answers everything", func() bool {
		streaks := r.load.recorder.Streaks()
		for _, s := range r.sites {
			for _, name := range requestNames {
				if streaks[history.Asked{Server: s.name, Name: name}] < fullStreak {
					return false
				}
			}
		}
		return true
	})
	return r
}

// until waits, under load, until a condition holds.
func (r *rig) until(what string, condition func() bool) {
	r.t.Helper()
	servertest.Eventually(r.t, patience, what, condition)
}

// after waits until so many more requests have ended.
func (r *rig) after(requests int) {
	r.t.Helper()
	before, _ := r.load.recorder.Ended()
	r.until(fmt.Sprintf("%d more requests end", requests), func() bool {
		ended, _ := r.load.recorder.Ended()
		return ended >= before+requests
	})
}

// refuses waits until a server refuses a kind of request.
func (r *rig) refuses(s *site, name string) {
	r.t.Helper()
	r.until(s.name+" refuses "+name, func() bool {
		return r.load.recorder.Streaks()[history.Asked{Server: s.name, Name: name}] < 0
	})
}

// outlastMemory waits for longer than answers from memory may go on, and until the sites
// refuse decisions.
func (r *rig) outlastMemory(sites ...*site) {
	r.t.Helper()
	began := r.load.recorder.Now()
	r.until("no answer may come from memory", func() bool { return r.load.recorder.Now()-began > staleBound })
	for _, s := range sites {
		r.refuses(s, "UserHasPermission")
	}
}

// startWired starts a rig of servers that each reach PostgreSQL over a wire of their own.
func startWired(t *testing.T, node *pgtest.Node, database string, servers int) (*rig, []*wire.Wire) {
	t.Helper()
	installations, wires := make([]servertest.Installation, servers), make([]*wire.Wire, servers)
	for n := range servers {
		installations[n], wires[n] = wired(t, node, database)
	}
	return startRig(t, installations...), wires
}

// isHealed notes that the last fault is gone.
func (r *rig) isHealed() { r.healed = r.load.recorder.Now() }

// inFullService waits until every server has answered each kind of request again.
func (r *rig) inFullService() {
	r.t.Helper()
	// What fails next may not have been asked yet.
	r.after(100)
	r.until("full service", func() bool {
		for _, streak := range r.load.recorder.Streaks() {
			if streak < fullStreak {
				return false
			}
		}
		return true
	})
}

// finish waits for full service, ends the load and checks its history. The test fails
// where a rule was broken.
func (r *rig) finish() history.Verdict {
	r.t.Helper()
	r.inFullService()
	r.load.stop()
	kept := r.load.kept()
	h := r.load.recorder.History()
	verdict := history.Check(h, kept, actions, staleBound)
	recovery := h.Recovery(r.healed)
	r.t.Logf("%v; full service after %.2f s", verdict, recovery.Seconds())
	for _, rule := range history.Rules {
		found := verdict.Found[rule]
		if len(found) > 0 {
			r.t.Errorf("%s: %d:\n%s", rule, len(found), strings.Join(found[:min(len(found), maxShown)], "\n"))
		}
	}
	if verdict.Acknowledged == 0 {
		r.t.Error("no write was acknowledged, so nothing was checked")
	}
	if verdict.Replayed == 0 {
		r.t.Error("no answer was given again, so nothing was checked of keys")
	}
	if recovery > maxRecovery {
		r.t.Errorf("full service after %v, want at most %v", recovery, maxRecovery)
	}
	return verdict
}

// kept reads what the database holds, once the load has stopped. What each server says
// of every register then is noted as well.
func (l *load) kept() history.Kept {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	var kept history.Kept
	c := l.patient[0]
	for _, change := range all(l.t, func(p authz.Page) (authz.List[authz.Change], error) { return c.Changes(ctx, 0, p) }) {
		kept.Changes = append(kept.Changes, history.Change{Revision: change.Revision, Register: change.Kind + "/" + change.Key})
	}
	for _, e := range all(l.t, func(p authz.Page) (authz.List[sdk.AuditEvent], error) {
		return c.AuditEvents(ctx, sdk.AuditFilter{}, p)
	}) {
		kept.Events = append(kept.Events, history.Event{Revision: e.Revision, Action: e.Action, Resource: e.Resource})
	}
	for _, s := range all(l.t, func(p authz.Page) (authz.List[authz.Session], error) { return c.Sessions(ctx, "", true, p) }) {
		kept.Sessions = append(kept.Sessions, history.Session{ID: s.ID, User: s.User, Live: s.EndedAt.IsZero()})
	}
	if len(kept.Changes) == 0 {
		l.t.Fatal("the change feed is empty")
	}
	last := kept.Changes[len(kept.Changes)-1].Revision
	_, before := l.recorder.Ended()
	for n := range l.sites {
		l.readMembers(n, last)
		for _, register := range l.registers {
			l.readRegister(n, l.patient, register, last)
		}
	}
	if _, after := l.recorder.Ended(); after > before {
		l.t.Errorf("%d of the last readings failed", after-before)
	}
	return kept
}

// all reads every page of a list.
func all[T any](t *testing.T, list func(authz.Page) (authz.List[T], error)) []T {
	t.Helper()
	var items []T
	for item, err := range authz.All(func(p authz.Page) (authz.List[T], error) {
		p.Limit = 10_000
		return list(p)
	}) {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	return items
}

// noted finds the request that an HTTP request belongs to.
type noted struct{}

// noting notes what comes of each try of a request.
type noting struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	rsp, err := n.next.RoundTrip(r)
	if q, ok := r.Context().Value(noted{}).(*history.Request); ok {
		q.Answers = append(q.Answers, answerOf(rsp, err))
	}
	return rsp, err
}

func answerOf(rsp *http.Response, err error) history.Answer {
	if err != nil {
		return history.Answer{Unknown: !isDialError(err)}
	}
	return history.Answer{
		Status:     rsp.StatusCode,
		RetryAfter: rsp.Header.Get("Retry-After") != "",
		Replayed:   rsp.Header.Get("Idempotent-Replayed") != "",
		Unknown: rsp.Header.Get("Gatehouse-Outcome") == "unknown" ||
			rsp.StatusCode >= http.StatusInternalServerError && rsp.StatusCode != http.StatusServiceUnavailable,
	}
}
