// Package storetest holds the contract of store.Store as tests, each case once.
// Every implementation passes [Run].
package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
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
		"Roles/detail":                 testRoleDetail,
		"Roles/above":                  testRolesAbove,
		"Roles/deletion":               testDeleteRole,
		"Roles/built in":               testBuiltinRoles,
		"Roles/held outside":           testHeldOutside,
		"Grants":                       testGrants,
		"Missing things":               testMissingThings,
		"Policy":                       testPolicy,
		"Policy/one snapshot":          testPolicySnapshot,
		"Memberships":                  testMemberships,
		"Memberships/at a node":        testMembershipsAtNode,
		"Memberships/window":           testWindow,
		"Memberships/extreme times":    testExtremeTimes,
		"Members":                      testMembers,
		"Members/inactive":             testInactiveMembers,
		"Members/window":               testMembersWindow,
		"Nodes":                        testNodes,
		"Nodes/moving":                 testMoveNode,
		"Nodes/deletion":               testDeleteNode,
		"Nodes/circle":                 testNodeCircle,
		"Properties":                   testProperties,
		"Properties/unusable":          testUnusableProperties,
		"Groups":                       testGroups,
		"Groups/nested":                testNestedGroups,
		"Groups/path":                  testGroupPath,
		"Groups/circle":                testGroupCircle,
		"Groups/deletion":              testDeleteGroup,
		"Users":                        testUsers,
		"Users/deletion":               testDeleteUser,
		"Tools":                        testTools,
		"Tools/defining":               testDefiningTool,
		"Catalogue":                    testCatalogue,
		"Settings":                     testSettings,
		"People":                       testPeople,
		"Searches/known":               testKnown,
		"Searches/holders":             testHolders,
		"Searches/subjects":            testSubjects,
		"Searches/nodes":               testNodesOfUsers,
		"MissingTenant":                testMissingTenant,
		"Isolation":                    testIsolation,
		"Paging":                       testPaging,
		"CodePointOrder":               testCodePointOrder,
		"Names/limits":                 testLongNames,
		"Names/metacharacters":         testMetacharacters,
		"Revisions":                    testTenantRevisions,
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
		"Decisions":                    testDecisions,
		"Decisions/filter":             testDecisionFilter,
		"Decisions/again":              testDecisionsAgain,
		"Decisions/hostile text":       testHostileDecision,
		"Decisions/deletion":           testDeleteDecisions,
		"Decisions/parallel sweeps":    testParallelDecisionSweeps,
		"AuditLog/places":              testAuditPlaces,
		"AuditLog/pruning":             testAuditPruning,
		"Leases":                       testLeases,
		"Sessions":                     testSessions,
		"Sessions/times":               testSessionTimes,
		"Sessions/hostile text":        testHostileSession,
		"Sessions/rotation":            testRotateSession,
		"Sessions/replays":             testCountReplay,
		"Sessions/confirmation":        testConfirmSession,
		"Sessions/recovery":            testRecoverSession,
		"Sessions/moving":              testMoveSession,
		"Sessions/list":                testSessionList,
		"Sessions/events":              testSessionEvents,
		"Sessions/rollback":            testSessionRollback,
		"Sessions/retry":               testSessionRetry,
		"Sessions/isolation":           testSessionIsolation,
		"Sessions/end":                 testEndSession,
		"Sessions/end of all":          testEndSessions,
		"Sessions/end of the oldest":   testEndOldest,
		"Sessions/lock":                testLockUser,
		"Sessions/end with the user":   testEndUserSessions,
		"Sessions/end rolled back":     testEndUserSessionsRollback,
		"Sessions/expiry":              testExpireSessions,
		"Sessions/expiry in parts":     testExpireSome,
		"Sessions/expiry rolled back":  testExpireRollback,
		"Sessions/deletion":            testDeleteSessions,
		"Sessions/parallel sweeps":     testParallelSweeps,
		"Sessions/parallel rotations":  testParallelRotation,
		"Sessions/parallel ends":       testParallelEnds,
		"Sessions/end while rotating":  testEndWhileRotating,
		"Sessions/parallel sign-ins":   testParallelMaximum,
		"Sessions/end waits":           testEndSessionsWaits,
		"Sessions/deactivation":        testSignInAndDeactivation,
		"SigningKeys":                  testSigningKeys,
		"SigningKeys/parallel":         testParallelSigningKeys,
		"Tokens":                       testTokenFamilies,
		"Tokens/refresh":               testRefreshTokenFamily,
		"Tokens/rollback":              testTokenRollback,
		"Tokens/end with the user":     testEndUserTokens,
		"Tokens/deletion":              testDeleteTokenFamilies,
		"Tokens/parallel refreshes":    testParallelRefresh,
		"Tokens/deactivation":          testTokenAndDeactivation,
		"Receipts":                     testReceipts,
		"Receipts/rollback":            testReceiptRollback,
		"Receipts/alone":               testReceiptAlone,
		"Receipts/parallel":            testParallelReceipts,
		"Receipts/deletion":            testDeleteReceipts,
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

