package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse/gen/api"
)

// shortcuts stands before the strict handler for the questions that are asked all
// the time, and answers them with the same bytes but none of its allocations.
type shortcuts struct {
	api.ServerInterface
	server *Server
}

func (s shortcuts) HasPermission(w http.ResponseWriter, r *http.Request, user api.UserParam, permission api.PermissionParam) {
	d, err := tenant(r.Context()).UserHasPermission(r.Context(), user, permission)
	if err != nil {
		s.server.fail(w, r, err)
		return
	}
	markStale(r.Context(), d)
	body := make([]byte, 0, 160)
	body = append(body, `{"code":200,"data":{"has_permission":`...)
	body = strconv.AppendBool(body, d.Allowed)
	body = append(body, `},"message":"OK","success":true,"timestamp":"`...)
	body = time.Now().UTC().AppendFormat(body, timestampLayout)
	body = append(body, "\"}\n"...)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Gatehouse-Revision", strconv.FormatInt(d.Revision, 10))
	_, _ = w.Write(body) // the caller has gone where this fails
}

func (s shortcuts) CanRunWorkflow(w http.ResponseWriter, r *http.Request, user api.UserParam, workflow api.WorkflowParam) {
	s.HasPermission(w, r, user, workflow)
}

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
