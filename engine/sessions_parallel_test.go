package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

// requests is how many a browser makes at once.
const requests = 50

// atOnce calls do for that many, which start together, each after a delay of its
// own, and waits for all.
func atOnce(do func(member int)) {
	start := make(chan struct{})
	var running sync.WaitGroup
	for member := range requests {
		delay := time.NewTimer(time.Hour)
		running.Go(func() {
			<-start
			delay.Reset(rand.N(5 * time.Millisecond))
			<-delay.C
			do(member)
		})
	}
	close(start)
	running.Wait()
}

func TestParallelRotationsMakeOneSuccessor(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		tenants := nodes(t, engine.Config{Database: database}, engine.Config{Database: database})
		token := signIn(t, tenants[0], "alice").Token
		for generation := int64(2); generation <= 6; generation++ {
			var taken [requests]authz.RotatedSession
			atOnce(func(member int) {
				var err error
				if taken[member], err = tenants[member%2].RotateSession(t.Context(), from(home, token)); err != nil {
					t.Errorf("generation %d, request %d: %v", generation, member, err)
				}
			})
			rotated := 0
			for member, got := range taken {
				if got.Session.Generation != generation {
					t.Errorf("request %d: got generation %d, want %d", member, got.Session.Generation, generation)
				}
				if got.Outcome == authz.SessionRotated {
					rotated++
				}
				status, err := tenants[(member+1)%2].VerifySession(t.Context(), from(home, got.Token))
				if err != nil || !status.Active || status.Session.Generation != generation {
					t.Errorf("request %d: its token: got %+v, %v, want it active", member, status, err)
				}
			}
			if rotated != 1 {
				t.Errorf("generation %d: got %d requests that rotated, want 1", generation, rotated)
			}
			token = taken[rand.N(requests)].Token
		}
	})
}

// TestParallelBrowsersStaySignedIn has requests in flight that each bring the token of
// the last answer that they saw.
func TestParallelBrowsersStaySignedIn(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		tenants := nodes(t, engine.Config{Database: database}, engine.Config{Database: database})
		var jar struct {
			sync.Mutex
			token string
		}
		jar.token = signIn(t, tenants[0], "alice").Token
		atOnce(func(member int) {
			for range 5 {
				jar.Lock()
				token := jar.token
				jar.Unlock()
				rotated, err := tenants[member%2].RotateSession(t.Context(), from(home, token))
				if err != nil {
					t.Errorf("request %d: %v", member, err)
					return
				}
				if rand.N(4) == 0 {
					continue // the answer is lost
				}
				jar.Lock()
				jar.token = rotated.Token
				jar.Unlock()
			}
		})
		rotate(t, tenants[1], from(home, jar.token))
	})
}

func TestNoSessionOutlivesItsUser(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, tenant *engine.Tenant) error{
		"deactivated": func(t *testing.T, tenant *engine.Tenant) error {
			_, err := tenant.PutUser(t.Context(), authz.User{Name: "alice", Inactive: true})
			return err
		},
		"deleted": func(t *testing.T, tenant *engine.Tenant) error {
			_, err := tenant.DeleteUser(t.Context(), "alice")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachDatabase(t, func(t *testing.T, database string) {
				tenants := nodes(t, engine.Config{Database: database}, engine.Config{Database: database})
				var sessions [requests]authz.IssuedSession
				for member := range sessions {
					sessions[member] = signIn(t, tenants[member%2], "alice")
				}
				atOnce(func(member int) {
					if member == requests/2 {
						if err := end(t, tenants[0]); err != nil {
							t.Errorf("end: %v", err)
						}
						return
					}
					token := sessions[member].Token
					for range 5 {
						rotated, err := tenants[member%2].RotateSession(t.Context(), from(home, token))
						if errors.Is(err, authz.ErrSessionEnded) {
							return
						}
						if err != nil {
							t.Errorf("session %d: %v", member, err)
							return
						}
						token = rotated.Token
					}
				})
				if got := live(t, tenants[1], "alice"); len(got) != 0 {
					t.Errorf("live sessions: got %v, want none", got)
				}
				for _, s := range sessions {
					refused(t, tenants[1], from(home, s.Token), authz.ErrSessionEnded)
				}
			})
		})
	}
}

