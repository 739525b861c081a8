package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/contract"
)

// promise is how soon a revocation has reached every server.
const promise = 3 * time.Second

// tokenServers are two servers on one database, with a clock of their own and a client
// key.
type tokenServers struct {
	t           *testing.T
	clock       *contract.Clock
	here, there *engine.Engine
	key         string
	info        engine.ClientKey
}

// onTokenServers runs a test on two servers, for each kind of database.
func onTokenServers(t *testing.T, config engine.Config, test func(s tokenServers)) {
	t.Helper()
	onEachDatabase(t, func(t *testing.T, database string) {
		s := tokenServers{t: t, clock: contract.NewClock(time.Now())}
		config := config
		config.Database, config.AutoMigrate, config.Now = database, true, s.clock.Now
		config = config.WithSessionTime(func(time.Time) time.Time { return s.clock.Now() })
		s.here, s.there = openEngine(t, config), openEngine(t, config)
		s.key, s.info = s.newKey(engine.ClientKeyOptions{})
		test(s)
	})
}

func (s tokenServers) newKey(options engine.ClientKeyOptions) (string, engine.ClientKey) {
	s.t.Helper()
	key, info, err := s.here.CreateClientKey(s.t.Context(), options)
	if err != nil {
		s.t.Fatal(err)
	}
	return key, info
}

// as authenticates a client key or an access token.
func as(t *testing.T, e *engine.Engine, bearer string) engine.Principal {
	t.Helper()
	p, err := e.Authenticate(t.Context(), bearer, engine.Actor{})
	if err != nil {
		t.Fatalf("authenticate: %v", err)
	}
	return p
}

func (s tokenServers) issue(request authz.TokenRequest) authz.Tokens {
	s.t.Helper()
	tokens, err := as(s.t, s.here, s.key).IssueTokens(s.t.Context(), request)
	if err != nil {
		s.t.Fatalf("issue: %v", err)
	}
	return tokens
}

func (s tokenServers) refresh(e *engine.Engine, token string, abilities ...string) authz.Tokens {
	s.t.Helper()
	tokens, err := as(s.t, e, s.key).RefreshTokens(s.t.Context(), token, abilities)
	if err != nil {
		s.t.Fatalf("refresh: %v", err)
	}
	return tokens
}

// notGranted presents a refresh token that must not be taken.
func (s tokenServers) notGranted(e *engine.Engine, key, token string) {
	s.t.Helper()
	if got, err := as(s.t, e, key).RefreshTokens(s.t.Context(), token, nil); !errors.Is(err, authz.ErrInvalidGrant) || !errors.Is(err, engine.ErrInvalid) {
		s.t.Errorf("refresh: got %+v, error %v, want %q", got, err, authz.ErrInvalidGrant)
	}
}

// dead wants an access token to be refused by one server at once, and by the other as
// soon as is promised.
func (s tokenServers) dead(access string) {
	s.t.Helper()
	wantDead(s.t, s.here, access)
	soon(s.t, func() bool {
		_, err := s.there.Authenticate(s.t.Context(), access, engine.Actor{})
		return errors.Is(err, authz.ErrInvalidAccessToken)
	})
	wantDead(s.t, s.there, access)
}

func wantDead(t *testing.T, e *engine.Engine, access string) {
	t.Helper()
	if _, err := e.Authenticate(t.Context(), access, engine.Actor{}); !errors.Is(err, authz.ErrInvalidAccessToken) || !errors.Is(err, engine.ErrUnauthenticated) {
		t.Errorf("authenticate: got error %v, want %q", err, authz.ErrInvalidAccessToken)
	}
}

// soon wants something to become true in the time that is promised.
func soon(t *testing.T, is func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(promise), time.NewTicker(20*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not so after %v", promise)
		}
	}
}

func (s tokenServers) count(action string, want int) {
	s.t.Helper()
	if got := events(s.t, s.here.Tenant(s.info.Tenant), action); len(got) != want {
		s.t.Errorf("%s: got %d events, want %d: %+v", action, len(got), want, got)
	}
}

