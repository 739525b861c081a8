package engine_test

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

func TestParallelRefreshesHaveOneWinnerAndEndTheFamily(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		t := s.t
		first := s.issue(authz.TokenRequest{})
		callers := []engine.Principal{as(t, s.here, s.key), as(t, s.there, s.key)}
		var won atomic.Int64
		var winner atomic.Value
		atOnce(func(member int) {
			tokens, err := callers[member%2].RefreshTokens(t.Context(), first.RefreshToken, nil)
			switch {
			case err == nil:
				won.Add(1)
				winner.Store(tokens)
			case !errors.Is(err, authz.ErrInvalidGrant):
				t.Errorf("request %d: got error %v, want %q", member, err, authz.ErrInvalidGrant)
			}
		})
		if won.Load() != 1 {
			t.Fatalf("got %d winners, want 1", won.Load())
		}
		s.count(audit.TokenReused, 1)
		tokens := winner.Load().(authz.Tokens)
		s.notGranted(s.here, s.key, tokens.RefreshToken)
		s.dead(first.AccessToken)
		s.dead(tokens.AccessToken)
	})
}

// TestARevocationBeatsRefreshesInFlight has one chain refreshed while it is revoked:
// nothing of it is left.
func TestARevocationBeatsRefreshesInFlight(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		t := s.t
		first := s.issue(authz.TokenRequest{})
		callers := []engine.Principal{as(t, s.here, s.key), as(t, s.there, s.key)}
		revoked := make(chan error, 1)
		tokens := first
		for i := 0; ; i++ {
			if i == 3 {
				go func() { revoked <- callers[1].RevokeToken(t.Context(), first.AccessToken) }()
			}
			next, err := callers[i%2].RefreshTokens(t.Context(), tokens.RefreshToken, nil)
			if errors.Is(err, authz.ErrInvalidGrant) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			tokens = next
		}
		if err := <-revoked; err != nil {
			t.Fatal(err)
		}
		s.count(audit.TokenReused, 0)
		s.dead(tokens.AccessToken)
		s.dead(first.AccessToken)
	})
}

// modelFamily is what the walk knows of a family.
type modelFamily struct {
	key    string
	ended  bool
	access []modelToken
	// refresh are all its refresh tokens; the last one is current.
	refresh []modelToken
}

type modelToken struct {
	text      string
	expiresAt time.Time
}

// TestTokensFollowTheRule walks at random through what can happen to tokens, and holds
// one server to a model. The other asks nothing between, so that what it keeps in memory
// is not in the way.
func TestTokensFollowTheRule(t *testing.T) {
	t.Parallel()
	config := engine.Config{Tokens: engine.TokenConfig{Access: time.Hour, Refresh: 3 * time.Hour}}
	onTokenServers(t, config, func(s tokenServers) {
		t, ctx := s.t, s.t.Context()
		same, _ := s.newKey(engine.ClientKeyOptions{Tenant: s.info.Tenant})
		keys := []string{s.key, same}
		for seed := range uint64(4) {
			random := rand.New(rand.NewPCG(seed, 7))
			var families []*modelFamily
			keep := func(family *modelFamily, tokens authz.Tokens) {
				// As the token says: whole seconds.
				now := s.clock.Now().UTC().Truncate(time.Microsecond)
				family.access = append(family.access, modelToken{tokens.AccessToken, now.Add(time.Hour).Truncate(time.Second)})
				family.refresh = append(family.refresh, modelToken{tokens.RefreshToken, now.Add(3 * time.Hour)})
			}
			for step := range 150 {
				if len(families) == 0 || random.IntN(12) == 0 {
					family := &modelFamily{key: keys[random.IntN(2)]}
					tokens, err := as(t, s.here, family.key).IssueTokens(ctx, authz.TokenRequest{})
					if err != nil {
						t.Fatal(err)
					}
					keep(family, tokens)
					families = append(families, family)
				}
				family := families[random.IntN(len(families))]
				last := len(family.refresh) - 1
				shown := last
				if random.IntN(4) == 0 {
					shown = random.IntN(last + 1)
				}
				presented := family.refresh[shown]
				switch random.IntN(8) {
				case 0:
					s.clock.Advance(time.Duration(random.Int64N(int64(time.Hour))))
				case 1:
					texts := []string{presented.text, family.access[random.IntN(len(family.access))].text}
					if err := as(t, s.here, keys[random.IntN(2)]).RevokeToken(ctx, texts[random.IntN(2)]); err != nil {
						t.Fatal(err)
					}
					family.ended = true
				case 2:
					if err := s.here.Sweep(ctx); err != nil {
						t.Fatal(err)
					}
				default:
					key := family.key
					if random.IntN(6) == 0 {
						key = keys[random.IntN(2)]
					}
					tokens, err := as(t, s.here, key).RefreshTokens(ctx, presented.text, nil)
					now := s.clock.Now().UTC().Truncate(time.Microsecond)
					want := key == family.key && !family.ended && shown == last && now.Before(presented.expiresAt)
					if want != (err == nil) || err != nil && !errors.Is(err, authz.ErrInvalidGrant) {
						t.Fatalf("seed %d, step %d: refresh %d of %d: got error %v, want it taken: %t", seed, step, shown, last, err, want)
					}
					if want {
						keep(family, tokens)
					} else if key == family.key && shown < last {
						family.ended = true
					}
				}
				for _, token := range family.access {
					_, err := s.here.Authenticate(ctx, token.text, engine.Actor{})
					if want := !family.ended && s.clock.Now().UTC().Truncate(time.Microsecond).Before(token.expiresAt); want != (err == nil) {
						t.Fatalf("seed %d, step %d: access: got error %v, want it good: %t", seed, step, err, want)
					}
				}
			}
		}
	})
}
