package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/seal"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/store"
	"github.com/gatehouse/gatehouse/internal/store/sqlstore"
	"github.com/gatehouse/gatehouse/internal/store/storetest"
)

const (
	firstSecret  = "the first planted secret"
	secondSecret = "the second planted secret"
)

// sealedWith is for a process that seals with one secret and opens with others.
func sealedWith(secret string, previous ...string) sqlstore.Encryption {
	return sqlstore.Encryption{Enabled: true, Secret: secret, Previous: previous, Iterations: seal.MinIterations}
}

func TestSealed(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		storetest.Run(t, func(t *testing.T) store.Store {
			return open(t, sqlstore.Config{URL: e.newURL(t), AutoMigrate: true, Encryption: sealedWith(firstSecret)})
		})
	})
}

// TestWhileKeysChange runs the suite while all rows are sealed with one key after
// another, and left plain, over and over.
func TestWhileKeysChange(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		storetest.Run(t, func(t *testing.T) store.Store {
			url := e.newURL(t)
			used := openUnfit(t, url, sealedWith(firstSecret, secondSecret))
			changeKeys(t, url)
			return used
		})
	})
}

// openUnfit opens a database whatever it is sealed with.
func openUnfit(t *testing.T, url string, encryption sqlstore.Encryption) *sqlstore.Store {
	t.Helper()
	encryption.Unfit = true
	s := open(t, sqlstore.Config{URL: url, AutoMigrate: true, Encryption: encryption})
	s.SetGrace(0)
	return s
}

// changeKeys changes the key of a database again and again until the test ends.
func changeKeys(t *testing.T, url string) {
	first, second := openUnfit(t, url, sealedWith(firstSecret, secondSecret)), openUnfit(t, url, sealedWith(secondSecret, firstSecret))
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	running.Go(func() {
		for {
			for _, step := range []func(context.Context, sqlstore.Progress) (bool, error){
				first.EnableEncryption, second.RotateEncryption, first.RotateEncryption, first.DisableEncryption,
			} {
				_, err := step(ctx, func(int64, int64) {})
				if ctx.Err() != nil {
					return
				}
				if err != nil && fault.CodeOf(err) != fault.CodeUnavailable {
					t.Errorf("change the key: %v", errors.Join(err, errors.Unwrap(err)))
					return
				}
			}
		}
	})
}

// A tenant that is held is found to be sealed as it may be when its former key is dropped
// at this moment. On SQLite, who drops it waits.
func TestAFormerKeyIsDroppedWhileATenantIsHeld(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := openUnfit(t, pgtest.URL(t), sealedWith(firstSecret))
	write(t, s, "tenant")
	var (
		holding       sync.WaitGroup
		begin         sync.Once
		held, dropped = make(chan struct{}), make(chan struct{})
		err           error
	)
	_, enabled := s.EnableEncryption(ctx, func(done, _ int64) {
		if done == 0 {
			return
		}
		begin.Do(func() {
			holding.Go(func() { err = s.Hold(ctx, "tenant", func() { close(held); <-dropped }) })
			<-held
		})
	})
	close(dropped)
	holding.Wait()
	if enabled != nil || err != nil {
		t.Errorf("got %v for who changes the key and %v for who holds the tenant, want no error", enabled, err)
	}
	if broken := s.Stats().Unopened; broken != 0 {
		t.Errorf("got %d rows that do not open, want none", broken)
	}
}

