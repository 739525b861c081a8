package session

import (
	"slices"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// Verdict is what becomes of a session when one of its tokens is presented. Exactly
// one of Outcome and Refusal is set.
type Verdict struct {
	// Outcome says how the token is taken.
	Outcome authz.SessionOutcome
	// Refusal says why the token is not taken.
	Refusal authz.SessionRefusal
	// End is set where the session must be ended, for this reason, before anybody is
	// told anything.
	End authz.SessionEnd
	// Row is the session from now on, where the token is taken: its token is the answer.
	Row Row

	// Confirms says of SessionCurrent that the generation is presented for the first
	// time, so that Row.Confirmed has changed.
	Confirms bool
	// Moved says that the client is at another address than the row said, and of
	// SessionCurrent that Row has its address and User-Agent because either differed.
	Moved bool
	// Recovered says of SessionReplayed that the answer with the current token seems to
	// have got lost, so that Row.Recovered and Row.Recent have changed.
	Recovered bool
}

// Next decides what becomes of a session when the token of a generation is presented.
// The token's signature has been verified, and that it is of this session.
//
// The verdict holds for the row that it was decided on: where the row has changed
// in the meantime, read it again and decide again.
func Next(row Row, user User, presented int64, client Client, rules Rules, now time.Time) Verdict {
	switch {
	case presented < 1:
		return Verdict{Refusal: authz.ErrInvalidToken}
	case row.Over(user, now):
		return Verdict{Refusal: authz.ErrSessionEnded}
	case !admits(row.Binding, row.client(), client):
		return Verdict{Refusal: authz.ErrBindingMismatch, End: authz.EndBindingMismatch}
	case presented > row.Generation:
		return Verdict{Refusal: authz.ErrSessionEnded, End: authz.EndGenerationAhead}
	case presented < row.Generation:
		return superseded(row, presented, client, rules, now)
	case rules.RotateAfter > 0 && now.Sub(row.RotatedAt) < rules.RotateAfter:
		return current(row, client)
	default:
		return rotate(row, client, rules, now)
	}
}

// current leaves the token as it is.
func current(row Row, client Client) Verdict {
	verdict := Verdict{Outcome: authz.SessionCurrent, Confirms: row.Confirmed < row.Generation}
	row.Confirmed = row.Generation
	if former := row.client(); !sameAddress(former.IP, client.IP) || former.UserAgent != client.UserAgent {
		verdict.Moved = true
		row.IP, row.UserAgent = client.IP, client.UserAgent
	}
	verdict.Row = row
	return verdict
}

// rotate makes the next generation.
func rotate(row Row, client Client, rules Rules, now time.Time) Verdict {
	moved := !sameAddress(row.IP, client.IP)
	row.Recent = thinned(row.former(), rules.Overlap, now)
	row.Confirmed, row.Replays = row.Generation, 0
	row.Generation++
	row.RotatedAt = now
	row.IdleExpiresAt = earlier(now.Add(rules.Idle), row.ExpiresAt)
	row.IP, row.UserAgent = client.IP, client.UserAgent
	return Verdict{Outcome: authz.SessionRotated, Row: row, Moved: moved}
}

// superseded tells a browser that has not got the current token yet from a thief.
func superseded(row Row, presented int64, client Client, rules Rules, now time.Time) Verdict {
	verdict := Verdict{Outcome: authz.SessionReplayed, Row: row}
	verdict.Row.Replays++
	switch {
	case row.Replays >= MaxReplays:
		return Verdict{Refusal: authz.ErrTokenReused, End: authz.EndTokenReused}
	case within(row.supersededAt(presented), rules.Overlap, now):
		return verdict
	case presented == row.Generation-1 && row.seemsLost(client, rules.LostWindow, now):
		// Whatever else the browser sent with the old token at this time is excused too.
		verdict.Row.Recent = thinned(append(slices.Clone(row.Recent), Superseded{UpTo: presented, At: now}), rules.Overlap, now)
		verdict.Row.Recovered = row.Generation
		verdict.Recovered = true
		return verdict
	default:
		return Verdict{Refusal: authz.ErrTokenReused, End: authz.EndTokenReused}
	}
}

// seemsLost tells whether the answer with the current token may have got lost on its
// way to a client, and has not been given again yet.
func (r Row) seemsLost(client Client, window time.Duration, now time.Time) bool {
	return r.Confirmed < r.Generation && r.Recovered < r.Generation && within(r.RotatedAt, window, now) &&
		sameAddress(r.IP, client.IP) && r.UserAgent == client.UserAgent
}
