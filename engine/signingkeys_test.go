package engine_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
)

// published is how long a signing key is known before it signs.
const published = 10 * time.Minute

// states lists the algorithm and the state of each key that signs session tokens.
func states(t *testing.T, e *engine.Engine) []string {
	t.Helper()
	keys, err := e.SigningKeys(t.Context())
	if err != nil {
		t.Fatalf("list the signing keys: %v", err)
	}
	var list []string
	for _, key := range keys {
		if key.Use != engine.UseSession {
			continue
		}
		list = append(list, key.Algorithm+" "+string(key.State))
	}
	return list
}

func wantStates(t *testing.T, e *engine.Engine, want ...string) {
	t.Helper()
	if got := states(t, e); !slices.Equal(got, want) {
		t.Errorf("signing keys: got %q, want %q", got, want)
	}
}

// kid is the one that a token names.
func kid(t *testing.T, token string) any {
	t.Helper()
	header, _ := decoded(t, token)
	return header["kid"]
}

func TestTheFirstSigningKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		var engines []*engine.Engine
		for range 3 {
			engines = append(engines, openEngine(t, engine.Config{Database: database, AutoMigrate: true}))
		}
		wantStates(t, engines[0])
		var signedIn sync.WaitGroup
		tokens := make([]string, len(engines))
		for i, e := range engines {
			signedIn.Go(func() {
				issued, err := e.Tenant("tenant").CreateSession(t.Context(), authz.NewSession{User: "alice", IP: home, UserAgent: browser})
				if err != nil {
					t.Errorf("sign in: %v", err)
				}
				tokens[i] = issued.Token
			})
		}
		signedIn.Wait()
		wantStates(t, engines[0], "HS256 signing")
		for i, e := range engines {
			rotate(t, e.Tenant("tenant"), from(home, tokens[(i+1)%len(tokens)]))
		}
	})
}

func TestASigningKeyIsPublishedThenSignsThenVerifiesThenGoes(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := newMoved()
		limits := engine.SessionConfig{Idle: 24 * time.Hour, Absolute: 48 * time.Hour}
		config := clock.on(engine.Config{Database: database, AutoMigrate: true, TokenAlgorithm: "ES256", Sessions: limits})
		here, there := openEngine(t, config), openEngine(t, config)
		first := signIn(t, here.Tenant("tenant"), "alice")
		next, err := here.RotateSigningKey(t.Context(), engine.UseSession, "")
		if err != nil {
			t.Fatal(err)
		}
		wantStates(t, here, "ES256 signing", "ES256 published")
		set, err := here.JWKS(t.Context())
		if err != nil || len(set.Keys) != 3 || set.Keys[0].KeyID != kid(t, first.Token) || set.Keys[1].KeyID != next.ID {
			t.Errorf("got public keys %+v, %v, want both, and that of access tokens", set, err)
		}
		clock.Advance(published - time.Second)
		before := signIn(t, here.Tenant("tenant"), "alice")
		if got, want := kid(t, before.Token), kid(t, first.Token); got != want {
			t.Errorf("signed by %v before its time, want %v", got, want)
		}
		clock.Advance(2 * time.Second)
		after := signIn(t, here.Tenant("tenant"), "alice")
		if got, want := kid(t, after.Token), next.ID; got != want {
			t.Errorf("signed by %v, want the next key, %v", got, want)
		}
		wantStates(t, here, "ES256 verifying", "ES256 signing")
		// The other server has not heard of the next key.
		for _, token := range []string{after.Token, before.Token, first.Token} {
			rotate(t, there.Tenant("tenant"), from(home, token))
		}

		clock.Advance(limits.Absolute + published - 2*time.Second)
		if err := there.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantStates(t, here, "ES256 verifying", "ES256 signing")
		clock.Advance(2 * time.Second)
		if err := there.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantStates(t, here, "ES256 signing")
		refused(t, there.Tenant("tenant"), from(home, first.Token), authz.ErrInvalidToken)
	})
}

