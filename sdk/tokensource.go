package sdk

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// TokenSource has an access token at hand. It gets the first one with a client key,
// refreshes it before it expires, and begins again where it cannot be refreshed. It is
// safe for use by many goroutines, of which one at a time asks the server for all.
type TokenSource struct {
	client  *Client
	request authz.TokenRequest
	now     func() time.Time

	mu sync.Mutex
	// held are the tokens as they came; zero before the first, and once they are of no use.
	held authz.Tokens
	// renewAt is when to get the next ones, and expiresAt when these are of no use.
	renewAt, expiresAt time.Time
	// asking is the question that is under way; nil where there is none.
	asking *asking
}

// asking is one question to the server, for all that wait for done.
type asking struct {
	done  chan struct{}
	token string
	err   error
}

const (
	// askTimeout bounds one question: it is nobody's alone, so nobody's context ends it.
	askTimeout = 30 * time.Second
	// A token is renewed when a fifth of its life is left, or five minutes.
	renewPart = 5
	renewMost = 5 * time.Minute
)

// TokenSourceOption changes how a TokenSource works.
type TokenSourceOption func(*TokenSource)

// WithClock has a TokenSource ask now for the time instead of time.Now.
func WithClock(now func() time.Time) TokenSourceOption {
	return func(s *TokenSource) { s.now = now }
}

// NewTokenSource returns a source of the access tokens that request asks for. client
// has a client key. Nothing is asked of the server yet.
func NewTokenSource(client *Client, request authz.TokenRequest, opts ...TokenSourceOption) *TokenSource {
	s := &TokenSource{client: client, request: request, now: time.Now}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Token returns an access token that is good. It waits for the server only where there
// is none: the next one is got beforehand, and as long as that fails, the last goes on
// until it has expired. The error is that of IssueTokens.
func (s *TokenSource) Token(ctx context.Context) (string, error) {
	s.mu.Lock()
	now := s.now()
	if now.Before(s.renewAt) {
		defer s.mu.Unlock()
		return s.held.AccessToken, nil
	}
	if s.asking == nil {
		s.asking = &asking{done: make(chan struct{})}
		refreshToken := s.held.RefreshToken
		// It is shown once: whether it was taken is not known where the answer is lost, and
		// shown again it would look stolen.
		s.held.RefreshToken = ""
		go s.ask(context.WithoutCancel(ctx), s.asking, refreshToken)
	}
	if now.Before(s.expiresAt) {
		defer s.mu.Unlock()
		return s.held.AccessToken, nil
	}
	question := s.asking
	s.mu.Unlock()

	select {
	case <-question.done:
		return question.token, question.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// ask gets the next tokens, by a refresh token where there is one.
func (s *TokenSource) ask(ctx context.Context, question *asking, refreshToken string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	// From before the request, for the token's life has begun when the answer arrives.
	asked := s.now()
	var next authz.Tokens
	var err error = authz.ErrInvalidGrant
	if refreshToken != "" {
		next, err = s.client.RefreshTokens(ctx, refreshToken)
	}
	if errors.Is(err, authz.ErrInvalidGrant) {
		next, err = s.client.IssueTokens(ctx, s.request)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(question.done)
	s.asking, question.err = nil, err
	if err != nil {
		return
	}
	question.token = next.AccessToken
	s.held, s.expiresAt = next, asked.Add(next.ExpiresIn)
	s.renewAt = s.expiresAt.Add(-min(next.ExpiresIn/renewPart, renewMost))
}

// drop has the next call get another token than the one that the server refused.
func (s *TokenSource) drop(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.AccessToken == token {
		s.held, s.renewAt, s.expiresAt = authz.Tokens{}, time.Time{}, time.Time{}
	}
}

// tokenTransport sends requests with the access token of a source.
type tokenTransport struct {
	next   http.RoundTripper
	source *TokenSource
}

// RoundTrip sends a request whose token was refused once more, with another.
func (t *tokenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	for again := false; ; again = true {
		token, err := t.source.Token(req.Context())
		if err != nil {
			return nil, err
		}
		attempt, err := rewound(req)
		if err != nil {
			return nil, err
		}
		attempt.Header.Set("Authorization", "Bearer "+token)
		rsp, err := t.next.RoundTrip(attempt)
		if err != nil || again || !refusesToken(rsp) || req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
			return rsp, err
		}
		discard(rsp.Body)
		t.source.drop(token)
	}
}

// refusesToken tells that an answer is about the access token (RFC 6750, section 3.1).
func refusesToken(rsp *http.Response) bool {
	return rsp.StatusCode == http.StatusUnauthorized && strings.Contains(rsp.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
}
