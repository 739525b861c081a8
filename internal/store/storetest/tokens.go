package storetest

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/token"
)

// family is one that speaks for a user, or for nobody.
func family(id, subject string) token.Family {
	return token.Family{
		ID: id, ClientKey: "key of " + id, Subject: subject, Abilities: "check,read", Handle: "handle of " + id, Current: "first of " + id,
		Generation: 1, CreatedAt: now, RefreshedAt: now, ExpiresAt: now.Add(time.Hour), TokensUntil: now.Add(2 * time.Hour),
	}
}

// changeTokens runs a change that must succeed.
func (f fixture) changeTokens(t *testing.T, fn func(store.TokenTx) error) {
	t.Helper()
	must(t, f.UpdateTokens(t.Context(), f.tenant, fn))
}

func (f fixture) createFamily(t *testing.T, family token.Family) {
	t.Helper()
	f.changeTokens(t, func(tx store.TokenTx) error {
		if family.Subject != "" {
			if _, err := tx.LockUser(t.Context(), family.Subject); err != nil {
				return err
			}
		}
		return tx.CreateTokenFamily(t.Context(), family)
	})
}

func (f fixture) family(t *testing.T, id string) token.Family {
	t.Helper()
	found, ok := there(f.TokenFamily(t.Context(), f.tenant, id))(t)
	equal(t, "found "+id, ok, true)
	return found
}

func testTokenFamilies(t *testing.T, f fixture) {
	ctx := t.Context()
	for _, want := range []token.Family{family("a", "ann"), family("b", ""), family("é'%", "ann")} {
		f.createFamily(t, want)
		deepEqual(t, "family", f.family(t, want.ID), want)
		found, ok := there(f.TokenFamilyByHandle(ctx, f.tenant, want.Handle))(t)
		equal(t, "found by its handle", ok, true)
		deepEqual(t, "family by its handle", found, want)
	}
	for _, tenant := range []string{f.tenant + "x", ""} {
		_, ok := there(f.TokenFamily(ctx, tenant, "a"))(t)
		equal(t, "found in another tenant", ok, false)
		_, ok = there(f.TokenFamilyByHandle(ctx, tenant, "handle of a"))(t)
		equal(t, "found in another tenant by its handle", ok, false)
	}
	_, ok := there(f.TokenFamilyByHandle(ctx, f.tenant, "first of a"))(t)
	equal(t, "found by a token's hash", ok, false)
	// The same again is a fault of ours, and so is a subject that is not locked.
	if err := f.UpdateTokens(ctx, f.tenant, func(tx store.TokenTx) error { return tx.CreateTokenFamily(ctx, family("b", "")) }); err == nil {
		t.Error("created the same family twice")
	}
	if err := f.UpdateTokens(ctx, f.tenant, func(tx store.TokenTx) error { return tx.CreateTokenFamily(ctx, family("c", "bob")) }); err == nil {
		t.Error("created a family for a user who is not locked")
	}
}

func testRefreshTokenFamily(t *testing.T, f fixture) {
	ctx := t.Context()
	f.createFamily(t, family("a", ""))
	next := family("a", "")
	next.Current, next.RefreshedAt, next.ExpiresAt, next.TokensUntil = "second", now.Add(time.Microsecond), now.Add(2*time.Hour), now.Add(3*time.Hour)
	refresh := func(superseded string, want bool) {
		t.Helper()
		f.changeTokens(t, func(tx store.TokenTx) error {
			equal(t, "refreshed for "+superseded, get(tx.RefreshTokenFamily(ctx, superseded, next))(t), want)
			return nil
		})
	}
	refresh("none", false)
	refresh("first of a", true)
	next.Generation = 2
	deepEqual(t, "family", f.family(t, "a"), next)
	refresh("first of a", false)
	end := func(want bool) {
		t.Helper()
		f.changeTokens(t, func(tx store.TokenTx) error {
			equal(t, "ended", get(tx.EndTokenFamily(ctx, "a", now, authz.EndTokenReused))(t), want)
			return tx.AppendEvent(ctx, audit.Event{Time: now, Action: "END"})
		})
	}
	end(true)
	end(false)
	refresh("second", false)
	next.EndedAt, next.EndReason = now, authz.EndTokenReused
	deepEqual(t, "family that has ended", f.family(t, "a"), next)
	equal(t, "events", len(get(f.reader().AuditEvents(ctx, audit.Filter{Action: "END"}, "", 10))(t)), 1)
}

func testTokenRollback(t *testing.T, f fixture) {
	ctx := t.Context()
	f.createFamily(t, family("a", ""))
	failure := errors.New("a failure")
	err := f.UpdateTokens(ctx, f.tenant, func(tx store.TokenTx) error {
		equal(t, "ended", get(tx.EndTokenFamily(ctx, "a", now, authz.EndRevoked))(t), true)
		must(t, tx.AppendEvent(ctx, audit.Event{Time: now, Action: "END"}))
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("got error %v, want the function's", err)
	}
	deepEqual(t, "family", f.family(t, "a"), family("a", ""))
	equal(t, "events", len(get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)), 0)
}

