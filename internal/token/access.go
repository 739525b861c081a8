package token

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/signing"
)

// accessType is the typ of access tokens (RFC 9068, section 2.1): no other token that
// the same keys may sign is taken for one.
const accessType = "at+jwt"

var errClaims = errors.New("the claims are not those of an access token")

// Access is what an access token says.
type Access struct {
	// ID is the jti.
	ID     string
	Tenant string
	Family string
	// Client is the fingerprint of the client key that it was given to.
	Client string
	// Subject is the user that it speaks for; empty for none.
	Subject string
	// Scope is what it may be used for: abilities with spaces between.
	Scope string
	// IssuedAt and ExpiresAt are in whole seconds.
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// claims are Access on the wire (RFC 9068, section 2.2). The issuer is the audience, too:
// the service takes its own tokens.
type claims struct {
	jwt.RegisteredClaims
	// Audience hides that of the registered claims, which may be more than one.
	Audience string `json:"aud"`
	Client   string `json:"client_id"`
	Tenant   string `json:"tenant"`
	Scope    string `json:"scope"`
	Family   string `json:"fam"`
}

// SignAccess writes an access token, with the key that signs at a time.
func SignAccess(keys *signing.Keys, issuer string, a Access, now time.Time) (string, error) {
	subject := a.Subject
	if subject == "" {
		subject = a.Client
	}
	signed, err := keys.Sign(now, accessType, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   subject,
			ID:        a.ID,
			IssuedAt:  jwt.NewNumericDate(a.IssuedAt),
			NotBefore: jwt.NewNumericDate(a.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(a.ExpiresAt),
		},
		Audience: issuer,
		Client:   a.Client,
		Tenant:   a.Tenant,
		Scope:    a.Scope,
		Family:   a.Family,
	})
	if err != nil {
		return "", fmt.Errorf("sign an access token: %w", err)
	}
	return signed, nil
}

// ParseAccess reads an access token that an issuer signed. It says nothing of the
// time, nor whether the family has ended.
func ParseAccess(keys *signing.Keys, issuer, token string) (Access, error) {
	var c claims
	if err := keys.Verify(token, accessType, &c); err != nil {
		return Access{}, err
	}
	if c.Issuer != issuer || c.Audience != issuer || c.Subject == "" || c.ID == "" || c.Client == "" || c.Scope == "" ||
		authz.ValidateID(c.Tenant) != nil || authz.ValidateID(c.Family) != nil ||
		c.IssuedAt == nil || c.NotBefore == nil || c.ExpiresAt == nil || !c.NotBefore.Equal(c.IssuedAt.Time) {
		return Access{}, errClaims
	}
	a := Access{
		ID:        c.ID,
		Tenant:    c.Tenant,
		Family:    c.Family,
		Client:    c.Client,
		Subject:   c.Subject,
		Scope:     c.Scope,
		IssuedAt:  c.IssuedAt.UTC(),
		ExpiresAt: c.ExpiresAt.UTC(),
	}
	if a.Subject == a.Client {
		a.Subject = ""
	}
	return a, nil
}

// LooksLikeAccess tells whether a text has the form of an access token: that of any JWT.
func LooksLikeAccess(text string) bool { return strings.Count(text, ".") == 2 }
