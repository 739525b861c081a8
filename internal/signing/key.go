package signing

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The algorithms (RFC 7518, section 3.1, and RFC 8037).
const (
	HS256 = "HS256"
	RS256 = "RS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// keyIDBytes is how many bytes a kid encodes.
const keyIDBytes = 16

// MinSecret is the shortest HMAC key in bytes: that of its hash (RFC 7518, section 3.2).
const MinSecret = sha256.Size

// rsaBits is the size of the RSA keys that are made, and the least that is taken.
const rsaBits = 2048

var errMaterial = errors.New("the key material is not of the key's algorithm")

// Key signs tokens, and verifies them, by one algorithm.
type Key struct {
	// ID is the kid (RFC 7515, section 4.1.4).
	ID        string
	Algorithm string
	// SignsFrom is when the key takes over from the one before it.
	SignsFrom time.Time

	method jwt.SigningMethod
	// private and public are one []byte for HMAC.
	private, public any
	// jwk is nil for HMAC.
	jwk *JWK
}

// Generate makes a key for an algorithm. The material is what Load reads: the base64
// of the HMAC key, or of the private key in PKCS #8.
func Generate(algorithm string) (id, material string, err error) {
	secret, err := generate(algorithm)
	if err != nil {
		return "", "", fmt.Errorf("make a key for %s: %w", algorithm, err)
	}
	kid := make([]byte, keyIDBytes)
	rand.Read(kid)
	return encode(kid), base64.StdEncoding.EncodeToString(secret), nil
}

func generate(algorithm string) ([]byte, error) {
	var private crypto.PrivateKey
	var err error
	switch algorithm {
	case HS256:
		secret := make([]byte, MinSecret)
		rand.Read(secret)
		return secret, nil
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = errors.New("the algorithm is none of HS256, RS256, ES256 and EdDSA")
	}
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(private)
}

// Secret is the HS256 key, of MinSecret bytes at least, that an operator has given. Its
// kid is derived from it, and it has signed from ever.
func Secret(key []byte) Key {
	// The prefix keeps the kid from being a hash of the key that has another meaning.
	digest := sha256.Sum256(append([]byte("gatehouse kid of an HMAC key\x00"), key...))
	return symmetric(encode(digest[:keyIDBytes]), bytes.Clone(key), time.Time{})
}

// Load reads a key that Generate made.
func Load(id, algorithm, material string, signsFrom time.Time) (Key, error) {
	key, err := load(id, algorithm, material, signsFrom)
	if err != nil {
		return Key{}, fmt.Errorf("load key %q for %s: %w", id, algorithm, err)
	}
	return key, nil
}

func load(id, algorithm, material string, signsFrom time.Time) (Key, error) {
	if !isKeyID(id) {
		return Key{}, errKeyID
	}
	secret, err := base64.StdEncoding.DecodeString(material)
	if err != nil {
		return Key{}, err
	}
	if algorithm == HS256 {
		if len(secret) < MinSecret {
			return Key{}, errMaterial
		}
		return symmetric(id, secret, signsFrom), nil
	}
	private, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return Key{}, err
	}
	pair, ok := private.(crypto.Signer)
	if !ok || !fits(algorithm, private) {
		return Key{}, errMaterial
	}
	jwk, err := publish(id, algorithm, pair.Public())
	if err != nil {
		return Key{}, err
	}
	return Key{
		ID: id, Algorithm: algorithm, SignsFrom: signsFrom,
		method: jwt.GetSigningMethod(algorithm), private: private, public: pair.Public(), jwk: jwk,
	}, nil
}

func symmetric(id string, secret []byte, signsFrom time.Time) Key {
	return Key{ID: id, Algorithm: HS256, SignsFrom: signsFrom, method: jwt.SigningMethodHS256, private: secret, public: secret}
}

// fits tells whether a private key is of the kind that an algorithm takes.
func fits(algorithm string, private crypto.PrivateKey) bool {
	switch private := private.(type) {
	case *rsa.PrivateKey:
		return algorithm == RS256 && private.N.BitLen() >= rsaBits
	case *ecdsa.PrivateKey:
		return algorithm == ES256 && private.Curve == elliptic.P256()
	case ed25519.PrivateKey:
		return algorithm == EdDSA
	default:
		return false
	}
}

// sign writes a token. Unlike the library it keeps <, > and & of the claims as they
// are, each of which would take six bytes.
func (k Key) sign(typ string, claims jwt.Claims) (string, error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(claims); err != nil {
		return "", err
	}
	signed := k.header(typ) + "." + encode(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
	signature, err := k.method.Sign(signed, k.private)
	if err != nil {
		return "", err
	}
	return signed + "." + encode(signature), nil
}

// header is the first segment of the tokens that the key signs. Nothing in it needs
// to be escaped.
func (k Key) header(typ string) string {
	return encode(fmt.Appendf(nil, `{"alg":"%s","kid":"%s","typ":"%s"}`, k.Algorithm, k.ID, typ))
}
