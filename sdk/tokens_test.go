package sdk_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/contract"
	"github.com/gatehouse/gatehouse/sdk"
	"github.com/gatehouse/gatehouse/server"
)

// tokenService is a real server whose clock, and whose client's, is moved by hand. It
// counts the requests by path.
type tokenService struct {
	url   string
	clock *contract.Clock
	// away has the server answer 503 instead, to the token endpoints.
	away  atomic.Bool
	mu    sync.Mutex
	count map[string]int
}

func startTokenService(t *testing.T) *tokenService {
	t.Helper()
	s := &tokenService{clock: contract.NewClock(time.Now()), count: map[string]int{}}
	e, err := engine.Open(t.Context(), engine.Config{
		Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), OpenRegistration: true, Now: s.clock.Now,
		Tokens: engine.TokenConfig{Access: time.Hour, Refresh: 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	handler, err := server.New(server.Config{Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.count[r.URL.Path]++
		s.mu.Unlock()
		if s.away.Load() && len(r.URL.Path) >= 10 && r.URL.Path[:10] == "/api/token" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(listening.Close)
	s.url = listening.URL
	return s
}

func (s *tokenService) asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[path]
}

func (s *tokenService) client(t *testing.T, key string, opts ...sdk.Option) *sdk.Client {
	t.Helper()
	client, err := sdk.New(s.url, key, append(opts, sdk.WithRetry(sdk.Retry{Tries: 1}))...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestTokenEndpoints(t *testing.T) {
	t.Parallel()
	s := startTokenService(t)
	ctx, client := t.Context(), s.client(t, uuid.NewString())
	first, err := client.IssueTokens(ctx, authz.TokenRequest{Abilities: []string{"read", "check"}, Subject: "alice"})
	if err != nil || !slices.Equal(first.Abilities, []string{"check", "read"}) || first.ExpiresIn < 59*time.Minute {
		t.Fatalf("issue: got %v for %v, %v", first.Abilities, first.ExpiresIn, err)
	}
	second, err := client.RefreshTokens(ctx, first.RefreshToken, "read")
	if err != nil || !slices.Equal(second.Abilities, []string{"read"}) {
		t.Fatalf("refresh: got %v, %v", second.Abilities, err)
	}
	for token, use := range map[string]authz.TokenUse{second.AccessToken: authz.AccessToken, second.RefreshToken: authz.RefreshToken} {
		info, err := client.IntrospectToken(ctx, token)
		if err != nil || !info.Active || info.Use != use || info.Subject != "alice" || info.Client == "" || info.Tenant == "" || info.Family == "" ||
			info.Issuer != "gatehouse" || info.ExpiresAt.Before(info.IssuedAt) {
			t.Errorf("introspect: got %+v, %v", info, err)
		}
	}
	if err := client.RevokeToken(ctx, second.AccessToken); err != nil {
		t.Fatal(err)
	}
	if info, err := client.IntrospectToken(ctx, second.RefreshToken); err != nil || info.Active || info.Family != "" {
		t.Errorf("introspect what was revoked: got %+v, %v", info, err)
	}
	if _, err := client.RefreshTokens(ctx, second.RefreshToken); !errors.Is(err, authz.ErrInvalidGrant) || !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("refresh what was revoked: got error %v, want %q", err, authz.ErrInvalidGrant)
	}
	if _, err := client.IssueTokens(ctx, authz.TokenRequest{Abilities: []string{"fly"}}); !errors.Is(err, authz.ErrInvalidScope) {
		t.Errorf("issue for flying: got error %v, want %q", err, authz.ErrInvalidScope)
	}
	if _, err := s.client(t, "nobody").IssueTokens(ctx, authz.TokenRequest{}); !errors.Is(err, sdk.ErrUnauthenticated) {
		t.Errorf("issue for nobody: got error %v, want ErrUnauthenticated", err)
	}
}

func TestTokenSourceRefreshesByItself(t *testing.T) {
	t.Parallel()
	s := startTokenService(t)
	keyed := s.client(t, uuid.NewString())
	source := sdk.NewTokenSource(keyed, authz.TokenRequest{Abilities: []string{"write"}}, sdk.WithClock(s.clock.Now))
	client := s.client(t, "", sdk.WithTokenSource(source))

	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if _, err := client.AddRole(t.Context(), "editor", authz.RoleOptions{}); err != nil {
				t.Errorf("add a role: %v", err)
			}
		})
	}
	calls.Wait()
	if got := s.asked("/api/token"); got != 1 {
		t.Errorf("got %d requests for tokens, want one for all", got)
	}
	token := func() string {
		t.Helper()
		token, err := source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := token()
	s.clock.Advance(54 * time.Minute)
	if token() != first {
		t.Error("got another token, want the first while it is young")
	}
	// It is renewed before it expires, once, and while the first one goes on.
	s.clock.Advance(5 * time.Minute)
	renewed := time.After(10 * time.Second)
	for token() == first {
		select {
		case <-renewed:
			t.Fatal("the token is not renewed")
		default:
		}
	}
	if refreshed, issued := s.asked("/api/token/refresh"), s.asked("/api/token"); refreshed != 1 || issued != 1 {
		t.Errorf("got %d refreshed and %d issued, want one of each", refreshed, issued)
	}
	// What has expired is waited for.
	second := token()
	s.clock.Advance(2 * time.Hour)
	if third := token(); third == second || third == first {
		t.Error("got a token that has expired")
	}
	if got := s.asked("/api/token/refresh"); got != 2 {
		t.Errorf("got %d refreshed, want 2", got)
	}

	// Where the family has ended, it begins again; the request that finds out succeeds.
	if err := keyed.RevokeToken(t.Context(), token()); err != nil {
		t.Fatal(err)
	}
	if _, err := client.AddRole(t.Context(), "writer", authz.RoleOptions{}); err != nil {
		t.Errorf("after a revocation: %v", err)
	}
	if got := s.asked("/api/token"); got != 2 {
		t.Errorf("got %d issued, want 2", got)
	}
	last := token()
	s.clock.Advance(48 * time.Hour)
	if token() == last || s.asked("/api/token") != 3 {
		t.Errorf("got %d issued, want another after the refresh token has expired", s.asked("/api/token"))
	}
	// Another refusal is the caller's, and costs no token.
	before := s.asked("/api/token")
	if _, err := client.Roles(t.Context(), authz.Page{}); !errors.Is(err, sdk.ErrForbidden) || s.asked("/api/token") != before {
		t.Errorf("got error %v and %d issued, want ErrForbidden and %d", err, s.asked("/api/token"), before)
	}
}

func TestTokenSourceWithoutTheServer(t *testing.T) {
	t.Parallel()
	s := startTokenService(t)
	source := sdk.NewTokenSource(s.client(t, uuid.NewString()), authz.TokenRequest{}, sdk.WithClock(s.clock.Now))
	client := s.client(t, "", sdk.WithTokenSource(source))
	s.away.Store(true)
	if _, err := client.Roles(t.Context(), authz.Page{}); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
	s.away.Store(false)
	first, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.away.Store(true)
	s.clock.Advance(58 * time.Minute)
	for range 3 {
		if token, err := source.Token(t.Context()); err != nil || token != first {
			t.Errorf("got %v, want the last token while it is good", err)
		}
	}
	s.clock.Advance(3 * time.Minute)
	if _, err := source.Token(t.Context()); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("got error %v, want ErrUnavailable", err)
	}
	s.away.Store(false)
	if token, err := source.Token(t.Context()); err != nil || token == first {
		t.Errorf("got %v, want another token", err)
	}
}

func TestTokenSourceOrKey(t *testing.T) {
	t.Parallel()
	s := startTokenService(t)
	source := sdk.NewTokenSource(s.client(t, "no-key"), authz.TokenRequest{})
	if _, err := sdk.New(s.url, "a", sdk.WithTokenSource(source)); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("with both: got error %v, want ErrInvalid", err)
	}
	_, err := s.client(t, "", sdk.WithTokenSource(source)).Roles(t.Context(), authz.Page{})
	if failed, ok := errors.AsType[*sdk.Error](err); !ok || failed.Status != 401 || failed.Message != "invalid_client" {
		t.Errorf("with a key that is none: got error %v, want that of the token endpoint", err)
	}
}
