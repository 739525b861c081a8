package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) Check(ctx context.Context, r api.CheckRequestObject) (api.CheckResponseObject, error) {
	request := checkOf(*r.Body)
	d, err := tenant(ctx).Check(ctx, request)
	if err != nil {
		return nil, err
	}
	markStale(ctx, d.Stale)
	return api.Check200JSONResponse{CheckResultResponseJSONResponse: api.CheckResultResponseJSONResponse{
		Body: api.CheckResultEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: checkResult(d, request.Explain),
		},
		Headers: api.CheckResultResponseResponseHeaders{GatehouseRevision: &d.Revision},
	}}, nil
}

func (handlers) CheckBatch(ctx context.Context, r api.CheckBatchRequestObject) (api.CheckBatchResponseObject, error) {
	requests := convert(r.Body.Checks, checkOf)
	decisions, err := tenant(ctx).CheckBatch(ctx, requests)
	if err != nil {
		return nil, err
	}
	results := make([]api.CheckResult, len(decisions))
	for i, d := range decisions {
		results[i] = checkResult(d, requests[i].Explain)
	}
	// The schema asks for one check at least, so there is a decision to take it from.
	revision := decisions[0].Revision
	markStale(ctx, decisions[0].Stale)
	return api.CheckBatch200JSONResponse{CheckBatchResultResponseJSONResponse: api.CheckBatchResultResponseJSONResponse{
		Body: api.CheckBatchResultEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: api.CheckBatchResult{Results: results},
		},
		Headers: api.CheckBatchResultResponseResponseHeaders{GatehouseRevision: &revision},
	}}, nil
}

func checkOf(c api.CheckRequest) authz.Request {
	request := authz.Request{
		User: c.User, Permission: c.Permission, Context: orZero(c.Context), Explain: orZero(c.Explain),
	}
	if c.Resource != nil {
		request.Resource = &authz.RequestedResource{
			Node:       authz.Node{Type: c.Resource.Type, ID: c.Resource.Id},
			Owner:      orZero(c.Resource.Owner),
			Parent:     parentNode(c.Resource.Parent),
			Properties: orZero(c.Resource.Properties),
		}
	}
	return request
}

// checkResult shows reasons only where they were asked for, and there even if
// there are none: what allowed, or in trace what nearly did.
func checkResult(d authz.Decision, explain bool) api.CheckResult {
	answer := api.CheckResult{Allowed: d.Allowed, Revision: d.Revision, Truncated: orNil(d.Truncated)}
	if !explain {
		return answer
	}
	reasons := convert(d.Reasons, reasonOf)
	if d.Allowed {
		answer.Reasons = &reasons
	} else {
		answer.Trace = &reasons
	}
	return answer
}

func reasonOf(r authz.Reason) api.Reason {
	reason := api.Reason{
		Outcome: api.ReasonOutcome(r.Outcome), Role: r.Role, Group: orNil(r.Group),
		Permission: r.Permission, Condition: orNil(r.Condition), Error: orNil(r.Error),
	}
	reason.At.Type, reason.At.Id = r.At.Type, orNil(r.At.ID)
	if r.Inheritance != nil {
		reason.Inheritance = &r.Inheritance
	}
	return reason
}