func testEndUserTokens(t *testing.T, f fixture) {
	ctx := t.Context()
	other := fixture{Store: f.Store, tenant: f.tenant + "x", open: f.open}
	for id, subject := range map[string]string{"a": "ann", "b": "ann", "c": "bob", "d": ""} {
		f.createFamily(t, family(id, subject))
		other.createFamily(t, family(id, subject))
	}
	f.write(t, func(tx store.Tx) {
		get(tx.EndUserSessions(ctx, "ann", now, authz.EndUserDeleted))(t)
		ended := get(tx.EndUserTokens(ctx, "ann", now, authz.EndUserDeleted))(t)
		equal(t, "ended", len(ended), 2)
		equal(t, "first that ended", ended[0].ID, "a")
		equal(t, "its end", ended[0].EndedAt, now)
		equal(t, "ended again", len(get(tx.EndUserTokens(ctx, "ann", now, authz.EndUserDeleted))(t)), 0)
		equal(t, "ended of nobody's", len(get(tx.EndUserTokens(ctx, "nobody", now, authz.EndUserDeleted))(t)), 0)
		must(t, tx.AppendChange(ctx, store.KindUser, "ann"))
	})
	for id, want := range map[string]authz.SessionEnd{"a": authz.EndUserDeleted, "b": authz.EndUserDeleted, "c": "", "d": ""} {
		equal(t, "the end of "+id, f.family(t, id).EndReason, want)
		equal(t, "the end of the other tenant's "+id, other.family(t, id).EndReason, "")
	}
}

func testDeleteTokenFamilies(t *testing.T, f fixture) {
	// It sees every tenant, so it has a store of its own.
	f.Store = f.open(t)
	ctx := t.Context()
	for i, id := range []string{"a", "b", "c", "d"} {
		kept := family(id, "")
		kept.TokensUntil = now.Add(time.Duration(i) * time.Second)
		f.createFamily(t, kept)
	}
	equal(t, "deleted at first", get(f.DeleteTokenFamilies(ctx, now, 10))(t), 0)
	equal(t, "deleted of three", get(f.DeleteTokenFamilies(ctx, now.Add(3*time.Second), 2))(t), 2)
	equal(t, "deleted then", get(f.DeleteTokenFamilies(ctx, now.Add(3*time.Second), 2))(t), 1)
	_, ok := there(f.TokenFamily(ctx, f.tenant, "c"))(t)
	equal(t, "found what was deleted", ok, false)
	f.family(t, "d")
}

// testParallelRefresh has one token superseded by many at once: one does.
func testParallelRefresh(t *testing.T, f fixture) {
	ctx := t.Context()
	f.createFamily(t, family("a", ""))
	var won atomic.Int64
	together(8, func(int) {
		var taken bool
		err := f.UpdateTokens(ctx, f.tenant, func(tx store.TokenTx) (err error) {
			next := family("a", "")
			next.Current = "second"
			taken, err = tx.RefreshTokenFamily(ctx, "first of a", next)
			return err
		})
		if err != nil {
			t.Errorf("refresh: %v", err)
		}
		if taken {
			won.Add(1)
		}
	})
	equal(t, "taken", won.Load(), 1)
	equal(t, "generation", f.family(t, "a").Generation, 2)
}

// testTokenAndDeactivation has tokens made for a user while the user's end: none is left.
func testTokenAndDeactivation(t *testing.T, f fixture) {
	ctx := t.Context()
	f.write(t, func(tx store.Tx) {
		get(tx.SetUser(ctx, authz.User{Name: "ann"}))(t)
		must(t, tx.AppendChange(ctx, store.KindUser, "ann"))
	})
	ids := []string{"a", "b", "c", "d", "e", "f", "g"}
	made := make([]bool, len(ids))
	together(len(ids)+1, func(i int) {
		if i == len(ids) {
			_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
				if _, err := tx.SetUser(ctx, authz.User{Name: "ann", Inactive: true}); err != nil {
					return err
				}
				if _, err := tx.EndUserSessions(ctx, "ann", now, authz.EndUserInactive); err != nil {
					return err
				}
				if _, err := tx.EndUserTokens(ctx, "ann", now, authz.EndUserInactive); err != nil {
					return err
				}
				return tx.AppendChange(ctx, store.KindUser, "ann")
			})
			if err != nil {
				t.Errorf("deactivate: %v", err)
			}
			return
		}
		err := f.UpdateTokens(ctx, f.tenant, func(tx store.TokenTx) error {
			made[i] = false
			user, err := tx.LockUser(ctx, "ann")
			if err != nil || user.Inactive {
				return err
			}
			made[i] = true
			return tx.CreateTokenFamily(ctx, family(ids[i], "ann"))
		})
		if err != nil {
			t.Errorf("create: %v", err)
		}
	})
	for i, id := range ids {
		if made[i] {
			equal(t, "the end of "+id, f.family(t, id).EndReason, authz.EndUserInactive)
		}
	}
}
