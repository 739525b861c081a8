package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// BenchmarkCheck measures a check in the steady state, where all that it needs is in
// memory: at the root, and on a resource four levels below it.
func BenchmarkCheck(b *testing.B) {
	e, err := engine.Open(b.Context(), engine.Config{Database: filepath.Join(b.TempDir(), "gatehouse.sqlite3")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	tenant := e.Tenant("bench")
	post := fill(b, tenant)
	for name, request := range map[string]authz.Request{
		"root":       {User: "alice", Permission: "read"},
		"resource":   {User: "alice", Permission: "edit", Resource: &authz.RequestedResource{Node: post}},
		"condition":  {User: "alice", Permission: "approve", Resource: &authz.RequestedResource{Node: post}, Context: map[string]any{"ok": true}},
		"denied":     {User: "alice", Permission: "delete", Resource: &authz.RequestedResource{Node: post}},
		"not_stored": {User: "alice", Permission: "edit", Resource: &authz.RequestedResource{Node: authz.Node{Type: "post", ID: "new"}, Parent: authz.Node{Type: "team", ID: "crew"}}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				got, err := tenant.Check(b.Context(), request)
				if err != nil || got.Allowed != (name != "denied") {
					b.Fatalf("got %+v, %v", got, err)
				}
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got, err := tenant.Check(b.Context(), request); err != nil || got.Allowed != (name != "denied") {
						b.Errorf("got %+v, %v", got, err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkSessions measures what a request of a browser costs: each rotates its token,
// or only has it verified. In parallel each goroutine has a session of its own.
func BenchmarkSessions(b *testing.B) {
	for name, database := range map[string]func() string{
		"sqlite":     func() string { return filepath.Join(b.TempDir(), "gatehouse.sqlite3") },
		"postgresql": func() string { return pgtest.URL(b) },
	} {
		b.Run(name, func(b *testing.B) {
			e, err := engine.Open(b.Context(), engine.Config{Database: database(), AutoMigrate: true, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = e.Close() })
			tenant := e.Tenant("bench")
			begin := func(b *testing.B) authz.PresentedSession {
				issued, err := tenant.CreateSession(b.Context(), authz.NewSession{User: "alice", IP: home, UserAgent: browser})
				if err != nil {
					b.Fatal(err)
				}
				return from(home, issued.Token)
			}
			rotate := func(b *testing.B, presented *authz.PresentedSession) error {
				rotated, err := tenant.RotateSession(b.Context(), *presented)
				presented.Token = rotated.Token
				return err
			}
			verify := func(b *testing.B, presented *authz.PresentedSession) error {
				status, err := tenant.VerifySession(b.Context(), *presented)
				if err == nil && !status.Active {
					return errors.New("not active")
				}
				return err
			}
			for name, use := range map[string]func(*testing.B, *authz.PresentedSession) error{"rotate": rotate, "verify": verify} {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for presented := begin(b); b.Loop(); {
						if err := use(b, &presented); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.Run(name+"/parallel", func(b *testing.B) {
					b.ReportAllocs()
					b.SetParallelism(8)
					b.RunParallel(func(pb *testing.PB) {
						for presented := begin(b); pb.Next(); {
							if err := use(b, &presented); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			}
		})
	}
}

// fill writes a tenant with a resource four levels below the root, where alice may
// read at the root, edit by the organization, and approve under a condition.
func fill(b *testing.B, tenant *engine.Tenant) (post authz.Node) {
	b.Helper()
	ctx := b.Context()
	must := func(_ authz.Written, err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	org, project, team := authz.Node{Type: "organization", ID: "acme"}, authz.Node{Type: "project", ID: "apollo"}, authz.Node{Type: "team", ID: "crew"}
	post = authz.Node{Type: "post", ID: "1"}
	for n := range 100 {
		role := fmt.Sprint("role", n)
		must(tenant.PutRole(ctx, authz.RoleDetail{Name: role}))
		must(tenant.PutGrant(ctx, role, authz.Grant{Permission: fmt.Sprint("do", n)}))
		must(tenant.AddMembership(ctx, "alice", role, authz.Window{}))
	}
	for role, grant := range map[string]authz.Grant{
		"reader": {Permission: "read"}, "editor": {Permission: "edit"}, "approver": {Permission: "approve", Condition: "context.ok == true"},
		"admin": {Permission: "delete"},
	} {
		must(tenant.PutRole(ctx, authz.RoleDetail{Name: role}))
		must(tenant.PutGrant(ctx, role, grant))
	}
	must(tenant.PutScope(ctx, authz.Scope{Node: org}))
	must(tenant.PutScope(ctx, authz.Scope{Node: project, Parent: org}))
	must(tenant.PutScope(ctx, authz.Scope{Node: team, Parent: project}))
	must(tenant.PutResource(ctx, authz.Resource{Node: post, Parent: team}))
	must(tenant.AddMembership(ctx, "alice", "reader", authz.Window{}))
	must(tenant.PutMembership(ctx, authz.Membership{Subject: userRef("alice"), Role: "editor", Node: org}))
	must(tenant.PutMembership(ctx, authz.Membership{Subject: userRef("alice"), Role: "approver", Node: project}))
	return post
}
