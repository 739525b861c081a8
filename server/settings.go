package server

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
)

func (handlers) PutSettings(ctx context.Context, r api.PutSettingsRequestObject) (api.PutSettingsResponseObject, error) {
	spec := orZero(r.Body)
	settings := authz.Settings{StrictPermissions: orZero(spec.StrictPermissions), StrictUsers: orZero(spec.StrictUsers)}
	written, err := tenant(ctx).PutSettings(ctx, settings)
	if err != nil {
		return nil, err
	}
	return api.PutSettings200JSONResponse{SettingsResponseJSONResponse: settingsResponse(settings, written.Revision)}, nil
}

func (handlers) GetSettings(ctx context.Context, _ api.GetSettingsRequestObject) (api.GetSettingsResponseObject, error) {
	settings, err := tenant(ctx).Settings(ctx)
	if err != nil {
		return nil, err
	}
	return api.GetSettings200JSONResponse{SettingsResponseJSONResponse: settingsResponse(settings.Value, settings.Revision)}, nil
}

func settingsResponse(settings authz.Settings, revision int64) api.SettingsResponseJSONResponse {
	return api.SettingsResponseJSONResponse{
		Body: api.SettingsEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.Settings{StrictPermissions: settings.StrictPermissions, StrictUsers: settings.StrictUsers},
		},
		Headers: api.SettingsResponseResponseHeaders{GatehouseRevision: &revision},
	}
}
