package sdk

import (
	"context"
	"net/url"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// LoggedDecisions lists the tenant's decisions that were logged, newest first. Which
// ones are is up to the server; the last second's may not be among them yet.
func (c *Client) LoggedDecisions(ctx context.Context, filter authz.DecisionFilter, page authz.Page) (authz.List[authz.LoggedDecision], error) {
	var resource string
	if filter.Resource != (authz.Node{}) {
		resource = url.PathEscape(filter.Resource.Type) + "/" + url.PathEscape(filter.Resource.ID)
	}
	a, err := read[[]api.LoggedDecision](c.api.ListDecisions(ctx, &api.ListDecisionsParams{
		User:       given(filter.User),
		Permission: given(filter.Permission),
		Resource:   given(resource),
		Allowed:    filter.Allowed,
		RequestId:  given(filter.RequestID),
		Since:      bound(filter.Since),
		Until:      bound(filter.Until),
		Limit:      given(page.Limit),
		Cursor:     given(page.Cursor),
	}))
	return listOf(a, a.data, loggedDecision), err
}

func loggedDecision(d api.LoggedDecision) authz.LoggedDecision {
	decision := authz.LoggedDecision{
		ID:          d.Id,
		Time:        d.Time,
		Actor:       d.Actor,
		User:        d.User,
		SubjectType: orZero(d.SubjectType),
		Permission:  d.Permission,
		Allowed:     d.Allowed,
		Revision:    d.Revision,
		RequestID:   d.RequestId,
		IP:          d.Ip,
	}
	if d.Resource != nil {
		decision.Resource = authz.Node{Type: d.Resource.Type, ID: d.Resource.Id}
	}
	for _, r := range orZero(d.Reasons) {
		decision.Reasons = append(decision.Reasons, reason(r))
	}
	return decision
}
