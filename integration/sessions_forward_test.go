package integration_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

// forward asks a server what a proxy asks it for a browser that sends a cookie.
func (p pair) forward(t *testing.T, server int, query, cookie string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.servers[server].URL+"/auth/forward"+query, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Cookie", cookie)
	answer, err := late{http.DefaultTransport}.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return answer, answer.Body.Close()
}

// mustForward is forward for the test's own goroutine.
func (p pair) mustForward(t *testing.T, server int, query, cookie string) *http.Response {
	t.Helper()
	answer, err := p.forward(t, server, query, cookie)
	if err != nil {
		t.Fatalf("server %d: %v", server, err)
	}
	return answer
}

// wantForwarded checks that a server lets a session of alice's pass, and returns the
// next cookie.
func (p pair) wantForwarded(t *testing.T, server int, cookie, session string) (next string) {
	t.Helper()
	answer, err := p.forward(t, server, "", cookie)
	if err != nil {
		t.Errorf("server %d: %v", server, err)
		return ""
	}
	next = sessionCookieOf(answer)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Auth-User") != "alice" ||
		answer.Header.Get("X-Auth-Session") != session || next == "" {
		t.Errorf("server %d: got %s %v, want 200, alice's session %s and its next cookie", server, answer.Status, answer.Header, session)
	}
	return next
}

func TestForwardAuthOverTwoServers(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With(longOverlap))
		ctx := t.Context()
		issued := openSession(t, p.clients[0], "alice")
		session := issued.Session.ID
		cookie := "__Host-session=" + issued.Token
		for turn := range 6 {
			former := cookie
			if cookie = p.wantForwarded(t, turn%2, cookie, session); cookie == former {
				t.Errorf("turn %d: got the same cookie again, want the next", turn)
			}
		}

		// A page with many parts, and then what each part was given.
		cookies := slices.Repeat([]string{cookie}, crowd)
		for round := range 2 {
			together(func(n int) {
				cookies[n] = p.wantForwarded(t, (n+round)%2, cookies[n], session)
			})
		}
		cookie = cookies[crowd/2]

		for server := range p.servers {
			answer := p.mustForward(t, server, "?permission=admin:view", cookie)
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("server %d, without the permission: got %s, want 403", server, answer.Status)
			}
			cookie = sessionCookieOf(answer)
		}
		if _, err := p.clients[0].AddRole(ctx, "admin", authz.RoleOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.clients[0].AddPermission(ctx, "admin", "admin:*"); err != nil {
			t.Fatal(err)
		}
		if _, err := p.clients[0].AddMembership(ctx, "alice", "admin", authz.Window{}); err != nil {
			t.Fatal(err)
		}
		servertest.Eventually(t, servertest.CommandTimeout, "the other server lets the user pass", func() bool {
			answer := p.mustForward(t, 1, "?permission=admin:view", cookie)
			cookie = sessionCookieOf(answer)
			return answer.StatusCode == http.StatusOK
		})

		if ended, err := p.clients[0].EndSession(ctx, session); err != nil || !ended {
			t.Fatalf("end the session: got %t, %v, want true", ended, err)
		}
		for server := range p.servers {
			answer := p.mustForward(t, server, "", cookie)
			taken := answer.Header.Get("Set-Cookie")
			if answer.StatusCode != http.StatusUnauthorized || sessionCookieOf(answer) != "__Host-session=" || !strings.Contains(taken, "Max-Age=0") {
				t.Errorf("server %d, after the end: got %s and the cookie %q, want 401 and the cookie deleted", server, answer.Status, taken)
			}
		}
	})
}