// TestFit opens databases with settings that fit them and settings that do not.
func TestFit(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx := t.Context()
		try := func(url string, encryption sqlstore.Encryption) error {
			s, err := sqlstore.Open(ctx, sqlstore.Config{URL: url, AutoMigrate: true, Encryption: encryption})
			if err == nil {
				err = s.Close()
			}
			return err
		}
		refused := func(what string, err error, want string) {
			t.Helper()
			if err == nil || err.Error() != want {
				t.Errorf("%s: got error %v, want %q", what, err, want)
			}
		}
		fits := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		const (
			enable  = "the database is not sealed: run `gatehouse encryption enable`, or set AUTH_ENABLE_ENCRYPTION=false"
			disable = "the database is sealed: set AUTH_ENABLE_ENCRYPTION=true, or run `gatehouse encryption disable`"
		)
		secret := func(id string) string {
			return fmt.Sprintf("the database is sealed with key %s: set AUTH_ENABLE_ENCRYPTION=true, and give its secret in AUTH_ENCRYPTION_KEY or AUTH_ENCRYPTION_PREVIOUS_KEYS", id)
		}
		standby := sqlstore.Encryption{Secret: firstSecret, Iterations: seal.MinIterations}

		url := e.newURL(t)
		fits("an empty database, plain", try(url, sqlstore.Encryption{}))
		write(t, open(t, sqlstore.Config{URL: url}), "tenant")
		fits("a plain database with a secret", try(url, standby))
		refused("a plain database, enabled", try(url, sealedWith(firstSecret)), enable)

		admin := openUnfit(t, url, sealedWith(firstSecret))
		change := func(what string, wantChanged bool, step func(context.Context, sqlstore.Progress) (bool, error)) {
			t.Helper()
			if changed, err := step(ctx, func(int64, int64) {}); err != nil || changed != wantChanged {
				t.Fatalf("%s: got %t, %v, want %t", what, changed, err, wantChanged)
			}
		}
		_, err := admin.RotateEncryption(ctx, nil)
		refused("rotate a plain database", err, "the database is not sealed: run `gatehouse encryption enable`")
		change("disable a plain database", false, admin.DisableEncryption)
		change("enable", true, admin.EnableEncryption)
		change("enable again", false, admin.EnableEncryption)
		change("rotate to the same secret", false, admin.RotateEncryption)
		fits("a sealed database", try(url, sealedWith(firstSecret)))
		fits("a sealed database with the next secret", try(url, sealedWith(secondSecret, firstSecret)))
		refused("a sealed database with another secret", try(url, sealedWith(secondSecret)), secret("k1"))
		refused("a sealed database without a secret", try(url, sqlstore.Encryption{}), secret("k1"))
		refused("a sealed database, not enabled", try(url, standby), disable)
		if next := open(t, sqlstore.Config{URL: url, Encryption: sealedWith(secondSecret, firstSecret)}); !next.RotationDue() {
			t.Error("a database with another key than the current secret's needs no rotation")
		}

		_, err = openUnfit(t, url, sealedWith(secondSecret, firstSecret)).EnableEncryption(ctx, nil)
		refused("enable with another secret", err, "the database is sealed with another secret than AUTH_ENCRYPTION_KEY: run `gatehouse encryption rotate`")
		_, err = openUnfit(t, url, sealedWith(secondSecret)).RotateEncryption(ctx, nil)
		refused("rotate without the former secret", err, secret("k1"))
		change("rotate", true, openUnfit(t, url, sealedWith(secondSecret, firstSecret)).RotateEncryption)
		fits("a rotated database, without the former secret", try(url, sealedWith(secondSecret)))
		refused("a rotated database with the former secret", try(url, sealedWith(firstSecret)), secret("k2"))
		change("disable", true, openUnfit(t, url, sealedWith(secondSecret)).DisableEncryption)
		fits("a database that is plain again", try(url, sqlstore.Encryption{}))
		refused("a database that is plain again, enabled", try(url, sealedWith(secondSecret)), enable)

		url = e.newURL(t)
		fits("the first start", try(url, sqlstore.Encryption{}))
		var starts sync.WaitGroup
		for range 4 {
			starts.Go(func() { fits("an empty database, enabled", try(url, sealedWith(firstSecret))) })
		}
		starts.Wait()
		status, err := open(t, sqlstore.Config{URL: url, Encryption: sealedWith(firstSecret)}).EncryptionStatus(ctx)
		if err != nil || status.With != "k1" || len(status.Keys) != 1 {
			t.Errorf("got %+v, %v, want one key that seals", status, err)
		}
	})
}