func TestAccessTokenStandsForItsKey(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{Issuer: "https://auth.example.com", TokenAlgorithm: "ES256"}, func(s tokenServers) {
		tokens := s.issue(authz.TokenRequest{Abilities: []string{"write", "check", "write"}, Subject: "alice@example.com"})
		header, claims := decoded(t, tokens.AccessToken)
		if header["typ"] != "at+jwt" || header["alg"] != "ES256" || claims["iss"] != "https://auth.example.com" || claims["aud"] != claims["iss"] ||
			claims["sub"] != "alice@example.com" || claims["client_id"] != s.info.Fingerprint || claims["tenant"] != s.info.Tenant ||
			claims["scope"] != "check write" || claims["nbf"] != claims["iat"] || claims["exp"].(float64)-claims["iat"].(float64) != 24*3600 ||
			claims["jti"] == "" || claims["fam"] == "" {
			t.Errorf("got a token of %v and %v", header, claims)
		}
		if life := tokens.ExpiresIn; life > 24*time.Hour || life <= 24*time.Hour-time.Second || !slices.Equal(tokens.Abilities, []string{"check", "write"}) {
			t.Errorf("got %v for %v, want check and write for 24h", tokens.Abilities, life)
		}
		p := as(t, s.there, tokens.AccessToken)
		if p.Tenant.ID() != s.info.Tenant || p.Fingerprint != s.info.Fingerprint || !p.Can(engine.AbilityCheck) || !p.Can(engine.AbilityWrite) ||
			p.Can(engine.AbilityRead) || p.Can(engine.AbilityAdmin) {
			t.Errorf("got %+v, want the key's tenant with two abilities", p)
		}
		if _, err := p.Tenant.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := p.Require(t.Context(), engine.AbilityRead, "listRoles"); !errors.Is(err, engine.ErrForbidden) {
			t.Errorf("got error %v, want ErrForbidden", err)
		}
		for _, action := range []string{audit.RoleCreated, audit.AccessRefused} {
			got := events(t, s.here.Tenant(s.info.Tenant), action)
			if len(got) != 1 || got[0].Actor != s.info.Fingerprint || got[0].Details["token"] != claims["fam"] || got[0].Details["subject"] != "alice@example.com" {
				t.Errorf("%s: got %+v, want it done by the key, through the token, for alice", action, got)
			}
		}
		plain := s.issue(authz.TokenRequest{})
		if _, claims := decoded(t, plain.AccessToken); claims["sub"] != s.info.Fingerprint || claims["scope"] != "admin" {
			t.Errorf("without a wish: got %v, want all that the key has, and the key as the subject", claims)
		}
		s.count(audit.TokenIssued, 2)
	})
}

func TestTokensNeverHaveMoreThanTheirKey(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		narrow, _ := s.newKey(engine.ClientKeyOptions{Tenant: s.info.Tenant, Abilities: []engine.Ability{engine.AbilityCheck, engine.AbilityRead}})
		p := as(t, s.here, narrow)
		for _, asked := range [][]string{{"write"}, {"check", "admin"}, {"any"}, {"Check"}, {""}, {}, {"check,read"}} {
			if got, err := p.IssueTokens(t.Context(), authz.TokenRequest{Abilities: asked}); !errors.Is(err, authz.ErrInvalidScope) || !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("%q: got %+v, error %v, want %q", asked, got, err, authz.ErrInvalidScope)
			}
		}
		s.count(audit.AccessRefused, 2)
		tokens, err := p.IssueTokens(t.Context(), authz.TokenRequest{})
		if err != nil || !slices.Equal(tokens.Abilities, []string{"check", "read"}) {
			t.Fatalf("got %v, %v, want what the key has", tokens.Abilities, err)
		}
		if _, err := p.RefreshTokens(t.Context(), tokens.RefreshToken, []string{"write"}); !errors.Is(err, authz.ErrInvalidScope) {
			t.Errorf("refresh for more: got error %v, want %q", err, authz.ErrInvalidScope)
		}
		fewer, err := p.RefreshTokens(t.Context(), tokens.RefreshToken, []string{"read"})
		if err != nil || !slices.Equal(fewer.Abilities, []string{"read"}) || as(t, s.here, fewer.AccessToken).Can(engine.AbilityCheck) {
			t.Errorf("refresh for less: got %v, %v, want less", fewer.Abilities, err)
		}
		// The family keeps what it had.
		again, err := p.RefreshTokens(t.Context(), fewer.RefreshToken, nil)
		if err != nil || !slices.Equal(again.Abilities, []string{"check", "read"}) {
			t.Errorf("refresh: got %v, %v, want all of it again", again.Abilities, err)
		}
	})
}

