package engine_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// TestChecksGoOnUnderWrites is for a policy that takes longer to read than the time
// between two writes that do not touch it.
func TestChecksGoOnUnderWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	tenant := openEngine(t, engine.Config{
		Database: filepath.Join(t.TempDir(), "busy.sqlite3"), DisableAudit: true,
	}).Tenant("busy")
	if _, err := tenant.AddRole(ctx, "large", authz.RoleOptions{}); err != nil {
		t.Fatal(err)
	}
	inRuns(t, tenant, 1000, func(x *engine.Tenant, i int) error {
		_, err := x.PutGrant(ctx, "large", authz.Grant{
			Permission: fmt.Sprint("permission-", i), Condition: fmt.Sprintf("context.x == %d", i),
		})
		return err
	})
	done := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if _, err := tenant.AddMembership(ctx, fmt.Sprint("user-", i), "large", authz.Window{}); err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
	})
	for i := range 5 {
		written, err := tenant.AddPermission(ctx, "large", fmt.Sprint("plain-", i))
		if err != nil {
			t.Fatal(err)
		}
		d, err := tenant.AtLeast(written.Revision).UserHasPermission(ctx, "user-0", fmt.Sprint("plain-", i))
		if err != nil || !d.Allowed {
			t.Errorf("check %d: got %t, %v, want true", i, d.Allowed, err)
		}
	}
	close(done)
	writing.Wait()
}
