package sdk_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

const sessionData = `{"id":"s1","user":"alice","generation":2,"ip":"192.0.2.1","user_agent":"curl/8.5.0","binding":"strict",` +
	`"created_at":"2030-01-01T00:00:00Z","last_seen_at":"2030-01-01T00:00:01Z","idle_expires_at":"2030-01-01T12:00:00Z","expires_at":"2030-02-01T00:00:00Z"}`

// TestRefusedTokenIsToldFromARefusedKey shows which 401 is about the token: only that
// may cost a browser its cookie.
func TestRefusedTokenIsToldFromARefusedKey(t *testing.T) {
	t.Parallel()
	words := []authz.SessionRefusal{authz.ErrInvalidToken, authz.ErrSessionEnded, authz.ErrBindingMismatch, authz.ErrTokenReused}
	refuse := func(status int, detail string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"success":false,"code":`+strconv.Itoa(status)+`,"message":"m","error":"`+detail+`"}`)
		}
	}
	for _, word := range words {
		client, _ := fake(t, "", refuse(401, string(word)))
		_, err := client.RotateSession(t.Context(), authz.PresentedSession{Token: "t", IP: "192.0.2.1"})
		if why, ok := errors.AsType[authz.SessionRefusal](err); !ok || why != word || !errors.Is(err, sdk.ErrUnauthenticated) {
			t.Errorf("%s: got error %v, want the word and ErrUnauthenticated", word, err)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"another 401":       refuse(401, "the client key is not known"),
		"a word in passing": refuse(401, "not token_reused"),
		"a 403":             refuse(403, "token_reused"),
		"a proxy's page": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			_, _ = io.WriteString(w, "token_reused")
		},
	} {
		client, _ := fake(t, "", answer)
		_, err := client.RotateSession(t.Context(), authz.PresentedSession{Token: "t", IP: "192.0.2.1"})
		if why, ok := errors.AsType[authz.SessionRefusal](err); err == nil || ok {
			t.Errorf("%s: got error %v with the word %q, want one without", name, err, why)
		}
	}
}

// TestIncompleteSessionAnswersAreErrors shows answers that would sign somebody in, or
// out, for want of a field.
func TestIncompleteSessionAnswersAreErrors(t *testing.T) {
	t.Parallel()
	presented := authz.PresentedSession{Token: "t", IP: "192.0.2.1"}
	for name, test := range map[string]struct {
		data string
		call func(*testing.T, *sdk.Client) error
	}{
		"created without a token": {`{"session":` + sessionData + `}`, func(t *testing.T, c *sdk.Client) error {
			_, err := c.CreateSession(t.Context(), authz.NewSession{User: "alice", IP: "192.0.2.1"})
			return err
		}},
		"rotated without a token": {`{"outcome":"rotated","session":` + sessionData + `}`, func(t *testing.T, c *sdk.Client) error {
			_, err := c.RotateSession(t.Context(), presented)
			return err
		}},
		"rotated in another way": {`{"outcome":"spun","token":"n","session":` + sessionData + `}`, func(t *testing.T, c *sdk.Client) error {
			_, err := c.RotateSession(t.Context(), presented)
			return err
		}},
		"active without a session": {`{"active":true}`, func(t *testing.T, c *sdk.Client) error {
			_, err := c.VerifySession(t.Context(), presented)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) { envelope(w, 200, test.data) })
			if err := test.call(t, client); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
}

func TestRotationIsTriedAgainAndCreationIsNot(t *testing.T) {
	t.Parallel()
	broken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	retry := sdk.WithRetry(sdk.Retry{Tries: 3, Wait: time.Nanosecond})
	for name, test := range map[string]struct {
		call func(*testing.T, *sdk.Client) error
		want int64
	}{
		"rotate": {func(t *testing.T, c *sdk.Client) error {
			_, err := c.RotateSession(t.Context(), authz.PresentedSession{})
			return err
		}, 3},
		"verify": {func(t *testing.T, c *sdk.Client) error {
			_, err := c.VerifySession(t.Context(), authz.PresentedSession{})
			return err
		}, 3},
		"create": {func(t *testing.T, c *sdk.Client) error {
			_, err := c.CreateSession(t.Context(), authz.NewSession{})
			return err
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, requests := fake(t, "", broken, retry)
			if err := test.call(t, client); !errors.Is(err, sdk.ErrUnavailable) || requests.Load() != test.want {
				t.Errorf("got error %v after %d requests, want ErrUnavailable after %d", err, requests.Load(), test.want)
			}
		})
	}
}
