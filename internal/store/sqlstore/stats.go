package sqlstore

import (
	"sync/atomic"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/meter"
)

// Stats counts what this process has done since Open.
type Stats struct {
	// Events were appended to the audit log.
	Events uint64
	// SessionsEnded are sessions that were ended, by reason.
	SessionsEnded map[string]uint64
	// Unopened are sealed rows that did not open: they were changed, or put where they do
	// not belong.
	Unopened uint64
}

// Stats returns the counters as they are now.
func (s *Store) Stats() Stats {
	return Stats{Events: s.counts.events.Load(), SessionsEnded: s.counts.ended.Counts(), Unopened: s.vault.broken.Load()}
}

// counts is what a Store has committed.
type counts struct {
	events atomic.Uint64
	ended  *meter.Tally
}

func newCounts() counts {
	return counts{ended: meter.NewTally(
		string(authz.EndRevoked), string(authz.EndExpired), string(authz.EndTokenReused), string(authz.EndBindingMismatch),
		string(authz.EndGenerationAhead), string(authz.EndUserInactive), string(authz.EndUserDeleted), string(authz.EndMaximum),
	)}
}

// committed counts what a writer did whose transaction has been committed.
func (c *counts) committed(w *writer) {
	c.events.Add(uint64(len(w.events)))
	for reason, n := range w.endedFor {
		c.ended.Add(string(reason), n)
	}
}

// end notes that sessions were ended for a reason.
func (w *writer) end(reason authz.SessionEnd, sessions int) {
	if sessions == 0 {
		return
	}
	if w.endedFor == nil {
		w.endedFor = map[authz.SessionEnd]uint64{}
	}
	w.endedFor[reason] += uint64(sessions)
}
