package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Changes lists the change feed in order, from behind a revision. A page holds
// whole revisions only, and so may hold more than its limit where one revision
// does; the revision of its last change is where to go on. page.Cursor is not used.
func (t *Tenant) Changes(ctx context.Context, after int64, page authz.Page) (authz.List[authz.Change], error) {
	if after < 0 {
		return authz.List[authz.Change]{}, fault.Invalid("after: must not be negative")
	}
	limit, err := pageLimit(page)
	if err != nil {
		return authz.List[authz.Change]{}, err
	}
	var feed authz.List[authz.Change]
	err = t.view(ctx, func(r store.Reader) (err error) {
		if feed.Revision, err = r.Revision(ctx); err != nil {
			return err
		}
		feed.Items, err = wholeRevisions(limit, func(limit int) ([]authz.Change, error) { return r.Changes(ctx, after, limit) })
		return err
	})
	return feed, err
}

// wholeRevisions reads about limit changes, none of a revision that it does not
// read to its end.
func wholeRevisions(limit int, read func(limit int) ([]authz.Change, error)) ([]authz.Change, error) {
	for {
		changes, err := read(limit + 1)
		if err != nil || len(changes) <= limit {
			return changes, err
		}
		whole := limit
		for whole > 0 && changes[whole-1].Revision == changes[limit].Revision {
			whole--
		}
		if whole > 0 {
			return changes[:whole], nil
		}
		limit *= 2
	}
}
