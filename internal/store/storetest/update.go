package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// createRole creates a role and records it, if it was not there.
func createRole(ctx context.Context, tx store.Tx, name string) error {
	created, err := tx.CreateRole(ctx, authz.Role{Name: name})
	if err != nil || !created {
		return err
	}
	return tx.AppendChange(ctx, store.KindRole, name)
}

func testRevisions(t *testing.T, f fixture) {
	ctx := t.Context()
	for want := int64(1); want <= 3; want++ {
		got, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
			equal(t, "Revision in the Tx", get(tx.Revision(ctx))(t), want)
			equal(t, "roles in the Tx", len(get(tx.Roles(ctx, "", 10))(t)), int(want)-1)
			return createRole(ctx, tx, fmt.Sprint("role", want))
		})
		equal(t, "Update", get(got, err)(t), want)
		equal(t, "Revision", f.revision(t), want)
	}
}

func testNoChange(t *testing.T, f fixture) {
	ctx := t.Context()
	nothing := func(store.Tx) error { return nil }
	equal(t, "a new tenant", get(f.Update(ctx, f.tenant, nothing))(t), 0)
	equal(t, "Revision", f.revision(t), 0)
	f.write(t, func(tx store.Tx) { get(tx.CreateRole(ctx, authz.Role{Name: "editor"}))(t) })
	equal(t, "an old tenant", get(f.Update(ctx, f.tenant, nothing))(t), 1)
	again := func(tx store.Tx) error { return createRole(ctx, tx, "editor") }
	equal(t, "a role that is there", get(f.Update(ctx, f.tenant, again))(t), 1)
	equal(t, "Revision", f.revision(t), 1)
	equal(t, "changes", len(get(f.reader().Changes(ctx, 0, 10))(t)), 1)
}

func testUpdateError(t *testing.T, f fixture) {
	ctx := t.Context()
	sorry := errors.New("sorry")
	f.write(t, func(store.Tx) {})
	calls := 0
	_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		calls++
		return errors.Join(createRole(ctx, tx, "editor"), tx.AppendEvent(ctx, audit.Event{Time: now}), sorry)
	})
	if !errors.Is(err, sorry) {
		t.Errorf("got error %v, want %v", err, sorry)
	}
	equal(t, "calls", calls, 1)
	f.expectUntouched(t, 1)
}

// testSwallowedError wants a failed write to end the transaction even where fn
// does not pass the error on.
func testSwallowedError(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(store.Tx) {})
	_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		if _, err := tx.SetGrant(ctx, "none", authz.Grant{Permission: "read"}); err == nil {
			t.Error("SetGrant: got no error, want one")
		}
		_, _ = tx.CreateRole(ctx, authz.Role{Name: "editor"})
		return tx.AppendChange(ctx, store.KindRole, "editor")
	})
	hasCode(t, "Update", err, fault.CodeInternal)
	f.expectUntouched(t, 1)
}

// expectUntouched wants nothing to be left of a failed creation of editor, and the
// tenant to be ready for the next write.
func (f fixture) expectUntouched(t *testing.T, revision int64) {
	t.Helper()
	ctx := t.Context()
	equal(t, "revision", f.revision(t), revision)
	equal(t, "roles", len(get(f.reader().Roles(ctx, "", 10))(t)), 0)
	equal(t, "changes", len(get(f.reader().Changes(ctx, revision, 10))(t)), 0)
	equal(t, "events", len(get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)), 0)
	equal(t, "the next revision", f.write(t, func(store.Tx) {}), revision+1)
}

func testRetry(t *testing.T, f fixture) {
	ctx := t.Context()
	calls := 0
	revision, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		calls++
		if err := createRole(ctx, tx, fmt.Sprint("role", calls)); err != nil {
			return err
		}
		if calls == 1 {
			return fmt.Errorf("injected: %w", store.ErrRetry)
		}
		return nil
	})
	equal(t, "revision", get(revision, err)(t), 1)
	equal(t, "calls", calls, 2)
	equalList(t, "roles", get(f.reader().Roles(ctx, "", 10))(t), []authz.Role{{Name: "role2"}})
	equalList(t, "changes", get(f.reader().Changes(ctx, 0, 10))(t), []authz.Change{{Revision: 1, Kind: store.KindRole, Key: "role2"}})
}

func testRetriesEnd(t *testing.T, f fixture) {
	calls := 0
	_, err := f.Update(t.Context(), f.tenant, func(store.Tx) error {
		calls++
		return store.ErrRetry
	})
	hasCode(t, "Update", err, fault.CodeUnavailable)
	if calls < 2 || calls > 100 {
		t.Errorf("got %d calls, want some and an end", calls)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, err = f.Update(ctx, f.tenant, func(store.Tx) error {
		cancel()
		return store.ErrRetry
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func testPanic(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(store.Tx) {})
	func() {
		defer func() { equal(t, "panic", recover(), any("help")) }()
		_, _ = f.Update(ctx, f.tenant, func(tx store.Tx) error {
			must(t, createRole(ctx, tx, "editor"))
			panic("help")
		})
	}()
	f.expectUntouched(t, 1)

	func() {
		defer func() { equal(t, "panic", recover(), any("help")) }()
		_ = f.View(ctx, f.tenant, func(store.Reader) error { panic("help") })
	}()
}

func testMissingRecord(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(store.Tx) {})
	_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		_, err := tx.CreateRole(ctx, authz.Role{Name: "editor"})
		return err
	})
	hasCode(t, "a change without a record", err, fault.CodeInternal)
	_, err = f.Update(ctx, f.tenant, func(tx store.Tx) error { return tx.AppendEvent(ctx, audit.Event{Time: now}) })
	hasCode(t, "an event without a change", err, fault.CodeInternal)
	f.expectUntouched(t, 1)
}

