// Command embedded is the tour of quickstart without a server: Gatehouse in
// process, on a database file.
//
//	go run ./examples/embedded [-database FILE]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

func main() {
	database := flag.String("database", "embedded.sqlite3", "a SQLite file, or postgres://…")
	flag.Parse()
	if err := tour(context.Background(), *database); err != nil {
		log.Fatal(err)
	}
}

func tour(ctx context.Context, database string) (err error) {
	gatehouse, err := engine.Open(ctx, engine.Config{Database: database, AutoMigrate: true})
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { err = errors.Join(err, gatehouse.Close()) }()

	// A tenant is a namespace of its own; its first change creates it.
	newsroom := gatehouse.Tenant("newsroom")

	// An editor may edit posts and do all that is done to drafts. Alice is one for a day.
	if _, err := newsroom.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		return fmt.Errorf("add the role: %w", err)
	}
	for _, permission := range []string{"post:edit", "draft:*"} {
		if _, err := newsroom.AddPermission(ctx, "editor", permission); err != nil {
			return fmt.Errorf("grant %s: %w", permission, err)
		}
	}
	oneDay := authz.Window{ExpiresAt: time.Now().Add(24 * time.Hour)}
	if _, err := newsroom.AddMembership(ctx, "alice@example.com", "editor", oneDay); err != nil {
		return fmt.Errorf("make Alice an editor: %w", err)
	}

	for _, user := range []string{"alice@example.com", "bob@example.com"} {
		decision, err := newsroom.UserHasPermission(ctx, user, "post:edit")
		if err != nil {
			return fmt.Errorf("ask for %s: %w", user, err) // an error never allows
		}
		fmt.Printf("may %s edit posts? %t\n", user, decision.Allowed)
	}

	// All reads every page of a list.
	for member, err := range authz.All(func(page authz.Page) (authz.List[authz.Member], error) {
		return newsroom.WhichUsersCan(ctx, "draft:delete", page)
	}) {
		if err != nil {
			return fmt.Errorf("list who can delete drafts: %w", err)
		}
		fmt.Printf("%s can delete drafts, as %s\n", member.User, member.Role)
	}
	return nil
}
