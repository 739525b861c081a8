package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
)

// What was appended and ended is counted on every way there is to commit it, and nothing
// else is.
func TestStatsCountWhatWasCommitted(t *testing.T) {
	event := audit.Event{Time: signInTime, Action: "TRIED"}
	expired := func(session.Row) audit.Event { return event }
	sessions := func(fn func(context.Context, store.SessionTx) error) func(context.Context, *sqlstore.Store) error {
		return func(ctx context.Context, s *sqlstore.Store) error {
			return s.UpdateSessions(ctx, "tenant", func(tx store.SessionTx) error { return fn(ctx, tx) })
		}
	}
	policy := func(fn func(context.Context, store.Tx) error) func(context.Context, *sqlstore.Store) error {
		return func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.Update(ctx, "tenant", func(tx store.Tx) error { return fn(ctx, tx) })
			return err
		}
	}
	steps := []struct {
		name  string
		do    func(context.Context, *sqlstore.Store) error
		ended authz.SessionEnd
		fails bool
	}{
		{name: "a change of policy", do: policy(func(ctx context.Context, tx store.Tx) error {
			return errors.Join(createRole(ctx, tx, "role"), tx.AppendEvent(ctx, event))
		})},
		{name: "one that fails", fails: true, do: policy(func(ctx context.Context, tx store.Tx) error {
			return errors.Join(createRole(ctx, tx, "other"), tx.AppendEvent(ctx, event), errNothing)
		})},
		{name: "one that changes nothing", do: policy(func(context.Context, store.Tx) error { return nil })},
		{name: "a user's sessions", ended: authz.EndUserInactive, do: policy(func(ctx context.Context, tx store.Tx) error {
			_, err := tx.EndUserSessions(ctx, "ann", signInTime, authz.EndUserInactive)
			return errors.Join(err, tx.AppendChange(ctx, store.KindUser, "ann"), tx.AppendEvent(ctx, event))
		})},
		{name: "a session", ended: authz.EndRevoked, do: sessions(func(ctx context.Context, tx store.SessionTx) error {
			_, err := tx.EndSession(ctx, "a session", signInTime, authz.EndRevoked)
			return errors.Join(err, tx.AppendEvent(ctx, event))
		})},
		{name: "a session that is not there", do: sessions(func(ctx context.Context, tx store.SessionTx) error {
			_, err := tx.EndSession(ctx, "none", signInTime, authz.EndRevoked)
			return errors.Join(err, tx.AppendEvent(ctx, event))
		})},
		{name: "a session, and it fails", fails: true, do: sessions(func(ctx context.Context, tx store.SessionTx) error {
			_, err := tx.EndSession(ctx, "a session, and it fails", signInTime, authz.EndRevoked)
			return errors.Join(err, tx.AppendEvent(ctx, event), errNothing)
		})},
		{name: "an event alone", do: func(ctx context.Context, s *sqlstore.Store) error { return s.AppendEvent(ctx, "tenant", event) }},
		{name: "a sweep", ended: authz.EndExpired, do: func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.ExpireSessions(ctx, signInTime.Add(2*time.Hour), 10, expired)
			return err
		}},
		{name: "pruning", do: func(ctx context.Context, s *sqlstore.Store) error {
			_, sequenceErr := s.SequenceEvents(ctx, "tenant", 100)
			_, err := s.PruneEvents(ctx, "tenant", signInTime.Add(time.Hour), func(int64) audit.Event { return event })
			return errors.Join(sequenceErr, err)
		}},
		{name: "pruning again", do: func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.PruneEvents(ctx, "tenant", signInTime, func(int64) audit.Event { return event })
			return err
		}},
	}
	onBoth(t, func(t *testing.T, e engine) {
		for sealing, encryption := range map[string]sqlstore.Encryption{"plain": {}, "sealed": sealedWith(firstSecret)} {
			t.Run(sealing, func(t *testing.T) {
				t.Parallel()
				url := e.newURL(t)
				s := open(t, sqlstore.Config{URL: url, AutoMigrate: true, Encryption: encryption})
				db, err := sql.Open(e.driver, url)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = db.Close() })
				for _, step := range steps {
					signIn(t, s, step.name)
					if err := step.do(t.Context(), s); (err != nil) != step.fails {
						t.Fatalf("%s: got error %v", step.name, err)
					}
					var events, ended uint64
					err := db.QueryRowContext(t.Context(), `SELECT (SELECT count(*) FROM audit_events),
						(SELECT count(*) FROM sessions WHERE ended_at < 9223372036854775807)`).Scan(&events, &ended)
					if err != nil {
						t.Fatal(err)
					}
					stats := s.Stats()
					if stats.Events != events {
						t.Errorf("%s: got %d events, want the %d that there are", step.name, stats.Events, events)
					}
					var total uint64
					for _, n := range stats.SessionsEnded {
						total += n
					}
					if total != ended || step.ended != "" && stats.SessionsEnded[string(step.ended)] == 0 {
						t.Errorf("%s: got sessions ended %v, want the %d that have", step.name, stats.SessionsEnded, ended)
					}
				}
			})
		}
	})
}
