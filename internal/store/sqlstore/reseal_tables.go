package sqlstore

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
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
	// write replaces a row, unless it is no more what it was. In a pipeline its count means
	// nothing.
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
				Details: row.Details, Ip: row.Ip, UserAgent: row.UserAgent, Salt: row.Salt, Seal: row.Seal,
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
	rows[postgres.TokenFamily]{
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.TokenFamily) ([]postgres.TokenFamily, error) {
			return q.TokenFamiliesBehind(ctx, postgres.TokenFamiliesBehindParams{Tenant: tenant, AfterID: after.ID, MaxRows: resealRows})
		},
		seal: func(row postgres.TokenFamily) string { return row.Seal }, opened: (*sealed).openTokenFamily, sealed: (*sealed).sealTokenFamily,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.TokenFamily) (int64, error) {
			return q.ResealTokenFamily(ctx, postgres.ResealTokenFamilyParams{
				Tenant: stored.Tenant, ID: stored.ID, OldSeal: stored.Seal, Subject: row.Subject, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Decision]{
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Decision) ([]postgres.Decision, error) {
			return q.DecisionsBehind(ctx, postgres.DecisionsBehindParams{Tenant: tenant, AfterID: after.ID, MaxRows: resealRows})
		},
		seal: func(row postgres.Decision) string { return row.Seal }, opened: (*sealed).openDecision, sealed: (*sealed).sealDecision,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Decision) (int64, error) {
			return q.ResealDecision(ctx, postgres.ResealDecisionParams{
				Tenant: stored.Tenant, ID: stored.ID, OldSeal: stored.Seal, Subject: row.Subject, Permission: row.Permission,
				Details: row.Details, Ip: row.Ip, Seal: row.Seal,
			})
		},
	},
	membershipRows(authz.UserType), membershipRows(authz.GroupType),
	groupMemberRows(authz.UserType), groupMemberRows(authz.GroupType),
	rows[postgres.UserGroup]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.UserGroup) ([]postgres.UserGroup, error) {
			return q.UserGroupsBehind(ctx, postgres.UserGroupsBehindParams{Tenant: tenant, AfterName: after.Name, MaxRows: resealRows})
		},
		seal: func(row postgres.UserGroup) string { return row.Seal }, opened: (*sealed).openUserGroup, sealed: (*sealed).sealUserGroup,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.UserGroup) (int64, error) {
			return q.ResealUserGroup(ctx, postgres.ResealUserGroupParams{
				Tenant: stored.Tenant, OldName: stored.Name, OldSeal: stored.Seal,
				Name: row.Name, Description: row.Description, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Role]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Role) ([]postgres.Role, error) {
			return q.RolesBehind(ctx, postgres.RolesBehindParams{Tenant: tenant, AfterName: after.Name, MaxRows: resealRows})
		},
		seal: func(row postgres.Role) string { return row.Seal }, opened: (*sealed).openRole, sealed: (*sealed).sealRole,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Role) (int64, error) {
			return q.ResealRole(ctx, postgres.ResealRoleParams{
				Tenant: stored.Tenant, Name: stored.Name, OldSeal: stored.Seal, Description: row.Description, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Grant]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Grant) ([]postgres.Grant, error) {
			return q.GrantsBehind(ctx, postgres.GrantsBehindParams{
				Tenant: tenant, AfterRole: after.Role, AfterPermission: after.Permission, MaxRows: resealRows,
			})
		},
		seal: func(row postgres.Grant) string { return row.Seal }, opened: (*sealed).openGrant, sealed: (*sealed).sealGrant,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Grant) (int64, error) {
			return q.ResealGrant(ctx, postgres.ResealGrantParams{
				Tenant: stored.Tenant, Role: stored.Role, OldPermission: stored.Permission, OldSeal: stored.Seal,
				Permission: row.Permission, Condition: row.Condition, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Tool]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Tool) ([]postgres.Tool, error) {
			return q.ToolsBehind(ctx, postgres.ToolsBehindParams{Tenant: tenant, AfterName: after.Name, MaxRows: resealRows})
		},
		seal: func(row postgres.Tool) string { return row.Seal }, opened: (*sealed).openTool, sealed: (*sealed).sealTool,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Tool) (int64, error) {
			return q.ResealTool(ctx, postgres.ResealToolParams{
				Tenant: stored.Tenant, Name: stored.Name, OldSeal: stored.Seal, Description: row.Description, Seal: row.Seal,
			})
		},
	},
	rows[postgres.ToolPermission]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.ToolPermission) ([]postgres.ToolPermission, error) {
			return q.ToolPermissionsBehind(ctx, postgres.ToolPermissionsBehindParams{Tenant: tenant, AfterPermission: after.Permission, MaxRows: resealRows})
		},
		seal: func(row postgres.ToolPermission) string { return row.Seal }, opened: (*sealed).openToolPermission, sealed: (*sealed).sealToolPermission,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.ToolPermission) (int64, error) {
			return q.ResealToolPermission(ctx, postgres.ResealToolPermissionParams{
				Tenant: stored.Tenant, OldPermission: stored.Permission, OldSeal: stored.Seal,
				Permission: row.Permission, Description: row.Description, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Node]{
		policy: true,
		behind: nodesBehind,
		seal:   func(row postgres.Node) string { return row.Seal }, opened: (*sealed).openNode, sealed: (*sealed).sealNode,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Node) (int64, error) {
			return q.ResealNode(ctx, postgres.ResealNodeParams{
				Tenant: stored.Tenant, Type: stored.Type, ID: stored.ID, OldSeal: stored.Seal,
				Name: row.Name, Owner: row.Owner, Properties: row.Properties, Seal: row.Seal,
			})
		},
	},
	rows[postgres.Change]{
		policy: true,
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Change) ([]postgres.Change, error) {
			return q.ChangesBehind(ctx, postgres.ChangesBehindParams{
				Tenant: tenant, AfterRevision: after.Revision, AfterPosition: after.Position, MaxRows: resealRows,
			})
		},
		start: postgres.Change{Position: -1},
		seal:  func(row postgres.Change) string { return row.Seal }, opened: (*sealed).openChange, sealed: (*sealed).sealChange,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Change) (int64, error) {
			return q.ResealChange(ctx, postgres.ResealChangeParams{
				Tenant: stored.Tenant, Revision: stored.Revision, Position: stored.Position, OldSeal: stored.Seal, Key: row.Key, Seal: row.Seal,
			})
		},
	},
}

