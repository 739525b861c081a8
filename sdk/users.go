package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// PutUser registers a user, or replaces what is known of one. Registering is
// optional: a user who is not registered is active and has no properties. Changed
// is always true, as in AddRole.
func (c *Client) PutUser(ctx context.Context, user authz.User) (authz.Written, error) {
	if err := checkNames(name{"user", user.Name}); err != nil {
		return authz.Written{}, err
	}
	if err := checkProperties("properties", user.Properties); err != nil {
		return authz.Written{}, err
	}
	active := !user.Inactive
	return put[api.User](c.api.PutUser(ctx, user.Name, nil, api.UserSpec{
		Active:     &active,
		Properties: givenProperties(user.Properties),
	}))
}

// User shows a registered user. One who is not registered is ErrNotFound.
func (c *Client) User(ctx context.Context, user string) (authz.Snapshot[authz.User], error) {
	if err := checkNames(name{"user", user}); err != nil {
		return authz.Snapshot[authz.User]{}, err
	}
	a, err := read[api.User](c.api.GetUser(ctx, user))
	return snapshotOf(a, err, func(u api.User) authz.User {
		return authz.User{Name: u.User, Inactive: !u.Active, Properties: propertiesOf(u.Properties)}
	})
}

// DeleteUser deletes all that is known of a user and all that the user holds,
// registered or not. Resources of the user's stay, without an owner. Changed tells
// whether there was anything.
func (c *Client) DeleteUser(ctx context.Context, user string) (authz.Written, error) {
	if err := checkNames(name{"user", user}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteUser(ctx, user, nil))
}
