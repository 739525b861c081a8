package engine_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
)

// TestScale builds a tenant at the limits that are promised and asks in every
// direction: 100,000 scopes, 1,000 groups nested 10 deep, a user with 10,000
// memberships, and roles that inherit 50 deep. PostgreSQL, where each mutation is a
// round trip, gets a tenth of the scopes and memberships.
func TestScale(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIP: 100,000 scopes take a while to make, and -short leaves them out")
	}
	open := func(t *testing.T, database string) *engine.Tenant {
		return openEngine(t, engine.Config{Database: database, AutoMigrate: true, DisableAudit: true}).Tenant("large")
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		testScale(t, open(t, filepath.Join(t.TempDir(), "scale.sqlite3")), 99_000, 10_000)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		testScale(t, open(t, pgtest.URL(t)), 9_900, 1000)
	})
}

const (
	scaleProjects        = 1000
	scaleGroupsPerLevel  = 100
	scaleLevels          = 10
	scaleRoles           = 51
	scaleMutationsPerRun = 1000
)

func testScale(t *testing.T, tenant *engine.Tenant, teams, memberships int) {
	ctx := t.Context()
	inRuns(t, tenant, scaleRoles, func(x *engine.Tenant, i int) error {
		role := authz.RoleDetail{Name: fmt.Sprint("role-", i)}
		if i > 0 {
			role.Inherits = []string{fmt.Sprint("role-", i-1)}
		}
		_, err := x.PutRole(ctx, role)
		return err
	})
	if _, err := tenant.PutGrant(ctx, "role-0", authz.Grant{Permission: "deep"}); err != nil {
		t.Fatal(err)
	}
	organization := authz.Node{Type: "organization", ID: "acme"}
	if _, err := tenant.PutScope(ctx, authz.Scope{Node: organization}); err != nil {
		t.Fatal(err)
	}
	inRuns(t, tenant, scaleProjects, func(x *engine.Tenant, i int) error {
		_, err := x.PutScope(ctx, authz.Scope{Node: project(i), Parent: organization})
		return err
	})
	inRuns(t, tenant, teams, func(x *engine.Tenant, i int) error {
		_, err := x.PutScope(ctx, authz.Scope{Node: team(i), Parent: project(i % scaleProjects)})
		return err
	})
	inRuns(t, tenant, scaleGroupsPerLevel*(scaleLevels-1), func(x *engine.Tenant, i int) error {
		_, err := x.AddToGroup(ctx, group(i+scaleGroupsPerLevel), authz.SubjectRef{Type: authz.GroupType, Name: group(i)})
		return err
	})
	inRuns(t, tenant, memberships, func(x *engine.Tenant, i int) error {
		_, err := x.PutMembership(ctx, authz.Membership{
			Subject: authz.SubjectRef{Type: authz.UserType, Name: "everywhere"}, Role: "role-50", Node: team(i),
		})
		return err
	})
	if _, err := tenant.AddToGroup(ctx, group(7), authz.SubjectRef{Type: authz.UserType, Name: "nested"}); err != nil {
		t.Fatal(err)
	}
	top := group(scaleGroupsPerLevel*(scaleLevels-1) + 7)
	if _, err := tenant.PutMembership(ctx, authz.Membership{
		Subject: authz.SubjectRef{Type: authz.GroupType, Name: top}, Role: "role-50", Node: organization,
	}); err != nil {
		t.Fatal(err)
	}

	for _, ask := range []struct {
		user string
		node authz.Node
		want bool
	}{
		{"nested", team(teams - 1), true}, {"nested", organization, true}, {"nested", authz.Node{Type: "team", ID: "unknown"}, false},
		{"everywhere", team(0), true}, {"everywhere", team(memberships - 1), true}, {"everywhere", team(memberships), false},
		{"everywhere", project(0), false}, {"stranger", team(0), false},
	} {
		d, err := tenant.Check(ctx, authz.Request{
			User: ask.user, Permission: "deep", Resource: &authz.RequestedResource{Node: ask.node}, Explain: true,
		})
		if err != nil || d.Allowed != ask.want {
			t.Errorf("%s at %s: got %t, %v, want %t", ask.user, ask.node, d.Allowed, err, ask.want)
		}
		if ask.want && len(d.Reasons[0].Inheritance) != scaleRoles {
			t.Errorf("%s at %s: got a way of %d roles, want %d", ask.user, ask.node, len(d.Reasons[0].Inheritance), scaleRoles)
		}
	}
	users, err := tenant.Subjects(ctx, authz.Request{Permission: "deep", Resource: &authz.RequestedResource{Node: team(0)}}, authz.Page{})
	if err != nil || fmt.Sprint(users.Items) != "[everywhere nested]" {
		t.Errorf("who can at a team: got %v, %v", users.Items, err)
	}
	reached := 0
	for _, err := range authz.All(func(page authz.Page) (authz.List[string], error) {
		page.Limit = engine.MaxPage
		return tenant.ResourcesFor(ctx, authz.Request{User: "everywhere", Permission: "deep"}, "team", page)
	}) {
		if err != nil {
			t.Fatal(err)
		}
		reached++
	}
	if reached != memberships {
		t.Errorf("teams that a user can reach: got %d, want %d", reached, memberships)
	}
	if deleted, err := tenant.DeleteScope(ctx, organization); err != nil || !deleted.Changed {
		t.Fatalf("delete everything: %v", err)
	}
	if d, err := tenant.Check(ctx, authz.Request{
		User: "everywhere", Permission: "deep", Resource: &authz.RequestedResource{Node: team(0)},
	}); err != nil || d.Allowed {
		t.Errorf("after everything is deleted: got %t, %v", d.Allowed, err)
	}
}

// inRuns carries out n mutations, a thousand in a transaction.
func inRuns(t *testing.T, tenant *engine.Tenant, n int, mutate func(*engine.Tenant, int) error) {
	t.Helper()
	for from := 0; from < n; from += scaleMutationsPerRun {
		_, err := tenant.Batch(t.Context(), func(x *engine.Tenant) error {
			for i := from; i < min(n, from+scaleMutationsPerRun); i++ {
				if err := mutate(x, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func project(i int) authz.Node { return authz.Node{Type: "project", ID: fmt.Sprint("project-", i)} }
func team(i int) authz.Node    { return authz.Node{Type: "team", ID: fmt.Sprint("team-", i)} }
func group(i int) string       { return fmt.Sprint("group-", i) }
