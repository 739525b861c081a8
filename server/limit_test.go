package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimitedContextEndsWithItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &limited{Context: t.Context(), exchange: &exchange{requestID: "id"}}
		l.limit(time.Second)
		derived, cancel := context.WithCancel(l)
		defer cancel()
		if l.Err() != nil || derived.Err() != nil || exchangeOf(derived).requestID != "id" {
			t.Errorf("got %v and %v before the limit", l.Err(), derived.Err())
		}
		time.Sleep(2 * time.Second) // of the bubble
		synctest.Wait()
		for _, ctx := range []context.Context{l, derived} {
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("got %v after the limit", ctx.Err())
			}
		}
		<-l.Done()
		l.limit(0)
		if l.Err() != nil {
			t.Errorf("got %v without a limit", l.Err())
		}
	})
}

func TestLimitedContextKnowsItsLimitWithoutATimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &limited{Context: t.Context()}
		l.limit(time.Second)
		time.Sleep(time.Second) // of the bubble
		if !errors.Is(l.Err(), context.DeadlineExceeded) || l.timed != nil {
			t.Errorf("got %v and a timer %v, want it to be over and no timer", l.Err(), l.timed)
		}
	})
}

func TestLimitedContextEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	connection, leave := context.WithCancel(t.Context())
	l := &limited{Context: connection}
	l.limit(time.Hour)
	defer l.limit(0)
	done := l.Done()
	leave()
	<-done
	if !errors.Is(l.Err(), context.Canceled) {
		t.Errorf("got %v, want %v", l.Err(), context.Canceled)
	}
}
