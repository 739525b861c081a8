package faults_test

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
	"github.com/gatehouse/gatehouse/server"
)

// What is stepped is the clock that engines are given, for the machine's own cannot be
// changed here: windows of memberships, the times of audit events and the limits of
// callers go by it. Sessions, signing keys and leases go by PostgreSQL's clock, and are
// here to show that they do. Staleness, deadlines and polls are measured by Go's
// monotonic clock, which no step of the machine's clock moves either; a step of
// PostgreSQL's own clock is not covered.
func TestClockSteps(t *testing.T) {
	const (
		guest, visit = "guest", "visit"
		// furthest is how many hours clocks are off at most; a window is open for an hour
		// around each.
		furthest = 30
	)
	began := time.Now()
	_, database := startPostgreSQL(t)
	clocks := []*clock{new(clock), new(clock)}
	var sites []*site
	for n, c := range clocks {
		sites = append(sites, &site{name: fmt.Sprint("server-", n+1), process: &servertest.Process{URL: serveBy(t, database, c)}})
	}
	r := startLoad(t, sites)
	steps := []int{0, 1, -1, furthest, -furthest, 2, 0}
	setUp := []sdk.Mutation{add("role", guest), add("permission", guest, visit)}
	if _, err := r.load.patient[0].Batch(t.Context(), setUp); err != nil {
		t.Fatal(err)
	}
	guestAt := func(hours int) string { return fmt.Sprint("guest-at-", hours) }
	for _, hours := range steps {
		middle := began.Add(time.Duration(hours) * time.Hour)
		window := authz.Window{NotBefore: middle.Add(-30 * time.Minute), ExpiresAt: middle.Add(30 * time.Minute)}
		written, err := r.load.patient[0].AddMembership(t.Context(), guestAt(hours), guest, window)
		if err != nil {
			t.Fatal(err)
		}
		r.load.raiseWritten(written.Revision)
	}

	// Each clock is stepped while the other stands.
	for step := range len(steps) * len(clocks) {
		clocks[step%len(clocks)].set(steps[step/len(clocks)])
		r.after(100)
		for n, c := range clocks {
			var guests []string
			client := r.load.patient[n].AtLeast(r.load.written.Load())
			for _, hours := range steps {
				want := int64(hours) == c.hours.Load()
				d, err := client.UserHasPermission(t.Context(), guestAt(hours), visit)
				if err != nil || d.Allowed != want {
					t.Errorf("%s at %d h: %s: got %t, %v, want %t", r.sites[n].name, c.hours.Load(), guestAt(hours), d.Allowed, err, want)
				}
			}
			for _, m := range all(t, func(p authz.Page) (authz.List[authz.Member], error) {
				return client.WhichUsersCan(t.Context(), visit, p)
			}) {
				guests = append(guests, m.User)
			}
			if want := guestAt(int(c.hours.Load())); len(guests) != 1 || guests[0] != want {
				t.Errorf("%s at %d h: who can visit: got %q, want %s", r.sites[n].name, c.hours.Load(), guests, want)
			}
		}
	}
	r.isHealed()
	r.finish()
	// The log is in the order in which things happened, whatever time they were said to.
	servertest.Install(t, database).Must("audit", "verify")
}

// clock is one that is some hours off.
type clock struct{ hours atomic.Int64 }

func (c *clock) set(hours int) { c.hours.Store(int64(hours)) }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.hours.Load()) * time.Hour) }

// serveBy serves a database in this process, by a clock, and returns the URL.
func serveBy(t *testing.T, database string, c *clock) string {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	e, err := engine.Open(t.Context(), engine.Config{
		Database: database, OpenRegistration: true, MaxStaleness: maxStaleness,
		Sessions: engine.SessionConfig{Overlap: 5 * time.Minute}, Now: c.now, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	handler, err := server.New(server.Config{Engine: e, Logger: logger, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}
