package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) PutUser(ctx context.Context, r api.PutUserRequestObject) (api.PutUserResponseObject, error) {
	spec := orZero(r.Body)
	user := authz.User{
		Name: r.User, Inactive: spec.Active != nil && !*spec.Active, Properties: orZero(spec.Properties),
	}
	written, err := tenant(ctx).PutUser(ctx, user)
	if err != nil {
		return nil, err
	}
	return api.PutUser200JSONResponse{UserResponseJSONResponse: userResponse(user, written.Revision)}, nil
}

func (handlers) GetUser(ctx context.Context, r api.GetUserRequestObject) (api.GetUserResponseObject, error) {
	user, err := tenant(ctx).User(ctx, r.User)
	if err != nil {
		return nil, err
	}
	return api.GetUser200JSONResponse{UserResponseJSONResponse: userResponse(user.Value, user.Revision)}, nil
}

func (handlers) DeleteUser(ctx context.Context, r api.DeleteUserRequestObject) (api.DeleteUserResponseObject, error) {
	written, err := tenant(ctx).DeleteUser(ctx, r.User)
	if err != nil {
		return nil, err
	}
	return api.DeleteUser200JSONResponse{ResultResponseJSONResponse: result(written.Changed, written.Revision)}, nil
}

func userResponse(user authz.User, revision int64) api.UserResponseJSONResponse {
	return api.UserResponseJSONResponse{
		Body: api.UserEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.User{User: user.Name, Active: !user.Inactive, Properties: propertiesOf(user.Properties)},
		},
		Headers: api.UserResponseResponseHeaders{GatehouseRevision: &revision},
	}
}
