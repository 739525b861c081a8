package integration_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/servertest"
)

// sessionClaims is what a service reads of a session's token that knows no more of
// Gatehouse than its documentation.
type sessionClaims struct {
	jwt.RegisteredClaims
	Session    string `json:"sid"`
	Generation int64  `json:"gen"`
}

// publishedKeys are the public keys that a server shows to all, by their kids.
func publishedKeys(t *testing.T, server *process) map[string]crypto.PublicKey {
	t.Helper()
	answer, err := http.Get(server.URL + "/.well-known/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if got, want := answer.Header.Get("Cache-Control"), "public, max-age=300"; got != want {
		t.Errorf("Cache-Control: got %q, want %q", got, want)
	}
	var set struct{ Keys []map[string]string }
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.PublicKey{}
	for _, jwk := range set.Keys {
		key, err := publicKey(jwk)
		if err != nil {
			t.Fatalf("the key %v: %v", jwk, err)
		}
		keys[jwk["kid"]] = key
	}
	return keys
}

// publicKey reads a key as RFC 7518, section 6, and RFC 8037 write it. What makes a key
// a private one is an error.
func publicKey(jwk map[string]string) (crypto.PublicKey, error) {
	if jwk["d"] != "" || jwk["k"] != "" {
		return nil, errors.New("it is not public")
	}
	var number [4][]byte
	for n, name := range []string{"n", "e", "x", "y"} {
		var err error
		if number[n], err = base64.RawURLEncoding.Strict().DecodeString(jwk[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch jwk["kty"] + " " + jwk["crv"] {
	case "RSA ":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(number[0]), E: int(new(big.Int).SetBytes(number[1]).Int64())}, nil
	case "EC P-256":
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, number[2], number[3]))
	case "OKP Ed25519":
		return ed25519.PublicKey(number[2]), nil
	default:
		return nil, errors.New("it is of an unknown kind")
	}
}

// verify reads a token with published keys, and tells whether it is good.
func verify(keys map[string]crypto.PublicKey, token, algorithm, audience string) (*jwt.Token, error) {
	return jwt.ParseWithClaims(token, new(sessionClaims), func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if keys[kid] == nil {
			return nil, fmt.Errorf("no key %q", kid)
		}
		return keys[kid], nil
	}, jwt.WithValidMethods([]string{algorithm}), jwt.WithIssuer("gatehouse"), jwt.WithAudience(audience), jwt.WithExpirationRequired())
}

func TestPublishedKeysVerifyTokens(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ES256", "RS256", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			i := servertest.InstallSQLite(t, "AUTH_JWT_ALGORITHM="+algorithm, "AUTH_CLIENT_REGISTRATION=closed")
			key := strings.TrimSpace(i.Must("client", "create", "--name", "site"))
			tenant := keysByName(i)["site"].tenant
			server := i.Serve()
			issued := openSession(t, client(t, server, key), "alice")
			rotated := rotateOnce(t, client(t, server, key), shown(issued.Token))
			for n, server := range []*process{server, i.Serve()} {
				keys := publishedKeys(t, server)
				if len(keys) != 2 {
					t.Errorf("server %d: got %d keys, want that of session tokens and that of access tokens", n, len(keys))
				}
				for token, session := range map[string]authz.Session{issued.Token: issued.Session, rotated.Token: rotated.Session} {
					parsed, err := verify(keys, token, algorithm, tenant)
					if err != nil {
						t.Errorf("server %d: the token of generation %d: %v", n, session.Generation, err)
						continue
					}
					if got, want := parsed.Header["typ"], "session+jwt"; got != want {
						t.Errorf("typ: got %v, want %v", got, want)
					}
					claims := parsed.Claims.(*sessionClaims)
					if claims.Subject != "alice" || claims.Session != session.ID || claims.Generation != session.Generation ||
						claims.IssuedAt.Unix() != session.LastSeenAt.Unix() || claims.ExpiresAt.Unix() != session.IdleExpiresAt.Unix() {
						t.Errorf("got the claims %+v, want those of %+v", claims, session)
					}
				}
				// The middle of the signature, for the last character may have bits to spare.
				changed := []byte(issued.Token)
				if at := &changed[len(changed)-20]; *at == 'A' {
					*at = 'B'
				} else {
					*at = 'A'
				}
				for what, token := range map[string]string{"changed": string(changed), "cut": issued.Token[:len(issued.Token)-1]} {
					if _, err := verify(keys, token, algorithm, tenant); err == nil {
						t.Errorf("server %d: a token that was %s is verified", n, what)
					}
				}
			}
		})
	}
}

