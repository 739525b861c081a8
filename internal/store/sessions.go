package store

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
)

// Sessions keeps sessions and the keys that sign their tokens. Unlike policy they
// have no revision: a session is changed by one compare-and-swap of its row, which
// names the generation that it was decided on and finds no row where another change
// was first, or the session has ended. So no change here waits for one of policy.
type Sessions interface {
	// Session reads a session with what its user is; false where there is none.
	Session(ctx context.Context, tenant, id string) (SessionRecord, bool, error)
	// Now reads the database's clock where it has one of its own, which all servers
	// then share; else it is zero.
	Now(ctx context.Context) (time.Time, error)
	// SessionList lists sessions by id; of one user where that is not empty. Those that
	// have ended, or had expired at a time, are left out unless withEnded.
	SessionList(ctx context.Context, tenant string, query SessionQuery, after string, limit int) ([]session.Row, error)

	// RotateSession moves a session on from a generation to the next, which row holds,
	// unless its Recovered is another than the row's.
	RotateSession(ctx context.Context, tenant string, from int64, row session.Row) (bool, error)
	// CountReplay counts one more replay of the current generation, unless there were max.
	CountReplay(ctx context.Context, tenant, id string, generation, max int64) (bool, error)
	// ConfirmSession takes down that the current generation has been presented, unless it
	// had been.
	ConfirmSession(ctx context.Context, tenant, id string, generation int64) (bool, error)

	// UpdateSessions runs fn in a write transaction, for what changes a session with an
	// audit event or more than one of them. It may call fn again after a conflict, so
	// fn must act only through its SessionTx. A transaction that fn leaves without
	// having changed anything, events apart, is rolled back.
	UpdateSessions(ctx context.Context, tenant string, fn func(SessionTx) error) error

	// ExpireSessions ends up to limit sessions of any tenant that expired before a time,
	// as of their expiry, each in one transaction with the event that made makes of it
	// where made is not nil, and returns how many. Several at once share the work: one
	// that another transaction holds is left to the next call. Of one whose row was
	// damaged, made is told the ID and the end, and nothing else.
	ExpireSessions(ctx context.Context, before time.Time, limit int, made func(session.Row) audit.Event) (int, error)
	// DeleteSessions deletes up to limit sessions of any tenant that have ended, and
	// whose idle limit passed before a time, and returns how many.
	DeleteSessions(ctx context.Context, before time.Time, limit int) (int, error)

	// SigningKeys lists the keys for a use, in the order that they were made in.
	SigningKeys(ctx context.Context, use string) ([]SigningKey, error)
	// CreateSigningKey does nothing where there is a key with this use and number.
	CreateSigningKey(ctx context.Context, key SigningKey) (bool, error)
	// DeleteSigningKeys deletes the keys for a use up to a number.
	DeleteSigningKeys(ctx context.Context, use string, upTo int64) error
}

// SessionTx is a transaction on one tenant's sessions. A method's bool tells whether
// it changed anything.
type SessionTx interface {
	ReceiptTx

	// Changed tells whether any method has changed anything so far.
	Changed() bool
	// Session is Sessions.Session.
	Session(ctx context.Context, id string) (SessionRecord, bool, error)
	// LockUser reads what a user is, and keeps every other transaction that creates one or
	// ends several of the user's sessions waiting until this one is done.
	LockUser(ctx context.Context, user string) (session.User, error)
	// CreateSession and EndOldest need their user to be locked.
	CreateSession(ctx context.Context, row session.Row) error
	// EndOldest ends the user's oldest sessions that are live at a time, but for the
	// newest keep, and returns them, oldest first.
	EndOldest(ctx context.Context, user string, keep int, at time.Time, reason authz.SessionEnd) ([]session.Row, error)

	// RotateSession is Sessions.RotateSession.
	RotateSession(ctx context.Context, from int64, row session.Row) (bool, error)
	// RecoverSession gives the current token once more for the one before it: it counts
	// a replay and keeps the row's Recovered and Recent, unless the current one has been
	// presented or given so before.
	RecoverSession(ctx context.Context, row session.Row) (bool, error)
	// MoveSession keeps the address and User-Agent that the current token was now presented
	// from, unless they are the same.
	MoveSession(ctx context.Context, row session.Row) (bool, error)
	// EndSession ends a live session, which is here one that has not been ended: it may
	// have expired.
	EndSession(ctx context.Context, id string, at time.Time, reason authz.SessionEnd) (bool, error)
	// EndSessions ends all live sessions of a user, in that sense, but for one where except
	// is not empty, and returns them, oldest first.
	EndSessions(ctx context.Context, user, except string, at time.Time, reason authz.SessionEnd) ([]session.Row, error)

	AppendEvent(ctx context.Context, event audit.Event) error
}

// SessionRecord is a session with what decides about it beside the session itself.
type SessionRecord struct {
	session.Row
	Owner session.User
	// ReadAt is Sessions.Now at the time of reading.
	ReadAt time.Time
}

// SessionQuery selects sessions.
type SessionQuery struct {
	// User is empty for any.
	User string
	// WithEnded has those too that have ended or had expired at a time.
	WithEnded bool
	At        time.Time
}

// SigningKey is a key that signs tokens from a time on, until the next one does.
type SigningKey struct {
	// Use is what the key signs. Number counts a use's keys from 1.
	Use    string
	Number int64
	// ID is the key's kid (RFC 7515, section 4.1.4).
	ID string
	// Algorithm is the JWS algorithm (RFC 7518).
	Algorithm string
	// Material is the base64 of the HMAC key, or of the private key in PKCS #8.
	Material  string
	CreatedAt time.Time
	SignsFrom time.Time
}
