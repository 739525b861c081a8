// Package visibility measures how long a write on one server takes until another shows
// it to a client that does not ask for its revision.
package visibility

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

const (
	role, permission = "member", "enter"
	// watched is asked about. The writes are of other users, for a question about one who
	// is not in memory reads the database, and so finds what is new before a poll does.
	watched = "nobody"
	// every is the time between two writes. It is no part of a poll's, so that they fall
	// on every moment between two polls.
	every = 23 * time.Millisecond
)

// Delays are how long writes took from their acknowledgement until they were seen.
type Delays []time.Duration

// Quantile returns the delay that a part of the writes, from 0 to 1, did not exceed.
func (d Delays) Quantile(part float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// String is one line of figures.
func (d Delays) String() string {
	shown := func(part float64) string {
		return fmt.Sprintf("%.1f ms", float64(d.Quantile(part).Microseconds())/1000)
	}
	return fmt.Sprintf("%d writes: p50 %s, p99 %s, longest %s", len(d), shown(0.5), shown(0.99), shown(1))
}

// write is one that was acknowledged at a time.
type write struct {
	revision int64
	at       time.Time
}

// Measure makes writes on the server of one URL, in a tenant of its own, and looks on
// another for answers that rest on them.
func Measure(ctx context.Context, one, other string, writes int) (Delays, error) {
	key := uuid.NewString()
	writer, err := sdk.New(one, key)
	if err != nil {
		return nil, err
	}
	reader, err := sdk.New(other, key)
	if err != nil {
		return nil, err
	}
	if _, err := writer.AddRole(ctx, role, authz.RoleOptions{}); err != nil {
		return nil, fmt.Errorf("make the role: %w", err)
	}
	first, err := writer.AddPermission(ctx, role, permission)
	if err != nil {
		return nil, fmt.Errorf("make the grant: %w", err)
	}
	// The other server has what it needs for watched in memory from here on.
	if _, err := reader.AtLeast(first.Revision).UserHasPermission(ctx, watched, permission); err != nil {
		return nil, fmt.Errorf("ask for the first time: %w", err)
	}

	made := make(chan write, writes)
	var delays Delays
	both, working := errgroup.WithContext(ctx)
	both.Go(func() error {
		defer close(made)
		return makeWrites(working, writer, writes, made)
	})
	both.Go(func() error {
		for w := range made {
			seen, err := see(working, reader, w)
			if err != nil {
				return err
			}
			delays = append(delays, seen.Sub(w.at))
		}
		return nil
	})
	if err := both.Wait(); err != nil {
		return nil, err
	}
	for n := range writes {
		if d, err := reader.UserHasPermission(ctx, userOf(n), permission); err != nil || !d.Allowed {
			return nil, fmt.Errorf("%s, whom the other server should know: got %+v, %v", userOf(n), d, err)
		}
	}
	return delays, nil
}

func makeWrites(ctx context.Context, c *sdk.Client, writes int, made chan<- write) error {
	pace := time.NewTicker(every)
	defer pace.Stop()
	for n := range writes {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		written, err := c.AddMembership(ctx, userOf(n), role, authz.Window{})
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		made <- write{written.Revision, time.Now()}
	}
	return nil
}

func userOf(write int) string { return fmt.Sprint("user-", write) }

// see asks until an answer rests on a write, and returns when it came. What waits
// meanwhile is seen a moment too late, and not too early.
func see(ctx context.Context, c *sdk.Client, w write) (time.Time, error) {
	for {
		d, err := c.UserHasPermission(ctx, watched, permission)
		if err != nil {
			return time.Time{}, fmt.Errorf("look for a write: %w", err)
		}
		if d.Revision >= w.revision {
			return time.Now(), nil
		}
	}
}
