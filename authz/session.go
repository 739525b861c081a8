package authz

import (
	"context"
	"time"
)

// Checker answers whether a user may do something. An engine's Tenant is one, and
// so is the SDK's Client.
type Checker interface {
	// Check never returns a decision that allows together with an error.
	Check(ctx context.Context, request Request) (Decision, error)
}

// Session is the server's record of a user who has signed in, as one device holds
// it. What the device holds is a token: see RotatedSession.
type Session struct {
	ID   string
	User string
	// Generation is the number of the current token. The first is 1.
	Generation int64
	// IP and UserAgent are the device's, as they were last taken down.
	IP        string
	UserAgent string
	Binding   SessionBinding
	CreatedAt time.Time
	// LastSeenAt is when the current token was made.
	LastSeenAt time.Time
	// IdleExpiresAt is when the session ends unless it is used; never after ExpiresAt,
	// when it ends in any case.
	IdleExpiresAt time.Time
	ExpiresAt     time.Time
	// EndedAt and EndReason are zero while the session has not been ended. One that
	// has expired may be without them for a while.
	EndedAt   time.Time
	EndReason SessionEnd
}

// SessionBinding says how closely a session holds to the address and the browser
// that it was opened from.
type SessionBinding string

// The kinds of binding.
const (
	// BindingStrict ends the session when its address or its User-Agent changes.
	BindingStrict SessionBinding = "strict"
	// BindingStandard ends the session when the family of its browser, or its operating
	// system, changes. Another address is taken down and audited.
	BindingStandard SessionBinding = "standard"
	// BindingOff lets both change.
	BindingOff SessionBinding = "off"
)

// SessionEnd says why a session was ended.
type SessionEnd string

// The reasons for which a session ends.
const (
	// EndRevoked is an end that somebody asked for, such as by signing out.
	EndRevoked SessionEnd = "revoked"
	// EndExpired is the idle or the absolute limit.
	EndExpired SessionEnd = "expired"
	// EndTokenReused is a superseded token that nothing excused: a theft.
	EndTokenReused SessionEnd = "token_reused"
	// EndBindingMismatch is a token from another browser or address than the binding
	// allows.
	EndBindingMismatch SessionEnd = "binding_mismatch"
	// EndGenerationAhead is a token from a generation that the record has not reached:
	// an older database was restored, or a signing key has leaked.
	EndGenerationAhead SessionEnd = "generation_ahead"
	// EndUserInactive and EndUserDeleted go with the user.
	EndUserInactive SessionEnd = "user_inactive"
	EndUserDeleted  SessionEnd = "user_deleted"
	// EndMaximum made room for a newer session of the user.
	EndMaximum SessionEnd = "max_per_user"
)

// NewSession asks for a session for a user who has just proved who they are.
type NewSession struct {
	User string
	// IP and UserAgent are those of the user's device, not of the application.
	IP        string
	UserAgent string
	// Binding is the configured one where it is empty.
	Binding SessionBinding
}

// PresentedSession is a session token with where it came from.
type PresentedSession struct {
	Token     string
	IP        string
	UserAgent string
}

// IssuedSession is a new session with its first token.
type IssuedSession struct {
	Session Session
	Token   string
	// Replayed is Written.Replayed.
	Replayed bool
}

// SessionOutcome says how a session token was taken.
type SessionOutcome string

// How a token is taken that is not refused.
const (
	// SessionRotated made the next token: the one that was presented is superseded.
	SessionRotated SessionOutcome = "rotated"
	// SessionCurrent leaves the token as it is, for it is still young.
	SessionCurrent SessionOutcome = "current"
	// SessionReplayed gives the current token for one that has just been superseded, as
	// parallel requests of one browser present it.
	SessionReplayed SessionOutcome = "replayed"
)

// RotatedSession answers a token that was taken. Token is what the device is to
// present from now on.
type RotatedSession struct {
	Outcome SessionOutcome
	Session Session
	Token   string
}

// SessionStatus answers whether a token would be taken. Session is zero where it
// would not.
type SessionStatus struct {
	Active  bool
	Session Session
}

// SessionRefusal says why a session token was not taken. It is the error, or wrapped
// by it, of what presents a token; errors.Is and errors.As find it.
type SessionRefusal string

// Why a token is not taken.
const (
	// ErrInvalidToken is no token of this tenant's: its form, signature, audience or
	// session is wrong. Nothing has changed.
	ErrInvalidToken SessionRefusal = "invalid_token"
	// ErrSessionEnded is the token of a session that is over.
	ErrSessionEnded SessionRefusal = "session_ended"
	// ErrBindingMismatch and ErrTokenReused are of a session that this token has ended.
	ErrBindingMismatch SessionRefusal = "binding_mismatch"
	ErrTokenReused     SessionRefusal = "token_reused"
)

func (r SessionRefusal) Error() string { return string(r) }
