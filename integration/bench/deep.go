package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// deepQuestion is a way to ask whether a user may edit the plan, which lies four
// levels below the root.
type deepQuestion struct {
	path, body string
	yes        []byte
}

var deepQuestions = []deepQuestion{
	{
		path: "/api/check", body: `{"user":%q,"permission":"edit","resource":{"type":"document","id":"plan"}}`,
		yes: []byte(`"allowed":true`),
	},
	{
		path: "/access/v1/evaluation",
		body: `{"subject":{"type":"user","id":%q},"action":{"name":"edit"},"resource":{"type":"document","id":"plan"}}`,
		yes:  []byte(`"decision":true`),
	},
}

func (q deepQuestion) about(user, key string) []byte {
	return newPost(q.path, key, fmt.Sprintf(q.body, user))
}

// deepChecks compares both ways with bare handlers: warm, where all that is needed
// is in memory, and cold, where each request is the first about its user.
func deepChecks(ctx context.Context, o options, d *databases) error {
	type served struct {
		*gatehouse
		key string
	}
	servers := make([]served, len(kinds))
	for n, kind := range kinds {
		g, err := d.open(ctx, kind, "deep")
		if err != nil {
			return err
		}
		key, tenant, err := g.tenant(ctx)
		if err != nil {
			return err
		}
		if err := fillDeep(ctx, tenant); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		servers[n] = served{g, key}
	}
	var strangers atomic.Int64
	for _, q := range deepQuestions {
		const bare = "bare net/http handler"
		title(fmt.Sprintf("POST %s on a resource four levels deep, %d connections", q.path, o.connections))
		first := servers[0]
		address, err := d.serveBare(ctx, first.address, q.about(editor(0), first.key))
		if err != nil {
			return err
		}
		warm := func(key string) func() []byte {
			var requests [][]byte
			for u := range checkUsers {
				requests = append(requests, q.about(editor(u), key))
			}
			return inTurn(requests)
		}
		contenders := []contender{{bare, "", asking(address, o.connections, q.yes, warm(first.key))}}
		for _, s := range servers {
			cold := func() []byte { return q.about(fmt.Sprintf("stranger-%d@example.com", strangers.Add(1)), s.key) }
			contenders = append(contenders,
				contender{s.kind + ", warm", bare, asking(s.address, o.connections, q.yes, warm(s.key))},
				contender{s.kind + ", cold", bare, asking(s.address, o.connections, q.yes, cold)})
		}
		if err := compare(ctx, o, "", contenders); err != nil {
			return err
		}
	}
	return nil
}

func editor(n int) string { return fmt.Sprintf("editor-%d@example.com", n) }

// fillDeep makes a document below a team, a project and an organization, where the
// organization's editors may edit, and so may everyone: users that nobody has
// asked about come in any number.
func fillDeep(ctx context.Context, tenant *engine.Tenant) error {
	organization, project := authz.Node{Type: "organization", ID: "acme"}, authz.Node{Type: "project", ID: "apollo"}
	team, document := authz.Node{Type: "team", ID: "crew"}, authz.Node{Type: "document", ID: "plan"}
	writes := []func() (authz.Written, error){
		func() (authz.Written, error) { return tenant.PutRole(ctx, authz.RoleDetail{Name: "editor"}) },
		func() (authz.Written, error) {
			return tenant.PutGrant(ctx, "editor", authz.Grant{Permission: "edit"})
		},
		func() (authz.Written, error) {
			return tenant.PutGrant(ctx, authz.Everyone, authz.Grant{Permission: "edit"})
		},
		func() (authz.Written, error) { return tenant.PutScope(ctx, authz.Scope{Node: organization}) },
		func() (authz.Written, error) {
			return tenant.PutScope(ctx, authz.Scope{Node: project, Parent: organization})
		},
		func() (authz.Written, error) { return tenant.PutScope(ctx, authz.Scope{Node: team, Parent: project}) },
		func() (authz.Written, error) {
			return tenant.PutResource(ctx, authz.Resource{Node: document, Parent: team})
		},
	}
	for u := range checkUsers {
		subject := authz.SubjectRef{Type: authz.UserType, Name: editor(u)}
		writes = append(writes, func() (authz.Written, error) {
			return tenant.PutMembership(ctx, authz.Membership{Subject: subject, Role: "editor", Node: organization})
		})
	}
	for _, write := range writes {
		if _, err := write(); err != nil {
			return err
		}
	}
	return nil
}
