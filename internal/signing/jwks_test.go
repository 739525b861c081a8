package signing_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/internal/signing"
)

// parse reads a key from its JSON with the standard library alone, as a stranger would.
func parse(t *testing.T, jwk signing.JWK) crypto.PublicKey {
	t.Helper()
	text, err := json.Marshal(jwk)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]string
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	names := map[string]int{"RSA": 6, "EC": 7, "OKP": 6}
	if want, ok := names[members["kty"]]; !ok || len(members) != want {
		t.Fatalf("got %s, want %d members", text, want)
	}
	switch members["kty"] {
	case "RSA":
		e := new(big.Int).SetBytes(decode(t, members["e"]))
		if members["e"] != "AQAB" {
			t.Errorf("e: got %q, want AQAB", members["e"])
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(decode(t, members["n"])), E: int(e.Int64())}
	case "EC":
		if members["crv"] != "P-256" {
			t.Errorf("crv: got %q", members["crv"])
		}
		x, y := decode(t, members["x"]), decode(t, members["y"])
		if len(x) != 32 || len(y) != 32 {
			t.Fatalf("coordinates of %d and %d bytes, want 32", len(x), len(y))
		}
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err != nil {
			t.Fatal(err)
		}
		return key
	default:
		if members["crv"] != "Ed25519" {
			t.Errorf("crv: got %q", members["crv"])
		}
		return ed25519.PublicKey(decode(t, members["x"]))
	}
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b
}

// TestCoordinatesKeepTheirLength makes keys until one has a coordinate that begins with
// a zero byte, which must not be left out.
func TestCoordinatesKeepTheirLength(t *testing.T) {
	t.Parallel()
	for range 5000 {
		jwk := signing.NewKeys([]signing.Key{generate(t, signing.ES256, start)}).Public().Keys[0]
		parse(t, jwk)
		if strings.HasPrefix(jwk.X, "AA") || strings.HasPrefix(jwk.Y, "AA") {
			return
		}
	}
	t.Error("no coordinate of 10000 began with a zero byte")
}