func (f fixture) reader() store.Reader { return Reader(f, f.tenant) }

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

// grant gives a role, which it creates, permissions, and members at the root.
func (f fixture) grant(t *testing.T, role string, permissions []string, users ...string) {
	t.Helper()
	f.write(t, func(tx store.Tx) {
		get(tx.CreateRole(t.Context(), authz.Role{Name: role}))(t)
		for _, permission := range permissions {
			get(tx.SetGrant(t.Context(), role, authz.Grant{Permission: permission}))(t)
		}
		for _, name := range users {
			setMembership(t, tx, held(user(name), role, authz.Root))
		}
	})
}

func user(name string) authz.SubjectRef  { return authz.SubjectRef{Type: authz.UserType, Name: name} }
func group(name string) authz.SubjectRef { return authz.SubjectRef{Type: authz.GroupType, Name: name} }

// held is a membership without bounds.
func held(subject authz.SubjectRef, role string, node authz.Node) authz.Membership {
	return authz.Membership{Subject: subject, Role: role, Node: node}
}

func setMembership(t *testing.T, tx store.Tx, membership authz.Membership) {
	t.Helper()
	if _, _, err := tx.SetMembership(t.Context(), membership); err != nil {
		t.Fatalf("SetMembership(%+v): %v", membership, err)
	}
}

// members lists who holds a role at the root, now.
func (f fixture) members(t *testing.T, role string) []string {
	t.Helper()
	query := store.MembersQuery{Roles: []string{role}, At: now}
	var names []string
	for _, member := range get(f.reader().Members(t.Context(), query, authz.Member{}, 1000))(t) {
		names = append(names, member.User)
	}
	equal(t, "CountMembers", get(f.reader().CountMembers(t.Context(), query))(t), int64(len(names)))
	return names
}

// holdings lists what a user holds, as "role@node" or "role@node by group".
func (f fixture) holdings(t *testing.T, user string) []string {
	t.Helper()
	var list []string
	for _, h := range get(f.reader().Holdings(t.Context(), user))(t) {
		text := h.Role + "@" + h.Node.String()
		if h.Group != "" {
			text += " by " + h.Group
		}
		list = append(list, text)
	}
	return list
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

// deepEqual is equal for what holds lists or maps.
func deepEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// there unwraps a look-up, and has zero for what is not there.
func there[T any](value T, found bool, err error) func(*testing.T) (T, bool) {
	return func(t *testing.T) (T, bool) {
		t.Helper()
		return get(value, err)(t), found
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
	_, err = Reader(s, f.tenant).Revision(t.Context())
	hasCode(t, "Revision", err, fault.CodeUnavailable)
	_, err = s.Update(t.Context(), f.tenant, func(store.Tx) error { return nil })
	hasCode(t, "Update", err, fault.CodeUnavailable)
	err = s.View(t.Context(), f.tenant, func(store.Reader) error { return nil })
	hasCode(t, "View", err, fault.CodeUnavailable)
	hasCode(t, "Ping", s.Ping(t.Context()), fault.CodeUnavailable)
}