// kidOf tells which key has signed a token.
func kidOf(t *testing.T, token string) string {
	parsed, _, err := jwt.NewParser().ParseUnverified(token, new(sessionClaims))
	if err != nil {
		t.Errorf("the token %q: %v", token, err)
		return ""
	}
	kid, _ := parsed.Header["kid"].(string)
	return kid
}

// wantKeys checks what gatehouse keys list says of the keys of session tokens, by their
// kids.
func wantKeys(i installation, want map[string]string) {
	i.T.Helper()
	got := map[string]string{}
	for line := range strings.Lines(i.Must("keys", "list")) {
		// KID USE ALGORITHM SIGNS FROM STATE
		if columns := strings.Fields(line); columns[1] == "session" {
			got[columns[0]] = columns[len(columns)-1]
		}
	}
	if !maps.Equal(got, want) {
		i.T.Errorf("keys list: got %v, want %v", got, want)
	}
}

// letKeysSign makes the time of every signing key come, as 5 minutes do.
func letKeysSign(i installation) {
	i.T.Helper()
	driver, source := "pgx", i.Database
	if path, ok := strings.CutPrefix(i.Database, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		i.T.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(i.T.Context(), "UPDATE signing_keys SET signs_from = created_at"); err != nil {
		i.T.Fatal(err)
	}
}

// lookGap is how long a server lets pass between two looks for new keys that tokens of
// unknown keys bring about. In the 5 minutes that a key is known before it signs there
// are none.
const lookGap = time.Second

func TestKeyRotationGoesUnnoticed(t *testing.T) {
	onBoth(t, func(t *testing.T, i installation) {
		i = i.With("AUTH_JWT_ALGORITHM=ES256")
		p := startPair(i)
		issued := openSession(t, p.clients[0], "alice")
		firstKey := kidOf(t, issued.Token)
		token := rotateOnce(t, p.clients[1], shown(issued.Token)).Token
		looked := time.Now()

		// Devices that rotate all the time, and how often one of them got a token of
		// another key than it had.
		const devices = 8
		var done atomic.Bool
		var changes atomic.Int64
		var working sync.WaitGroup
		defer working.Wait()
		defer done.Store(true)
		for n := range devices {
			session := openSession(t, p.clients[0], fmt.Sprint("user-", n))
			working.Go(func() {
				token := session.Token
				for turn, kid := n, firstKey; !done.Load(); turn++ {
					rotated, err := p.clients[turn%2].RotateSession(t.Context(), shown(token))
					if err != nil || rotated.Outcome != authz.SessionRotated {
						t.Errorf("device %d: got %+v, %v, want it rotated", n, rotated, err)
						return
					}
					token = rotated.Token
					if next := kidOf(t, token); next != kid {
						kid = next
						changes.Add(1)
					}
				}
			})
		}

		secondKey := strings.TrimSpace(i.Must("keys", "rotate", "--use", "session"))
		wantKeys(i, map[string]string{firstKey: "signing", secondKey: "published"})
		if keys := publishedKeys(t, i.Serve()); len(keys) != 3 || keys[firstKey] == nil || keys[secondKey] == nil {
			t.Errorf("got the published keys %v, want %s and %s, and that of access tokens", keys, firstKey, secondKey)
		}
		if got := changes.Load(); got != 0 {
			t.Errorf("got %d tokens of another key before its time, want 0", got)
		}

		servertest.Eventually(t, servertest.CommandTimeout, "an unknown key is looked for again", func() bool { return time.Since(looked) > lookGap })
		letKeysSign(i)
		wantKeys(i, map[string]string{firstKey: "verifying", secondKey: "signing"})
		// A server that starts now signs with the new key, which the others have not read
		// yet: a token makes them.
		token = rotateOnce(t, client(t, i.Serve(), p.key), shown(token)).Token
		for n, c := range p.clients {
			if got := kidOf(t, token); got != secondKey {
				t.Errorf("before server %d: got a token of the key %q, want of %q", n, got, secondKey)
			}
			token = rotateOnce(t, c, shown(token)).Token
			if keys := publishedKeys(t, p.servers[n]); keys[firstKey] == nil || keys[secondKey] == nil {
				t.Errorf("server %d: got the published keys %v, want %s and %s", n, keys, firstKey, secondKey)
			}
		}
		servertest.Eventually(t, servertest.CommandTimeout, "all devices have tokens of the new key", func() bool { return changes.Load() >= devices || t.Failed() })
		done.Store(true)
		working.Wait()
		if got := changes.Load(); got != devices {
			t.Errorf("got %d tokens of another key than the one before, want %d", got, devices)
		}
	})
}
