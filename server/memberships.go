package server

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) CheckMembership(ctx context.Context, r api.CheckMembershipRequestObject) (api.CheckMembershipResponseObject, error) {
	d, err := tenant(ctx).HasMembership(ctx, r.User, r.Group)
	if err != nil {
		return nil, err
	}
	markStale(ctx, d.Stale)
	return api.CheckMembership200JSONResponse{
		Body: api.MembershipEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.MembershipAnswer{HasMembership: d.Allowed, HasPermission: d.Allowed},
		},
		Headers: api.CheckMembership200ResponseHeaders{GatehouseRevision: &d.Revision},
	}, nil
}

func (handlers) AddMembership(ctx context.Context, r api.AddMembershipRequestObject) (api.AddMembershipResponseObject, error) {
	window, err := window(r.Body)
	if err != nil {
		return nil, err
	}
	written, err := tenant(ctx).AddMembership(ctx, r.User, r.Group, window)
	if err != nil {
		return nil, err
	}
	return api.AddMembership200JSONResponse{ResultResponseJSONResponse: result(true, written.Revision)}, nil
}

// window reads the bounds of a membership; no body sets none.
func window(body *api.Window) (authz.Window, error) {
	if body == nil {
		return authz.Window{}, nil
	}
	from, err := given("not_before", body.NotBefore)
	if err != nil {
		return authz.Window{}, err
	}
	until, err := given("expires_at", body.ExpiresAt)
	return authz.Window{NotBefore: kept(from), ExpiresAt: kept(until)}, err
}

// kept is a time in the precision that it is kept in, for the answer to a PUT.
func kept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func (handlers) DeleteMembership(ctx context.Context, r api.DeleteMembershipRequestObject) (api.DeleteMembershipResponseObject, error) {
	written, err := tenant(ctx).DeleteMembership(ctx, r.User, r.Group)
	if err != nil {
		return nil, err
	}
	return api.DeleteMembership200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) ListUserRoles(ctx context.Context, r api.ListUserRolesRequestObject) (api.ListUserRolesResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).UserRoles(ctx, r.User, p)
	if err != nil {
		return nil, err
	}
	return api.ListUserRoles200JSONResponse{MemberListResponseJSONResponse: memberList(ctx, l)}, nil
}

func (handlers) ListMembers(ctx context.Context, r api.ListMembersRequestObject) (api.ListMembersResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).Members(ctx, r.Role, p)
	if err != nil {
		return nil, err
	}
	return api.ListMembers200JSONResponse{MemberListResponseJSONResponse: memberList(ctx, l)}, nil
}
