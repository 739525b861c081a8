package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// Check answers whether a user may do something, here and now, with the reasons
// where the request asks for them. An error never comes with a decision that
// allows. A request with properties of the user or the action, or with a subject type,
// is ErrInvalid: the API's check takes none.
func (c *Client) Check(ctx context.Context, request authz.Request) (authz.Decision, error) {
	body, err := checkRequest(request)
	if err != nil {
		return authz.Decision{}, err
	}
	a, err := read[api.CheckResult](c.api.Check(reading(ctx), body))
	if err != nil {
		return authz.Decision{}, err
	}
	return explained(a.decision(a.data.Allowed), a.data), nil
}

// CheckBatch answers 1 to 1,000 requests, in their order and all at one revision.
func (c *Client) CheckBatch(ctx context.Context, requests []authz.Request) ([]authz.Decision, error) {
	body := api.CheckBatchRequest{Checks: make([]api.CheckRequest, len(requests))}
	for i, request := range requests {
		check, err := checkRequest(request)
		if err != nil {
			return nil, err
		}
		body.Checks[i] = check
	}
	rsp, err := c.api.CheckBatch(reading(ctx), body)
	a, err := read[api.CheckBatchResult](rsp, err)
	if err != nil {
		return nil, err
	}
	// An answer too few would be taken for another's.
	if len(a.data.Results) != len(requests) {
		return nil, foreign(rsp)
	}
	decisions := make([]authz.Decision, len(requests))
	for i, result := range a.data.Results {
		decisions[i] = explained(a.decision(result.Allowed), result)
	}
	return decisions, nil
}

var errSubjectType = invalid("subject_type: the client asks about users alone")

func checkRequest(request authz.Request) (api.CheckRequest, error) {
	if request.SubjectType != "" {
		return api.CheckRequest{}, errSubjectType
	}
	if len(request.UserProperties)+len(request.ActionProperties) > 0 {
		return api.CheckRequest{}, invalid("properties: a check over HTTP takes them of the resource alone")
	}
	if err := checkTexts(name{"user", request.User}, name{"permission", request.Permission}); err != nil {
		return api.CheckRequest{}, err
	}
	if err := checkProperties("context", request.Context); err != nil {
		return api.CheckRequest{}, err
	}
	resource, err := checkedResource(request.Resource)
	return api.CheckRequest{
		User:       request.User,
		Permission: request.Permission,
		Resource:   resource,
		Context:    givenProperties(request.Context),
		Explain:    given(request.Explain),
	}, err
}

func checkedResource(resource *authz.RequestedResource) (*api.CheckedResource, error) {
	if resource == nil {
		return nil, nil
	}
	if err := checkTexts(name{"resource.type", resource.Type}, name{"resource.id", resource.ID},
		name{"resource.owner", resource.Owner}, name{"resource.parent", resource.Parent.ID}); err != nil {
		return nil, err
	}
	if err := checkProperties("resource.properties", resource.Properties); err != nil {
		return nil, err
	}
	return &api.CheckedResource{
		Type:       resource.Type,
		Id:         resource.ID,
		Owner:      given(resource.Owner),
		Parent:     givenParent(resource.Parent),
		Properties: givenProperties(resource.Properties),
	}, nil
}

// explained is a decision with its reasons. What allowed and what nearly did stand
// in fields of their own in an answer.
func explained(d authz.Decision, result api.CheckResult) authz.Decision {
	d.Revision, d.Truncated = result.Revision, orZero(result.Truncated)
	reasons := result.Trace
	if result.Allowed {
		reasons = result.Reasons
	}
	for _, r := range orZero(reasons) {
		d.Reasons = append(d.Reasons, reason(r))
	}
	return d
}

func reason(r api.Reason) authz.Reason {
	return authz.Reason{
		Outcome:     authz.Outcome(r.Outcome),
		Role:        r.Role,
		At:          authz.Node{Type: r.At.Type, ID: orZero(r.At.Id)},
		Group:       orZero(r.Group),
		Inheritance: orZero(r.Inheritance),
		Permission:  r.Permission,
		Condition:   orZero(r.Condition),
		Error:       orZero(r.Error),
	}
}
