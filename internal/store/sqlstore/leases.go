package sqlstore

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/gen/postgres"
)

// TakeLease implements store.Leases.
func (s *Store) TakeLease(ctx context.Context, name, holder string, at time.Time, term time.Duration) (bool, error) {
	const doing = "take a lease"
	until := micros(at.Add(term))
	taken, err := s.swap(ctx, doing, func(q postgres.Querier) (int64, error) {
		return q.TakeLease(ctx, postgres.TakeLeaseParams{Name: name, Holder: holder, At: micros(at), ExpiresAt: until})
	})
	if err != nil || taken {
		return taken, err
	}
	return s.swap(ctx, doing, func(q postgres.Querier) (int64, error) {
		return q.CreateLease(ctx, postgres.CreateLeaseParams{Name: name, Holder: holder, ExpiresAt: until})
	})
}

// EndLease implements store.Leases.
func (s *Store) EndLease(ctx context.Context, name, holder string) error {
	_, err := s.swap(ctx, "end a lease", func(q postgres.Querier) (int64, error) {
		return q.EndLease(ctx, postgres.EndLeaseParams{Name: name, Holder: holder})
	})
	return err
}
