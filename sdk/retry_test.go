package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errReset = errors.New("connection reset")

// script is a server in memory: it answers tries in turn, each with a status or,
// at 0, with errReset, and keeps when they came and what they sent.
type script struct {
	statuses   []int
	retryAfter string
	failure    error

	at     []time.Time
	bodies []string
	open   int // bodies that were answered and not closed
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	s.at = append(s.at, time.Now())
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		s.bodies = append(s.bodies, string(body))
	}
	status := s.statuses[min(len(s.at), len(s.statuses))-1]
	if status == 0 {
		return nil, s.failure
	}
	s.open++
	rsp := &http.Response{StatusCode: status, Header: http.Header{}, Body: &closing{strings.NewReader("answer"), s}, Request: req}
	if s.retryAfter != "" {
		rsp.Header.Set("Retry-After", s.retryAfter)
	}
	return rsp, nil
}

type closing struct {
	io.Reader
	script *script
}

func (c *closing) Close() error { c.script.open--; return nil }

// send sends one request through a retryTransport, in a bubble of its own time.
func (s *script) send(t *testing.T, ctx context.Context, method string, body io.Reader, retry Retry) (*http.Response, error) {
	t.Helper()
	if s.failure == nil {
		s.failure = errReset
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gatehouse.example.com/", body)
	if err != nil {
		t.Fatal(err)
	}
	return (&retryTransport{next: s, retry: retry.withDefaults()}).RoundTrip(req)
}

func TestRetry(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method   string
		statuses []int
		failure  error
		retry    Retry
		tries    int
		status   int // 0: an error
	}{
		"an answer is taken":                          {"GET", []int{200}, nil, Retry{}, 1, 200},
		"a refusal is taken":                          {"GET", []int{404}, nil, Retry{}, 1, 404},
		"a fault of the server's is taken":            {"GET", []int{500}, nil, Retry{}, 1, 500},
		"a GET outlives a broken connection":          {"GET", []int{0, 0, 0, 200}, nil, Retry{}, 4, 200},
		"a GET gives up after four tries":             {"GET", []int{0}, nil, Retry{}, 4, 0},
		"a GET outlives a busy server":                {"GET", []int{429, 503, 502, 200}, nil, Retry{}, 4, 200},
		"a GET outlives a gateway's timeout":          {"GET", []int{504, 200}, nil, Retry{}, 2, 200},
		"the last answer is returned":                 {"GET", []int{503}, nil, Retry{}, 4, 503},
		"a HEAD is tried like a GET":                  {"HEAD", []int{0, 200}, nil, Retry{}, 2, 200},
		"a POST is tried again where it was not done": {"POST", []int{429, 503, 200}, nil, Retry{}, 3, 200},
		"a POST may have been done before the reset":  {"POST", []int{0, 200}, nil, Retry{}, 1, 0},
		"a POST may have been done behind a gateway":  {"POST", []int{502, 200}, nil, Retry{}, 1, 502},
		"a DELETE may have been done too":             {"DELETE", []int{504, 200}, nil, Retry{}, 1, 504},
		"a certificate does not get better":           {"GET", []int{0}, &tls.CertificateVerificationError{Err: errReset}, Retry{}, 1, 0},
		"one try is no retry":                         {"GET", []int{503}, nil, Retry{Tries: 1}, 1, 503},
		"tries are as many as asked":                  {"GET", []int{0}, nil, Retry{Tries: 7}, 7, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{statuses: test.statuses, failure: test.failure}
				rsp, err := s.send(t, t.Context(), test.method, nil, test.retry)
				if (test.status == 0) != (err != nil) || rsp != nil && rsp.StatusCode != test.status {
					t.Errorf("got %v and error %v, want status %d", rsp, err, test.status)
				}
				if len(s.at) != test.tries {
					t.Errorf("tries: got %d, want %d", len(s.at), test.tries)
				}
				want := 0
				if rsp != nil {
					want = 1 // the caller closes the answer that it gets
				}
				if s.open != want {
					t.Errorf("open bodies: got %d, want %d", s.open, want)
				}
			})
		})
	}
}

func TestRetryWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{statuses: []int{503}}
		if _, err := s.send(t, t.Context(), "GET", nil, Retry{Tries: 6, Wait: time.Second, MaxWait: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		for i, middle := range []time.Duration{1, 2, 4, 5, 5} {
			wait := s.at[i+1].Sub(s.at[i])
			least, most := middle*time.Second/2, min(middle*time.Second*3/2, 5*time.Second)
			if wait < least || wait > most {
				t.Errorf("wait %d: got %v, want %v to %v", i+1, wait, least, most)
			}
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	// The bubble's time begins at this moment.
	inTen := time.Date(2000, 1, 1, 0, 0, 10, 0, time.UTC).Format(http.TimeFormat)
	for name, test := range map[string]struct {
		header string
		least  time.Duration
		most   time.Duration
		tries  int
	}{
		"seconds":               {"10", 10 * time.Second, 10 * time.Second, 2},
		"a date":                {inTen, 10 * time.Second, 10 * time.Second, 2},
		"none":                  {"", 50 * time.Millisecond, 150 * time.Millisecond, 2},
		"zero still backs off":  {"0", 50 * time.Millisecond, 150 * time.Millisecond, 2},
		"a date that is past":   {"Sat, 01 Jan 2000 00:00:00 GMT", 50 * time.Millisecond, 150 * time.Millisecond, 2},
		"nonsense is none":      {"soon", 50 * time.Millisecond, 150 * time.Millisecond, 2},
		"negative is none":      {"-5", 50 * time.Millisecond, 150 * time.Millisecond, 2},
		"the longest":           {"30", 30 * time.Second, 30 * time.Second, 2},
		"too long is given up":  {"31", 0, 0, 1},
		"an age is given up":    {"99999999999999999", 0, 0, 1},
		"an eternity is no age": {"99999999999999999999999", 50 * time.Millisecond, 150 * time.Millisecond, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &script{statuses: []int{503, 200}, retryAfter: test.header}
				start := time.Now()
				if _, err := s.send(t, t.Context(), "POST", nil, Retry{}); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < test.least || took > test.most || len(s.at) != test.tries {
					t.Errorf("got %d tries in %v, want %d in %v to %v", len(s.at), took, test.tries, test.least, test.most)
				}
			})
		})
	}
}

func TestRetrySendsTheSameBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{statuses: []int{503, 429, 200}}
		if _, err := s.send(t, t.Context(), "POST", strings.NewReader(`{"description":"x"}`), Retry{}); err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(s.bodies, " "), `{"description":"x"} {"description":"x"} {"description":"x"}`; got != want {
			t.Errorf("bodies: got %s, want %s", got, want)
		}
	})
}

func TestRetryLeavesABodyThatCannotBeSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{statuses: []int{503, 200}}
		rsp, err := s.send(t, t.Context(), "POST", io.MultiReader(strings.NewReader("once")), Retry{})
		if err != nil || rsp.StatusCode != 503 || len(s.at) != 1 {
			t.Errorf("got %v and error %v after %d tries, want the 503 after one", rsp, err, len(s.at))
		}
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{statuses: []int{503}, retryAfter: "20"}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		start := time.Now()
		_, err := s.send(t, ctx, "GET", nil, Retry{})
		if took := time.Since(start); !errors.Is(err, context.Canceled) || took != 3*time.Second || s.open != 0 {
			t.Errorf("got error %v after %v with %d open bodies, want %v after 3s with none", err, took, s.open, context.Canceled)
		}
	})
}

func TestRetryDoesNotBeginAWaitThatTheDeadlineEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &script{statuses: []int{503}, retryAfter: "20"}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		rsp, err := s.send(t, ctx, "GET", nil, Retry{})
		if took := time.Since(start); err != nil || rsp.StatusCode != 503 || took != 0 {
			t.Errorf("got %v and error %v after %v, want the 503 at once", rsp, err, took)
		}
	})
}
