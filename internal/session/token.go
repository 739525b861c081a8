package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/signing"
)

// tokenType is the typ of session tokens (RFC 7515, section 4.1.9): no other token that
// the same keys may sign is taken for one.
const tokenType = "session+jwt"

var errClaims = errors.New("the claims are not those of a session token")

// Claims are what a session token says. All of it is in the session's row.
type Claims struct {
	Tenant     string
	User       string
	Session    string
	Generation int64
	// IssuedAt and ExpiresAt are in whole seconds.
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// claims are Claims on the wire (RFC 7519, section 4.1).
type claims struct {
	jwt.RegisteredClaims
	// Audience hides that of the registered claims, which may be more than one.
	Audience   string `json:"aud"`
	Session    string `json:"sid"`
	Generation int64  `json:"gen"`
}

// ClaimsOf returns the claims of a session's current token: the same ones as long as
// the session does not rotate.
func ClaimsOf(tenant string, row Row) Claims {
	return Claims{
		Tenant:     tenant,
		User:       row.User,
		Session:    row.ID,
		Generation: row.Generation,
		IssuedAt:   row.RotatedAt.Truncate(time.Second),
		ExpiresAt:  row.IdleExpiresAt.Truncate(time.Second),
	}
}

// Sign writes a session token, with the key that signs at a time.
func Sign(keys *signing.Keys, issuer string, c Claims, now time.Time) (string, error) {
	token, err := keys.Sign(now, tokenType, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   c.User,
			IssuedAt:  jwt.NewNumericDate(c.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(c.ExpiresAt),
		},
		Audience:   c.Tenant,
		Session:    c.Session,
		Generation: c.Generation,
	})
	if err != nil {
		return "", fmt.Errorf("sign a session token: %w", err)
	}
	return token, nil
}

// Parse reads a session token that an issuer signed. Its errors are
// authz.ErrInvalidToken, and signing.ErrUnknownKey beneath that where the key may only
// be too new. A token that has expired is read like any other, for the row decides;
// and whether the tenant is the right one is the caller's to compare.
func Parse(keys *signing.Keys, issuer, token string) (Claims, error) {
	var c claims
	if err := keys.Verify(token, tokenType, &c); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", authz.ErrInvalidToken, err)
	}
	if c.Issuer != issuer || c.Audience == "" || c.Subject == "" || authz.ValidateID(c.Session) != nil || c.Generation < 1 ||
		c.IssuedAt == nil || c.ExpiresAt == nil {
		return Claims{}, fmt.Errorf("%w: %w", authz.ErrInvalidToken, errClaims)
	}
	return Claims{
		Tenant:     c.Audience,
		User:       c.Subject,
		Session:    c.Session,
		Generation: c.Generation,
		IssuedAt:   c.IssuedAt.UTC(),
		ExpiresAt:  c.ExpiresAt.UTC(),
	}, nil
}
