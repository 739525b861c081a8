package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/sdk"
	"github.com/gatehouse/gatehouse/server"
)

// exampleServer stands for a server that runs elsewhere.
func exampleServer() (address string, stop func()) {
	folder, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		log.Fatal(err)
	}
	e, err := engine.Open(context.Background(), engine.Config{
		Database:         filepath.Join(folder, "gatehouse.sqlite3"),
		OpenRegistration: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	handler, err := server.New(server.Config{Engine: e})
	if err != nil {
		log.Fatal(err)
	}
	s := httptest.NewServer(handler)
	return s.URL, func() {
		s.Close()
		_ = e.Close()
		_ = os.RemoveAll(folder)
	}
}

func Example() {
	address, stop := exampleServer()
	defer stop()

	client, err := sdk.New(address, "7f2b5c1e-3d4a-4b6c-8e9f-0a1b2c3d4e5f")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := client.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		log.Fatal(err)
	}
	if _, err := client.AddPermission(ctx, "editor", "post:*"); err != nil {
		log.Fatal(err)
	}
	if _, err := client.AddMembership(ctx, "alice@example.com", "editor", authz.Window{}); err != nil {
		log.Fatal(err)
	}
	for _, user := range []string{"alice@example.com", "bob@example.com"} {
		decision, err := client.UserHasPermission(ctx, user, "post:edit")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(user, decision.Allowed)
	}
	// Output:
	// alice@example.com true
	// bob@example.com false
}

func ExampleClient_Check() {
	address, stop := exampleServer()
	defer stop()

	client, err := sdk.New(address, "2c9e4a7b-8d1f-4b3a-a6c5-9e0f1d2b3c4a")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	apollo := authz.Node{Type: "project", ID: "apollo"}
	plan := authz.Node{Type: "document", ID: "plan"}
	if _, err := client.PutScope(ctx, authz.Scope{Node: authz.Node{Type: "organization", ID: "acme"}}); err != nil {
		log.Fatal(err)
	}
	if _, err := client.PutScope(ctx, authz.Scope{Node: apollo, Parent: authz.Node{Type: "organization", ID: "acme"}}); err != nil {
		log.Fatal(err)
	}
	if _, err := client.PutRole(ctx, authz.RoleDetail{Name: "maintainer"}); err != nil {
		log.Fatal(err)
	}
	draft := authz.Grant{Permission: "document:edit", Condition: `resource.properties.status == "draft"`}
	if _, err := client.PutGrant(ctx, "maintainer", draft); err != nil {
		log.Fatal(err)
	}
	written, err := client.PutMembership(ctx, authz.Membership{
		Subject: authz.SubjectRef{Type: authz.UserType, Name: "erin"}, Role: "maintainer", Node: apollo,
	})
	if err != nil {
		log.Fatal(err)
	}

	// The document need not be stored: the application tells what it knows of it.
	for _, status := range []string{"draft", "published"} {
		decision, err := client.AtLeast(written.Revision).Check(ctx, authz.Request{
			User: "erin", Permission: "document:edit", Explain: true,
			Resource: &authz.RequestedResource{Node: plan, Parent: apollo, Properties: map[string]any{"status": status}},
		})
		if err != nil {
			log.Fatal(err) // an error never allows
		}
		for _, reason := range decision.Reasons {
			fmt.Println(decision.Allowed, reason.Outcome, reason.Role, reason.At)
		}
	}
	// Output:
	// true granted maintainer project:apollo
	// false condition_false maintainer project:apollo
}

func ExampleError() {
	address, stop := exampleServer()
	defer stop()

	client, err := sdk.New(address, "0b8e9f2a-5c6d-4e7f-9a0b-1c2d3e4f5a6b")
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.AddPermission(context.Background(), "editor", "post:edit")
	var failure *sdk.Error
	if errors.Is(err, sdk.ErrNotFound) && errors.As(err, &failure) {
		fmt.Println(failure.Status, failure.Detail)
	}
	// Output: 404 role "editor" does not exist
}

func ExampleClient_Members() {
	address, stop := exampleServer()
	defer stop()

	client, err := sdk.New(address, "5d6e7f8a-9b0c-4d1e-8f2a-3b4c5d6e7f8a")
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	if _, err := client.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		log.Fatal(err)
	}
	for _, user := range []string{"carol", "alice", "bob"} {
		if _, err := client.AddMembership(ctx, user, "editor", authz.Window{}); err != nil {
			log.Fatal(err)
		}
	}
	for member, err := range authz.All(func(page authz.Page) (authz.List[authz.Member], error) {
		return client.Members(ctx, "editor", page)
	}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(member.User)
	}
	// Output:
	// alice
	// bob
	// carol
}
