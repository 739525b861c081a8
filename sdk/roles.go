package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// AddRole creates a role. An existing one is left as it is, but for the
// description where options has one. Changed is always true; what the revision was
// before tells whether there was anything to do.
func (c *Client) AddRole(ctx context.Context, role string, options authz.RoleOptions) (authz.Written, error) {
	if err := checkNames(name{"role", role}); err != nil {
		return authz.Written{}, err
	}
	if d := options.Description; d != nil {
		if err := checkTexts(name{"description", *d}); err != nil {
			return authz.Written{}, err
		}
	}
	return written(c.api.AddRole(ctx, role, nil, api.RoleOptions{Description: options.Description}))
}

// PutRole creates or replaces a role, all but its grants and members: what role
// leaves out is emptied. A circle of inheritance, and a role to inherit from that
// does not exist, are ErrConflict. Changed is always true, as in AddRole.
func (c *Client) PutRole(ctx context.Context, role authz.RoleDetail) (authz.Written, error) {
	if err := checkNames(name{"role", role.Name}); err != nil {
		return authz.Written{}, err
	}
	texts := []name{{"description", role.Description}}
	for _, inherited := range role.Inherits {
		texts = append(texts, name{"inherits", inherited})
	}
	if err := checkTexts(texts...); err != nil {
		return authz.Written{}, err
	}
	return put[api.RoleDetail](c.api.PutRole(ctx, role.Name, nil, api.RoleSpec{
		Description: given(role.Description),
		Inherits:    givenList(role.Inherits),
		Scopes:      givenList(converted[api.NodeKind](role.Scopes)),
	}))
}

// Role shows a role as it was written, but for its grants. One that does not exist
// is ErrNotFound.
func (c *Client) Role(ctx context.Context, role string) (authz.Snapshot[authz.RoleDetail], error) {
	if err := checkNames(name{"role", role}); err != nil {
		return authz.Snapshot[authz.RoleDetail]{}, err
	}
	a, err := read[api.RoleDetail](c.api.GetRole(ctx, role))
	return snapshotOf(a, err, roleDetail)
}

func roleDetail(r api.RoleDetail) authz.RoleDetail {
	detail := authz.RoleDetail{Name: r.Role, Description: r.Description, Scopes: converted[authz.Kind](r.Scopes)}
	if len(r.Inherits) > 0 {
		detail.Inherits = r.Inherits
	}
	return detail
}

// DeleteRole deletes a role with its grants and memberships. Changed tells whether
// it was there. Making a role of that name again brings nothing back.
func (c *Client) DeleteRole(ctx context.Context, role string) (authz.Written, error) {
	if err := checkNames(name{"role", role}); err != nil {
		return authz.Written{}, err
	}
	return written(c.api.DeleteRole(ctx, role, nil))
}

// Roles lists the roles by name, all but the built-in ones.
func (c *Client) Roles(ctx context.Context, page authz.Page) (authz.List[authz.Role], error) {
	a, err := read[[]api.Role](c.api.ListRoles(ctx, paging(page)))
	return listOf(a, a.data, func(r api.Role) authz.Role {
		return authz.Role{Name: r.Role, Description: r.Description}
	}), err
}

// name is a path parameter, and what errors call it.
type name struct{ field, value string }

// checkNames refuses the names that a URL's path cannot carry: an empty one
// vanishes from it, dots walk up in it, and a lone slash is taken for its end, even
// encoded. The server checks the rest.
func checkNames(names ...name) error {
	for _, n := range names {
		switch n.value {
		case "":
			return invalid("%s: must not be empty", n.field)
		case ".", "..", "/":
			return invalid("%s: must not be %q, which no path of a URL carries", n.field, n.value)
		}
	}
	return nil
}

// paging asks for a page of a list. All lists take the same parameters, in types
// of their own.
func paging(page authz.Page) *api.ListRolesParams {
	return &api.ListRolesParams{Limit: given(page.Limit), Cursor: given(page.Cursor)}
}

// given leaves a zero value out of a request.
func given[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}
