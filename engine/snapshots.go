package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// snapshot reads one thing with its revision; missing is the error where it is not
// there.
func snapshot[T any](ctx context.Context, t *Tenant, missing error, read func(store.Reader) (T, bool, error)) (authz.Snapshot[T], error) {
	var result authz.Snapshot[T]
	err := t.view(ctx, func(r store.Reader) (err error) {
		if result.Revision, err = r.Revision(ctx); err != nil {
			return err
		}
		var exists bool
		if result.Value, exists, err = read(r); err == nil && !exists {
			err = missing
		}
		return err
	})
	if err != nil {
		return authz.Snapshot[T]{}, err
	}
	return result, nil
}
