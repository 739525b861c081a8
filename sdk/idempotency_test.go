package sdk_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

// lossy loses the answer to the first request of every two, after the server has
// carried it out, and keeps the keys that were sent.
type lossy struct {
	mu   sync.Mutex
	keys []string
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	rsp, err := http.DefaultTransport.RoundTrip(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, r.Header.Get("Idempotency-Key"))
	if err == nil && len(l.keys)%2 == 1 {
		_ = rsp.Body.Close()
		return nil, errors.New("the answer was lost")
	}
	return rsp, err
}

func lossyClient(t *testing.T, idempotent bool) (*sdk.Client, *lossy) {
	t.Helper()
	transport := &lossy{}
	return newClient(t, startServer(t, time.Now), sdk.WithHTTPClient(&http.Client{Transport: transport}),
		sdk.WithRetry(sdk.Retry{Wait: time.Millisecond, Idempotent: idempotent})), transport
}

func TestIdempotentChangesOutliveLostAnswers(t *testing.T) {
	t.Parallel()
	client, transport := lossyClient(t, true)
	ctx := t.Context()
	written, err := client.AddRole(ctx, "editor", authz.RoleOptions{})
	if want := (authz.Written{Changed: true, Revision: 1, Replayed: true}); err != nil || written != want {
		t.Errorf("a role: got %+v, error %v; want %+v", written, err, want)
	}
	batch, err := client.Batch(ctx, []sdk.Mutation{{Method: http.MethodPost, Path: sdk.Path("role", "author")}})
	if err != nil || !batch.Replayed || batch.Revision != 2 {
		t.Errorf("a batch: got %+v, error %v; want a replay at revision 2", batch, err)
	}
	issued, err := client.CreateSession(ctx, authz.NewSession{User: "alice", IP: "192.0.2.1", UserAgent: "browser"})
	if err != nil || !issued.Replayed {
		t.Errorf("a session: got %+v, error %v; want a replay", issued.Session, err)
	}
	sessions, err := client.Sessions(ctx, "alice", true, authz.Page{})
	if err != nil || len(sessions.Items) != 1 {
		t.Errorf("got %d sessions, error %v; want 1", len(sessions.Items), err)
	}
	keys := transport.keys
	if len(keys) != 8 || keys[0] == "" || keys[0] != keys[1] || keys[0] == keys[2] || keys[6] != "" {
		t.Errorf("got keys %q, want one for each change and none for the read", keys)
	}
}

func TestIdempotencyKeyOfAContext(t *testing.T) {
	t.Parallel()
	client, transport := lossyClient(t, false)
	ctx := sdk.WithIdempotencyKey(t.Context(), `say "a\b"`)
	for range 2 {
		written, err := client.AddRole(ctx, "editor", authz.RoleOptions{})
		if err != nil || written.Revision != 1 || !written.Replayed {
			t.Errorf("got %+v, error %v; want a replay at revision 1", written, err)
		}
		transport.keys = nil
	}
	transport.keys = []string{"an answer that is not lost"}
	if _, err := client.AddRole(ctx, "author", authz.RoleOptions{}); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("another change: got error %v, want ErrConflict", err)
	}
	if got, want := transport.keys[1], `"say \"a\\b\""`; got != want {
		t.Errorf("got key %s, want %s", got, want)
	}
	transport.keys = []string{"an answer that is not lost"}
	if _, err := client.IssueTokens(ctx, authz.TokenRequest{}); err != nil {
		t.Errorf("tokens, which take no key: %v", err)
	}
	for _, bad := range []string{"", "é", "a\nb", strings.Repeat("k", 256)} {
		if _, err := client.DeleteRole(sdk.WithIdempotencyKey(ctx, bad), "editor"); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("key %q: got error %v, want ErrInvalid", bad, err)
		}
	}
}

func TestChangesWithoutAKeyAreNotSentAgain(t *testing.T) {
	t.Parallel()
	client, transport := lossyClient(t, false)
	if _, err := client.AddRole(t.Context(), "editor", authz.RoleOptions{}); !errors.Is(err, sdk.ErrUnavailable) || len(transport.keys) != 1 {
		t.Errorf("got error %v after %d tries, want ErrUnavailable after 1", err, len(transport.keys))
	}
}
