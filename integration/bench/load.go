package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// The big tenant. Every role holds the permission "common" and nine others, of which
// each is held by five roles; every user holds five roles.
const (
	bigRoles       = 1_000
	bigGrants      = 10_000
	bigMemberships = 100_000

	grantsPerRole = bigGrants / bigRoles
	otherGrants   = bigRoles * (grantsPerRole - 1) / 5
	rolesPerUser  = 5
	bigUsers      = bigMemberships / rolesPerUser

	loaders = 8
)

// bigLoad loads the big tenant through the engine on both databases, and reads it
// through every endpoint.
func bigLoad(ctx context.Context, o options, d *databases) error {
	title(fmt.Sprintf("A tenant of %d roles, %d grants and %d memberships, each written by itself through the engine, by %d writers",
		bigRoles, bigGrants, bigMemberships, loaders))
	latencies := map[string][]sample{}
	for _, kind := range kinds {
		database, err := d.newDatabase(ctx, kind, "load")
		if err != nil {
			return err
		}
		samples, err := loadAndRead(ctx, o, kind, database)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		latencies[kind] = samples
	}

	title(fmt.Sprintf("Reads of it over HTTP, one connection, for %s each", o.duration))
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\t%s p50\tp99\t%s p50\tp99\n", kinds[0], kinds[1])
	for n, path := range bigReads {
		fmt.Fprintf(table, "GET %s", path)
		for _, kind := range kinds {
			fmt.Fprintf(table, "\t%s\t%s", short(latencies[kind][n].p50), short(latencies[kind][n].p99))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func loadAndRead(ctx context.Context, o options, kind, database string) ([]sample, error) {
	key, took, err := load(ctx, kind, database)
	if err != nil {
		return nil, err
	}
	bytes, err := size(ctx, database)
	if err != nil {
		return nil, err
	}
	const written = bigRoles + bigGrants + bigMemberships
	fmt.Printf("%-11s %s, %.0f writes per second, %.1f MiB with the change feed and the audit log\n",
		kind, short(took), written/took.Seconds(), float64(bytes)/(1<<20))

	g, err := openGatehouse(ctx, kind, database)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	c, err := dial(ctx, g.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	samples := make([]sample, len(bigReads))
	for n, path := range bigReads {
		request := newRequest(http.MethodGet, path, key)
		ask := func() error {
			_, err := c.exchange(request)
			return err
		}
		if err := ask(); err != nil { // the first one compiles the statement
			return nil, fmt.Errorf("GET %s: %w", path, err)
		}
		if samples[n], err = hammer(ctx, o.duration, []func() error{ask}); err != nil {
			return nil, fmt.Errorf("GET %s: %w", path, err)
		}
	}
	return samples, nil
}

// bigReads are all the endpoints that read, and the costliest filters of some. A
// list is its first page, of at most 1000 rows.
var bigReads = []string{
	"/api/has_permission/user-777@example.com/common",
	"/api/has_permission/user-777@example.com/permission-none",
	"/api/workflow/user/user-777@example.com/can_run/common",
	"/api/permission/role-777/common",
	"/api/membership/user-777@example.com/role-777",
	"/api/roles",
	"/api/role_permissions/role-777",
	"/api/user_roles/user-777@example.com",
	"/api/user_permissions/user-777@example.com",
	"/api/members/role-777",
	"/api/which_roles_can/permission-7",
	"/api/which_roles_can/common",
	"/api/which_users_can/permission-7",
	"/api/which_users_can/permission-none",
	"/api/which_users_can/common",
	"/api/workflow/users/permission-7",
	"/api/workflow/users/common",
	"/api/audit",
	"/api/audit?user=user-777@example.com",
	"/api/audit?resource=role/role-777",
	"/api/audit?request_id=none",
}

// load fills a new database, closes it, and returns the tenant's key.
func load(ctx context.Context, kind, database string) (key string, took time.Duration, err error) {
	fmt.Fprintf(os.Stderr, "bench: loading %s\n", kind)
	g, err := openGatehouse(ctx, kind, database)
	if err != nil {
		return "", 0, err
	}
	defer g.stop()
	key, tenant, err := g.tenant(ctx)
	if err != nil {
		return "", 0, err
	}
	begin := time.Now()
	for _, part := range []struct {
		count int
		write func(n int) error
	}{
		{bigRoles, func(n int) error { return addRole(ctx, tenant, n) }},
		{bigGrants, func(n int) error { return addGrant(ctx, tenant, n) }},
		{bigMemberships, func(n int) error { return addMembership(ctx, tenant, n) }},
	} {
		if err := inParallel(part.count, part.write); err != nil {
			return "", 0, err
		}
	}
	return key, time.Since(begin), nil
}

func addRole(ctx context.Context, tenant *engine.Tenant, n int) error {
	_, err := tenant.AddRole(ctx, fmt.Sprint("role-", n), authz.RoleOptions{})
	return err
}

func addGrant(ctx context.Context, tenant *engine.Tenant, n int) error {
	role, g := n/grantsPerRole, n%grantsPerRole
	permission := "common"
	if g > 0 {
		permission = fmt.Sprint("permission-", (role*(grantsPerRole-1)+g-1)%otherGrants)
	}
	_, err := tenant.AddPermission(ctx, fmt.Sprint("role-", role), permission)
	return err
}

func addMembership(ctx context.Context, tenant *engine.Tenant, n int) error {
	user, r := n%bigUsers, n/bigUsers
	role := (user + r*bigRoles/rolesPerUser) % bigRoles
	_, err := tenant.AddMembership(ctx, fmt.Sprintf("user-%d@example.com", user), fmt.Sprint("role-", role), authz.Window{})
	return err
}

// inParallel calls write with every number below count, by all loaders.
func inParallel(count int, write func(n int) error) error {
	failures := make([]error, loaders)
	var running sync.WaitGroup
	for l := range loaders {
		running.Go(func() {
			for n := l; n < count && failures[l] == nil; n += loaders {
				failures[l] = write(n)
			}
		})
	}
	running.Wait()
	return errors.Join(failures...)
}

// size is what a closed database takes on disk, in bytes.
func size(ctx context.Context, database string) (int64, error) {
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		info, err := os.Stat(path)
		if err != nil {
			return 0, fmt.Errorf("measure the file: %w", err)
		}
		return info.Size(), nil
	}
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return 0, fmt.Errorf("open PostgreSQL: %w", err)
	}
	defer pool.Close()
	var bytes int64
	if err := pool.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&bytes); err != nil {
		return 0, fmt.Errorf("measure the database: %w", err)
	}
	return bytes, nil
}
