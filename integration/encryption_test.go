package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	firstKey  = "AUTH_ENCRYPTION_KEY=the first planted secret"
	secondKey = "AUTH_ENCRYPTION_KEY=the second planted secret"
	formerKey = "AUTH_ENCRYPTION_PREVIOUS_KEYS=the first planted secret"
)

// TestServersAnswerWhileTheKeyChanges has three servers decide, write and rotate sessions
// while the database is sealed, sealed with another key and left plain, by commands that
// are killed again and again.
func TestServersAnswerWhileTheKeyChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		key := uuid.NewString()
		servers := i.With(secondKey, formerKey)
		clients := []*sdk.Client{client(t, servers.Serve(), key), client(t, servers.Serve(), key), client(t, servers.Serve(), key)}
		want := fillTenant(t, clients[0])

		ctx, stop := context.WithCancel(t.Context())
		var workers sync.WaitGroup
		for n := range 4 {
			workers.Go(func() { useTenant(ctx, t, fmt.Sprint("worker-", n), clients) })
		}
		for _, step := range []struct {
			done, command string
			settings      []string
		}{
			{"sealed", "enable", []string{firstKey}},
			{"sealed with the key of AUTH_ENCRYPTION_KEY", "rotate", []string{secondKey, formerKey}},
			{"plain", "disable", []string{secondKey, formerKey}},
		} {
			operator := i.With(step.settings...)
			for range 4 {
				killCommand(operator, rand.N(4*time.Second), "encryption", step.command)
			}
			if got := operator.Must("encryption", step.command); !strings.HasPrefix(got, step.done) {
				t.Errorf("%s: got %q, want %q", step.command, got, step.done)
			}
			if got, want := operator.Must("encryption", step.command), step.done+" already: nothing to do\n"; got != want {
				t.Errorf("%s again: got %q, want %q", step.command, got, want)
			}
		}
		stop()
		workers.Wait()

		members, err := clients[0].Members(t.Context(), "reader", authz.Page{Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, member := range members.Items {
			got = append(got, member.User)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the members: got %d, want %d", len(got), len(want))
		}
		i.Must("client", "list")
	})
}

// killCommand starts a command and kills it after a while, unless it has ended.
func killCommand(i installation, after time.Duration, args ...string) {
	i.T.Helper()
	ctx, cancel := context.WithTimeout(i.T.Context(), after)
	defer cancel()
	cmd := i.Command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		i.T.Errorf("%q: %v: %s", args, err, &stderr)
	}
}

// fillTenant gives many users a role, and returns them in order.
func fillTenant(t *testing.T, c *sdk.Client) []string {
	t.Helper()
	var users []string
	mutations := []sdk.Mutation{
		{Method: "POST", Path: "/api/role/reader"}, {Method: "POST", Path: "/api/permission/reader/edit"},
		{Method: "POST", Path: "/api/role/editor"}, {Method: "POST", Path: "/api/permission/editor/edit"},
	}
	for n := range 3000 {
		user := fmt.Sprintf("user-%05d", n)
		users = append(users, user)
		mutations = append(mutations, sdk.Mutation{Method: "POST", Path: "/api/membership/" + user + "/reader"})
	}
	for part := range slices.Chunk(mutations, 1000) {
		if _, err := c.Batch(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	return users
}

// useTenant writes and asks at one server after another until ctx ends, and holds every
// answer to what it has to be.
func useTenant(ctx context.Context, t *testing.T, user string, clients []*sdk.Client) {
	for round := 0; ctx.Err() == nil; round++ {
		writes, reads := clients[round%len(clients)], clients[(round+1)%len(clients)]
		what := fmt.Sprint(user, ", round ", round)
		// What has begun is carried to its end.
		ctx := t.Context()
		added, err := writes.AddMembership(ctx, user, "editor", authz.Window{})
		wantDecision(t, what+", added", reads, user, true, added.Revision, err)
		known := fmt.Sprintf("user-%05d", rand.N(3000))
		wantDecision(t, what+", "+known, reads, known, true, added.Revision, err)
		useSession(t, what, user, writes, reads)
		suspended, err := reads.PutUser(ctx, authz.User{Name: user, Inactive: true})
		wantDecision(t, what+", suspended", writes, user, false, suspended.Revision, err)
		deleted, err := writes.DeleteUser(ctx, user)
		wantDecision(t, what+", deleted", reads, user, false, deleted.Revision, err)
	}
}

// useSession signs a user in, who then moves, and out.
func useSession(t *testing.T, what, user string, one, other *sdk.Client) {
	ctx := t.Context()
	issued, err := one.CreateSession(ctx, authz.NewSession{User: user, IP: "192.0.2.1", UserAgent: "a browser"})
	if err != nil {
		t.Errorf("%s: sign in: %v", what, err)
		return
	}
	token := issued.Token
	for n, c := range []*sdk.Client{other, one, other} {
		rotated, err := c.RotateSession(ctx, authz.PresentedSession{Token: token, IP: fmt.Sprint("192.0.2.", n), UserAgent: "a browser"})
		if err != nil || rotated.Outcome != authz.SessionRotated || rotated.Session.User != user {
			t.Errorf("%s: rotation %d: got %+v, %v", what, n, rotated, err)
			return
		}
		token = rotated.Token
	}
	if ended, err := one.EndSessions(ctx, user, ""); err != nil || ended != 1 {
		t.Errorf("%s: sign out: ended %d, %v, want 1", what, ended, err)
	}
	status, err := other.VerifySession(ctx, authz.PresentedSession{Token: token, IP: "192.0.2.2", UserAgent: "a browser"})
	if err != nil || status.Active {
		t.Errorf("%s: signed out: got %+v, %v", what, status, err)
	}
}