func TestTokensBegetNoTokens(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		tokens := s.issue(authz.TokenRequest{})
		p := as(t, s.here, tokens.AccessToken)
		for name, do := range map[string]func() error{
			"issue":      func() error { _, err := p.IssueTokens(t.Context(), authz.TokenRequest{}); return err },
			"refresh":    func() error { _, err := p.RefreshTokens(t.Context(), tokens.RefreshToken, nil); return err },
			"revoke":     func() error { return p.RevokeToken(t.Context(), tokens.AccessToken) },
			"introspect": func() error { _, err := p.IntrospectToken(t.Context(), tokens.AccessToken); return err },
		} {
			if err := do(); !errors.Is(err, engine.ErrUnauthenticated) {
				t.Errorf("%s with a token: got error %v, want ErrUnauthenticated", name, err)
			}
		}
		s.count(audit.AccessRefused, 4)
		s.refresh(s.here, tokens.RefreshToken)
	})
}

// TestReuseEndsTheFamily has tokens shown again that were superseded by one, by two and
// by three others.
func TestReuseEndsTheFamily(t *testing.T) {
	t.Parallel()
	for back := range 3 {
		onTokenServers(t, engine.Config{}, func(s tokenServers) {
			chain := []authz.Tokens{s.issue(authz.TokenRequest{Subject: "alice"})}
			for i := range 3 {
				chain = append(chain, s.refresh([]*engine.Engine{s.here, s.there}[i%2], chain[i].RefreshToken))
			}
			for _, tokens := range chain {
				as(t, s.here, tokens.AccessToken)
				as(t, s.there, tokens.AccessToken)
			}
			other := s.issue(authz.TokenRequest{})
			for range 3 {
				s.notGranted(s.here, s.key, chain[2-back].RefreshToken)
			}
			s.notGranted(s.there, s.key, chain[3].RefreshToken)
			for _, tokens := range chain {
				s.dead(tokens.AccessToken)
			}
			as(t, s.there, s.refresh(s.there, other.RefreshToken).AccessToken)
			s.count(audit.TokenReused, 1)
			if got := events(t, s.here.Tenant(s.info.Tenant), audit.TokenReused)[0]; got.User != "alice" || got.Outcome != audit.Refused || got.Actor != s.info.Fingerprint {
				t.Errorf("got the event %+v", got)
			}
		})
	}
}

func TestOnlyTheSameKeyRefreshes(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		first := s.issue(authz.TokenRequest{})
		second := s.refresh(s.here, first.RefreshToken)
		same, _ := s.newKey(engine.ClientKeyOptions{Tenant: s.info.Tenant})
		foreign, _ := s.newKey(engine.ClientKeyOptions{})
		for _, key := range []string{same, foreign} {
			for _, tokens := range []authz.Tokens{first, second} {
				s.notGranted(s.there, key, tokens.RefreshToken)
				s.notGranted(s.there, key, tokens.AccessToken)
			}
		}
		for _, token := range []string{"", "gthr_", "gthr_" + strings.Repeat("A", 64), "gthr_" + strings.Repeat("A", 63) + "\n", second.RefreshToken + "A", s.key} {
			s.notGranted(s.here, s.key, token)
		}
		s.count(audit.TokenReused, 0)
		s.refresh(s.there, second.RefreshToken)
	})
}

