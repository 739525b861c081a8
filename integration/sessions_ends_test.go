package integration_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// wantEnd has callers rotate on both servers in turn, each with the token of its own
// last answer; ends their sessions while they do; and checks that all are refused then,
// whoever asks after end has returned at the first try.
func (p pair) wantEnd(t *testing.T, tokens []string, end func()) {
	t.Helper()
	var rotations atomic.Int64
	var over atomic.Bool
	var working sync.WaitGroup
	defer working.Wait()
	defer over.Store(true)
	for n, token := range tokens {
		working.Go(func() {
			for turn := n; ; turn++ {
				afterwards := over.Load()
				rotated, err := p.clients[turn%2].RotateSession(t.Context(), shown(token))
				if errors.Is(err, authz.ErrSessionEnded) {
					return
				}
				if err != nil || afterwards {
					t.Errorf("caller %d: got %+v, %v, asked after the end: %t; want it rotated, or after the end %v",
						n, rotated, err, afterwards, authz.ErrSessionEnded)
					return
				}
				token = rotated.Token
				rotations.Add(1)
			}
		})
	}
	servertest.Eventually(t, servertest.CommandTimeout, "all rotate", func() bool { return rotations.Load() >= 3*int64(len(tokens)) })
	end()
}

func TestRevocationBeatsRotationsInFlightOnTheOtherServer(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With(longOverlap))
		revoked, kept := openSession(t, p.clients[0], "alice"), openSession(t, p.clients[1], "alice")
		p.wantEnd(t, slices.Repeat([]string{revoked.Token}, crowd), func() {
			if ended, err := p.clients[0].EndSession(t.Context(), revoked.Session.ID); err != nil || !ended {
				t.Errorf("end the session: got %t, %v, want true", ended, err)
			}
		})
		for n, c := range p.clients {
			wantLive(t, c, "alice", kept.Session.ID)
			if ended, err := c.EndSession(t.Context(), revoked.Session.ID); err != nil || ended {
				t.Errorf("server %d: end it again: got %t, %v, want false", n, ended, err)
			}
		}
		rotateOnce(t, p.clients[0], shown(kept.Token))
		wantEvents(t, p.clients[1], sdk.AuditFilter{Resource: "session/" + revoked.Session.ID}, "SESSION_CREATED", "SESSION_ENDED")
	})
}

func TestDeactivationEndsSessionsThatRotate(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With(longOverlap))
		bystander := openSession(t, p.clients[0], "bob")
		tokens := make([]string, crowd)
		for n := range tokens {
			tokens[n] = openSession(t, p.clients[n%2], "alice").Token
		}
		p.wantEnd(t, tokens, func() {
			if _, err := p.clients[0].PutUser(t.Context(), authz.User{Name: "alice", Inactive: true}); err != nil {
				t.Errorf("deactivate: %v", err)
			}
		})
		for n, c := range p.clients {
			wantLive(t, c, "alice")
			_, err := c.CreateSession(t.Context(), authz.NewSession{User: "alice", IP: device, UserAgent: userAgent})
			if !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("server %d: sign in: got %v, want %v", n, err, sdk.ErrConflict)
			}
		}
		if _, err := p.clients[1].PutUser(t.Context(), authz.User{Name: "alice"}); err != nil {
			t.Fatal(err)
		}
		together(func(n int) {
			if _, err := p.clients[n%2].RotateSession(t.Context(), shown(tokens[n])); !errors.Is(err, authz.ErrSessionEnded) {
				t.Errorf("caller %d, active again: got %v, want %v", n, err, authz.ErrSessionEnded)
			}
		})
		wantLive(t, p.clients[0], "alice")
		rotateOnce(t, p.clients[1], shown(bystander.Token))
	})
}
