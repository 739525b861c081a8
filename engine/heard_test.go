package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
)

func TestHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, err := newHeard[string, int](100, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer h.entries.StopAllGoroutines()
		value, asked := 1, 0
		var failure error
		read := func(context.Context) (int, error) { asked++; return value, failure }
		ask := func(wantValue int, wantKnown bool, wantErr error, wantAsked int) {
			t.Helper()
			asked = 0
			got, known, err := h.ask(t.Context(), "key", read)
			if !errors.Is(err, wantErr) || err == nil && got != wantValue || known != wantKnown && err == nil || asked != wantAsked {
				t.Errorf("got %d, known %t, %v, asked %d times; want %d, %t, %v, %d", got, known, err, asked, wantValue, wantKnown, wantErr, wantAsked)
			}
		}
		ask(1, false, nil, 1)
		value = 2
		ask(1, true, nil, 0)
		time.Sleep(heardFor)
		ask(2, false, nil, 1)
		h.forget("key")
		value = 3
		ask(3, false, nil, 1)

		// While the database is away the last word stands, but is asked for again.
		away := fault.Unavailable(nil, "the database does not answer")
		failure = away
		for range 9 {
			time.Sleep(heardFor)
			ask(3, true, nil, 1)
			ask(3, true, nil, 0)
		}
		time.Sleep(heardFor)
		ask(0, false, away, 1)
		// Another failure is not excused.
		failure = nil
		ask(3, false, nil, 1)
		time.Sleep(heardFor)
		failure = errors.New("a fault of ours")
		ask(0, false, failure, 1)
	})
}
