package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	openfgav1 "github.com/openfga/api/proto/openfga/v1"
	parser "github.com/openfga/language/pkg/go/transformer"
	fga "github.com/openfga/openfga/pkg/server"
	"github.com/openfga/openfga/pkg/storage/memory"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// fgaModel is Gatehouse's tree with an editor's role at each level, as OpenFGA's
// documentation models parents.
const fgaModel = `model
  schema 1.1
type user
type organization
  relations
    define admin: [user]
type project
  relations
    define parent: [organization]
    define editor: [user] or admin from parent
    define admin: admin from parent
type team
  relations
    define parent: [project]
    define editor: [user] or editor from parent
type document
  relations
    define parent: [team]
    define can_edit: [user] or editor from parent
`

// againstOpenFGA asks both: each is are asked in process and through their whole engines.
func againstOpenFGA(r *report) error {
	ctx := context.Background()
	r.title("OpenFGA v1.22.1, server in process, memory store; Gatehouse's engine in process, SQLite, in the steady state")
	theirs, closeTheirs, err := newFGA(ctx)
	if err != nil {
		return err
	}
	defer closeTheirs()
	ours, closeOurs, err := newTenant(ctx)
	if err != nil {
		return err
	}
	defer closeOurs()
	r.header("question", "OpenFGA", "allocs", "Gatehouse", "allocs", "OpenFGA/Gatehouse")
	for _, question := range []struct {
		name, user string
		allowed    bool
	}{
		{"user at the document", "direct", true},
		{"team via project", "via-project", true},
		{"organization's admin", "org-admin", true},
		{"denied", "stranger", false},
	} {
		fgaTime := r.measure(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := theirs(ctx, question.user); err != nil || got != question.allowed {
					b.Fatal(got, err)
				}
			}
		})
		request := authz.Request{
			User: question.user, Permission: "edit",
			Resource: &authz.RequestedResource{Node: document},
		}
		ourTime := r.measure(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := ours.Check(ctx, request); err != nil || got.Allowed != question.allowed {
					b.Fatal(got, err)
				}
			}
		})
		r.row(question.name, fgaTime.time(), fgaTime.allocs(), ourTime.time(), ourTime.allocs(), ratio(fgaTime, ourTime))
	}
	return nil
}

// newFGA returns a server's answer to whether a user may edit the document.
func newFGA(ctx context.Context) (check func(context.Context, string) (bool, error), stop func(), err error) {
	server, err := fga.NewServerWithOpts(fga.WithDatastore(memory.New()))
	if err != nil {
		return nil, nil, fmt.Errorf("start OpenFGA: %w", err)
	}
	store, err := server.CreateStore(ctx, &openfgav1.CreateStoreRequest{Name: "bench"})
	if err != nil {
		return nil, nil, fmt.Errorf("make OpenFGA's store: %w", err)
	}
	model, err := parser.TransformDSLToProto(fgaModel)
	if err != nil {
		return nil, nil, fmt.Errorf("read OpenFGA's model: %w", err)
	}
	written, err := server.WriteAuthorizationModel(ctx, &openfgav1.WriteAuthorizationModelRequest{
		StoreId: store.GetId(), SchemaVersion: model.GetSchemaVersion(), TypeDefinitions: model.GetTypeDefinitions(),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("write OpenFGA's model: %w", err)
	}
	var tuples []*openfgav1.TupleKey
	for _, t := range [][3]string{
		{"organization:acme", "parent", "project:apollo"},
		{"project:apollo", "parent", "team:crew"},
		{"team:crew", "parent", "document:plan"},
		{"user:direct", "can_edit", "document:plan"},
		{"user:via-project", "editor", "project:apollo"},
		{"user:org-admin", "admin", "organization:acme"},
	} {
		tuples = append(tuples, &openfgav1.TupleKey{User: t[0], Relation: t[1], Object: t[2]})
	}
	_, err = server.Write(ctx, &openfgav1.WriteRequest{
		StoreId: store.GetId(), AuthorizationModelId: written.GetAuthorizationModelId(),
		Writes: &openfgav1.WriteRequestWrites{TupleKeys: tuples},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("write OpenFGA's tuples: %w", err)
	}
	return func(ctx context.Context, user string) (bool, error) {
		answer, err := server.Check(ctx, &openfgav1.CheckRequest{
			StoreId: store.GetId(), AuthorizationModelId: written.GetAuthorizationModelId(),
			TupleKey: &openfgav1.CheckRequestTupleKey{User: "user:" + user, Relation: "can_edit", Object: "document:plan"},
		})
		return answer.GetAllowed(), err
	}, server.Close, nil
}

var document = authz.Node{Type: "document", ID: "plan"}

// newTenant makes the same tree and roles in Gatehouse.
func newTenant(ctx context.Context) (tenant *engine.Tenant, stop func(), err error) {
	folder, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder: %w", err)
	}
	e, err := engine.Open(ctx, engine.Config{Database: filepath.Join(folder, "gatehouse.sqlite3")})
	if err != nil {
		return nil, nil, fmt.Errorf("open the engine: %w", err)
	}
	tenant = e.Tenant("bench")
	org, project, team := authz.Node{Type: "organization", ID: "acme"}, authz.Node{Type: "project", ID: "apollo"}, authz.Node{Type: "team", ID: "crew"}
	member := func(user string, node authz.Node) func() (authz.Written, error) {
		return func() (authz.Written, error) {
			subject := authz.SubjectRef{Type: authz.UserType, Name: user}
			return tenant.PutMembership(ctx, authz.Membership{Subject: subject, Role: "editor", Node: node})
		}
	}
	for _, write := range []func() (authz.Written, error){
		func() (authz.Written, error) { return tenant.PutRole(ctx, authz.RoleDetail{Name: "editor"}) },
		func() (authz.Written, error) {
			return tenant.PutGrant(ctx, "editor", authz.Grant{Permission: "edit"})
		},
		func() (authz.Written, error) { return tenant.PutScope(ctx, authz.Scope{Node: org}) },
		func() (authz.Written, error) { return tenant.PutScope(ctx, authz.Scope{Node: project, Parent: org}) },
		func() (authz.Written, error) { return tenant.PutScope(ctx, authz.Scope{Node: team, Parent: project}) },
		func() (authz.Written, error) {
			return tenant.PutResource(ctx, authz.Resource{Node: document, Parent: team})
		},
		member("direct", document), member("via-project", project), member("org-admin", org),
	} {
		if _, err := write(); err != nil {
			return nil, nil, fmt.Errorf("fill the tenant: %w", err)
		}
	}
	return tenant, func() {
		_ = e.Close()
		_ = os.RemoveAll(folder)
	}, nil
}