func TestRevocationEndsTheFamily(t *testing.T) {
	t.Parallel()
	for name, pick := range map[string]func(first, second authz.Tokens) string{
		"by the access token":           func(_, second authz.Tokens) string { return second.AccessToken },
		"by an earlier access token":    func(first, _ authz.Tokens) string { return first.AccessToken },
		"by the refresh token":          func(_, second authz.Tokens) string { return second.RefreshToken },
		"by a superseded refresh token": func(first, _ authz.Tokens) string { return first.RefreshToken },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onTokenServers(t, engine.Config{}, func(s tokenServers) {
				t := s.t
				first := s.issue(authz.TokenRequest{})
				second := s.refresh(s.here, first.RefreshToken)
				as(t, s.there, second.AccessToken)
				foreign, _ := s.newKey(engine.ClientKeyOptions{})
				for _, token := range []string{pick(first, second), "unknown", s.key, signIn(t, s.here.Tenant(s.info.Tenant), "alice").Token} {
					if err := as(t, s.here, foreign).RevokeToken(t.Context(), token); err != nil {
						t.Errorf("revoke by another tenant: %v", err)
					}
				}
				as(t, s.here, second.AccessToken)
				for range 2 {
					if err := as(t, s.here, s.key).RevokeToken(t.Context(), pick(first, second)); err != nil {
						t.Fatal(err)
					}
				}
				s.dead(first.AccessToken)
				s.dead(second.AccessToken)
				s.notGranted(s.there, s.key, second.RefreshToken)
				s.count(audit.TokenRevoked, 1)
				s.count(audit.TokenReused, 0)
			})
		})
	}
}

func TestTokensEndWithTheirKey(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		t := s.t
		key, info := s.newKey(engine.ClientKeyOptions{Tenant: s.info.Tenant, Lifetime: time.Hour})
		tokens, err := as(t, s.here, key).IssueTokens(t.Context(), authz.TokenRequest{})
		if err != nil || tokens.ExpiresIn > time.Hour {
			t.Fatalf("got a token for %v, %v, want no more than the key's hour", tokens.ExpiresIn, err)
		}
		as(t, s.there, tokens.AccessToken)
		s.clock.Advance(time.Hour)
		wantDead(t, s.here, tokens.AccessToken)
		wantDead(t, s.there, tokens.AccessToken)

		key, info = s.newKey(engine.ClientKeyOptions{Tenant: s.info.Tenant})
		if tokens, err = as(t, s.here, key).IssueTokens(t.Context(), authz.TokenRequest{}); err != nil {
			t.Fatal(err)
		}
		as(t, s.here, tokens.AccessToken)
		as(t, s.there, tokens.AccessToken)
		if _, err := s.here.RevokeClientKey(t.Context(), info.Fingerprint); err != nil {
			t.Fatal(err)
		}
		s.dead(tokens.AccessToken)
		if got, err := as(t, s.here, s.key).IntrospectToken(t.Context(), tokens.RefreshToken); err != nil || got.Active {
			t.Errorf("introspect: got %+v, %v, want it not active", got, err)
		}
	})
}

func TestTokensExpire(t *testing.T) {
	t.Parallel()
	config := engine.Config{Tokens: engine.TokenConfig{Access: time.Hour, Refresh: 24 * time.Hour}}
	onTokenServers(t, config, func(s tokenServers) {
		t := s.t
		first := s.issue(authz.TokenRequest{})
		s.clock.Advance(time.Hour - time.Second)
		as(t, s.there, first.AccessToken)
		s.clock.Advance(time.Second)
		wantDead(t, s.there, first.AccessToken)
		wantDead(t, s.here, first.AccessToken)
		// A refresh token is good from when it was issued, however old the family.
		tokens := s.refresh(s.here, first.RefreshToken)
		for range 5 {
			s.clock.Advance(24*time.Hour - 2*time.Second)
			tokens = s.refresh(s.there, tokens.RefreshToken)
			as(t, s.here, tokens.AccessToken)
		}
		s.clock.Advance(24 * time.Hour)
		s.notGranted(s.here, s.key, tokens.RefreshToken)
		if got, err := as(t, s.here, s.key).IntrospectToken(t.Context(), tokens.RefreshToken); err != nil || got.Active {
			t.Errorf("introspect: got %+v, %v, want it not active", got, err)
		}
		s.count(audit.TokenReused, 0)
		// Nothing is left of it then.
		s.clock.Advance(time.Second)
		if err := s.there.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.notGranted(s.here, s.key, first.RefreshToken)
		s.count(audit.TokenReused, 0)
	})
}

