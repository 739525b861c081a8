package workflow_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/sdk"
	"github.com/gatehouse/gatehouse/sdk/workflow"
)

var (
	_ workflow.Lister = (*engine.Tenant)(nil)
	_ workflow.Lister = (*sdk.Client)(nil)
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

	tenant := e.Tenant("shop")
	if _, err := tenant.AddRole(ctx, "operator", authz.RoleOptions{}); err != nil {
		log.Fatal(err)
	}
	if _, err := tenant.AddPermission(ctx, "operator", "run_nightly_report"); err != nil {
		log.Fatal(err)
	}
	if _, err := tenant.AddMembership(ctx, "alice@example.com", "operator", authz.Window{}); err != nil {
		log.Fatal(err)
	}

	scheduler, err := workflow.New(tenant, workflow.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ran := make(chan []workflow.User, 1)
	err = scheduler.Add(workflow.Job{
		Workflow: "run_nightly_report",
		Every:    10 * time.Millisecond, // or Cron: "0 2 * * *", TimeZone: "Europe/Berlin"
		Do: func(ctx context.Context, users []workflow.User, err error) {
			if err != nil {
				log.Print(err)
				return
			}
			select {
			case ran <- users:
			case <-ctx.Done():
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, user := range <-ran {
		fmt.Println("reporting for", user.Name, "by", user.Roles)
	}
	if err := scheduler.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: reporting for alice@example.com by [operator]
}
