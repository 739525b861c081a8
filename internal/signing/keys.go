// Package signing makes and verifies signed tokens: JSON Web Tokens (RFC 7519) in the
// compact form of RFC 7515. It knows keys, headers and signatures; what the claims
// mean, and whether they have expired, is their owner's to say. Keys are made by
// [Generate], read back by [Load] and used as a [Keys], which picks the key that signs.
package signing

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The uses of keys: what they sign.
const (
	UseSession = "session"
	UseAccess  = "access"
)

// MaxToken is the longest token in bytes: longer ones are neither made nor read.
const MaxToken = 2048

var (
	// ErrUnknownKey is the error of a token whose key is not in the set. The set may be
	// older than the key.
	ErrUnknownKey = errors.New("the token's key is unknown")
	// ErrTooLong is the error of a token of more than MaxToken bytes.
	ErrTooLong = fmt.Errorf("a token is at most %d bytes long", MaxToken)

	errNoKey     = errors.New("there is no key to sign with")
	errLineBreak = errors.New("a token has no line breaks")
	errKeyID     = errors.New("a kid is 16 bytes in base64url")
	errHeader    = errors.New("the token's header is not the one that its key and type have")
	errTwice     = errors.New("the token names a claim twice")
)

// Keys is a set of keys that follow each other. It never changes, so it is safe for
// concurrent use.
type Keys struct {
	inOrder []Key
	byID    map[string]Key
	parser  *jwt.Parser
}

// NewKeys returns a set of keys, the oldest first. The kids differ.
func NewKeys(keys []Key) *Keys {
	byID := make(map[string]Key, len(keys))
	for _, key := range keys {
		byID[key.ID] = key
	}
	return &Keys{
		inOrder: append([]Key(nil), keys...),
		byID:    byID,
		parser:  jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
}

// Sign returns a token with the claims and a header of alg, kid and typ, which is of
// letters, digits, + and - only. It is signed by the newest key whose time has come, or
// by the oldest one where none has. A token that would be longer than MaxToken is an
// error.
func (k *Keys) Sign(now time.Time, typ string, claims jwt.Claims) (string, error) {
	if len(k.inOrder) == 0 {
		return "", errNoKey
	}
	key := k.inOrder[0]
	for _, next := range k.inOrder[1:] {
		if !next.SignsFrom.After(now) {
			key = next
		}
	}
	signed, err := key.sign(typ, claims)
	if err != nil {
		return "", fmt.Errorf("sign with key %s: %w", key.ID, err)
	}
	if len(signed) > MaxToken {
		return "", ErrTooLong
	}
	return signed, nil
}

// Verify reads a token's claims into claims, which mean something only where there is
// no error. The token must be as Sign writes it for one of the keys and typ, to the byte:
// the key says the algorithm, and a header of any other content or spelling is refused,
// whatever it asks for. Nothing is said about the claims: neither whether they are
// those of this issuer, nor whether they have expired.
func (k *Keys) Verify(token, typ string, claims jwt.Claims) error {
	if len(token) > MaxToken {
		return ErrTooLong
	}
	// The decoder of base64 skips them, so that one token could be written in many ways.
	if strings.ContainsAny(token, "\r\n") {
		return errLineBreak
	}
	if _, err := k.parser.ParseWithClaims(token, claims, func(parsed *jwt.Token) (any, error) {
		kid, _ := parsed.Header["kid"].(string)
		if !isKeyID(kid) {
			return nil, errKeyID
		}
		key, known := k.byID[kid]
		if !known {
			return nil, ErrUnknownKey
		}
		if !strings.HasPrefix(parsed.Raw, key.header(typ)+".") {
			return nil, errHeader
		}
		return key.public, nil
	}); err != nil {
		return err
	}
	return namedOnce(strings.Split(token, ".")[1])
}

// namedOnce refuses claims that have a name twice, in capitals or not: which of the two
// counts would depend on who reads them.
func namedOnce(payload string) error {
	body := json.NewDecoder(base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(payload)))
	if _, err := body.Token(); err != nil {
		return err
	}
	names := map[string]bool{}
	for body.More() {
		var value json.RawMessage
		name, err := body.Token()
		if err == nil {
			err = body.Decode(&value)
		}
		if err != nil {
			return err
		}
		folded := strings.ToLower(fmt.Sprint(name))
		if names[folded] {
			return errTwice
		}
		names[folded] = true
	}
	return nil
}

// isKeyID tells whether a kid has the form that Generate gives it. Both lengths count,
// for the decoder skips line breaks.
func isKeyID(kid string) bool {
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(kid)
	return err == nil && len(decoded) == keyIDBytes && len(kid) == base64.RawURLEncoding.EncodedLen(keyIDBytes)
}
