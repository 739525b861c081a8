package signing_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse/gatehouse/internal/signing"
)

const typ = "session+jwt"

var (
	algorithms = []string{signing.HS256, signing.RS256, signing.ES256, signing.EdDSA}
	start      = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
)

func generate(t testing.TB, algorithm string, signsFrom time.Time) signing.Key {
	t.Helper()
	id, material, err := signing.Generate(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.Load(id, algorithm, material, signsFrom)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, keys *signing.Keys, now time.Time, claims jwt.MapClaims) string {
	t.Helper()
	token, err := keys.Sign(now, typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// kid reads a token's header by the standard library's means.
func kid(t *testing.T, token string) string {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Header["kid"].(string)
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	keys := map[string]signing.Key{"secret": signing.Secret([]byte("an operator's secret of 32 bytes"))}
	for _, algorithm := range algorithms {
		keys[algorithm] = generate(t, algorithm, start)
	}
	for name, key := range keys {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := signing.NewKeys([]signing.Key{key})
			token := sign(t, set, start, jwt.MapClaims{"sub": "<ann & bob>"})
			claims := jwt.MapClaims{}
			if err := set.Verify(token, typ, &claims); err != nil || claims["sub"] != "<ann & bob>" {
				t.Errorf("got %v, %v", claims, err)
			}
			if err := set.Verify(token, "at+jwt", &claims); err == nil {
				t.Error("taken for a token of another type")
			}
			for other, key := range keys {
				if other == name {
					continue
				}
				if err := signing.NewKeys([]signing.Key{key}).Verify(token, typ, &claims); !errors.Is(err, signing.ErrUnknownKey) {
					t.Errorf("with the key of %s: got %v, want %v", other, err, signing.ErrUnknownKey)
				}
			}
		})
	}
}

func TestTheNewestKeyWhoseTimeHasComeSigns(t *testing.T) {
	t.Parallel()
	first, second, third := generate(t, signing.HS256, start), generate(t, signing.ES256, start.Add(time.Hour)), generate(t, signing.EdDSA, start.Add(2*time.Hour))
	set := signing.NewKeys([]signing.Key{first, second, third})
	for _, tt := range []struct {
		at   time.Duration
		want signing.Key
	}{
		{-time.Hour, first}, {0, first}, {time.Hour - 1, first}, {time.Hour, second}, {2*time.Hour - 1, second}, {2 * time.Hour, third}, {1000 * time.Hour, third},
	} {
		token := sign(t, set, start.Add(tt.at), jwt.MapClaims{})
		if got := kid(t, token); got != tt.want.ID {
			t.Errorf("%v after the first: signed by %s, want %s", tt.at, got, tt.want.ID)
		}
		if err := set.Verify(token, typ, &jwt.MapClaims{}); err != nil {
			t.Errorf("%v after the first: %v", tt.at, err)
		}
	}
	if _, err := signing.NewKeys(nil).Sign(start, typ, jwt.MapClaims{}); err == nil {
		t.Error("signed with no key")
	}
}

func TestKeysKeepTheirOwnList(t *testing.T) {
	t.Parallel()
	list := []signing.Key{generate(t, signing.HS256, start)}
	set := signing.NewKeys(list)
	want := list[0].ID
	list[0] = generate(t, signing.HS256, start)
	if got := kid(t, sign(t, set, start, jwt.MapClaims{})); got != want {
		t.Errorf("signed by %s, want %s", got, want)
	}
}

func TestLongTokens(t *testing.T) {
	t.Parallel()
	set := signing.NewKeys([]signing.Key{generate(t, signing.HS256, start)})
	fits := 0
	for n := 1300; n < 1500; n++ {
		token, err := set.Sign(start, typ, jwt.MapClaims{"sub": strings.Repeat("a", n)})
		if err != nil {
			continue
		}
		fits = n
		if len(token) > signing.MaxToken {
			t.Fatalf("signed %d bytes, want at most %d", len(token), signing.MaxToken)
		}
		if err := set.Verify(token, typ, &jwt.MapClaims{}); err != nil {
			t.Fatalf("a token of %d bytes: %v", len(token), err)
		}
	}
	if fits == 0 || fits == 1499 {
		t.Errorf("the limit is not where the test looks for it: %d", fits)
	}
}

func TestLongTokensAreNotRead(t *testing.T) {
	t.Parallel()
	secret := []byte("an operator's secret of 32 bytes")
	key := signing.Secret(secret)
	for n, wantRead := range map[int]bool{1000: true, 2000: false} {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": strings.Repeat("a", n)})
		token.Header["kid"], token.Header["typ"] = key.ID, typ
		signed, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := signing.NewKeys([]signing.Key{key}).Verify(signed, typ, &jwt.MapClaims{}); (err == nil) != wantRead {
			t.Errorf("a token of %d bytes: got %v", len(signed), err)
		}
	}
}

func TestSignRefusesWhatIsNoJSON(t *testing.T) {
	t.Parallel()
	set := signing.NewKeys([]signing.Key{generate(t, signing.HS256, start)})
	if token, err := set.Sign(start, typ, jwt.MapClaims{"sub": func() {}}); err == nil {
		t.Errorf("got %s", token)
	}
}

func TestGenerateNeverRepeatsItself(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 20_000 {
		id, material, err := signing.Generate(signing.HS256)
		if err != nil {
			t.Fatal(err)
		}
		if len(id) != 22 || seen[id] || seen[material] {
			t.Fatalf("kid %q, seen before: %v", id, seen[id])
		}
		seen[id], seen[material] = true, true
	}
	for _, algorithm := range []string{"", "none", "None", "HS512", "hs256", "PS256", "ES384"} {
		if _, _, err := signing.Generate(algorithm); err == nil {
			t.Errorf("made a key for %q", algorithm)
		}
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	secret := []byte("an operator's secret of 32 bytes")
	key, again, other := signing.Secret(secret), signing.Secret(bytes.Clone(secret)), signing.Secret([]byte("another operator's secret, so long"))
	if key.ID != again.ID || key.ID == other.ID || len(key.ID) != 22 {
		t.Errorf("kids: got %q, %q for the same and %q for another secret", key.ID, again.ID, other.ID)
	}
	if key.Algorithm != signing.HS256 || !key.SignsFrom.IsZero() {
		t.Errorf("got %s from %v, want HS256 from ever", key.Algorithm, key.SignsFrom)
	}
	token := sign(t, signing.NewKeys([]signing.Key{key}), start, jwt.MapClaims{})
	secret[0]++
	if err := signing.NewKeys([]signing.Key{key}).Verify(token, typ, &jwt.MapClaims{}); err != nil {
		t.Errorf("after the caller changed its slice: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const id = "AAAAAAAAAAAAAAAAAAAAAA"
	material := map[string]string{}
	for _, algorithm := range algorithms {
		_, material[algorithm], _ = signing.Generate(algorithm)
	}
	pkcs8 := func(private crypto.PrivateKey, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
	type load struct{ id, algorithm, material string }
	tests := map[string]load{
		"no kid":                      {"", signing.HS256, material[signing.HS256]},
		"a short kid":                 {"AAAA", signing.HS256, material[signing.HS256]},
		"a path for a kid":            {"../../../../dev/null/x", signing.HS256, material[signing.HS256]},
		"a kid with bits left over":   {"AAAAAAAAAAAAAAAAAAAAAB", signing.HS256, material[signing.HS256]},
		"no algorithm":                {id, "", material[signing.HS256]},
		"the algorithm none":          {id, "none", material[signing.HS256]},
		"no base64":                   {id, signing.HS256, "!"},
		"no material":                 {id, signing.HS256, ""},
		"a short HMAC key":            {id, signing.HS256, base64.StdEncoding.EncodeToString(make([]byte, 31))},
		"an HMAC key for RSA":         {id, signing.RS256, material[signing.HS256]},
		"an RSA key for ECDSA":        {id, signing.ES256, material[signing.RS256]},
		"an ECDSA key for EdDSA":      {id, signing.EdDSA, material[signing.ES256]},
		"an EdDSA key for RSA":        {id, signing.RS256, material[signing.EdDSA]},
		"an RSA key for RS512":        {id, "RS512", material[signing.RS256]},
		"a key of P-384":              {id, signing.ES256, pkcs8(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))},
		"an RSA key that is too weak": {id, signing.RS256, pkcs8(rsa.GenerateKey(rand.Reader, 1024))},
	}
	for name, tt := range tests {
		if key, err := signing.Load(tt.id, tt.algorithm, tt.material, start); err == nil {
			t.Errorf("%s: loaded %s", name, key.ID)
		}
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	var list []signing.Key
	for i, algorithm := range algorithms {
		list = append(list, generate(t, algorithm, start.Add(time.Duration(i)*time.Hour)))
	}
	set := signing.NewKeys(list)
	public := set.Public()
	if len(public.Keys) != 3 {
		t.Fatalf("got %d keys, want the three asymmetric ones: %+v", len(public.Keys), public)
	}
	for i, jwk := range public.Keys {
		if want := list[i+1]; jwk.KeyID != want.ID || jwk.Algorithm != want.Algorithm || jwk.Use != "sig" {
			t.Errorf("got %+v, want key %s for %s", jwk, want.ID, want.Algorithm)
		}
		token := sign(t, set, list[i+1].SignsFrom, jwt.MapClaims{"sub": "ann"})
		key := parse(t, jwk)
		if _, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{jwk.Algorithm})); err != nil {
			t.Errorf("%s: a stranger does not verify a token: %v", jwk.Algorithm, err)
		}
	}
	if got := signing.NewKeys(nil).Public().Keys; got == nil || len(got) != 0 {
		t.Errorf("no keys: got %#v, want an empty list that JSON shows as one", got)
	}
}
