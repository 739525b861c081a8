package sqlstore

import (
	"context"

	"github.com/gatehouse/gatehouse/gen/postgres"
)

// resealRows is how many rows are sealed anew in one transaction.
const resealRows = 500

// resealable is a table of sealed rows that belong to tenants.
type resealable interface {
	reseal(ctx context.Context, r *resealing, tenant string) (written int64, err error)
}

// rows says how a table's rows are sealed anew.
type rows[R any] struct {
	// policy says that rows are changed under the lock of their tenant's row.
	policy bool
	// start stands before the first row, in the order of behind.
	start R
	// behind reads rows as they are stored, from behind one.
	behind func(ctx context.Context, q postgres.Querier, tenant string, after R) ([]R, error)
	seal   func(R) string
	opened func(*sealed, R) (R, error)
	sealed func(*sealed, R) (R, error)
	// write replaces a row, unless it is no more what it was.
	write func(ctx context.Context, q postgres.Querier, stored, row R) (int64, error)
}

// resealables are all tables of sealed rows but signing_keys, which belong to no tenant.
// Where a query needs the first column of a table's key, there is an entry for each of
// its values.
var resealables = []resealable{
	rows[postgres.User]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.User) ([]postgres.User, error) {
			return q.UsersBehind(ctx, postgres.UsersBehindParams{Tenant: tenant, AfterName: after.Name, MaxRows: resealRows})
		},
		seal: func(row postgres.User) string { return row.Seal }, opened: (*sealed).openUser, sealed: (*sealed).sealUser,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.User) (int64, error) {
			return q.ResealUser(ctx, postgres.ResealUserParams{
				Tenant: stored.Tenant, OldName: stored.Name, OldSeal: stored.Seal,
				Name: row.Name, Properties: row.Properties, Seal: row.Seal,
			})
		},
	},
	rows[postgres.AuditEvent]{
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.AuditEvent) ([]postgres.AuditEvent, error) {
			return q.AuditEventsBehind(ctx, postgres.AuditEventsBehindParams{Tenant: tenant, AfterID: after.ID, MaxRows: resealRows})
		},
		seal: func(row postgres.AuditEvent) string { return row.Seal }, opened: (*sealed).openAuditEvent, sealed: (*sealed).sealAuditEvent,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.AuditEvent) (int64, error) {
			return q.ResealAuditEvent(ctx, postgres.ResealAuditEventParams{
				Tenant: stored.Tenant, ID: stored.ID, OldSeal: stored.Seal, Subject: row.Subject, Resource: row.Resource,
				Details: row.Details, Ip: row.Ip, UserAgent: row.UserAgent, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Session]{
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Session) ([]postgres.Session, error) {
			return q.SessionsBehind(ctx, postgres.SessionsBehindParams{Tenant: tenant, AfterID: after.ID, MaxRows: resealRows})
		},
		seal: func(row postgres.Session) string { return row.Seal }, opened: (*sealed).openSession, sealed: (*sealed).sealSession,
		write: resealSession,
	},
	rows[postgres.SessionUser]{
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.SessionUser) ([]postgres.SessionUser, error) {
			return q.SessionUsersBehind(ctx, postgres.SessionUsersBehindParams{Tenant: tenant, AfterName: after.Name, MaxRows: resealRows})
		},
		seal: func(row postgres.SessionUser) string { return row.Seal }, opened: (*sealed).openSessionUser, sealed: (*sealed).sealSessionUser,
		write: resealSessionUser,
	},
}
