package main

import (
	"context"
	"path/filepath"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
	"github.com/gatehouse/gatehouse/sdk"
)

// gatehouse is what this application asks of Gatehouse. The engine's Tenant and the
// SDK's Client have the same methods, so the rest of the program cannot tell them
// apart.
type gatehouse interface {
	authz.Checker        // may this user do this, here?
	middleware.Sessioner // is this session still the person it was opened for?
	sessionKeeper        // "my sessions"
	policyReader         // the home page and the admin page
	policyWriter         // policy.go
}

type sessionKeeper interface {
	Session(ctx context.Context, id string) (authz.Session, error)
	Sessions(ctx context.Context, user string, withEnded bool, page authz.Page) (authz.List[authz.Session], error)
	EndSessions(ctx context.Context, user, except string) (int64, error)
}

type policyReader interface {
	CheckBatch(ctx context.Context, requests []authz.Request) ([]authz.Decision, error)
	ResourcesFor(ctx context.Context, request authz.Request, resourceType string, page authz.Page) (authz.List[string], error)
	Scope(ctx context.Context, scope authz.Node) (authz.Snapshot[authz.Scope], error)
	Scopes(ctx context.Context, kind authz.Kind, parent authz.Node, page authz.Page) (authz.List[authz.Scope], error)
	NodeMembers(ctx context.Context, at authz.Node, page authz.Page) (authz.List[authz.Membership], error)
}

type policyWriter interface {
	PutScope(ctx context.Context, scope authz.Scope) (authz.Written, error)
	PutRole(ctx context.Context, role authz.RoleDetail) (authz.Written, error)
	PutGrant(ctx context.Context, role string, grant authz.Grant) (authz.Written, error)
	PutMembership(ctx context.Context, membership authz.Membership) (authz.Written, error)
	AddToGroup(ctx context.Context, group string, member authz.SubjectRef) (authz.Written, error)
}

// openGatehouse returns the tenant of this application: that of the client key on a
// server, or one in this process on a database file of its own.
func openGatehouse(ctx context.Context, data, server, key string) (gatehouse, func() error, error) {
	if server != "" {
		client, err := sdk.New(server, key)
		return client, func() error { return nil }, err
	}
	e, err := engine.Open(ctx, engine.Config{Database: "sqlite:" + filepath.Join(data, "gatehouse.sqlite3")})
	if err != nil {
		return nil, nil, err
	}
	return e.Tenant("notes"), e.Close, nil
}
