//go:build unix

package engine_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// TestReplicaAndPrimaryListTheSame asks every list of one engine with a replica and of one
// without, first while the replica is up to date, and then while it lacks what was written
// after the first page.
func TestReplicaAndPrimaryListTheSame(t *testing.T) {
	t.Parallel()
	primary, standby := pgtest.Pair(t)
	database, err := primary.CreateDatabase(t.Context())
	must(t, err)
	config := engine.Config{Database: primary.URL(database), AutoMigrate: true, AuditDecisions: engine.DecisionsAll}
	plain := openEngine(t, config)
	config.Replicas = []string{standby.URL(database)}
	replicated := openEngine(t, config)
	tenant := replicated.Tenant("tenant")
	populate := func(from, to int) {
		t.Helper()
		_, err := tenant.Batch(t.Context(), func(x *engine.Tenant) error {
			for n := from; n < to; n++ {
				user, role := fmt.Sprintf("user-%d", n), fmt.Sprintf("role-%d", n)
				for _, err := range []error{
					second(x.PutRole(t.Context(), authz.RoleDetail{Name: role})),
					second(x.PutGrant(t.Context(), role, authz.Grant{Permission: "post:edit"})),
					second(x.AddMembership(t.Context(), user, role, authz.Window{})),
					second(x.PutUser(t.Context(), authz.User{Name: user})),
					second(x.PutResource(t.Context(), authz.Resource{Node: authz.Node{Type: "post", ID: user}})),
				} {
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		must(t, err)
		_, err = tenant.UserHasPermission(t.Context(), "user-1", fmt.Sprintf("asked-%d", from))
		must(t, err)
	}
	lists := map[string]func(*engine.Tenant, authz.Page) (any, string, error){
		"users":     listed((*engine.Tenant).Users, func(u authz.User) any { return u.Name }),
		"roles":     listed((*engine.Tenant).Roles, func(r authz.Role) any { return r.Name }),
		"catalogue": listed((*engine.Tenant).Permissions, func(p authz.CatalogueEntry) any { return p }),
		"members": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[authz.Member], error) {
			return x.Members(ctx, "role-0", page)
		}, func(m authz.Member) any { return m }),
		"which users can": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[authz.Member], error) {
			return x.WhichUsersCan(ctx, "post:edit", page)
		}, func(m authz.Member) any { return m }),
		"workflow users": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[authz.Member], error) {
			return x.WorkflowUsers(ctx, "post:edit", page)
		}, func(m authz.Member) any { return m }),
		"subjects": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[string], error) {
			return x.Subjects(ctx, authz.Request{Permission: "post:edit"}, page)
		}, func(s string) any { return s }),
		"resources": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[string], error) {
			return x.ResourcesFor(ctx, authz.Request{User: "user-1", Permission: "post:edit"}, "post", page)
		}, func(s string) any { return s }),
		"audit": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[engine.AuditEvent], error) {
			return x.AuditEvents(ctx, engine.AuditFilter{Action: audit.RoleCreated}, page)
		}, func(e engine.AuditEvent) any { return e.ID }),
		"decisions": listed(func(x *engine.Tenant, ctx context.Context, page authz.Page) (authz.List[engine.LoggedDecision], error) {
			return x.LoggedDecisions(ctx, engine.DecisionFilter{}, page)
		}, func(d engine.LoggedDecision) any { return d.ID }),
	}
	populate(0, 5)
	must(t, standby.CatchUp(t.Context()))
	awaitReplica(t, replicated)
	next := map[string]string{}
	for name, list := range lists {
		page := authz.Page{Limit: 2}
		var got any
		// The replica may be behind what the engine writes by itself meanwhile.
		eventually(t, name+" is answered by the replica", func() bool {
			before := replicated.Stats().ReplicaReads.Answered
			var err error
			got, next[name], err = list(tenant, page)
			must(t, err)
			return replicated.Stats().ReplicaReads.Answered == before+1
		})
		want, _, err := list(plain.Tenant("tenant"), page)
		must(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}

	must(t, standby.PauseReplay(t.Context()))
	populate(5, 9)
	for name, list := range lists {
		for cursor, pages := next[name], 0; cursor != "" && pages < 10; pages++ {
			page := authz.Page{Limit: 2, Cursor: cursor}
			want, _, err := list(plain.Tenant("tenant"), page)
			must(t, err)
			var got any
			got, cursor, err = list(tenant, page)
			must(t, err)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, page %d: got %v, want %v", name, pages+2, got, want)
			}
		}
	}
	if got := replicated.Stats().ReplicaReads; got.Behind == 0 {
		t.Errorf("answered by %+v, want some reads for which the replica was behind", got)
	}
}

// listed makes a list of any kind comparable.
func listed[T any](list func(*engine.Tenant, context.Context, authz.Page) (authz.List[T], error), show func(T) any) func(*engine.Tenant, authz.Page) (any, string, error) {
	return func(x *engine.Tenant, page authz.Page) (any, string, error) {
		l, err := list(x, context.Background(), page)
		shown := []any{l.Revision, l.Total}
		for _, item := range l.Items {
			shown = append(shown, show(item))
		}
		return shown, l.Next, err
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// awaitReplica waits until an engine has found its replica, which it does in the
// background.
func awaitReplica(t *testing.T, e *engine.Engine) {
	t.Helper()
	eventually(t, "a replica to answer", func() bool {
		answers, err := e.ReplicasAnswer(t.Context(), "tenant")
		must(t, err)
		return answers
	})
}
