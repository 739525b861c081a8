package server

import (
	"context"

	"github.com/gatehouse/gatehouse/gen/api"
)

// HasPermission is what the shortcut is held to by a test.
func (handlers) HasPermission(ctx context.Context, r api.HasPermissionRequestObject) (api.HasPermissionResponseObject, error) {
	d, err := tenant(ctx).UserHasPermission(ctx, r.User, r.Name)
	if err != nil {
		return nil, err
	}
	return api.HasPermission200JSONResponse{DecisionResponseJSONResponse: decision(ctx, d)}, nil
}

// CanRunWorkflow is what the shortcut is held to by a test.
func (handlers) CanRunWorkflow(ctx context.Context, r api.CanRunWorkflowRequestObject) (api.CanRunWorkflowResponseObject, error) {
	d, err := tenant(ctx).UserCanRunWorkflow(ctx, r.User, r.Workflow)
	if err != nil {
		return nil, err
	}
	return api.CanRunWorkflow200JSONResponse{DecisionResponseJSONResponse: decision(ctx, d)}, nil
}

func (handlers) ListUserPermissions(ctx context.Context, r api.ListUserPermissionsRequestObject) (api.ListUserPermissionsResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).UserPermissions(ctx, r.User, p)
	if err != nil {
		return nil, err
	}
	markStale(ctx, l.Stale)
	return api.ListUserPermissions200JSONResponse{
		Body: api.UserPermissionsEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.UserPermissions{Count: l.Total, Permissions: permissionNames(l.Items)},
		},
		Headers: api.ListUserPermissions200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}

func (handlers) WhichUsersCan(ctx context.Context, r api.WhichUsersCanRequestObject) (api.WhichUsersCanResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).WhichUsersCan(ctx, r.Name, p)
	if err != nil {
		return nil, err
	}
	return api.WhichUsersCan200JSONResponse{MemberListResponseJSONResponse: memberList(ctx, l)}, nil
}

func (handlers) ListWorkflowUsers(ctx context.Context, r api.ListWorkflowUsersRequestObject) (api.ListWorkflowUsersResponseObject, error) {
	p, err := page(r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	l, err := tenant(ctx).WorkflowUsers(ctx, r.Workflow, p)
	if err != nil {
		return nil, err
	}
	return api.ListWorkflowUsers200JSONResponse{
		Body: api.WorkflowUsersEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.WorkflowUsers{Count: l.Total, Members: members(l.Items)},
		},
		Headers: api.ListWorkflowUsers200ResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}, nil
}
