package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// builtinPrefix begins the names of the built-in roles and of no others.
const builtinPrefix = "@"

// reader implements store.Reader: over the pool, a snapshot or a transaction.
type reader struct {
	queries postgres.Querier
	tenant  string
}

var _ store.Reader = reader{}

func (r reader) Revision(ctx context.Context) (int64, error) {
	revision, err := r.queries.Revision(ctx, postgres.RevisionParams{Tenant: r.tenant})
	if isNoRows(err) {
		return 0, nil
	}
	return revision, classify(ctx, err, "read the revision")
}

func (r reader) CheckPermission(ctx context.Context, user string, patterns []string, at time.Time) (authz.Decision, error) {
	row, err := r.queries.CheckPermission(ctx, postgres.CheckPermissionParams{
		Tenant:   r.tenant,
		Subject:  user,
		At:       micros(at),
		Patterns: jsonList(patterns),
		Everyone: authz.Everyone,
	})
	return decision(ctx, row.Revision, row.Allowed, err, "check a permission")
}

func (r reader) CheckRolePermission(ctx context.Context, role string, patterns []string) (authz.Decision, error) {
	row, err := r.queries.CheckRolePermission(ctx, postgres.CheckRolePermissionParams{
		Tenant:   r.tenant,
		Role:     role,
		Patterns: jsonList(patterns),
	})
	return decision(ctx, row.Revision, row.Allowed, err, "check a role's permission")
}

func (r reader) CheckMembership(ctx context.Context, user, role string, at time.Time) (authz.Decision, error) {
	row, err := r.queries.CheckMembership(ctx, postgres.CheckMembershipParams{
		Tenant:  r.tenant,
		Subject: user,
		Role:    role,
		At:      micros(at),
	})
	return decision(ctx, row.Revision, row.Allowed, err, "check a membership")
}

func (r reader) Roles(ctx context.Context, after string, limit int) ([]authz.Role, error) {
	rows, err := r.queries.Roles(ctx, postgres.RolesParams{
		Tenant:        r.tenant,
		After:         after,
		BuiltinPrefix: builtinPrefix,
		MaxRows:       maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "list the roles")
	}
	roles := make([]authz.Role, len(rows))
	for i, row := range rows {
		roles[i] = authz.Role(row)
	}
	return roles, nil
}

func (r reader) RolePermissions(ctx context.Context, role, after string, limit int) ([]string, error) {
	names, err := r.queries.RolePermissions(ctx, postgres.RolePermissionsParams{
		Tenant:  r.tenant,
		Role:    role,
		After:   after,
		MaxRows: maxRows(limit),
	})
	return names, classify(ctx, err, "list a role's permissions")
}

func (r reader) UserPermissions(ctx context.Context, user string, at time.Time, after string, limit int) ([]string, error) {
	names, err := r.queries.UserPermissions(ctx, postgres.UserPermissionsParams{
		Tenant:   r.tenant,
		After:    after,
		Subject:  user,
		At:       micros(at),
		Everyone: authz.Everyone,
		MaxRows:  maxRows(limit),
	})
	return names, classify(ctx, err, "list a user's permissions")
}

func (r reader) CountUserPermissions(ctx context.Context, user string, at time.Time) (int64, error) {
	count, err := r.queries.CountUserPermissions(ctx, postgres.CountUserPermissionsParams{
		Tenant:   r.tenant,
		Subject:  user,
		At:       micros(at),
		Everyone: authz.Everyone,
	})
	return count, classify(ctx, err, "count a user's permissions")
}

func (r reader) UserRoles(ctx context.Context, user string, at time.Time, after string, limit int) ([]string, error) {
	names, err := r.queries.UserRoles(ctx, postgres.UserRolesParams{
		Tenant:  r.tenant,
		Subject: user,
		After:   after,
		At:      micros(at),
		MaxRows: maxRows(limit),
	})
	return names, classify(ctx, err, "list a user's roles")
}

func (r reader) Members(ctx context.Context, role string, at time.Time, after string, limit int) ([]string, error) {
	names, err := r.queries.Members(ctx, postgres.MembersParams{
		Tenant:  r.tenant,
		Role:    role,
		After:   after,
		At:      micros(at),
		MaxRows: maxRows(limit),
	})
	return names, classify(ctx, err, "list a role's members")
}

func (r reader) RolesWithPermission(ctx context.Context, patterns []string, after string, limit int) ([]string, error) {
	names, err := r.queries.RolesWithPermission(ctx, postgres.RolesWithPermissionParams{
		Tenant:        r.tenant,
		Patterns:      jsonList(patterns),
		After:         after,
		BuiltinPrefix: builtinPrefix,
		MaxRows:       maxRows(limit),
	})
	return names, classify(ctx, err, "list the roles with a permission")
}

func (r reader) UsersWithPermission(ctx context.Context, patterns []string, at time.Time, after authz.Member, limit int) ([]authz.Member, error) {
	rows, err := r.queries.UsersWithPermission(ctx, postgres.UsersWithPermissionParams{
		Tenant:       r.tenant,
		At:           micros(at),
		AfterSubject: after.User,
		AfterRole:    after.Role,
		Patterns:     jsonList(patterns),
		MaxRows:      maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "list the users with a permission")
	}
	members := make([]authz.Member, len(rows))
	for i, row := range rows {
		members[i] = authz.Member{User: row.Subject, Role: row.Role}
	}
	return members, nil
}

func (r reader) CountUsersWithPermission(ctx context.Context, patterns []string, at time.Time) (int64, error) {
	count, err := r.queries.CountUsersWithPermission(ctx, postgres.CountUsersWithPermissionParams{
		Tenant:   r.tenant,
		At:       micros(at),
		Patterns: jsonList(patterns),
	})
	return count, classify(ctx, err, "count the users with a permission")
}

func (r reader) Changes(ctx context.Context, after int64, limit int) ([]store.Change, error) {
	rows, err := r.queries.ChangesAfter(ctx, postgres.ChangesAfterParams{
		Tenant:  r.tenant,
		After:   after,
		MaxRows: maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "read the change feed")
	}
	changes := make([]store.Change, len(rows))
	for i, row := range rows {
		changes[i] = store.Change(row)
	}
	return changes, nil
}

func (r reader) AuditEvents(ctx context.Context, filter audit.Filter, before string, limit int) ([]audit.Event, error) {
	if before == "" {
		before = behindAll
	}
	rows, err := r.queries.AuditEvents(ctx, postgres.AuditEventsParams{
		Tenant:    r.tenant,
		Before:    before,
		Since:     micros(filter.Since),
		Until:     endMicros(filter.Until),
		Subject:   filter.User,
		Action:    filter.Action,
		Resource:  filter.Resource,
		Outcome:   filter.Outcome,
		RequestID: filter.RequestID,
		MaxRows:   maxRows(limit),
	})
	if err != nil {
		return nil, classify(ctx, err, "read the audit log")
	}
	events := make([]audit.Event, len(rows))
	for i, row := range rows {
		if events[i], err = eventOf(row); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// decision reads the answer of a check. A tenant that is not there has no row, and
// that denies.
func decision(ctx context.Context, revision, allowed int64, err error, doing string) (authz.Decision, error) {
	switch {
	case isNoRows(err):
		return authz.Decision{}, nil
	case err != nil:
		return authz.Decision{}, classify(ctx, err, doing)
	}
	return authz.Decision{Allowed: allowed == 1, Revision: revision}, nil
}

// jsonList is how a list travels in one argument.
func jsonList(items []string) string {
	if len(items) == 0 {
		return "[]"
	}
	// A list of strings always encodes.
	text, _ := json.Marshal(items)
	return string(text)
}

// behindAll sorts behind every event's id.
const behindAll = "~"

func eventRow(tenant string, revision int64, event audit.Event) (postgres.CreateAuditEventParams, error) {
	details := []byte("{}")
	if len(event.Details) > 0 {
		var err error
		if details, err = json.Marshal(event.Details); err != nil {
			return postgres.CreateAuditEventParams{}, fmt.Errorf("encode an audit event's details: %w", err)
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return postgres.CreateAuditEventParams{}, fmt.Errorf("draw an audit event's id: %w", err)
	}
	return postgres.CreateAuditEventParams{
		Tenant:     tenant,
		ID:         id.String(),
		OccurredAt: micros(event.Time),
		Actor:      storable(event.Actor),
		Action:     storable(event.Action),
		Resource:   storable(event.Resource),
		Subject:    storable(event.User),
		Outcome:    storable(event.Outcome),
		Details:    string(details),
		Ip:         storable(event.IP),
		UserAgent:  storable(event.UserAgent),
		RequestID:  storable(event.RequestID),
		Revision:   revision,
	}, nil
}

// storable replaces what PostgreSQL's text cannot hold and SQLite's can: bytes
// that are not UTF-8, and NUL. A User-Agent may hold either, and must not keep
// its event from being written.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func eventOf(row postgres.AuditEvent) (audit.Event, error) {
	event := audit.Event{
		ID:        row.ID,
		Time:      time.UnixMicro(row.OccurredAt).UTC(),
		Actor:     row.Actor,
		Action:    row.Action,
		Resource:  row.Resource,
		User:      row.Subject,
		Outcome:   row.Outcome,
		IP:        row.Ip,
		UserAgent: row.UserAgent,
		RequestID: row.RequestID,
		Revision:  row.Revision,
	}
	if row.Details != "{}" {
		if err := json.Unmarshal([]byte(row.Details), &event.Details); err != nil {
			return audit.Event{}, fmt.Errorf("decode the details of audit event %s: %w", row.ID, err)
		}
	}
	return event, nil
}
