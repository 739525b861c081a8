// Package session is the rule of rotating session tokens: what becomes of a session
// when one of its tokens is presented, and what a token looks like. It is pure: the
// engine reads the row, asks Next, and carries the verdict out.
//
// A session's tokens are numbered by generation, and each is used once: presenting
// the current one makes the next. What tells an honest browser from a thief is
// which superseded tokens are still shown, when and from where. Start at [Next].
package session

import (
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// Row is the record of a session.
type Row struct {
	ID   string
	User string
	// Epoch is the user's at the time that the session was made.
	Epoch int64
	// Generation is the number of the current token, from 1.
	Generation int64
	// Recent says when the generations before the last one were superseded, oldest first,
	// and has at most 34 entries. Of the last one RotatedAt says so, unless an answer was
	// recovered: then Recent has it too, with that time.
	Recent []Superseded
	// Confirmed is the latest generation whose token has been presented; 0 for none.
	Confirmed int64
	// Recovered is the latest generation whose token was given again because its first
	// answer seemed lost; 0 for none.
	Recovered int64
	// Replays counts how often the current token was given for a superseded one.
	Replays   int64
	CreatedAt time.Time
	// RotatedAt is when the current generation was made.
	RotatedAt     time.Time
	IdleExpiresAt time.Time
	ExpiresAt     time.Time
	IP            string
	UserAgent     string
	Binding       authz.SessionBinding
	// EndedAt is zero for a session that has not been ended.
	EndedAt   time.Time
	EndReason authz.SessionEnd
}

// Superseded says that the generations up to UpTo, and above that of the entry before,
// were superseded at At or a little earlier. At is zero where that was too long ago to
// excuse any of them.
type Superseded struct {
	UpTo int64
	At   time.Time
}

// User is what decides about all sessions of a user.
type User struct {
	Inactive bool
	// Epoch is raised when all of the user's sessions end: one of an older epoch is
	// over, whatever its own row says.
	Epoch int64
}

// Client is where a token was presented from.
type Client struct {
	IP        string
	UserAgent string
}

// Rules are the times that sessions keep.
type Rules struct {
	// Overlap is how long a superseded token still gets the current one.
	Overlap time.Duration
	// LostWindow is how long the token before the current one does, once, where the
	// current one seems to have got lost.
	LostWindow time.Duration
	// RotateAfter is how old the current token gets before its use makes the next.
	RotateAfter time.Duration
	// Idle and Absolute end a session that long after its last rotation and its making.
	Idle     time.Duration
	Absolute time.Duration
}

// MaxReplays is how many superseded tokens get the same current one.
const MaxReplays = 100
