package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sony/gobreaker/v2"
)

func TestWhatIsAnOutage(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":                     {nil, false},
		"nobody listens":              {refused, true},
		"the connection was reset":    {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		"the connection ended":        {io.ErrUnexpectedEOF, true},
		"connection failure":          {&pgconn.PgError{Code: "08006"}, true},
		"the server shuts down":       {&pgconn.PgError{Code: "57P01"}, true},
		"the server crashed":          {&pgconn.PgError{Code: "57P02"}, true},
		"the server starts":           {&pgconn.PgError{Code: "57P03"}, true},
		"the caller went away":        {context.Canceled, false},
		"a deadline by itself":        {context.DeadlineExceeded, false},
		"cancelled by the server":     {&pgconn.PgError{Code: "57014"}, false},
		"too many connections":        {&pgconn.PgError{Code: "53300"}, false},
		"the disk is full":            {&pgconn.PgError{Code: "53100"}, false},
		"a unique violation":          {&pgconn.PgError{Code: "23505"}, false},
		"a syntax error":              {&pgconn.PgError{Code: "42601"}, false},
		"a serialization failure":     {&pgconn.PgError{Code: "40001"}, false},
		"a standby":                   {&pgconn.PgError{Code: "25006"}, false},
		"idle for too long":           {&pgconn.PgError{Code: "25P03"}, false},
		"no rows":                     {pgx.ErrNoRows, false},
		"a wrong password":            {&pgconn.PgError{Code: "28P01"}, false},
		"an error of somebody else's": {errors.New("else"), false},
	} {
		if got := isOutage(fmt.Errorf("wrapped: %w", c.err)); got != c.want {
			t.Errorf("%s: got outage %v, want %v", name, got, c.want)
		}
	}
}

// statement has a breaker see a statement that takes a while and ends in an error.
func statement(ctx context.Context, b *breaker, takes time.Duration, err error) {
	ctx = b.TraceQueryStart(ctx, nil, pgx.TraceQueryStartData{})
	time.Sleep(takes)
	b.TraceQueryEnd(ctx, nil, pgx.TraceQueryEndData{Err: err})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		t.Cleanup(cancel)
		<-ctx.Done()
		return ctx
	}
	for _, c := range []struct {
		name  string
		ctx   func(*testing.T) context.Context
		err   error
		takes time.Duration
		want  gobreaker.State
	}{
		{name: "broken connections open it", err: io.EOF, want: gobreaker.StateOpen},
		{name: "answers that do not come open it", ctx: late, err: context.DeadlineExceeded, takes: time.Second, want: gobreaker.StateOpen},
		{name: "callers without time do not", ctx: late, err: context.DeadlineExceeded, takes: time.Millisecond},
		{name: "callers that go away do not", ctx: func(*testing.T) context.Context { return cancelled }, err: context.Canceled, takes: time.Second},
		{name: "connections that were given up do not", err: &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, takes: time.Second},
		{name: "refusals do not", err: &pgconn.PgError{Code: "23505"}, takes: time.Second},
		{name: "a full server does not", err: &pgconn.PgError{Code: "53300"}, takes: time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(func(bool) {}, func() {})
				time.Sleep(time.Minute)
				for range 2 * breakAfter {
					ctx := t.Context()
					if c.ctx != nil {
						ctx = c.ctx(t)
					}
					statement(ctx, b, c.takes, c.err)
				}
				if got := b.cb.State(); got != c.want {
					t.Errorf("got %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestBreakerForgivesABurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(func(bool) {}, func() {})
		time.Sleep(time.Minute)
		statement(t.Context(), b, 0, nil)
		time.Sleep(silence / 2)
		for range 100 {
			statement(t.Context(), b, 0, io.EOF)
		}
		if got, want := b.cb.State(), gobreaker.StateClosed; got != want {
			t.Errorf("soon after an answer: got %v, want %v", got, want)
		}
		if !b.doubts(time.Millisecond) {
			t.Error("a connection that was used before is trusted")
		}
		time.Sleep(silence)
		if b.doubts(time.Millisecond) {
			t.Error("a connection that was used since is not trusted")
		}
	})
}

func TestBreakerTriesOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opened, demoted := 0, 0
		b := newBreaker(func(bool) { opened++ }, func() { demoted++ })
		time.Sleep(time.Minute)
		for range breakAfter {
			statement(t.Context(), b, 0, io.EOF)
		}
		if _, err := b.cb.Allow(); err == nil || opened != 1 || b.opened.Load() != 1 {
			t.Errorf("open: got %v, opened %d times", err, opened)
		}
		time.Sleep(breakFor + time.Nanosecond)
		done, err := b.cb.Allow()
		if err != nil {
			t.Fatalf("after a second: got %v, want one let through", err)
		}
		if _, err := b.cb.Allow(); err == nil {
			t.Error("a second one is let through before the first has ended")
		}
		done(b.judge(t.Context(), time.Now(), io.EOF))
		if got := b.cb.State(); got != gobreaker.StateOpen || b.opened.Load() != 2 || opened != 1 {
			t.Errorf("after another failure: got %v, opened %d times, in %d outages; want open, twice, in one", got, b.opened.Load(), opened)
		}

		time.Sleep(breakFor + time.Nanosecond)
		// Who goes away says nothing, and lets the next one try.
		for _, end := range []error{context.Canceled, nil} {
			if done, err = b.cb.Allow(); err != nil {
				t.Fatal(err)
			}
			done(b.judge(t.Context(), time.Now(), end))
		}
		if got := b.cb.State(); got != gobreaker.StateClosed {
			t.Errorf("after an answer: got %v, want closed", got)
		}
		statement(t.Context(), b, 0, &pgconn.PgError{Code: "25006"})
		if demoted != 1 {
			t.Errorf("a standby was noticed %d times, want once", demoted)
		}
	})
}

func TestBoundsOfATransaction(t *testing.T) {
	t.Parallel()
	const want = "; set local idle_in_transaction_session_timeout = '10s'"
	if got := boundsBeside(map[string]string{"statement_timeout": "5s"}); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