// TestProcessWithoutSecrets has one read and write while the database is sealed: it is
// refused before anything is, and never reads a sealed value.
func TestProcessWithoutSecrets(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		ctx, url := t.Context(), e.newURL(t)
		plain := open(t, sqlstore.Config{URL: url, AutoMigrate: true})
		if err := plantPeople(ctx, plain, "tenant"); err != nil {
			t.Fatal(err)
		}
		operator := open(t, sqlstore.Config{URL: url, Encryption: sqlstore.Encryption{Unfit: true, Secret: firstSecret, Iterations: seal.MinIterations}})
		sealed := make(chan error, 1)
		go func() {
			_, err := operator.EnableEncryption(ctx, func(int64, int64) {})
			sealed <- err
		}()
		for {
			holdings, err := storetest.Reader(plain, "tenant").Holdings(ctx, "ann")
			if err != nil {
				hasCode(t, "read", err, fault.CodeUnavailable)
				break
			}
			if len(holdings) != 1 {
				t.Fatalf("got %+v, want what ann holds", holdings)
			}
		}
		if err := <-sealed; err != nil {
			t.Fatal(err)
		}
		_, _, err := plain.Session(ctx, "tenant", "session")
		hasCode(t, "a session", err, fault.CodeUnavailable)
		_, err = plain.RotateSession(ctx, "tenant", 1, session.Row{ID: "session"})
		hasCode(t, "a rotation", err, fault.CodeUnavailable)
		hasCode(t, "sessions", plain.UpdateSessions(ctx, "tenant", func(store.SessionTx) error { return nil }), fault.CodeUnavailable)
		hasCode(t, "an event", plain.AppendEvent(ctx, "tenant", audit.Event{Action: "A"}), fault.CodeUnavailable)
		_, err = plain.Update(ctx, "tenant", func(store.Tx) error { return nil })
		hasCode(t, "an update", err, fault.CodeUnavailable)
		_, err = plain.SigningKeys(ctx, "session")
		hasCode(t, "signing keys", err, fault.CodeUnavailable)
	})
}

func hasCode(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != want {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

// TestFileHoldsNothingPlain looks for names in the files of a database that was sealed
// while it was open.
func TestFileHoldsNothingPlain(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	url := filepath.Join(dir, "gatehouse.sqlite3")
	plain := open(t, sqlstore.Config{URL: url})
	plantEverything(t, plain, "tenant")
	if held := filesHold(t, dir, "the planted"); !held {
		t.Fatal("the plain files do not hold what is looked for")
	}
	if _, err := openUnfit(t, url, sealedWith(firstSecret)).EnableEncryption(ctx, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	for _, planted := range []string{"the planted", firstSecret} {
		if filesHold(t, dir, planted) {
			t.Errorf("the sealed files hold %q", planted)
		}
	}
}

func filesHold(t *testing.T, dir, text string) bool {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("got files %v, %v", paths, err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

// TestDamagedSessionKeepsNoOtherFromItsEnd damages a session in the middle of a sweep.
func TestDamagedSessionKeepsNoOtherFromItsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, e engine) {
		url := e.newURL(t)
		s := open(t, sqlstore.Config{URL: url, AutoMigrate: true, Encryption: sealedWith(firstSecret)})
		signIn(t, s, "a", "b", "c")
		db, err := sql.Open(e.driver, url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.ExecContext(t.Context(), "UPDATE sessions SET seal = 'k1.AAAA' WHERE id = 'b'"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{3, 0} {
			n, err := s.ExpireSessions(t.Context(), signInTime.Add(2*time.Hour), 3, func(row session.Row) audit.Event {
				return audit.Event{Actor: audit.System, Resource: row.ID, User: row.User}
			})
			if err != nil || n != want {
				t.Errorf("expired %d sessions, %v, want %d", n, err, want)
			}
		}
		events, err := storetest.Reader(s, "tenant").AuditEvents(t.Context(), audit.Filter{}, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			if damaged := event.Resource == "b"; damaged != (event.User == "") {
				t.Errorf("the event of %s has the user %q", event.Resource, event.User)
			}
		}
		if len(events) != 3 {
			t.Errorf("got %d events, want one of each session", len(events))
		}
	})
}