// TestLongAccessTokensOutliveTheirRefreshToken and can be revoked all the same.
func TestLongAccessTokensOutliveTheirRefreshToken(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{Tokens: engine.TokenConfig{Access: 48 * time.Hour, Refresh: time.Hour}}, func(s tokenServers) {
		tokens := s.issue(authz.TokenRequest{})
		s.clock.Advance(47 * time.Hour)
		if err := s.here.Sweep(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		as(s.t, s.here, tokens.AccessToken)
		as(s.t, s.there, tokens.AccessToken)
		if err := as(s.t, s.here, s.key).RevokeToken(s.t.Context(), tokens.AccessToken); err != nil {
			s.t.Fatal(err)
		}
		s.dead(tokens.AccessToken)
	})
}

func TestTokensEndWithTheirSubject(t *testing.T) {
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
			onTokenServers(t, engine.Config{}, func(s tokenServers) {
				t := s.t
				tokens, other := s.issue(authz.TokenRequest{Subject: "alice"}), s.issue(authz.TokenRequest{Subject: "bob"})
				tenant := s.here.Tenant(s.info.Tenant)
				if err := end(t, tenant); err != nil {
					t.Fatal(err)
				}
				s.dead(tokens.AccessToken)
				s.notGranted(s.here, s.key, tokens.RefreshToken)
				as(t, s.there, s.refresh(s.there, other.RefreshToken).AccessToken)
				s.count(audit.TokenEnded, 1)
				if _, err := tenant.PutUser(t.Context(), authz.User{Name: "alice"}); err != nil {
					t.Fatal(err)
				}
				s.notGranted(s.here, s.key, tokens.RefreshToken)
				s.issue(authz.TokenRequest{Subject: "alice"})
			})
		})
	}
}

func TestSubjectsThatNobodySpeaksFor(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		t := s.t
		if _, err := s.here.Tenant(s.info.Tenant).PutUser(t.Context(), authz.User{Name: "alice", Inactive: true}); err != nil {
			t.Fatal(err)
		}
		for _, subject := range []string{"alice", " bob", "a\nb", strings.Repeat("u", 257), s.info.Fingerprint} {
			if _, err := as(t, s.here, s.key).IssueTokens(t.Context(), authz.TokenRequest{Subject: subject}); !errors.Is(err, engine.ErrInvalid) || !strings.HasPrefix(err.Error(), "subject") {
				t.Errorf("%.20q: got error %v, want ErrInvalid that names the subject", subject, err)
			}
		}
		s.count(audit.TokenIssued, 0)
	})
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{}, func(s tokenServers) {
		t := s.t
		first := s.issue(authz.TokenRequest{Abilities: []string{"read"}, Subject: "alice"})
		second := s.refresh(s.here, first.RefreshToken)
		narrow, _ := s.newKey(engine.ClientKeyOptions{Tenant: s.info.Tenant, Abilities: []engine.Ability{engine.AbilityCheck}})
		foreign, _ := s.newKey(engine.ClientKeyOptions{})
		for use, token := range map[authz.TokenUse]string{authz.AccessToken: second.AccessToken, authz.RefreshToken: second.RefreshToken} {
			got, err := as(t, s.there, narrow).IntrospectToken(t.Context(), token)
			if err != nil || !got.Active || got.Use != use || got.Subject != "alice" || got.Client != s.info.Fingerprint || got.Tenant != s.info.Tenant ||
				!slices.Equal(got.Abilities, []string{"read"}) || got.Family == "" || got.ExpiresAt.IsZero() || got.IssuedAt.IsZero() {
				t.Errorf("%s: got %+v, %v", use, got, err)
			}
			if got, err := as(t, s.there, foreign).IntrospectToken(t.Context(), token); err != nil || got.Active {
				t.Errorf("%s by another tenant: got %+v, %v, want it not active", use, got, err)
			}
		}
		session := signIn(t, s.here.Tenant(s.info.Tenant), "alice").Token
		for _, token := range []string{first.RefreshToken, "", "unknown", s.key, session} {
			if got, err := as(t, s.here, s.key).IntrospectToken(t.Context(), token); err != nil || got.Active || got.Family != "" {
				t.Errorf("%.10s: got %+v, %v, want it not active", token, got, err)
			}
		}
		s.refresh(s.there, second.RefreshToken)
	})
}