// sealedTables are the tables of resealables, and signing_keys. Not receipts: what is in
// those is sealed with a secret of the caller's, whatever the installation's is.
var sealedTables = []string{
	"users", "user_groups", "group_members", "memberships", "roles", "grants", "tools", "tool_permissions", "nodes", "changes",
	"sessions", "session_users", "token_families", "decisions", "audit_events", "signing_keys",
}

func membershipRows(subject authz.SubjectType) resealable {
	return rows[postgres.Membership]{
		policy: true,
		start:  postgres.Membership{SubjectType: string(subject)},
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.Membership) ([]postgres.Membership, error) {
			return q.MembershipsBehind(ctx, postgres.MembershipsBehindParams{
				Tenant: tenant, SubjectType: after.SubjectType, AfterSubject: after.Subject,
				AfterNodeType: after.NodeType, AfterNodeID: after.NodeID, AfterRole: after.Role, MaxRows: resealRows,
			})
		},
		seal: func(row postgres.Membership) string { return row.Seal }, opened: (*sealed).openMembership, sealed: (*sealed).sealMembership,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.Membership) (int64, error) {
			return q.ResealMembership(ctx, postgres.ResealMembershipParams{
				Tenant: stored.Tenant, SubjectType: stored.SubjectType, OldSubject: stored.Subject, NodeType: stored.NodeType,
				NodeID: stored.NodeID, Role: stored.Role, OldSeal: stored.Seal, Subject: row.Subject, Seal: row.Seal,
			})
		},
	}
}

func groupMemberRows(member authz.SubjectType) resealable {
	return rows[postgres.GroupMember]{
		policy: true,
		start:  postgres.GroupMember{MemberType: string(member)},
		behind: func(ctx context.Context, q postgres.Querier, tenant string, after postgres.GroupMember) ([]postgres.GroupMember, error) {
			return q.GroupMembersBehind(ctx, postgres.GroupMembersBehindParams{
				Tenant: tenant, MemberType: after.MemberType, AfterMember: after.Member, AfterGroupName: after.GroupName, MaxRows: resealRows,
			})
		},
		seal: func(row postgres.GroupMember) string { return row.Seal }, opened: (*sealed).openGroupMember, sealed: (*sealed).sealGroupMember,
		write: func(ctx context.Context, q postgres.Querier, stored, row postgres.GroupMember) (int64, error) {
			return q.ResealGroupMember(ctx, postgres.ResealGroupMemberParams{
				Tenant: stored.Tenant, MemberType: stored.MemberType, OldMember: stored.Member, OldGroupName: stored.GroupName,
				OldSeal: stored.Seal, Member: row.Member, GroupName: row.GroupName, Seal: row.Seal,
			})
		},
	}
}

// nodesBehind goes on with the next type where there is no more node of one.
func nodesBehind(ctx context.Context, q postgres.Querier, tenant string, after postgres.Node) ([]postgres.Node, error) {
	for {
		nodes, err := q.NodesBehind(ctx, postgres.NodesBehindParams{Tenant: tenant, Type: after.Type, AfterID: after.ID, MaxRows: resealRows})
		if err != nil || len(nodes) > 0 {
			return nodes, err
		}
		next, err := q.NodeTypeBehind(ctx, postgres.NodeTypeBehindParams{Tenant: tenant, AfterType: after.Type})
		if isNoRows(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		after = postgres.Node{Type: next}
	}
}
