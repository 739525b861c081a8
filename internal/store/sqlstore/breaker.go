package sqlstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/sony/gobreaker/v2"
)

const (
	// breakAfter is how many outages in a row open the breaker, and silence for how long
	// the database must have answered nobody: a burst of connections that break at one
	// moment, as when it restarts, says nothing of the next.
	breakAfter = 5
	silence    = 500 * time.Millisecond
	// breakFor is how long an open breaker lets nothing through, before it lets one try.
	breakFor = time.Second
	// leastPatience is the least that an answer must have been waited for, where not to
	// get it in a caller's time says something of the database.
	leastPatience = 500 * time.Millisecond
)

// breaker keeps callers from waiting for a database that does not answer. It learns from
// whoever acquires a connection, and, as the driver's tracer, from every statement. What
// the caller has done, or the database has refused, is no outage.
type breaker struct {
	cb *gobreaker.TwoStepCircuitBreaker[struct{}]
	// since is what the times below count from, on the monotonic clock.
	since time.Time
	// answered is when the database answered last, and doubted when it last did not: a
	// connection that has not been used since is asked first.
	answered, doubted atomic.Int64
	// silent tells that the last outage was an answer that did not come.
	silent atomic.Bool
	opened atomic.Uint64
	// demoted is called where the server turns out to be a standby.
	demoted func()
}

var (
	_ pgx.QueryTracer = (*breaker)(nil)
	_ pgx.BatchTracer = (*breaker)(nil)
)

// errNoVerdict stands for what says nothing of the database.
var errNoVerdict = errors.New("it says nothing of the database")

// newBreaker calls opening when an outage begins, which must not ask it anything, and
// demoted.
func newBreaker(opening func(isSilent bool), demoted func()) *breaker {
	b := &breaker{since: time.Now(), demoted: demoted}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     breakFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= breakAfter },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNoVerdict) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.opened.Add(1)
			}
			// Not after each try: a connection that is being made past a host that is
			// silent takes longer than the try, and serves the next one.
			if from == gobreaker.StateClosed {
				opening(b.silent.Load())
			}
		},
	})
	return b
}

// judge tells what the end of something that began at a time says of the database: nil
// where it has answered, errNoVerdict, or the outage.
func (b *breaker) judge(ctx context.Context, began time.Time, err error) error {
	now := time.Now()
	ended := ctx.Err()
	if ended == nil {
		ended = err
	}
	switch {
	case err == nil || sqlState(err) != "" && !isOutage(err):
		b.answered.Store(int64(now.Sub(b.since)))
		return nil
	case ctx.Err() == nil && isCut(err):
		return errNoVerdict // on what an outage of before has left
	case isOutage(err):
	case !errors.Is(ended, context.DeadlineExceeded) || pgconn.SafeToRetry(err) || now.Sub(began) < leastPatience:
		return errNoVerdict
	}
	b.doubted.Store(int64(now.Sub(b.since)))
	b.silent.Store(errors.Is(err, context.DeadlineExceeded))
	if now.Sub(b.since)-time.Duration(b.answered.Load()) < silence {
		return errNoVerdict
	}
	return err
}

// doubts reports whether the database has failed to answer since a connection was used.
func (b *breaker) doubts(idle time.Duration) bool {
	doubted := b.doubted.Load()
	return doubted > 0 && time.Since(b.since)-idle <= time.Duration(doubted)
}

// A statement's context holds when it was sent.
type sentKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (b *breaker) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return b.send(ctx)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (b *breaker) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	b.receive(ctx, data.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (b *breaker) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return b.send(ctx)
}

// TraceBatchQuery implements pgx.BatchTracer.
func (b *breaker) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (b *breaker) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchEndData) {
	b.receive(ctx, data.Err)
}

func (b *breaker) send(ctx context.Context) context.Context {
	return context.WithValue(ctx, sentKey{}, time.Now())
}

func (b *breaker) receive(ctx context.Context, err error) {
	if isReadOnly(err) {
		b.demoted()
	}
	sent, _ := ctx.Value(sentKey{}).(time.Time)
	verdict := b.judge(ctx, sent, err)
	// What is on its way goes on though the breaker has opened.
	if done, err := b.cb.Allow(); err == nil {
		done(verdict)
	}
}
