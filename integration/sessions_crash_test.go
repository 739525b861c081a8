package integration_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// No token is excused for having been superseded a moment ago: an answer that the
// killed server did not give must be found to be lost.
func TestKilledServerLosesNoSession(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With("AUTH_SESSION_OVERLAP=0s"))
		sessions := make([]authz.IssuedSession, crowd)
		for n := range sessions {
			sessions[n] = openSession(t, p.clients[0], fmt.Sprint("user-", n))
		}
		var rotations, moved, recovered atomic.Int64
		var working sync.WaitGroup
		defer working.Wait()
		defer p.servers[0].Kill()
		for n, session := range sessions {
			working.Go(func() {
				token, server, left := session.Token, 0, 5
				for left > 0 {
					rotated, err := p.clients[server].RotateSession(t.Context(), shown(token))
					_, refused := errors.AsType[authz.SessionRefusal](err)
					switch {
					case server == 0 && !refused && (err != nil || p.servers[0].HasEnded()):
						// What was on its way from a server that is gone is not waited for.
						server = 1
						moved.Add(1)
						continue
					case err != nil:
						t.Errorf("device %d, server %d: %v", n, server, err)
						return
					case rotated.Outcome == authz.SessionReplayed && server == 1 && left == 5:
						recovered.Add(1)
					case rotated.Outcome != authz.SessionRotated:
						t.Errorf("device %d, server %d: got %+v, want it rotated", n, server, rotated)
						return
					}
					token = rotated.Token
					rotations.Add(1)
					left -= server
				}
			})
		}
		servertest.Eventually(t, servertest.CommandTimeout, "all rotate", func() bool { return rotations.Load() >= 3*crowd })
		p.servers[0].Kill()
		working.Wait()

		t.Logf("%d rotations; of %d answers that did not come, %d were lost", rotations.Load(), moved.Load(), recovered.Load())
		if moved.Load() != crowd {
			t.Errorf("got %d devices that went to the other server, want %d", moved.Load(), crowd)
		}
		for n, session := range sessions {
			wantLive(t, p.clients[1], fmt.Sprint("user-", n), session.Session.ID)
		}
		wantEvents(t, p.clients[1], sdk.AuditFilter{Action: "SESSION_ANSWER_RECOVERED"},
			slices.Repeat([]string{"SESSION_ANSWER_RECOVERED"}, int(recovered.Load()))...)
	})
}
