package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry says how often and when a request is tried again.
//
// What only reads, a GET or a check, is tried again when no answer comes, and after
// 429, 502, 503 and 504; what writes only after 429, and after a 503 that does not
// say, by the header Gatehouse-Outcome: unknown, that the change may have been made. What
// writes under an idempotency key, of WithIdempotencyKey or by Idempotent, has its effect
// once however often it is sent, and is tried again as what reads is.
// Between tries the client waits, from Wait on twice as long each time, give or take
// half, and at least as long as a Retry-After header asks. The request's context
// ends the wait at once; a wait that its deadline would cut short is not begun.
type Retry struct {
	// Tries is how often a request is sent at most; 0 means 4, 1 never again.
	Tries int
	// Wait is the first wait; 0 means 100 ms.
	Wait time.Duration
	// MaxWait bounds each wait; 0 means 30 s. An answer that asks for a longer one
	// is not waited for: it is returned at once.
	MaxWait time.Duration
	// Idempotent gives each change an idempotency key of its own, unless its context has
	// one. It is off by default: the server keeps the answer of each such change for a day,
	// which costs it one more row.
	Idempotent bool
}

func (r Retry) withDefaults() Retry {
	if r.Tries <= 0 {
		r.Tries = 4
	}
	if r.Wait <= 0 {
		r.Wait = 100 * time.Millisecond
	}
	if r.MaxWait <= 0 {
		r.MaxWait = 30 * time.Second
	}
	return r
}

// retryTransport sends a request through next until it is answered for good.
type retryTransport struct {
	next  http.RoundTripper
	retry Retry
}

// RoundTrip returns the last answer, or why there was none.
func (t *retryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	waits := backoff.ExponentialBackOff{
		InitialInterval:     t.retry.Wait,
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         t.retry.MaxWait,
	}
	waits.Reset()
	attempt := req
	for tries := 1; ; tries++ {
		rsp, err := t.next.RoundTrip(attempt)
		if tries == t.retry.Tries || ctx.Err() != nil || !mayRetry(req, rsp, err) {
			return rsp, err
		}
		wait := min(waits.NextBackOff(), t.retry.MaxWait)
		if rsp != nil {
			wait = max(wait, retryAfter(rsp.Header, time.Now()))
		}
		if deadline, ok := ctx.Deadline(); wait > t.retry.MaxWait || ok && time.Until(deadline) < wait {
			return rsp, err
		}
		if rsp != nil {
			discard(rsp.Body)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		if attempt, err = rewound(req); err != nil {
			return nil, err
		}
	}
}

// mayRetry tells whether the same request, sent again, may fare better and does no
// harm.
func mayRetry(req *http.Request, rsp *http.Response, err error) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	safe := reads(req) || req.Header.Get(idempotencyHeader) != ""
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		return safe && !errors.As(err, &untrusted)
	}
	switch rsp.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusServiceUnavailable:
		return safe || rsp.Header.Get("Gatehouse-Outcome") != "unknown"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return safe
	default:
		return false
	}
}

func reads(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Method == http.MethodHead || req.Context().Value(readingKey{}) != nil
}

type readingKey struct{}

// reading marks the context of a POST that changes nothing.
func reading(ctx context.Context) context.Context {
	return context.WithValue(ctx, readingKey{}, true)
}

// rewound is a copy of req with its body at the beginning.
func rewound(req *http.Request) (*http.Request, error) {
	again := req.Clone(req.Context())
	if req.GetBody == nil {
		return again, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again.Body = body
	return again, nil
}

// retryAfter reads a Retry-After header (RFC 9110, 10.2.3), in seconds or as a
// date; 0 where there is none that can be read.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maxDiscard bounds what is read of a body for the sake of its connection.
const maxDiscard = 64 << 10

// discard lets the connection of an answer be used again.
func discard(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxDiscard)
	_ = body.Close()
}
