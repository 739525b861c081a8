package engine

import (
	"cmp"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
)

// SessionConfig says how sessions live. The zero value is the usual one.
type SessionConfig struct {
	// Overlap is how long a superseded token is still answered with the current one,
	// as parallel requests of one browser need it; 0 means 10 s, less than 0 not at all.
	Overlap time.Duration

	// LostWindow is how long the token before the current one is, once, where the
	// current one seems to have got lost on its way; 0 means 5 min, less than 0 not at
	// all.
	LostWindow time.Duration

	// RotateAfter is how old a token gets before its use makes the next; 0 means that
	// every use does. At most half of Idle, for a use that makes none does not put off
	// the idle limit.
	RotateAfter time.Duration

	// Idle and Absolute end a session that long after its last rotation and its
	// making; 0 means 12 h and 30 days.
	Idle     time.Duration
	Absolute time.Duration

	// Binding is that of sessions which do not ask for one; empty means
	// authz.BindingStandard.
	Binding authz.SessionBinding

	// MaxPerUser ends a user's oldest sessions beyond so many; 0 means no limit.
	MaxPerUser int
}

// The times of a session, unless told.
const (
	defaultOverlap    = 10 * time.Second
	defaultLostWindow = 5 * time.Minute
	defaultIdle       = 12 * time.Hour
	defaultAbsolute   = 30 * 24 * time.Hour
)

// withDefaults completes the configuration and refuses what does not go together.
func (c SessionConfig) withDefaults() (SessionConfig, error) {
	c.Overlap = max(cmp.Or(c.Overlap, defaultOverlap), 0)
	c.LostWindow = max(cmp.Or(c.LostWindow, defaultLostWindow), 0)
	c.Idle = cmp.Or(c.Idle, defaultIdle)
	c.Absolute = cmp.Or(c.Absolute, defaultAbsolute)
	c.Binding = cmp.Or(c.Binding, authz.BindingStandard)
	switch {
	case c.Idle < time.Second:
		return c, fault.Invalid("sessions: the idle limit must be at least 1s")
	case c.Absolute < c.Idle:
		return c, fault.Invalid("sessions: the absolute limit must be at least the idle limit")
	case c.Overlap >= c.Idle || c.LostWindow >= c.Idle:
		return c, fault.Invalid("sessions: the overlap and the lost window must be below the idle limit")
	case c.RotateAfter < 0 || c.RotateAfter > c.Idle/2:
		return c, fault.Invalid("sessions: a token must rotate at an age from 0s to half of the idle limit")
	case c.MaxPerUser < 0:
		return c, fault.Invalid("sessions: the maximum per user must not be negative")
	}
	return c, validateBinding(c.Binding)
}

func (c SessionConfig) rules() session.Rules {
	return session.Rules{
		Overlap: c.Overlap, LostWindow: c.LostWindow, RotateAfter: c.RotateAfter, Idle: c.Idle, Absolute: c.Absolute,
	}
}

func validateBinding(binding authz.SessionBinding) error {
	switch binding {
	case authz.BindingStrict, authz.BindingStandard, authz.BindingOff:
		return nil
	default:
		return fault.Invalid("binding: must be %q, %q or %q", authz.BindingStrict, authz.BindingStandard, authz.BindingOff)
	}
}
