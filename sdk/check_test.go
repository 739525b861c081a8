package sdk_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

func TestCheckSendsAllOfTheRequest(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1)
	client, _ := fake(t, "", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies <- string(body)
		envelope(w, 200, `{"allowed":true,"revision":4}`)
	})
	for want, request := range map[string]authz.Request{
		`{"permission":"edit","user":"alice"}`: {User: "alice", Permission: "edit"},
		`{"context":{"ip":"::1"},"explain":true,"permission":"edit","resource":{"id":"7 8","owner":"bob","parent":{"id":"a/b","kind":"team"},"properties":{"n":1},"type":"post"},"user":"alice"}`: {
			User: "alice", Permission: "edit", Explain: true, Context: map[string]any{"ip": "::1"},
			Resource: &authz.RequestedResource{Node: post, Owner: "bob", Parent: team, Properties: map[string]any{"n": 1}},
		},
	} {
		decision, err := client.Check(t.Context(), request)
		if err != nil || !decision.Allowed || decision.Revision != 4 {
			t.Errorf("got %+v and error %v, want an allowance at revision 4", decision, err)
		}
		if got := <-bodies; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	}
}

func TestCheckTellsItsReasons(t *testing.T) {
	t.Parallel()
	const reasons = `[{"outcome":"%s","role":"chief","at":{"type":"team","id":"a/b"},"group":"g","inheritance":["chief","editor"],` +
		`"permission":"post:*","condition":"true","error":"why"},{"outcome":"%[1]s","role":"reader","at":{"type":"tenant"},"permission":"*"}]`
	for name, test := range map[string]struct {
		data    string
		allowed bool
		outcome authz.Outcome
	}{
		"what allowed":       {`{"allowed":true,"revision":4,"truncated":true,"reasons":%s}`, true, authz.Granted},
		"what nearly did":    {`{"allowed":false,"revision":4,"truncated":true,"trace":%s}`, false, authz.Expired},
		"a contradiction":    {`{"allowed":false,"revision":4,"truncated":true,"reasons":[],"trace":%s}`, false, authz.ConditionFailed},
		"a trace that is no": {`{"allowed":true,"revision":4,"truncated":true,"trace":[],"reasons":%s}`, true, authz.Granted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Gatehouse-Stale", "3")
				envelope(w, 200, fmt.Sprintf(test.data, fmt.Sprintf(reasons, test.outcome)))
			})
			got, err := client.Check(t.Context(), authz.Request{User: "alice", Permission: "post:edit", Explain: true})
			want := authz.Decision{
				Allowed: test.allowed, Revision: 4, Stale: 3 * time.Second, Truncated: true,
				Reasons: []authz.Reason{
					{
						Outcome: test.outcome, Role: "chief", At: team, Group: "g", Inheritance: []string{"chief", "editor"},
						Permission: "post:*", Condition: "true", Error: "why",
					},
					{Outcome: test.outcome, Role: "reader", At: authz.Root, Permission: "*"},
				},
			}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v and error %v, want %+v", got, err, want)
			}
		})
	}
}

func TestCheckBatchThatAnswersTooFewIsAnError(t *testing.T) {
	t.Parallel()
	requests := []authz.Request{{User: "alice", Permission: "edit"}, {User: "bob", Permission: "edit"}}
	for data, want := range map[string]bool{
		`{"results":[{"allowed":true,"revision":4},{"allowed":false,"revision":4}]}`: true,
		`{"results":[{"allowed":true,"revision":4}]}`:                                false,
		`{}`: false,
	} {
		client, _ := fake(t, "", func(w http.ResponseWriter, _ *http.Request) { envelope(w, 200, data) })
		got, err := client.CheckBatch(t.Context(), requests)
		var failure *sdk.Error
		switch {
		case want && (err != nil || len(got) != 2 || !got[0].Allowed || got[1].Allowed):
			t.Errorf("%s: got %+v and error %v, want both in order", data, got, err)
		case !want && (got != nil || !errors.As(err, &failure)):
			t.Errorf("%s: got %+v and error %v, want an *sdk.Error", data, got, err)
		}
	}
}

// TestOnlyChecksAreTriedAgainLikeReads keeps a change from being made twice, and a
// check from failing because one server of several went away.
func TestOnlyChecksAreTriedAgainLikeReads(t *testing.T) {
	t.Parallel()
	retry := sdk.WithRetry(sdk.Retry{Tries: 3, Wait: time.Nanosecond})
	for name, answer := range map[string]http.HandlerFunc{
		"no answer":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a bad gateway": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, requests := fake(t, "", answer, retry)
			for call, want := range map[string]struct {
				ask   func() error
				tries int64
			}{
				"check": {func() error {
					_, err := client.Check(t.Context(), authz.Request{User: "alice", Permission: "edit"})
					return err
				}, 3},
				"batch": {func() error {
					_, err := client.CheckBatch(t.Context(), []authz.Request{{User: "alice", Permission: "edit"}})
					return err
				}, 3},
				"put": {func() error { _, err := client.PutGroup(t.Context(), authz.Group{Name: "g"}); return err }, 1},
			} {
				before := requests.Load()
				if err := want.ask(); !errors.Is(err, sdk.ErrUnavailable) {
					t.Errorf("%s: got error %v, want ErrUnavailable", call, err)
				}
				if got := requests.Load() - before; got != want.tries {
					t.Errorf("%s: sent %d times, want %d", call, got, want.tries)
				}
			}
		})
	}
}