// TestNoSignInSlipsPastADeactivation has both at once, in either order.
func TestNoSignInSlipsPastADeactivation(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		tenants := nodes(t, engine.Config{Database: database}, engine.Config{Database: database})
		atOnce(func(member int) {
			if member == requests/2 {
				if _, err := tenants[0].PutUser(t.Context(), authz.User{Name: "alice", Inactive: true}); err != nil {
					t.Errorf("deactivate: %v", err)
				}
				return
			}
			_, err := tenants[member%2].CreateSession(t.Context(), authz.NewSession{User: "alice", IP: home, UserAgent: browser})
			if err != nil && !errors.Is(err, engine.ErrConflict) {
				t.Errorf("sign in %d: got error %v, want none or ErrConflict", member, err)
			}
		})
		if got := live(t, tenants[1], "alice"); len(got) != 0 {
			t.Errorf("live sessions: got %v, want none", got)
		}
		if _, err := tenants[1].PutUser(t.Context(), authz.User{Name: "alice"}); err != nil {
			t.Fatal(err)
		}
		if got := live(t, tenants[1], "alice"); len(got) != 0 {
			t.Errorf("live sessions of the user who is active again: got %v, want none", got)
		}
	})
}

func TestAnEndBeatsRotationsInFlight(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		tenants := nodes(t, engine.Config{Database: database}, engine.Config{Database: database})
		kept := signIn(t, tenants[0], "alice")
		other := signIn(t, tenants[0], "alice")
		atOnce(func(member int) {
			if member == requests/2 {
				if ended, err := tenants[0].EndSessions(t.Context(), "alice", kept.Session.ID); err != nil || ended != 1 {
					t.Errorf("end all but one: got %d, %v, want 1", ended, err)
				}
				return
			}
			token := other.Token
			for range 3 {
				rotated, err := tenants[member%2].RotateSession(t.Context(), from(home, token))
				if errors.Is(err, authz.ErrSessionEnded) {
					return
				}
				if err != nil {
					t.Errorf("request %d: %v", member, err)
					return
				}
				token = rotated.Token
			}
		})
		refused(t, tenants[1], from(home, other.Token), authz.ErrSessionEnded)
		if got := live(t, tenants[1], "alice"); fmt.Sprint(got) != fmt.Sprint([]string{kept.Session.ID}) {
			t.Errorf("live sessions: got %v, want the one that was kept, %s", got, kept.Session.ID)
		}
		rotate(t, tenants[1], from(home, kept.Token))
		if got := len(events(t, tenants[1], audit.SessionEnded)); got != 1 {
			t.Errorf("got %d events of an end, want 1", got)
		}
	})
}

func TestMaximumOfSessionsPerUser(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		config := engine.Config{Database: database, Sessions: engine.SessionConfig{MaxPerUser: 3}}
		tenants := nodes(t, config, config)
		bob := signIn(t, tenants[0], "bob")
		var tokens []string
		for range 4 {
			tokens = append(tokens, signIn(t, tenants[0], "alice").Token)
		}
		refused(t, tenants[1], from(home, tokens[0]), authz.ErrSessionEnded)
		for _, token := range tokens[1:] {
			rotate(t, tenants[1], from(home, token))
		}
		atOnce(func(member int) {
			if _, err := tenants[member%2].CreateSession(t.Context(), authz.NewSession{User: "alice", IP: home, UserAgent: browser}); err != nil {
				t.Errorf("sign in %d: %v", member, err)
			}
		})
		if got := live(t, tenants[0], "alice"); len(got) != 3 {
			t.Errorf("live sessions: got %v, want 3", got)
		}
		if got := len(events(t, tenants[0], audit.SessionEnded)); got != requests+1 {
			t.Errorf("got %d events of an end, want %d", got, requests+1)
		}
		rotate(t, tenants[0], from(home, bob.Token))
	})
}
