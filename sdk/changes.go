package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// Changes lists what changed after a revision, in order; 0 begins at the beginning.
func (c *Client) Changes(ctx context.Context, after int64, page authz.Page) (authz.List[authz.Change], error) {
	a, err := read[[]api.Change](c.api.ListChanges(ctx, &api.ListChangesParams{
		After:  given(after),
		Limit:  given(page.Limit),
		Cursor: given(page.Cursor),
	}))
	return listOf(a, a.data, func(change api.Change) authz.Change {
		return authz.Change{Revision: change.Revision, Kind: change.Kind, Key: change.Key}
	}), err
}
