package signing

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
)

// JWKSet is a set of public keys (RFC 7517, section 5).
type JWKSet struct {
	Keys []JWK `json:"keys"`
}

// JWK is a public key that verifies signatures (RFC 7517, section 4). Binary members
// are in base64url without padding.
type JWK struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	// Modulus and Exponent are those of an RSA key (RFC 7518, section 6.3.1).
	Modulus  string `json:"n,omitempty"`
	Exponent string `json:"e,omitempty"`
	// Curve, X and Y are those of an elliptic curve key (RFC 7518, section 6.2.1); an
	// Ed25519 key has no Y (RFC 8037, section 2).
	Curve string `json:"crv,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`
}

// Public returns what a stranger needs to verify tokens: the public halves of the
// asymmetric keys, the oldest first. Keys whose time has not come are among them, so that
// they are known before they are used.
func (k *Keys) Public() JWKSet {
	set := JWKSet{Keys: []JWK{}}
	for _, key := range k.inOrder {
		if key.jwk != nil {
			set.Keys = append(set.Keys, *key.jwk)
		}
	}
	return set
}

// publish describes the public half of a key that fits its algorithm.
func publish(id, algorithm string, public crypto.PublicKey) (*JWK, error) {
	jwk := &JWK{Use: "sig", Algorithm: algorithm, KeyID: id}
	switch public := public.(type) {
	case *rsa.PublicKey:
		jwk.KeyType = "RSA"
		jwk.Modulus = encode(public.N.Bytes())
		jwk.Exponent = encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		// A byte that says how the point is written, and two coordinates of equal length.
		point, err := public.Bytes()
		if err != nil {
			return nil, err
		}
		x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
		jwk.KeyType, jwk.Curve, jwk.X, jwk.Y = "EC", "P-256", encode(x), encode(y)
	case ed25519.PublicKey:
		jwk.KeyType, jwk.Curve, jwk.X = "OKP", "Ed25519", encode(public)
	}
	return jwk, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
