package engine

import (
	"context"
	"strconv"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Changes lists the change feed in order, from behind a revision. A page holds
// whole revisions only, and so may hold more than its limit where one revision
// does.
func (t *Tenant) Changes(ctx context.Context, after int64, page authz.Page) (authz.List[authz.Change], error) {
	if after < 0 {
		return authz.List[authz.Change]{}, fault.Invalid("after: must not be negative")
	}
	limit, err := pageLimit(page)
	if err != nil {
		return authz.List[authz.Change]{}, err
	}
	asked := question("changes", strconv.FormatInt(after, 10))
	if page.Cursor != "" {
		if after, err = parseRevision(page.Cursor, asked); err != nil {
			return authz.List[authz.Change]{}, err
		}
	}
	var feed authz.List[authz.Change]
	var more bool
	err = t.view(ctx, func(r store.Reader) (err error) {
		if feed.Revision, err = r.Revision(ctx); err != nil {
			return err
		}
		feed.Items, more, err = wholeRevisions(limit, func(limit int) ([]authz.Change, error) { return r.Changes(ctx, after, limit) })
		return err
	})
	if err != nil {
		return authz.List[authz.Change]{}, err
	}
	if more {
		last := feed.Items[len(feed.Items)-1].Revision
		feed.Next = cursor(asked, name(strconv.FormatInt(last, 10)))
	}
	return feed, nil
}

// AwaitChange waits until this process has come to know of a revision behind after, of
// its own making or another's: within the time between two polls, or sooner. Waiting
// asks the database nothing.
func (t *Tenant) AwaitChange(ctx context.Context, after int64) error {
	if err := authz.ValidateID(t.id); err != nil {
		return invalid("tenant", err)
	}
	return t.engine.live.AwaitBeyond(ctx, t.id, after)
}

// parseRevision reads the revision that a cursor of the feed goes on behind.
func parseRevision(s, asked string) (int64, error) {
	position, err := parseCursor(s, asked, 1)
	if err != nil {
		return 0, err
	}
	revision, err := strconv.ParseUint(position[0], 10, 63)
	if err != nil {
		return 0, errCursor
	}
	return int64(revision), nil
}

// wholeRevisions reads about limit changes, none of a revision that it does not
// read to its end. more tells whether others follow.
func wholeRevisions(limit int, read func(limit int) ([]authz.Change, error)) (changes []authz.Change, more bool, err error) {
	for {
		changes, err := read(limit + 1)
		if err != nil || len(changes) <= limit {
			return changes, false, err
		}
		whole := limit
		for whole > 0 && changes[whole-1].Revision == changes[limit].Revision {
			whole--
		}
		if whole > 0 {
			return changes[:whole], true, nil
		}
		limit *= 2
	}
}
