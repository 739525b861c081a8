// Package storetest holds the contract of store.Store as tests, each case once.
// Every implementation passes [Run].
package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// now is the time at which the cases ask, unless they say otherwise. It has
// microseconds, which is as fine as a store keeps times.
var now = time.Date(2026, time.November, 21, 12, 34, 56, 789012000, time.UTC)

// Run runs the whole suite. open returns an empty store and closes it when its
// test ends. Most cases share one store and have a tenant of their own in it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	shared := open(t)
	for name, run := range map[string]func(*testing.T, fixture){
		"Roles":                        testRoles,
		"Roles/deletion":               testDeleteRole,
		"Roles/built in":               testBuiltinRoles,
		"Grants":                       testGrants,
		"Grants/missing role":          testMissingRole,
		"Memberships":                  testMemberships,
		"Memberships/window":           testWindow,
		"Memberships/extreme times":    testExtremeTimes,
		"CheckPermission":              testCheckPermission,
		"MissingTenant":                testMissingTenant,
		"Isolation":                    testIsolation,
		"Paging":                       testPaging,
		"CodePointOrder":               testCodePointOrder,
		"Names/limits":                 testLongNames,
		"Names/metacharacters":         testMetacharacters,
		"Update/revisions":             testRevisions,
		"Update/no change":             testNoChange,
		"Update/error":                 testUpdateError,
		"Update/swallowed error":       testSwallowedError,
		"Update/retry":                 testRetry,
		"Update/retries end":           testRetriesEnd,
		"Update/panic":                 testPanic,
		"Update/missing record":        testMissingRecord,
		"Update/cancelled":             testCancelled,
		"Update/parallel writers":      testParallelWriters,
		"Update/parallel first writes": testParallelFirstWrites,
		"Update/parallel duplicates":   testParallelDuplicates,
		"View":                         testView,
		"Changes":                      testChanges,
		"ClientKeys":                   testClientKeys,
		"ClientKeys/list":              testClientKeyList,
		"ClientKeys/revoked":           testRevokedClientKey,
		"ClientKeys/taken":             testTakenClientKey,
		"AuditEvents":                  testAuditEvents,
		"AuditEvents/filter":           testAuditFilter,
		"AuditEvents/hostile text":     testHostileEvent,
		"Ping":                         testPing,
		"Close":                        testClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, fixture{Store: shared, tenant: "tenant-" + rand.Text(), open: open})
		})
	}
}

// fixture is a store and a tenant that no other case uses.
type fixture struct {
	store.Store
	tenant string
	open   func(t *testing.T) store.Store
}

func (f fixture) reader() store.Reader { return f.Read(f.tenant) }

// write makes a change that must succeed, and returns its revision.
func (f fixture) write(t *testing.T, fn func(store.Tx)) int64 {
	t.Helper()
	revision, err := f.Update(t.Context(), f.tenant, func(tx store.Tx) error {
		fn(tx)
		return tx.AppendChange(t.Context(), store.KindRole, "any")
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	return revision
}

// grant gives a role, which it creates, permissions and members.
func (f fixture) grant(t *testing.T, role string, permissions []string, users ...string) {
	t.Helper()
	f.write(t, func(tx store.Tx) {
		if !authz.IsBuiltin(role) {
			get(tx.CreateRole(t.Context(), authz.Role{Name: role}))(t)
		}
		for _, permission := range permissions {
			get(tx.CreateGrant(t.Context(), role, permission))(t)
		}
		for _, user := range users {
			get(tx.CreateMembership(t.Context(), authz.Member{User: user, Role: role}, authz.Window{}))(t)
		}
	})
}

// revision returns the tenant's revision.
func (f fixture) revision(t *testing.T) int64 {
	t.Helper()
	return get(f.reader().Revision(t.Context()))(t)
}

// get unwraps a result that must come without an error, as in get(f())(t).
func get[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatalf("got error %v (%v)", err, errors.Unwrap(err))
		}
		return value
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	get(struct{}{}, err)(t)
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func equalList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

func hasCode(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	if err == nil || fault.CodeOf(err) != want {
		t.Errorf("%s: got error %v, want one that is %q", what, err, want)
	}
}

// together runs fn n times at once and waits for all.
func together(n int, fn func(i int)) {
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-begin
			fn(i)
		})
	}
	close(begin)
	group.Wait()
}

func testPing(t *testing.T, f fixture) {
	if err := f.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func testClose(t *testing.T, f fixture) {
	ctx := t.Context()
	s := f.open(t)
	// Close comes while an Update runs, and lets it finish.
	closed := make(chan error, 1)
	var finished atomic.Bool
	_, err := s.Update(ctx, f.tenant, func(tx store.Tx) error {
		go func() {
			err := s.Close()
			if !finished.Load() {
				err = errors.Join(err, errors.New("the update was not waited for"))
			}
			closed <- err
		}()
		for i := range 50 {
			if err := createRole(ctx, tx, fmt.Sprint("role", i)); err != nil {
				return err
			}
		}
		finished.Store(true)
		return nil
	})
	if err != nil {
		t.Errorf("Update while closing: %v", err)
	}
	if err := <-closed; err != nil {
		t.Fatalf("Close: %v", err)
	}
	_, err = s.Read(f.tenant).Revision(t.Context())
	hasCode(t, "Revision", err, fault.CodeUnavailable)
	_, err = s.Update(t.Context(), f.tenant, func(store.Tx) error { return nil })
	hasCode(t, "Update", err, fault.CodeUnavailable)
	err = s.View(t.Context(), f.tenant, func(store.Reader) error { return nil })
	hasCode(t, "View", err, fault.CodeUnavailable)
	hasCode(t, "Ping", s.Ping(t.Context()), fault.CodeUnavailable)
}
