package engine_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// A list of who can do something is of one revision: batches that move a permission
// and its holder at once, in turn to either side, leave no moment at which alice could.
func TestWhichUsersCanIsOfOneRevision(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, _ *engine.Engine, tenant *engine.Tenant) {
		ctx := t.Context()
		for _, role := range []string{"left", "right"} {
			if _, err := tenant.AddRole(ctx, role, authz.RoleOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		move := func(permitted, from, to string) {
			_, err := tenant.Batch(ctx, func(tx *engine.Tenant) error {
				_, moved := tx.DeletePermission(ctx, to, "edit")
				_, granted := tx.AddPermission(ctx, permitted, "edit")
				_, left := tx.DeleteMembership(ctx, "alice", from)
				_, joined := tx.AddMembership(ctx, "alice", to, authz.Window{})
				return errors.Join(moved, granted, left, joined)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		move("left", "left", "right")
		done := make(chan struct{})
		var asking sync.WaitGroup
		for range 2 {
			asking.Go(func() {
				for {
					users, err := tenant.WhichUsersCan(ctx, "edit", authz.Page{})
					if err != nil || len(users.Items) != 0 {
						t.Errorf("got %+v, %v, want nobody: alice never holds the role that may", users, err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		for range 50 {
			move("right", "right", "left")
			move("left", "left", "right")
		}
		close(done)
		asking.Wait()
	})
}
