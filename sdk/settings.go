package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// PutSettings replaces the settings, for what is written from now on. It needs a
// client key with the ability admin. Changed is always true, as in AddRole.
func (c *Client) PutSettings(ctx context.Context, settings authz.Settings) (authz.Written, error) {
	return put[api.Settings](c.api.PutSettings(ctx, nil, api.SettingsSpec{
		StrictPermissions: &settings.StrictPermissions,
		StrictUsers:       &settings.StrictUsers,
	}))
}

// Settings shows the settings. Until they are written, none is on.
func (c *Client) Settings(ctx context.Context) (authz.Snapshot[authz.Settings], error) {
	a, err := read[api.Settings](c.api.GetSettings(ctx))
	return snapshotOf(a, err, func(s api.Settings) authz.Settings {
		return authz.Settings{StrictPermissions: s.StrictPermissions, StrictUsers: s.StrictUsers}
	})
}
