package integration_test

import (
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/sdk"
)

// afar is where a thief is who is not beside the owner.
const afar = "198.51.100.7"

// shortWindows are over while a test looks on.
var shortWindows = []string{"AUTH_SESSION_OVERLAP=50ms", "AUTH_SESSION_LOST_WINDOW=50ms"}

// shownFrom is a token that is presented from an address, by the owner's browser or by
// a thief who says the same of theirs.
func shownFrom(ip, token string) authz.PresentedSession {
	return authz.PresentedSession{Token: token, IP: ip, UserAgent: userAgent}
}

func TestTheftIsFoundOnTheOtherServer(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With(shortWindows...))
		for user, from := range map[string]struct{ first, second string }{
			"thief_first":    {afar, device},
			"owner_first":    {device, afar},
			"at_one_address": {device, device},
		} {
			issued := openSession(t, p.clients[0], user)
			stolen := issued.Token
			first := rotateOnce(t, p.clients[0], shownFrom(from.first, stolen))
			waitUntilStale(t, p.clients[1], shownFrom(from.second, stolen))
			// So far nobody but the second knows, who has changed nothing.
			status, err := p.clients[1].VerifySession(t.Context(), shownFrom(from.first, first.Token))
			if err != nil || !status.Active {
				t.Fatalf("%s: the first one's token: got %+v, %v, want it active", user, status, err)
			}
			_, err = p.clients[1].RotateSession(t.Context(), shownFrom(from.second, stolen))
			if !errors.Is(err, authz.ErrTokenReused) {
				t.Errorf("%s: the superseded token: got %v, want %v", user, err, authz.ErrTokenReused)
			}
			for n, c := range p.clients {
				for ip, token := range map[string]string{from.first: first.Token, from.second: stolen} {
					if _, err := c.RotateSession(t.Context(), shownFrom(ip, token)); !errors.Is(err, authz.ErrSessionEnded) {
						t.Errorf("%s: server %d, a token from %s: got %v, want %v", user, n, ip, err, authz.ErrSessionEnded)
					}
				}
			}
			wantTheft(t, p.clients[0], issued.Session, map[string]any{
				"presented_generation": float64(1), "presented_ip": from.second, "presented_user_agent": userAgent,
				"generation": float64(2), "session_ip": from.first, "session_user_agent": userAgent,
				"last_seen_at": first.Session.LastSeenAt.UTC().Format(time.RFC3339Nano),
			})
		}
	})
}

func TestTheftThatManyShowIsFoundOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		p := startPair(i.With(shortWindows...))
		issued := openSession(t, p.clients[0], "alice")
		first := rotateOnce(t, p.clients[0], shown(issued.Token))
		waitUntilStale(t, p.clients[1], shownFrom(afar, issued.Token))
		var found atomic.Int64
		together(func(n int) {
			_, err := p.clients[n%2].RotateSession(t.Context(), shownFrom(afar, issued.Token))
			if errors.Is(err, authz.ErrTokenReused) {
				found.Add(1)
			} else if !errors.Is(err, authz.ErrSessionEnded) {
				t.Errorf("caller %d: got %v, want %v or %v", n, err, authz.ErrTokenReused, authz.ErrSessionEnded)
			}
		})
		if found.Load() == 0 {
			t.Errorf("nobody was told %v", authz.ErrTokenReused)
		}
		wantTheft(t, p.clients[1], issued.Session, map[string]any{
			"presented_generation": float64(1), "presented_ip": afar, "presented_user_agent": userAgent,
			"generation": float64(2), "session_ip": device, "session_user_agent": userAgent,
			"last_seen_at": first.Session.LastSeenAt.UTC().Format(time.RFC3339Nano),
		})
	})
}

func rotateOnce(t *testing.T, c *sdk.Client, token authz.PresentedSession) authz.RotatedSession {
	t.Helper()
	rotated, err := c.RotateSession(t.Context(), token)
	if err != nil || rotated.Outcome != authz.SessionRotated {
		t.Fatalf("got %+v, %v, want it rotated", rotated, err)
	}
	return rotated
}

// waitUntilStale waits until nothing excuses a superseded token any more.
func waitUntilStale(t *testing.T, c *sdk.Client, token authz.PresentedSession) {
	t.Helper()
	servertest.Eventually(t, servertest.CommandTimeout, "the superseded token is stale", func() bool {
		status, err := c.VerifySession(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		return !status.Active
	})
}

// wantTheft checks that a session was ended as stolen, and that one event tells of it.
func wantTheft(t *testing.T, c *sdk.Client, session authz.Session, details map[string]any) {
	t.Helper()
	got, err := c.Session(t.Context(), session.ID)
	if err != nil || got.EndReason != authz.EndTokenReused || got.EndedAt.IsZero() {
		t.Errorf("session of %s: got %+v, %v, want it ended for %s", session.User, got, err, authz.EndTokenReused)
	}
	events, err := c.AuditEvents(t.Context(), sdk.AuditFilter{Action: "SESSION_TOKEN_REUSED", User: session.User}, authz.Page{})
	if err != nil || len(events.Items) != 1 {
		t.Fatalf("session of %s: got the events %+v, %v, want one", session.User, events.Items, err)
	}
	event := events.Items[0]
	if event.Outcome != "refused" || event.Resource != "session/"+session.ID || !reflect.DeepEqual(event.Details, details) {
		t.Errorf("session of %s: got the event %+v, want a refusal with %v", session.User, event, details)
	}
}
