package storetest

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Read returns a Reader each call of which is a View by itself.
func Read(s store.Store, tenant string) store.Reader { return views{s, tenant} }

// views is a Reader that sees the newest snapshot in each call.
type views struct {
	store  store.Store
	tenant string
}

// view reads one answer on one snapshot.
func view[T any](ctx context.Context, v views, read func(store.Reader) (T, error)) (answer T, err error) {
	err = v.store.View(ctx, v.tenant, func(r store.Reader) error {
		answer, err = read(r)
		return err
	})
	return answer, err
}

// find is view for what may not be there.
func find[T any](ctx context.Context, v views, read func(store.Reader) (T, bool, error)) (answer T, found bool, err error) {
	err = v.store.View(ctx, v.tenant, func(r store.Reader) error {
		answer, found, err = read(r)
		return err
	})
	return answer, found, err
}

func (v views) Revision(ctx context.Context) (int64, error) {
	return view(ctx, v, func(r store.Reader) (int64, error) { return r.Revision(ctx) })
}

func (v views) Policy(ctx context.Context) ([]authz.RoleSpec, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.RoleSpec, error) { return r.Policy(ctx) })
}

func (v views) Holdings(ctx context.Context, user string) ([]authz.Holding, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Holding, error) { return r.Holdings(ctx, user) })
}

func (v views) User(ctx context.Context, name string) (authz.User, bool, error) {
	return find(ctx, v, func(r store.Reader) (authz.User, bool, error) { return r.User(ctx, name) })
}

func (v views) Node(ctx context.Context, node authz.Node) (store.NodeRecord, bool, error) {
	return find(ctx, v, func(r store.Reader) (store.NodeRecord, bool, error) { return r.Node(ctx, node) })
}

func (v views) Role(ctx context.Context, name string) (authz.RoleDetail, bool, error) {
	return find(ctx, v, func(r store.Reader) (authz.RoleDetail, bool, error) { return r.Role(ctx, name) })
}

func (v views) Grant(ctx context.Context, role, permission string) (authz.Grant, bool, error) {
	return find(ctx, v, func(r store.Reader) (authz.Grant, bool, error) { return r.Grant(ctx, role, permission) })
}

func (v views) Grants(ctx context.Context, role, after string, limit int) ([]authz.Grant, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Grant, error) { return r.Grants(ctx, role, after, limit) })
}

func (v views) Group(ctx context.Context, name string) (authz.Group, bool, error) {
	return find(ctx, v, func(r store.Reader) (authz.Group, bool, error) { return r.Group(ctx, name) })
}

func (v views) Nodes(ctx context.Context, nodeType string, parent authz.Node, after string, limit int) ([]store.NodeRecord, error) {
	return view(ctx, v, func(r store.Reader) ([]store.NodeRecord, error) { return r.Nodes(ctx, nodeType, parent, after, limit) })
}

func (v views) Memberships(ctx context.Context, node authz.Node, after authz.Membership, limit int) ([]authz.Membership, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Membership, error) { return r.Memberships(ctx, node, after, limit) })
}

func (v views) Groups(ctx context.Context, after string, limit int) ([]authz.Group, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Group, error) { return r.Groups(ctx, after, limit) })
}

func (v views) GroupMembers(ctx context.Context, group string, after authz.SubjectRef, limit int) ([]authz.SubjectRef, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.SubjectRef, error) { return r.GroupMembers(ctx, group, after, limit) })
}

func (v views) Users(ctx context.Context, after string, limit int) ([]authz.User, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.User, error) { return r.Users(ctx, after, limit) })
}

func (v views) Settings(ctx context.Context) (authz.Settings, error) {
	return view(ctx, v, func(r store.Reader) (authz.Settings, error) { return r.Settings(ctx) })
}

func (v views) Tool(ctx context.Context, name string) (authz.Tool, bool, error) {
	return find(ctx, v, func(r store.Reader) (authz.Tool, bool, error) { return r.Tool(ctx, name) })
}

func (v views) Tools(ctx context.Context, after string, limit int) ([]authz.Tool, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Tool, error) { return r.Tools(ctx, after, limit) })
}

func (v views) Catalogue(ctx context.Context, after string, limit int) ([]authz.CatalogueEntry, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.CatalogueEntry, error) { return r.Catalogue(ctx, after, limit) })
}

func (v views) DefiningTool(ctx context.Context, grant string) (string, bool, error) {
	return find(ctx, v, func(r store.Reader) (string, bool, error) { return r.DefiningTool(ctx, grant) })
}

func (v views) Roles(ctx context.Context, after string, limit int) ([]authz.Role, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Role, error) { return r.Roles(ctx, after, limit) })
}

func (v views) Members(ctx context.Context, query store.MembersQuery, after authz.Member, limit int) ([]authz.Member, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Member, error) { return r.Members(ctx, query, after, limit) })
}

func (v views) CountMembers(ctx context.Context, query store.MembersQuery) (int64, error) {
	return view(ctx, v, func(r store.Reader) (int64, error) { return r.CountMembers(ctx, query) })
}

func (v views) KnownUsers(ctx context.Context, after string, limit int) ([]string, error) {
	return view(ctx, v, func(r store.Reader) ([]string, error) { return r.KnownUsers(ctx, after, limit) })
}

func (v views) KnownPermissions(ctx context.Context, after string, limit int) ([]string, error) {
	return view(ctx, v, func(r store.Reader) ([]string, error) { return r.KnownPermissions(ctx, after, limit) })
}

func (v views) Holders(ctx context.Context, query store.HoldersQuery, after string, limit int) ([]string, error) {
	return view(ctx, v, func(r store.Reader) ([]string, error) { return r.Holders(ctx, query, after, limit) })
}

func (v views) Subjects(ctx context.Context, users []string, at []authz.Node) (map[string]store.SubjectRecord, error) {
	return view(ctx, v, func(r store.Reader) (map[string]store.SubjectRecord, error) { return r.Subjects(ctx, users, at) })
}

func (v views) NodesOfType(ctx context.Context, nodeType, after string, limit int) ([]string, error) {
	return view(ctx, v, func(r store.Reader) ([]string, error) { return r.NodesOfType(ctx, nodeType, after, limit) })
}

func (v views) NodesOwned(ctx context.Context, nodeType, owner, after string, limit int) ([]string, error) {
	return view(ctx, v, func(r store.Reader) ([]string, error) { return r.NodesOwned(ctx, nodeType, owner, after, limit) })
}

func (v views) NodesWithin(ctx context.Context, query store.WithinQuery, after string, limit int) ([]string, error) {
	return view(ctx, v, func(r store.Reader) ([]string, error) { return r.NodesWithin(ctx, query, after, limit) })
}

func (v views) NodesNamed(ctx context.Context, nodeType string, ids []string) ([]store.NodeRecord, error) {
	return view(ctx, v, func(r store.Reader) ([]store.NodeRecord, error) { return r.NodesNamed(ctx, nodeType, ids) })
}

func (v views) Changes(ctx context.Context, after int64, limit int) ([]authz.Change, error) {
	return view(ctx, v, func(r store.Reader) ([]authz.Change, error) { return r.Changes(ctx, after, limit) })
}

func (v views) AuditEvents(ctx context.Context, filter audit.Filter, before string, limit int) ([]audit.Event, error) {
	return view(ctx, v, func(r store.Reader) ([]audit.Event, error) { return r.AuditEvents(ctx, filter, before, limit) })
}
