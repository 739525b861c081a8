// Package sdk is the Go client of a Gatehouse server.
//
// A [Client] has the methods of an engine's Tenant, in the same types, so that a
// program can take either: the one in process, the other over HTTP. It carries no
// database and no server code. Start at [New].
//
// Failures are [*Error]s, which errors.Is compares with ErrNotFound and its like.
// What a moment later may succeed is tried again; see [Retry].
package sdk

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/sdk/api"
)

// defaultUserAgent is sent unless WithUserAgent says otherwise.
const defaultUserAgent = "gatehouse-go"

// Client asks one server on behalf of one client key, and so of one tenant. It is
// safe for use by many goroutines, and reuses connections.
type Client struct {
	api *api.Client
	// probes sends what is open to all: without the key, and once.
	probes *api.Client
}

// Option changes how a Client works.
type Option func(*settings)

type settings struct {
	http      http.Client
	retry     Retry
	userAgent string
	tokens    *TokenSource
}

// WithHTTPClient sends requests with a copy of client: through its Transport, or
// the SDK's own where that is nil, and with its cookies. Its Timeout covers all
// tries of a request together. The copy follows no redirects.
func WithHTTPClient(client *http.Client) Option {
	return func(s *settings) { s.http = *client }
}

// WithRetry sets how often and when a request is tried again.
func WithRetry(retry Retry) Option {
	return func(s *settings) { s.retry = retry }
}

// WithUserAgent sets the User-Agent header, which the audit log keeps with every
// change.
func WithUserAgent(agent string) Option {
	return func(s *settings) { s.userAgent = agent }
}

// WithTokenSource sends requests with the access tokens of source instead of a client
// key: New takes an empty one then. A token that the server does not take any more is
// replaced, and the request sent again. The token methods, such as IssueTokens, need a
// client with a key.
func WithTokenSource(source *TokenSource) Option {
	return func(s *settings) { s.tokens = source }
}

// New returns a client of the server at baseURL, such as
// "https://gatehouse.example.com" or "http://127.0.0.1:8000", which calls with the
// given client key. It connects to nothing; see Ping. The error is ErrInvalid.
func New(baseURL, key string, opts ...Option) (*Client, error) {
	if err := checkBaseURL(baseURL); err != nil {
		return nil, err
	}
	s := settings{userAgent: defaultUserAgent}
	for _, opt := range opts {
		opt(&s)
	}
	if s.tokens != nil && key != "" {
		return nil, invalid("key: must be empty where there is a token source")
	}
	if s.tokens == nil {
		if err := checkKey(key); err != nil {
			return nil, err
		}
	}
	if s.http.Transport == nil {
		s.http.Transport = sharedTransport
	}
	// A redirect would take the key along, or turn a POST into a GET.
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	once := s.http
	retrying := s.http
	retrying.Transport = &retryTransport{next: s.http.Transport, retry: s.retry.withDefaults()}

	agent := setHeader("User-Agent", s.userAgent)
	probes, err := api.NewClient(baseURL, api.WithHTTPClient(&once), api.WithRequestEditorFn(agent))
	if err != nil {
		return nil, err
	}
	editors := []api.ClientOption{api.WithHTTPClient(&retrying), api.WithRequestEditorFn(agent), api.WithRequestEditorFn(s.retry.name)}
	if s.tokens != nil {
		retrying.Transport = &tokenTransport{next: retrying.Transport, source: s.tokens}
	} else {
		// The key lives in a closure, where no way to print a Client finds it.
		editors = append(editors, api.WithRequestEditorFn(setHeader("Authorization", "Bearer "+key)))
	}
	full, err := api.NewClient(baseURL, editors...)
	if err != nil {
		return nil, err
	}
	return &Client{api: full, probes: probes}, nil
}

// AtLeast returns the same client, whose reads never answer from before a revision,
// such as that of an authz.Written: the server waits until it has come so far. What
// it cannot reach in 10 s is ErrUnavailable.
func (c *Client) AtLeast(revision int64) *Client {
	minimum := setHeader(minRevisionHeader, strconv.FormatInt(max(0, revision), 10))
	later := *c.api
	later.RequestEditors = append(slices.Clone(later.RequestEditors), minimum)
	return &Client{api: &later, probes: c.probes}
}

// sharedTransport is one pool of connections for every Client of the program, as
// http.DefaultTransport is, but with room for more idle ones to the same server.
var sharedTransport = &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	ForceAttemptHTTP2:     true,
	MaxIdleConns:          256,
	MaxIdleConnsPerHost:   64,
	IdleConnTimeout:       90 * time.Second,
	TLSHandshakeTimeout:   10 * time.Second,
	ResponseHeaderTimeout: 30 * time.Second,
}

func setHeader(name, value string) api.RequestEditorFn {
	return func(_ context.Context, req *http.Request) error {
		req.Header.Set(name, value)
		return nil
	}
}

func checkBaseURL(baseURL string) error {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil:
		return invalid("base URL: cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return invalid("base URL: must be http://HOST or https://HOST")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return invalid("base URL: must have no user, query or fragment")
	}
	return nil
}

// checkKey accepts what a bearer token can be (RFC 6750, b64token). It is the
// server that knows which keys are good.
func checkKey(key string) error {
	if key == "" {
		return invalid("key: must not be empty")
	}
	if strings.ContainsFunc(key, func(r rune) bool {
		alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !alphanumeric && !strings.ContainsRune("-._~+/=", r)
	}) {
		return invalid("key: holds a character that no key has, such as a space or the end of a line")
	}
	return nil
}