func TestAnOpenTenantIsKeptWithItsFirstToken(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{OpenRegistration: true}, func(s tokenServers) {
		s.key = "6f1a1e8e-0f5b-4c6e-9d7f-2a1b3c4d5e6f"
		tokens := s.issue(authz.TokenRequest{})
		if got, want := as(s.t, s.there, tokens.AccessToken).Tenant.ID(), as(s.t, s.there, s.key).Tenant.ID(); got != want {
			s.t.Errorf("got tenant %s, want %s", got, want)
		}
		s.refresh(s.there, tokens.RefreshToken)
	})
}

func TestDeadAccessTokensAreAuditedOnceASecond(t *testing.T) {
	t.Parallel()
	onTokenServers(t, engine.Config{Tokens: engine.TokenConfig{Access: time.Minute}}, func(s tokenServers) {
		tokens := s.issue(authz.TokenRequest{})
		s.clock.Advance(time.Minute)
		for range 20 {
			wantDead(s.t, s.here, tokens.AccessToken)
		}
		if got := len(events(s.t, s.here.Tenant(s.info.Tenant), audit.AuthenticationFailed)); got < 1 || got > 3 {
			s.t.Errorf("got %d events, want about one", got)
		}
	})
}

func TestKeysOfAccessTokensRotate(t *testing.T) {
	t.Parallel()
	config := engine.Config{TokenAlgorithm: "EdDSA", Tokens: engine.TokenConfig{Access: 2 * time.Hour}}
	onTokenServers(t, config, func(s tokenServers) {
		t := s.t
		first := s.issue(authz.TokenRequest{})
		next, err := s.here.RotateSigningKey(t.Context(), engine.UseAccess, "")
		if err != nil || next.Use != engine.UseAccess {
			t.Fatalf("rotate: %+v, %v", next, err)
		}
		if got := kid(t, s.refresh(s.here, first.RefreshToken).AccessToken); got != kid(t, first.AccessToken) {
			t.Error("the next key signs before its time")
		}
		s.clock.Advance(published)
		second := s.issue(authz.TokenRequest{})
		if got := kid(t, second.AccessToken); got != next.ID {
			t.Errorf("signed by %v, want the next key, %s", got, next.ID)
		}
		as(t, s.there, second.AccessToken)
		as(t, s.there, first.AccessToken)
		accessKeys := func() (n int) {
			keys, err := s.here.SigningKeys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range keys {
				if key.Use == engine.UseAccess {
					n++
				}
			}
			return n
		}
		s.clock.Advance(2*time.Hour - time.Second)
		if err := s.here.Sweep(t.Context()); err != nil || accessKeys() != 2 {
			t.Errorf("got %d keys, %v, want both while tokens of the first may be good", accessKeys(), err)
		}
		s.clock.Advance(published + 2*time.Second)
		if err := s.here.Sweep(t.Context()); err != nil || accessKeys() != 1 {
			t.Errorf("got %d keys, %v, want one", accessKeys(), err)
		}
		if _, err := s.here.RotateSigningKey(t.Context(), "other", ""); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("rotate another use: got error %v, want ErrInvalid", err)
		}
	})
}
