package live

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// turnTimeout bounds how long a question waits until it may read the database: as long
// as the pool lets it wait for a connection.
const turnTimeout = 2 * time.Second

// ErrBusy is in the error of a question that would be one too many to wait for the
// database, or has waited for its turn for too long; see Config.MaxWaiting.
var ErrBusy = errors.New("too many questions wait for the database")

func errBusy() error {
	return fault.Unavailable(ErrBusy, "too many questions wait for the database: try again later")
}

// share is how many of n places one tenant may take: a quarter, or one, is always for
// others, but where there is only one.
func share[N int | int64](n N) N { return max(1, n-max(1, n/4)) }

// Reading is how many questions read the database now.
func (l *Live) Reading() int { return len(l.reading) }

// wait runs what waits for the database, unless too many do so already: whoever can be
// answered from memory must find that the server has room for them.
func (t *tenant) wait(work func() error) error {
	all, own := &t.live.waiting, &t.waiting
	defer all.Add(-1)
	defer own.Add(-1)
	if n, most := own.Add(1), t.live.maxWaiting; all.Add(1) > most || n > share(most) {
		return errBusy()
	}
	return work()
}

// inTurn runs what reads the database for a question, when few enough others do: else
// they would take all connections to it, and what must not wait would wait behind them.
func (t *tenant) inTurn(ctx context.Context, read func() error) error {
	late := time.NewTimer(turnTimeout)
	defer late.Stop()
	for _, turns := range []chan struct{}{t.reading, t.live.reading} {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
		case <-late.C:
			return errBusy()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return read()
}