func TestAnotherAlgorithmMakesTheNextKeyAtTheStart(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		clock := newMoved()
		open := func(algorithm string) *engine.Engine {
			return openEngine(t, clock.on(engine.Config{Database: database, AutoMigrate: true, TokenAlgorithm: algorithm}))
		}
		old := open("HS256")
		wantStates(t, open("HS256"))
		issued := signIn(t, old.Tenant("tenant"), "alice")
		e := open("EdDSA")
		wantStates(t, e, "HS256 signing", "EdDSA published")
		for _, same := range []string{"EdDSA", ""} {
			wantStates(t, open(same), "HS256 signing", "EdDSA published")
		}
		clock.Advance(published)
		got := rotate(t, e.Tenant("tenant"), from(home, issued.Token))
		if header, _ := decoded(t, got.Token); header["alg"] != "EdDSA" {
			t.Errorf("got a token for %v, want EdDSA", header["alg"])
		}
		rotate(t, old.Tenant("tenant"), from(home, got.Token))
	})
}

func TestAConfiguredSecretSigns(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		config := engine.Config{Database: database, AutoMigrate: true}
		issued := signIn(t, nodes(t, config)[0], "alice")
		config.TokenSecret = []byte("a secret of at least thirty-two bytes")
		e := openEngine(t, config)
		wantStates(t, e, "HS256 verifying", "HS256 signing")
		second := rotate(t, e.Tenant("tenant"), from(home, issued.Token))
		if kid(t, second.Token) == kid(t, issued.Token) {
			t.Error("signed by the key in the database, want the secret")
		}
		rotate(t, openEngine(t, config).Tenant("tenant"), from(home, second.Token))
		if _, err := e.RotateSigningKey(t.Context(), engine.UseSession, ""); !errors.Is(err, engine.ErrConflict) {
			t.Errorf("rotate the secret: got error %v, want ErrConflict", err)
		}
		config.TokenSecret = []byte("another secret of at least thirty-two bytes")
		refused(t, nodes(t, config)[0], from(home, second.Token), authz.ErrInvalidToken)
	})
}

func TestARotationOfTheKeyLosesAgainstAnother(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		config := engine.Config{Database: database, AutoMigrate: true}
		engines := []*engine.Engine{openEngine(t, config), openEngine(t, config)}
		signIn(t, engines[0].Tenant("tenant"), "alice")
		var made, lost int
		var counting sync.Mutex
		atOnce(func(i int) {
			_, err := engines[i%2].RotateSigningKey(t.Context(), engine.UseSession, "")
			counting.Lock()
			defer counting.Unlock()
			switch {
			case err == nil:
				made++
			case errors.Is(err, engine.ErrConflict):
				lost++
			default:
				t.Errorf("rotate: %v", err)
			}
		})
		if got := len(states(t, engines[0])); got != 1+made || made+lost != requests {
			t.Errorf("got %d keys, %d made and %d lost of %d", got, made, lost, requests)
		}
	})
}

func TestFirstPublicKeyIsThereBeforeTokensAre(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		idle := openEngine(t, engine.Config{Database: database, AutoMigrate: true})
		wantStates(t, idle)
		wantStates(t, openEngine(t, engine.Config{Database: database, AutoMigrate: true, TokenAlgorithm: "ES256"}), "ES256 signing")
		if set, err := idle.JWKS(t.Context()); err != nil || len(set.Keys) != 2 {
			t.Errorf("on a server from before: got %+v, %v, want the key of session tokens and that of access tokens", set, err)
		}
	})
}

func TestSessionNeverOutgrowsItsToken(t *testing.T) {
	t.Parallel()
	e := openEngine(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), Issuer: strings.Repeat("i", 1090)})
	tenant := e.Tenant("tenant")
	var longest authz.IssuedSession
	for length := 120; ; length++ {
		issued, err := tenant.CreateSession(t.Context(), authz.NewSession{
			User: strings.Repeat("u", length), IP: home, UserAgent: browser,
		})
		if errors.Is(err, engine.ErrInvalid) {
			break
		}
		if err != nil || length == 256 {
			t.Fatalf("a user of %d bytes: got %v, want ErrInvalid from some length on", length, err)
		}
		longest = issued
	}
	if longest.Token == "" {
		t.Fatal("even the shortest name is too long")
	}
	// The tenth generation is longer by a digit.
	for range 10 {
		longest.Token = rotate(t, tenant, from(home, longest.Token)).Token
	}
}