func testCancelled(t *testing.T, f fixture) {
	f.write(t, func(store.Tx) {})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
		defer cancel()
		return createRole(ctx, tx, "editor")
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled in the function: got error %v, want %v", err, context.Canceled)
	}
	for name, call := range map[string]func() error{
		"Update": func() error {
			_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error { return createRole(ctx, tx, "editor") })
			return err
		},
		"View": func() error {
			return f.View(ctx, f.tenant, func(r store.Reader) error { _, err := r.Revision(ctx); return err })
		},
		"Read":        func() error { _, err := f.reader().Revision(ctx); return err },
		"AppendEvent": func() error { return f.AppendEvent(ctx, f.tenant, audit.Event{Time: now}) },
		"Ping":        func() error { return f.Ping(ctx) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got error %v, want %v", name, err, context.Canceled)
		}
	}
	f.expectUntouched(t, 1)
}

func testParallelWriters(t *testing.T, f fixture) {
	ctx := t.Context()
	const writers, each = 8, 6
	var keys [writers*each + 1]atomic.Value
	together(writers, func(i int) {
		for j := range each {
			key := fmt.Sprintf("role-%d-%d", i, j)
			revision, err := f.Update(ctx, f.tenant, func(tx store.Tx) error { return createRole(ctx, tx, key) })
			switch {
			case err != nil:
				t.Errorf("Update: %v", err)
			case revision < 1 || revision > writers*each || !keys[revision].CompareAndSwap(nil, key):
				t.Errorf("got revision %d, want one that no other has, without a gap", revision)
			}
		}
	})
	if t.Failed() {
		return
	}
	var want []authz.Change
	for revision := 1; revision <= writers*each; revision++ {
		want = append(want, authz.Change{Revision: int64(revision), Kind: store.KindRole, Key: keys[revision].Load().(string)})
	}
	equalList(t, "changes", get(f.reader().Changes(ctx, 0, 1000))(t), want)
	equal(t, "roles", len(get(f.reader().Roles(ctx, "", 1000))(t)), writers*each)
}

func testParallelFirstWrites(t *testing.T, f fixture) {
	ctx := t.Context()
	for round := range 5 {
		tenant := f.tenant + strconv.Itoa(round)
		var revisions [3]int64
		together(len(revisions), func(i int) {
			var err error
			revisions[i], err = f.Update(ctx, tenant, func(tx store.Tx) error {
				for _, role := range []string{authz.Owner, authz.Everyone} {
					if _, there, err := tx.Role(ctx, role); err != nil || !there {
						t.Errorf("%s is there: got %v, %v, want true", role, there, err)
					}
				}
				return createRole(ctx, tx, fmt.Sprint("role", i))
			})
			if err != nil {
				t.Errorf("Update: %v", err)
			}
		})
		slices.Sort(revisions[:])
		equal(t, "revisions", revisions, [3]int64{1, 2, 3})
	}
}

