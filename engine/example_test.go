package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

func Example() {
	folder, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	ctx := context.Background()
	e, err := engine.Open(ctx, engine.Config{Database: filepath.Join(folder, "gatehouse.sqlite3")})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()

	blog := e.Tenant("blog")
	if _, err := blog.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
		log.Fatal(err)
	}
	if _, err := blog.AddPermission(ctx, "editor", "post:*"); err != nil {
		log.Fatal(err)
	}
	if _, err := blog.AddMembership(ctx, "alice@example.com", "editor", authz.Window{
		ExpiresAt: time.Now().Add(24 * time.Hour),
	}); err != nil {
		log.Fatal(err)
	}

	decision, err := blog.UserHasPermission(ctx, "alice@example.com", "post:edit")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("alice may edit posts:", decision.Allowed)

	_, err = blog.AddMembership(ctx, "bob@example.com", "reviewer", authz.Window{})
	fmt.Println("bob becomes a reviewer:", errors.Is(err, engine.ErrNotFound), err)

	// Output:
	// alice may edit posts: true
	// bob becomes a reviewer: true role "reviewer" does not exist
}
