package integration_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	// crowd is how many ask at once.
	crowd = 50
	// longestDelay is how late a request or an answer may be.
	longestDelay = 20 * time.Millisecond
	// longOverlap is for browsers whose requests run in parallel, on a machine that may be
	// too busy to answer them all within the usual 10 s.
	longOverlap = "AUTH_SESSION_OVERLAP=5m"
)

// pair is two servers on one database, with a client of one tenant for each. Requests
// and answers are late, each in its own way, and so overtake each other.
type pair struct {
	key     string
	servers [2]*process
	clients [2]*sdk.Client
}

func startPair(i installation) pair {
	i.T.Helper()
	p := pair{key: uuid.NewString()}
	for n := range p.servers {
		p.servers[n] = i.Serve()
		p.clients[n] = lateClient(i.T, p.servers[n], p.key)
	}
	return p
}

// lateClient is a client whose requests and answers are delayed.
func lateClient(t *testing.T, server *process, key string) *sdk.Client {
	t.Helper()
	connections := &http.Transport{MaxIdleConnsPerHost: crowd}
	t.Cleanup(connections.CloseIdleConnections)
	c, err := sdk.New(server.URL, key, sdk.WithRetry(sdk.Retry{Tries: 1}),
		sdk.WithHTTPClient(&http.Client{Transport: late{connections}}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// late delays what passes through it, both ways.
type late struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	<-time.After(rand.N(longestDelay))
	answer, err := l.next.RoundTrip(r)
	<-time.After(rand.N(longestDelay))
	return answer, err
}

// together calls do once for each of the crowd, all at once, and waits for them.
func together(do func(n int)) {
	start := make(chan struct{})
	var running sync.WaitGroup
	for n := range crowd {
		running.Go(func() {
			<-start
			do(n)
		})
	}
	close(start)
	running.Wait()
}

// openSession signs a user in from the device.
func openSession(t *testing.T, c *sdk.Client, user string) authz.IssuedSession {
	t.Helper()
	issued, err := c.CreateSession(t.Context(), authz.NewSession{User: user, IP: device, UserAgent: userAgent})
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// shown is a token that the device presents.
func shown(token string) authz.PresentedSession {
	return authz.PresentedSession{Token: token, IP: device, UserAgent: userAgent}
}

// wantLive checks which of a user's sessions are live.
func wantLive(t *testing.T, c *sdk.Client, user string, want ...string) {
	t.Helper()
	sessions := all(t, func(page authz.Page) (authz.List[authz.Session], error) {
		return c.Sessions(t.Context(), user, false, page)
	})
	var got []string
	for _, session := range sessions {
		got = append(got, session.ID)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("live sessions of %s: got %v, want %v", user, got, want)
	}
}

// wantEvents checks the actions of the audit events that a filter selects.
func wantEvents(t *testing.T, c *sdk.Client, filter sdk.AuditFilter, want ...string) {
	t.Helper()
	events := all(t, func(page authz.Page) (authz.List[sdk.AuditEvent], error) {
		return c.AuditEvents(t.Context(), filter, page)
	})
	var got []string
	for _, event := range events {
		got = append(got, event.Action)
	}
	if slices.Reverse(got); !slices.Equal(got, want) {
		t.Errorf("audit events of %+v: got %v, want %v", filter, got, want)
	}
}

func TestParallelRotationsOnTwoServersMakeOneSuccessor(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With(longOverlap))
		issued := openSession(t, p.clients[0], "alice")
		tokens := slices.Repeat([]string{issued.Token}, crowd)
		const last = 5
		for generation := int64(2); generation <= last; generation++ {
			var taken [crowd]authz.RotatedSession
			// Each shows what it was given itself, to the server that did not give it.
			together(func(n int) {
				var err error
				if taken[n], err = p.clients[(n+int(generation))%2].RotateSession(t.Context(), shown(tokens[n])); err != nil {
					t.Errorf("generation %d, caller %d: %v", generation, n, err)
				}
			})
			if t.Failed() {
				return
			}
			outcomes := map[authz.SessionOutcome]int{}
			for n, got := range taken {
				if got.Session.Generation != generation || got.Session.ID != issued.Session.ID {
					t.Errorf("caller %d: got %+v, want generation %d of %s", n, got.Session, generation, issued.Session.ID)
				}
				outcomes[got.Outcome]++
				tokens[n] = got.Token
			}
			if outcomes[authz.SessionRotated] != 1 || outcomes[authz.SessionReplayed] != crowd-1 {
				t.Errorf("generation %d: got %v, want one rotated and all others replayed", generation, outcomes)
			}
		}
		together(func(n int) {
			status, err := p.clients[n%2].VerifySession(t.Context(), shown(tokens[n]))
			if err != nil || !status.Active || status.Session.Generation != last {
				t.Errorf("the token of caller %d: got %+v, %v, want it active and of generation %d", n, status, err, last)
			}
		})
		wantLive(t, p.clients[1], "alice", issued.Session.ID)
		wantEvents(t, p.clients[0], sdk.AuditFilter{Resource: "session/" + issued.Session.ID}, "SESSION_CREATED")
	})
}

func TestTokensOutliveTheServer(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		server := i.Serve()
		issued := openSession(t, client(t, server, key), "alice")
		token := issued.Token
		for restart := range 3 {
			server.Terminate()
			server.WantSuccess()
			server = i.Serve()
			rotated, err := client(t, server, key).RotateSession(t.Context(), shown(token))
			if err != nil || rotated.Outcome != authz.SessionRotated || rotated.Session.ID != issued.Session.ID {
				t.Fatalf("after restart %d: got %+v, %v, want it rotated", restart+1, rotated, err)
			}
			token = rotated.Token
		}
	})
}