// testParallelDuplicates runs the same write several times at once: one of them
// finds something to do, and none fails.
func testParallelDuplicates(t *testing.T, f fixture) {
	ctx := t.Context()
	ann := held(user("ann"), "editor", authz.Root)
	set := func(tx store.Tx, membership authz.Membership) (bool, error) {
		_, changed, err := tx.SetMembership(ctx, membership)
		return changed, err
	}
	ending := ann
	ending.Window.ExpiresAt = now
	node := authz.Node{Type: "post", ID: "1"}
	for revision, step := range []struct {
		name  string
		write func(store.Tx) (bool, error)
	}{
		{"CreateRole", func(tx store.Tx) (bool, error) { return tx.CreateRole(ctx, authz.Role{Name: "editor"}) }},
		{"SetRoleDescription", func(tx store.Tx) (bool, error) { return tx.SetRoleDescription(ctx, "editor", "edits") }},
		{"SetRole", func(tx store.Tx) (bool, error) {
			return tx.SetRole(ctx, authz.RoleDetail{Name: "editor", Inherits: []string{authz.Everyone}})
		}},
		{"SetGrant", func(tx store.Tx) (bool, error) { return tx.SetGrant(ctx, "editor", authz.Grant{Permission: "read"}) }},
		{"SetMembership, new", func(tx store.Tx) (bool, error) { return set(tx, ann) }},
		{"SetMembership, again", func(tx store.Tx) (bool, error) { return set(tx, ending) }},
		{"DeleteMembership", func(tx store.Tx) (bool, error) { return tx.DeleteMembership(ctx, ann.Subject, ann.Role, ann.Node) }},
		{"DeleteGrant", func(tx store.Tx) (bool, error) { return tx.DeleteGrant(ctx, "editor", "read") }},
		{"DeleteRole", func(tx store.Tx) (bool, error) { return tx.DeleteRole(ctx, "editor") }},
		{"SetNode", func(tx store.Tx) (bool, error) {
			return tx.SetNode(ctx, store.NodeRecord{Node: node, Parent: authz.Root, Owner: "ann"})
		}},
		{"CreateGroup", func(tx store.Tx) (bool, error) { return tx.CreateGroup(ctx, "staff") }},
		{"SetGroup", func(tx store.Tx) (bool, error) {
			return tx.SetGroup(ctx, authz.Group{Name: "staff", Description: "all"})
		}},
		{"AddToGroup", func(tx store.Tx) (bool, error) { return tx.AddToGroup(ctx, "staff", user("ann")) }},
		{"RemoveFromGroup", func(tx store.Tx) (bool, error) { return tx.RemoveFromGroup(ctx, "staff", user("ann")) }},
		{"DeleteGroup", func(tx store.Tx) (bool, error) { return tx.DeleteGroup(ctx, "staff") }},
		{"SetUser", func(tx store.Tx) (bool, error) { return tx.SetUser(ctx, authz.User{Name: "ann"}) }},
		{"DeleteUser", func(tx store.Tx) (bool, error) { return tx.DeleteUser(ctx, "ann") }},
		{"DeleteNode", func(tx store.Tx) (bool, error) { return tx.DeleteNode(ctx, node) }},
		{"CreateClientKey", func(tx store.Tx) (bool, error) {
			return tx.CreateClientKey(ctx, store.ClientKey{Hash: f.tenant, Fingerprint: f.tenant, CreatedAt: now})
		}},
		{"SetClientKeyExpiry", func(tx store.Tx) (bool, error) { return tx.SetClientKeyExpiry(ctx, f.tenant, now) }},
		{"RevokeClientKey", func(tx store.Tx) (bool, error) { return tx.RevokeClientKey(ctx, f.tenant, now) }},
	} {
		var found atomic.Int64
		together(6, func(int) {
			var did bool
			_, err := f.Update(ctx, f.tenant, func(tx store.Tx) (err error) {
				if did, err = step.write(tx); err != nil || !did {
					return err
				}
				return tx.AppendChange(ctx, store.KindRole, step.name)
			})
			if err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			if did {
				found.Add(1)
			}
		})
		equal(t, step.name+" found something to do", found.Load(), 1)
		equal(t, step.name+" revision", f.revision(t), int64(revision)+1)
	}
}

func testView(t *testing.T, f fixture) {
	ctx := t.Context()
	f.grant(t, "editor", []string{"read"}, "ann")
	sorry := errors.New("sorry")
	err := f.View(ctx, f.tenant, func(r store.Reader) error {
		equal(t, "revision first", get(r.Revision(ctx))(t), 1)
		f.write(t, func(tx store.Tx) { get(tx.DeleteRole(ctx, "editor"))(t) })
		equal(t, "revision in the view", get(r.Revision(ctx))(t), 1)
		equal(t, "holdings in the view", len(get(r.Holdings(ctx, "ann"))(t)), 1)
		equal(t, "roles in the view", len(get(r.Policy(ctx))(t)), 3)
		equal(t, "changes in the view", len(get(r.Changes(ctx, 0, 10))(t)), 1)
		return sorry
	})
	if !errors.Is(err, sorry) {
		t.Errorf("View: got error %v, want the function's", err)
	}
	equalList(t, "holdings after", f.holdings(t, "ann"), nil)
	equal(t, "roles after", len(get(f.reader().Policy(ctx))(t)), 2)
}

func testChanges(t *testing.T, f fixture) {
	ctx := t.Context()
	want := []authz.Change{
		{Revision: 1, Kind: store.KindRole, Key: "b"},
		{Revision: 1, Kind: store.KindPermission, Key: "a/read"},
		{Revision: 1, Kind: store.KindMembership, Key: "ann/a"},
		{Revision: 2, Kind: store.KindRole, Key: "c"},
		{Revision: 3, Kind: store.KindClientKey, Key: "print"},
	}
	for revision := int64(1); revision <= 3; revision++ {
		got, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
			for _, change := range want {
				if change.Revision == revision {
					must(t, tx.AppendChange(ctx, change.Kind, change.Key))
				}
			}
			return nil
		})
		equal(t, "revision", get(got, err)(t), revision)
	}
	r := f.reader()
	equalList(t, "all", get(r.Changes(ctx, 0, 10))(t), want)
	equalList(t, "after 1", get(r.Changes(ctx, 1, 10))(t), want[3:])
	equalList(t, "after 3", get(r.Changes(ctx, 3, 10))(t), nil)
	equalList(t, "the first two", get(r.Changes(ctx, 0, 2))(t), want[:2])
}
