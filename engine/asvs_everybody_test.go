package engine_test

import (
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// TestAnAdministratorCanSignEverybodyOut does so as one would: by the list of all
// sessions, from which those that have ended are gone.
func TestAnAdministratorCanSignEverybodyOut(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		tenants := nodes(t, engine.Config{Database: database}, engine.Config{Database: database})
		var issued []authz.IssuedSession
		for _, user := range []string{"alice", "bob", "alice", "carol"} {
			issued = append(issued, signIn(t, tenants[0], user))
		}
		all := live(t, tenants[0], "")
		if len(all) != len(issued) {
			t.Fatalf("live sessions of all: got %v, want %d", all, len(issued))
		}
		for _, id := range all {
			if ended, err := tenants[0].EndSession(t.Context(), id); err != nil || !ended {
				t.Errorf("end %s: got %t, %v, want true", id, ended, err)
			}
		}
		if got := live(t, tenants[1], ""); len(got) != 0 {
			t.Errorf("live sessions: got %v, want none", got)
		}
		for _, s := range issued {
			refused(t, tenants[1], from(home, s.Token), authz.ErrSessionEnded)
		}
	})
}
