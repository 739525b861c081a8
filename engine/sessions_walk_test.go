package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/internal/session"
)

// TestSessionsFollowTheRule walks at random through what can happen to a session, and
// holds the engine to the rule, which is applied to a record in memory.
func TestSessionsFollowTheRule(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]engine.SessionConfig{
		"usual":         {},
		"lazy":          {RotateAfter: time.Minute},
		"short":         {Overlap: time.Second, LostWindow: -1, Idle: time.Hour, Absolute: 3 * time.Hour, RotateAfter: 5 * time.Second},
		"no allowances": {Overlap: -1, LostWindow: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachDatabase(t, func(t *testing.T, database string) {
				clock := contract.NewClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
				tenant := nodes(t, engine.Config{Database: database, Now: clock.Now, Sessions: config}.WithSessionTime(
					func(time.Time) time.Time { return clock.Now() }))[0]
				for seed := range uint64(6) {
					w := sessionWalk{
						t: t, tenant: tenant, clock: clock, rules: rulesOf(config), user: fmt.Sprint("user-", seed),
						random: rand.New(rand.NewPCG(seed, seed)),
					}
					w.begin()
					for step := range 120 {
						w.step()
						if t.Failed() {
							t.Fatalf("seed %d, step %d", seed, step)
						}
					}
				}
			})
		})
	}
}

// rulesOf writes out what a configuration of the walk means.
func rulesOf(config engine.SessionConfig) session.Rules {
	rules := session.Rules{
		Overlap: 10 * time.Second, LostWindow: 5 * time.Minute, RotateAfter: config.RotateAfter, Idle: 12 * time.Hour, Absolute: 30 * 24 * time.Hour,
	}
	for _, field := range []struct {
		to   *time.Duration
		from time.Duration
	}{{&rules.Overlap, config.Overlap}, {&rules.LostWindow, config.LostWindow}, {&rules.Idle, config.Idle}, {&rules.Absolute, config.Absolute}} {
		if field.from != 0 {
			*field.to = max(field.from, 0)
		}
	}
	return rules
}

// sessionWalk is one session, as the engine and the rule see it.
type sessionWalk struct {
	t      *testing.T
	tenant *engine.Tenant
	clock  *contract.Clock
	rules  session.Rules
	random *rand.Rand

	user  string
	owner session.User
	row   session.Row
	// tokens are those of each generation, from the first.
	tokens []string
}

// begin signs in. The user's epoch is the engine's own affair, so the walk has each
// session begin at 0.
func (w *sessionWalk) begin() {
	w.t.Helper()
	binding := oneOf(w.random, authz.BindingStandard, authz.BindingStrict, authz.BindingOff)
	asked := authz.NewSession{User: w.user, IP: home, UserAgent: browser, Binding: binding}
	issued, err := w.tenant.CreateSession(w.t.Context(), asked)
	if err != nil {
		w.t.Fatalf("sign in: %v", err)
	}
	w.owner = session.User{}
	w.row = session.New(issued.Session.ID, asked, 0, w.rules, w.clock.Now())
	w.tokens = []string{issued.Token}
	w.compare("sign in", issued.Session)
}

func (w *sessionWalk) step() {
	w.t.Helper()
	switch n := w.random.IntN(100); {
	case n < 25:
		w.clock.Advance(oneOf(w.random, time.Microsecond, time.Second, 9*time.Second, 11*time.Second, time.Minute, 6*time.Minute, time.Hour))
	case n < 27:
		w.clock.Advance(13 * time.Hour)
	case n < 29:
		w.end()
	case n < 30:
		w.deactivate()
	case n < 40:
		w.verify()
	default:
		w.present()
	}
	if got, err := w.tenant.Session(w.t.Context(), w.row.ID); err != nil {
		w.t.Errorf("read: %v", err)
	} else {
		w.compare("read", got)
	}
	if w.row.Over(w.owner, w.clock.Now()) && w.random.IntN(2) == 0 {
		w.begin()
	}
}

// next is what the rule says of a token of some generation, most often a late one.
func (w *sessionWalk) next() (authz.PresentedSession, session.Verdict) {
	back := min(oneOf(w.random, 0, 0, 0, 0, 1, 1, 2, 5), len(w.tokens)-1)
	presented := len(w.tokens) - back
	client := session.Client{IP: oneOf(w.random, home, home, home, home, cafe), UserAgent: browser}
	if w.random.IntN(50) == 0 {
		client.UserAgent = "curl/8.10.1"
	}
	token := authz.PresentedSession{Token: w.tokens[presented-1], IP: client.IP, UserAgent: client.UserAgent}
	return token, session.Next(w.row, w.owner, int64(presented), client, w.rules, w.clock.Now())
}

func (w *sessionWalk) present() {
	w.t.Helper()
	token, verdict := w.next()
	got, err := w.tenant.RotateSession(w.t.Context(), token)
	if verdict.Refusal != "" {
		if !errors.Is(err, verdict.Refusal) {
			w.t.Errorf("rotate: got %+v, %v, want %q", got, err, verdict.Refusal)
		}
		if verdict.End != "" {
			w.row.EndedAt, w.row.EndReason = w.clock.Now(), verdict.End
		}
		return
	}
	if err != nil || got.Outcome != verdict.Outcome {
		w.t.Fatalf("rotate: got %+v, %v, want %s", got, err, verdict.Outcome)
	}
	w.row = verdict.Row
	w.compare("rotate", got.Session)
	if got.Outcome == authz.SessionRotated {
		w.tokens = append(w.tokens, got.Token)
	}
	if want := w.tokens[len(w.tokens)-1]; got.Token != want {
		w.t.Errorf("rotate: got token %s, want the current one, %s", got.Token, want)
	}
}

func (w *sessionWalk) verify() {
	w.t.Helper()
	token, verdict := w.next()
	got, err := w.tenant.VerifySession(w.t.Context(), token)
	if err != nil || got.Active != (verdict.Refusal == "") {
		w.t.Errorf("verify: got %+v, %v, want what the rule says: %+v", got, err, verdict)
	}
	if got.Active {
		w.compare("verify", got.Session)
	}
}

func (w *sessionWalk) end() {
	w.t.Helper()
	got, err := w.tenant.EndSession(w.t.Context(), w.row.ID)
	if want := w.row.EndedAt.IsZero(); err != nil || got != want {
		w.t.Errorf("end: got %t, %v, want %t", got, err, want)
	}
	if w.row.EndedAt.IsZero() {
		w.row.EndedAt, w.row.EndReason = w.clock.Now(), authz.EndRevoked
	}
}

// deactivate ends all of the user's sessions; the user is active again at once.
func (w *sessionWalk) deactivate() {
	w.t.Helper()
	for _, inactive := range []bool{true, false} {
		if _, err := w.tenant.PutUser(w.t.Context(), authz.User{Name: w.user, Inactive: inactive}); err != nil {
			w.t.Fatalf("put the user: %v", err)
		}
	}
	w.owner.Epoch++
	if w.row.EndedAt.IsZero() {
		w.row.EndedAt, w.row.EndReason = w.clock.Now(), authz.EndUserInactive
	}
}

func (w *sessionWalk) compare(what string, got authz.Session) {
	w.t.Helper()
	if want := w.row.Session(); got != want {
		w.t.Errorf("%s: got session %+v, want %+v", what, got, want)
	}
}

func oneOf[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }
