package server

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// ok is the message of every success.
const ok = "OK"

const timestampLayout = "2006-01-02T15:04:05.000000Z07:00"

// timestamp is the present, as every envelope carries it.
func timestamp() string { return time.Now().UTC().Format(timestampLayout) }

// page reads the parameters that every list takes. A limit of 0 is no limit that
// a caller may ask for, though it stands for the default within.
func page(limit *int, cursor *string) (authz.Page, error) {
	var p authz.Page
	if limit != nil {
		if *limit < 1 {
			return p, fault.Invalid("limit: must be between 1 and 10000")
		}
		p.Limit = *limit
	}
	if cursor != nil {
		p.Cursor = *cursor
	}
	return p, nil
}

// given reads a time that a request may hold. The zero time, which Go clients send
// for one that was never set, would count as absent within, and so turn an end into
// none: it is refused.
func given(field string, t *time.Time) (time.Time, error) {
	switch {
	case t == nil:
		return time.Time{}, nil
	case kept(*t).IsZero():
		return time.Time{}, fault.Invalid("%s: must not be the zero time; leave it out to set no bound", field)
	default:
		return *t, nil
	}
}

// next is the Link header (RFC 8288) to the page at a cursor; nil where there is
// none.
func next(ctx context.Context, cursor string) *string {
	if cursor == "" {
		return nil
	}
	u := exchangeOf(ctx).request.URL
	query := u.Query()
	query.Set("cursor", cursor)
	link := "<" + u.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
	return &link
}

// staleHeader marks an answer that was made from memory while the database is
// away, with the seconds that it has been.
const staleHeader = "Gatehouse-Stale"

func markStale(ctx context.Context, stale time.Duration) {
	if stale > 0 {
		seconds := int64((stale + time.Second - 1) / time.Second)
		exchangeOf(ctx).Header().Set(staleHeader, strconv.FormatInt(seconds, 10))
	}
}

func result(value bool, revision int64) api.ResultResponseJSONResponse {
	return api.ResultResponseJSONResponse{
		Body:    api.ResultEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: api.Result{Result: value}},
		Headers: api.ResultResponseResponseHeaders{GatehouseRevision: &revision},
	}
}

func decision(ctx context.Context, d authz.Decision) api.DecisionResponseJSONResponse {
	markStale(ctx, d.Stale)
	return api.DecisionResponseJSONResponse{
		Body: api.DecisionEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(),
			Data: api.DecisionAnswer{HasPermission: d.Allowed},
		},
		Headers: api.DecisionResponseResponseHeaders{GatehouseRevision: &d.Revision},
	}
}

func memberList(ctx context.Context, l authz.List[authz.Member]) api.MemberListResponseJSONResponse {
	markStale(ctx, l.Stale)
	return api.MemberListResponseJSONResponse{
		Body:    api.MemberListEnvelope{Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: members(l.Items)},
		Headers: api.MemberListResponseResponseHeaders{GatehouseRevision: &l.Revision, Link: next(ctx, l.Next)},
	}
}

func members(items []authz.Member) []api.Member {
	return convert(items, func(m authz.Member) api.Member { return api.Member{User: m.User, Role: m.Role} })
}

func permissionNames(items []string) []api.PermissionName {
	return convert(items, func(name string) api.PermissionName { return api.PermissionName{Name: name} })
}

// convert never returns nil, which JSON would show as null.
func convert[From, To any](items []From, to func(From) To) []To {
	converted := make([]To, len(items))
	for i, item := range items {
		converted[i] = to(item)
	}
	return converted
}
