package storetest

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// Reader returns a Reader that has a View of its own for each call.
func Reader(s store.Store, tenant string) store.Reader { return viewing{store: s, tenant: tenant} }

type viewing struct {
	store  store.Store
	tenant string
}

func read[T any](ctx context.Context, r viewing, fn func(store.Reader) (T, error)) (value T, err error) {
	err = r.store.View(ctx, r.tenant, func(reader store.Reader) error {
		value, err = fn(reader)
		return err
	})
	return value, err
}

func find[T any](ctx context.Context, r viewing, fn func(store.Reader) (T, bool, error)) (value T, found bool, err error) {
	err = r.store.View(ctx, r.tenant, func(reader store.Reader) error {
		value, found, err = fn(reader)
		return err
	})
	return value, found, err
}

func (r viewing) Revision(ctx context.Context) (int64, error) {
	return read(ctx, r, func(reader store.Reader) (int64, error) { return reader.Revision(ctx) })
}

func (r viewing) Policy(ctx context.Context) ([]authz.RoleSpec, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.RoleSpec, error) { return reader.Policy(ctx) })
}

func (r viewing) Holdings(ctx context.Context, user string) ([]authz.Holding, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Holding, error) { return reader.Holdings(ctx, user) })
}

func (r viewing) User(ctx context.Context, name string) (authz.User, bool, error) {
	return find(ctx, r, func(reader store.Reader) (authz.User, bool, error) { return reader.User(ctx, name) })
}

func (r viewing) Node(ctx context.Context, node authz.Node) (store.NodeRecord, bool, error) {
	return find(ctx, r, func(reader store.Reader) (store.NodeRecord, bool, error) { return reader.Node(ctx, node) })
}

func (r viewing) Role(ctx context.Context, name string) (authz.RoleDetail, bool, error) {
	return find(ctx, r, func(reader store.Reader) (authz.RoleDetail, bool, error) { return reader.Role(ctx, name) })
}

func (r viewing) Grant(ctx context.Context, role, permission string) (authz.Grant, bool, error) {
	return find(ctx, r, func(reader store.Reader) (authz.Grant, bool, error) { return reader.Grant(ctx, role, permission) })
}

func (r viewing) Grants(ctx context.Context, role, after string, limit int) ([]authz.Grant, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Grant, error) { return reader.Grants(ctx, role, after, limit) })
}

func (r viewing) Group(ctx context.Context, name string) (authz.Group, bool, error) {
	return find(ctx, r, func(reader store.Reader) (authz.Group, bool, error) { return reader.Group(ctx, name) })
}

func (r viewing) Nodes(ctx context.Context, nodeType string, parent authz.Node, after string, limit int) ([]store.NodeRecord, error) {
	return read(ctx, r, func(reader store.Reader) ([]store.NodeRecord, error) {
		return reader.Nodes(ctx, nodeType, parent, after, limit)
	})
}

func (r viewing) Memberships(ctx context.Context, node authz.Node, after authz.Membership, limit int) ([]authz.Membership, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Membership, error) {
		return reader.Memberships(ctx, node, after, limit)
	})
}

func (r viewing) Groups(ctx context.Context, after string, limit int) ([]authz.Group, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Group, error) { return reader.Groups(ctx, after, limit) })
}

func (r viewing) GroupMembers(ctx context.Context, group string, after authz.SubjectRef, limit int) ([]authz.SubjectRef, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.SubjectRef, error) {
		return reader.GroupMembers(ctx, group, after, limit)
	})
}

func (r viewing) Users(ctx context.Context, after string, limit int) ([]authz.User, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.User, error) { return reader.Users(ctx, after, limit) })
}

func (r viewing) Settings(ctx context.Context) (authz.Settings, error) {
	return read(ctx, r, func(reader store.Reader) (authz.Settings, error) { return reader.Settings(ctx) })
}

func (r viewing) Tool(ctx context.Context, name string) (authz.Tool, bool, error) {
	return find(ctx, r, func(reader store.Reader) (authz.Tool, bool, error) { return reader.Tool(ctx, name) })
}

func (r viewing) Tools(ctx context.Context, after string, limit int) ([]authz.Tool, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Tool, error) { return reader.Tools(ctx, after, limit) })
}

func (r viewing) Catalogue(ctx context.Context, after string, limit int) ([]authz.CatalogueEntry, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.CatalogueEntry, error) { return reader.Catalogue(ctx, after, limit) })
}

func (r viewing) DefiningTool(ctx context.Context, grant string) (string, bool, error) {
	return find(ctx, r, func(reader store.Reader) (string, bool, error) { return reader.DefiningTool(ctx, grant) })
}

func (r viewing) Roles(ctx context.Context, after string, limit int) ([]authz.Role, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Role, error) { return reader.Roles(ctx, after, limit) })
}

func (r viewing) Members(ctx context.Context, query store.MembersQuery, after authz.Member, limit int) ([]authz.Member, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Member, error) { return reader.Members(ctx, query, after, limit) })
}

