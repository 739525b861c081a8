package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) PutGroup(ctx context.Context, r api.PutGroupRequestObject) (api.PutGroupResponseObject, error) {
	group := authz.Group{Name: r.Group, Description: orZero(orZero(r.Body).Description)}
	written, err := tenant(ctx).PutGroup(ctx, group)
	if err != nil {
		return nil, err
	}
	return api.PutGroup200JSONResponse{GroupResponseJSONResponse: groupResponse(group, written.Revision)}, nil
}

func (handlers) GetGroup(ctx context.Context, r api.GetGroupRequestObject) (api.GetGroupResponseObject, error) {
	group, err := tenant(ctx).Group(ctx, r.Group)
	if err != nil {
		return nil, err
	}
	return api.GetGroup200JSONResponse{GroupResponseJSONResponse: groupResponse(group.Value, group.Revision)}, nil
}

func (handlers) DeleteGroup(ctx context.Context, r api.DeleteGroupRequestObject) (api.DeleteGroupResponseObject, error) {
	written, err := tenant(ctx).DeleteGroup(ctx, r.Group)
	if err != nil {
		return nil, err
	}
	return api.DeleteGroup200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) AddGroupMember(ctx context.Context, r api.AddGroupMemberRequestObject) (api.AddGroupMemberResponseObject, error) {
	written, err := tenant(ctx).AddToGroup(ctx, r.Group, userRef(r.User))
	if err != nil {
		return nil, err
	}
	return api.AddGroupMember200JSONResponse{ResultResponseJSONResponse: result(true, written.Revision)}, nil
}

func (handlers) DeleteGroupMember(ctx context.Context, r api.DeleteGroupMemberRequestObject) (api.DeleteGroupMemberResponseObject, error) {
	written, err := tenant(ctx).RemoveFromGroup(ctx, r.Group, userRef(r.User))
	if err != nil {
		return nil, err
	}
	return api.DeleteGroupMember200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func (handlers) AddGroupChild(ctx context.Context, r api.AddGroupChildRequestObject) (api.AddGroupChildResponseObject, error) {
	written, err := tenant(ctx).AddToGroup(ctx, r.Group, groupRef(r.Child))
	if err != nil {
		return nil, err
	}
	return api.AddGroupChild200JSONResponse{ResultResponseJSONResponse: result(true, written.Revision)}, nil
}

func (handlers) DeleteGroupChild(ctx context.Context, r api.DeleteGroupChildRequestObject) (api.DeleteGroupChildResponseObject, error) {
	written, err := tenant(ctx).RemoveFromGroup(ctx, r.Group, groupRef(r.Child))
	if err != nil {
		return nil, err
	}
	return api.DeleteGroupChild200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func groupResponse(group authz.Group, revision int64) api.GroupResponseJSONResponse {
	return api.GroupResponseJSONResponse{
		Body: api.GroupEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.Group{Group: group.Name, Description: group.Description},
		},
		Headers: api.GroupResponseResponseHeaders{GatehouseRevision: &revision},
	}
}
