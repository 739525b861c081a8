// Command quickstart is a tour of the Go SDK against a running server:
//
//	go run ./cmd/gatehouse serve
//	go run ./examples/quickstart [-url URL] [-key CLIENT_KEY]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8000", "where the server is")
	key := flag.String("key", uuid.NewString(), "the client key; by default a new one, which open registration lets in")
	flag.Parse()
	if err := tour(context.Background(), *url, *key); err != nil {
		log.Fatal(err)
	}
}

func tour(ctx context.Context, url, key string) error {
	client, err := sdk.New(url, key)
	if err != nil {
		return err
	}

	// An editor may edit posts and do all that is done to drafts. Alice is one for a day.
	if _, err := client.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		return fmt.Errorf("add the role: %w", err)
	}
	for _, permission := range []string{"post:edit", "draft:*"} {
		if _, err := client.AddPermission(ctx, "editor", permission); err != nil {
			return fmt.Errorf("grant %s: %w", permission, err)
		}
	}
	oneDay := authz.Window{ExpiresAt: time.Now().Add(24 * time.Hour)}
	if _, err := client.AddMembership(ctx, "alice@example.com", "editor", oneDay); err != nil {
		return fmt.Errorf("make Alice an editor: %w", err)
	}

	for _, user := range []string{"alice@example.com", "bob@example.com"} {
		decision, err := client.UserHasPermission(ctx, user, "post:edit")
		if err != nil {
			return fmt.Errorf("ask for %s: %w", user, err) // an error never allows
		}
		fmt.Printf("may %s edit posts? %t\n", user, decision.Allowed)
	}

	// All reads every page of a list.
	for member, err := range authz.All(func(page authz.Page) (authz.List[authz.Member], error) {
		return client.WhichUsersCan(ctx, "draft:delete", page)
	}) {
		if err != nil {
			return fmt.Errorf("list who can delete drafts: %w", err)
		}
		fmt.Printf("%s can delete drafts, as %s\n", member.User, member.Role)
	}
	return nil
}
