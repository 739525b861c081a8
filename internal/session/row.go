package session

import (
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// New returns the row of a new session, whose binding is settled, for a user of an
// epoch. Its first token has not been presented.
func New(id string, asked authz.NewSession, epoch int64, rules Rules, now time.Time) Row {
	expires := now.Add(rules.Absolute)
	return Row{
		ID:            id,
		User:          asked.User,
		Epoch:         epoch,
		Generation:    1,
		CreatedAt:     now,
		RotatedAt:     now,
		IdleExpiresAt: earlier(now.Add(rules.Idle), expires),
		ExpiresAt:     expires,
		IP:            asked.IP,
		UserAgent:     asked.UserAgent,
		Binding:       asked.Binding,
	}
}

// Over tells whether the session has ended or expired, by itself or with its user.
func (r Row) Over(user User, now time.Time) bool {
	return !r.EndedAt.IsZero() || !now.Before(r.IdleExpiresAt) || !now.Before(r.ExpiresAt) ||
		user.Inactive || user.Epoch > r.Epoch
}

// Session is the row as the public sees it.
func (r Row) Session() authz.Session {
	return authz.Session{
		ID:            r.ID,
		User:          r.User,
		Generation:    r.Generation,
		IP:            r.IP,
		UserAgent:     r.UserAgent,
		Binding:       r.Binding,
		CreatedAt:     r.CreatedAt,
		LastSeenAt:    r.RotatedAt,
		IdleExpiresAt: r.IdleExpiresAt,
		ExpiresAt:     r.ExpiresAt,
		EndedAt:       r.EndedAt,
		EndReason:     r.EndReason,
	}
}

// client is where the session was last seen.
func (r Row) client() Client { return Client{IP: r.IP, UserAgent: r.UserAgent} }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
