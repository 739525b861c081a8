package engine

import (
	"cmp"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/token"
)

// TokenConfig says how long tokens are good, which is in any case no longer than their
// client key. The zero value is the usual one.
type TokenConfig struct {
	// Access is the lifetime of an access token; 0 means 24 h.
	Access time.Duration

	// Refresh is the lifetime of a refresh token, from when it was issued: a family that
	// is refreshed in time goes on. 0 means 7 days.
	Refresh time.Duration
}

// The lifetimes of tokens, unless told.
const (
	defaultAccess  = 24 * time.Hour
	defaultRefresh = 7 * 24 * time.Hour
)

func (c TokenConfig) withDefaults() (TokenConfig, error) {
	c.Access = cmp.Or(c.Access, defaultAccess)
	c.Refresh = cmp.Or(c.Refresh, defaultRefresh)
	if c.Access < time.Second || c.Refresh < time.Second {
		return c, fault.Invalid("tokens: must be good for at least 1s")
	}
	return c, nil
}

func (c TokenConfig) lifetimes() token.Lifetimes {
	return token.Lifetimes{Access: c.Access, Refresh: c.Refresh}
}
