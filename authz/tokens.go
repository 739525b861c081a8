package authz

import "time"

// TokenRequest asks for an access token, and a refresh token to get the next one with.
type TokenRequest struct {
	// Abilities are what the tokens may be used for, of what the client key may; nil
	// means all of it.
	Abilities []string
	// Subject is the user that the tokens speak for; empty for none. It stands in the
	// audit log, and the tokens end when the user is deactivated or deleted. What the
	// tokens may do does not depend on it.
	Subject string
}

// Tokens are an access token and the refresh token to get the next one with. Both are
// secrets.
type Tokens struct {
	AccessToken string
	// RefreshToken is good once.
	RefreshToken string
	// ExpiresIn is how long the access token is good.
	ExpiresIn time.Duration
	// Abilities are what the access token may be used for.
	Abilities []string
}

// TokenInfo is what is known of an access or refresh token; zero for one that is not
// good.
type TokenInfo struct {
	Active bool
	Use    TokenUse
	// ID is empty for a refresh token.
	ID string
	// Family is what the token belongs to: all that came of one TokenRequest.
	Family string
	Tenant string
	Issuer string
	// Client is the fingerprint of the client key that the token was given to.
	Client string
	// Subject is the user that the token speaks for; empty for none.
	Subject   string
	Abilities []string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// TokenUse is what a token is for.
type TokenUse string

// The kinds of tokens that have a TokenInfo.
const (
	AccessToken  TokenUse = "access_token"
	RefreshToken TokenUse = "refresh_token"
)

// TokenRefusal says why tokens are not given, or a token not taken, in OAuth's words
// (RFC 6749, section 5.2, and RFC 6750, section 3.1). It is wrapped by the error;
// errors.Is and errors.As find it.
type TokenRefusal string

// Why tokens are not given or taken.
const (
	// ErrInvalidGrant is a refresh token that is not good, or not any more.
	ErrInvalidGrant TokenRefusal = "invalid_grant"
	// ErrInvalidScope is an ability that there is not, or that the client key or the
	// family lacks.
	ErrInvalidScope TokenRefusal = "invalid_scope"
	// ErrInvalidAccessToken is an access token that is not good, or not any more: get
	// another.
	ErrInvalidAccessToken TokenRefusal = "invalid_token"
)

func (r TokenRefusal) Error() string { return string(r) }