func (r viewing) CountMembers(ctx context.Context, query store.MembersQuery) (int64, error) {
	return read(ctx, r, func(reader store.Reader) (int64, error) { return reader.CountMembers(ctx, query) })
}

func (r viewing) KnownUsers(ctx context.Context, after string, limit int) ([]string, error) {
	return read(ctx, r, func(reader store.Reader) ([]string, error) { return reader.KnownUsers(ctx, after, limit) })
}

func (r viewing) KnownPermissions(ctx context.Context, after string, limit int) ([]string, error) {
	return read(ctx, r, func(reader store.Reader) ([]string, error) { return reader.KnownPermissions(ctx, after, limit) })
}

func (r viewing) Holders(ctx context.Context, query store.HoldersQuery, after string, limit int) ([]string, error) {
	return read(ctx, r, func(reader store.Reader) ([]string, error) { return reader.Holders(ctx, query, after, limit) })
}

func (r viewing) Subjects(ctx context.Context, users []string, at []authz.Node) (map[string]store.SubjectRecord, error) {
	return read(ctx, r, func(reader store.Reader) (map[string]store.SubjectRecord, error) {
		return reader.Subjects(ctx, users, at)
	})
}

func (r viewing) NodesOfType(ctx context.Context, nodeType, after string, limit int) ([]string, error) {
	return read(ctx, r, func(reader store.Reader) ([]string, error) { return reader.NodesOfType(ctx, nodeType, after, limit) })
}

func (r viewing) NodesOwned(ctx context.Context, nodeType, owner, after string, limit int) ([]string, error) {
	return read(ctx, r, func(reader store.Reader) ([]string, error) {
		return reader.NodesOwned(ctx, nodeType, owner, after, limit)
	})
}

func (r viewing) NodesWithin(ctx context.Context, query store.WithinQuery, after string, limit int) ([]string, error) {
	return read(ctx, r, func(reader store.Reader) ([]string, error) { return reader.NodesWithin(ctx, query, after, limit) })
}

func (r viewing) NodesNamed(ctx context.Context, nodeType string, ids []string) ([]store.NodeRecord, error) {
	return read(ctx, r, func(reader store.Reader) ([]store.NodeRecord, error) { return reader.NodesNamed(ctx, nodeType, ids) })
}

func (r viewing) Changes(ctx context.Context, after int64, limit int) ([]authz.Change, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.Change, error) { return reader.Changes(ctx, after, limit) })
}

func (r viewing) AuditEvents(ctx context.Context, filter audit.Filter, before string, limit int) ([]audit.Event, error) {
	return read(ctx, r, func(reader store.Reader) ([]audit.Event, error) {
		return reader.AuditEvents(ctx, filter, before, limit)
	})
}

func (r viewing) LoggedDecisions(ctx context.Context, filter authz.DecisionFilter, before string, limit int) ([]authz.LoggedDecision, error) {
	return read(ctx, r, func(reader store.Reader) ([]authz.LoggedDecision, error) {
		return reader.LoggedDecisions(ctx, filter, before, limit)
	})
}

func (r viewing) AuditHead(ctx context.Context) (store.AuditHead, error) {
	return read(ctx, r, func(reader store.Reader) (store.AuditHead, error) { return reader.AuditHead(ctx) })
}

func (r viewing) AuditRecord(ctx context.Context, id string) (audit.Record, bool, error) {
	return find(ctx, r, func(reader store.Reader) (audit.Record, bool, error) { return reader.AuditRecord(ctx, id) })
}

func (r viewing) AuditRecordAt(ctx context.Context, seq int64) (audit.Record, bool, error) {
	return find(ctx, r, func(reader store.Reader) (audit.Record, bool, error) { return reader.AuditRecordAt(ctx, seq) })
}

func (r viewing) AuditRecords(ctx context.Context, after audit.Record, limit int) ([]audit.Record, error) {
	return read(ctx, r, func(reader store.Reader) ([]audit.Record, error) { return reader.AuditRecords(ctx, after, limit) })
}

func (r viewing) FirstAuditPlace(ctx context.Context, since time.Time) (int64, error) {
	return read(ctx, r, func(reader store.Reader) (int64, error) { return reader.FirstAuditPlace(ctx, since) })
}

func (r viewing) AuditTile(ctx context.Context, level int, number int64) ([]byte, error) {
	return read(ctx, r, func(reader store.Reader) ([]byte, error) { return reader.AuditTile(ctx, level, number) })
}

func (r viewing) AuditCheckpoint(ctx context.Context) (audit.SizedNote, bool, error) {
	return find(ctx, r, func(reader store.Reader) (audit.SizedNote, bool, error) { return reader.AuditCheckpoint(ctx) })
}

func (r viewing) AuditCheckpoints(ctx context.Context, after int64, limit int) ([]audit.SizedNote, error) {
	return read(ctx, r, func(reader store.Reader) ([]audit.SizedNote, error) {
		return reader.AuditCheckpoints(ctx, after, limit)
	})
}
