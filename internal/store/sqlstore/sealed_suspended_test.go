package sqlstore

import (
	"context"
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/store"
)

// suspend makes eve of the tenant "t" a user who is not active, and returns her row as it
// is stored.
func suspend(t *testing.T, s *Store) postgres.User {
	t.Helper()
	change(t, s, func(tx store.Tx) (bool, error) {
		return tx.SetUser(t.Context(), authz.User{Name: "eve", Inactive: true})
	})
	rows := get(s.db.statements().UsersBehind(t.Context(), postgres.UsersBehindParams{Tenant: "t", MaxRows: 2}))(t)
	if len(rows) != 1 {
		t.Fatalf("got %d users, want 1", len(rows))
	}
	return rows[0]
}

func rename(t *testing.T, s *Store, stored postgres.User, name, rowSeal string) {
	t.Helper()
	_, err := s.db.statements().ResealUser(t.Context(), postgres.ResealUserParams{
		Tenant: "t", OldName: stored.Name, OldSeal: stored.Seal, Name: name, Properties: stored.Properties, Seal: rowSeal,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSuspendedUserIsNotLost changes the sealed name of a suspended user: that she is not
// found must not make her one who was never suspended.
func TestSuspendedUserIsNotLost(t *testing.T) {
	onSealed(t, func(t *testing.T, s *Store) {
		stored := suspend(t, s)
		changed := []byte(stored.Name)
		changed[len(changed)-3] ^= 1
		rename(t, s, stored, string(changed), stored.Seal)
		err := s.View(t.Context(), "t", func(r store.Reader) error {
			_, found, err := r.User(t.Context(), "eve")
			if err == nil {
				t.Errorf("got found %t, want an error", found)
			}
			return err
		})
		if !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("got %v, want %v", err, seal.ErrDamaged)
		}
		err = s.View(t.Context(), "t", func(r store.Reader) error {
			_, err := r.Subjects(t.Context(), []string{"eve"}, nil)
			return err
		})
		if !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("among several: got %v, want %v", err, seal.ErrDamaged)
		}
	})
}

// moving lets a row be sealed anew behind the first look-up of a user.
type moving struct {
	postgres.Querier
	move func()
}

func (m *moving) User(ctx context.Context, user postgres.UserParams) (postgres.UserRow, error) {
	row, err := m.Querier.User(ctx, user)
	if m.move != nil {
		m.move()
		m.move = nil
	}
	return row, err
}

// TestSuspendedUserWhoMoves seals the row anew between the look-ups of two forms of its name.
func TestSuspendedUserWhoMoves(t *testing.T) {
	onSealed(t, func(t *testing.T, s *Store) {
		ctx, stored := t.Context(), suspend(t, s)
		state := sealing{with: "k2", also: []string{"k1"}}
		db := s.db.statements()
		q := get(s.vault.sealed(ctx, db, "t", state))(t)
		q.Querier = &moving{Querier: db, move: func() {
			row := get(q.sealUser(get(q.openUser(stored))(t)))(t)
			rename(t, s, stored, row.Name, row.Seal)
		}}
		if user, err := q.User(ctx, postgres.UserParams{Tenant: "t", Name: "eve"}); err != nil || user.Active != 0 {
			t.Errorf("got %+v, %v; want a user who is not active", user, err)
		}
	})
}

// TestTenantCalledPlain says of a tenant of a sealed installation that it is plain.
func TestTenantCalledPlain(t *testing.T) {
	onSealed(t, func(t *testing.T, s *Store) {
		suspend(t, s)
		for _, state := range []sealing{{with: seal.Plain}, {with: "k1", also: []string{seal.Plain}}, {with: "k2"}} {
			err := s.db.statements().SetTenantSealing(t.Context(), postgres.SetTenantSealingParams{
				Tenant: "t", SealedWith: state.with, SealedAlso: state.alsoText(),
			})
			if err != nil {
				t.Fatal(err)
			}
			err = s.View(t.Context(), "t", func(store.Reader) error { return nil })
			if !errors.Is(err, seal.ErrDamaged) {
				t.Errorf("%v, read: got %v, want %v", state, err, seal.ErrDamaged)
			}
			if state.with == "k2" {
				continue // what is written is sealed, and that it is with k2 is no harm
			}
			_, err = s.Update(t.Context(), "t", func(store.Tx) error { return nil })
			if !errors.Is(err, seal.ErrDamaged) {
				t.Errorf("%v, written: got %v, want %v", state, err, seal.ErrDamaged)
			}
		}
	})
}
