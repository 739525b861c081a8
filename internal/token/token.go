// Package token is access and refresh tokens: how they are written and read, and what
// becomes of a refresh token that is presented. It knows no storage and no clock. An
// [Access] token says what it is by itself; a [Refresh] token says nothing, and only
// its [Family] tells whether it is still the current one.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

const (
	// refreshPrefix lets people, and programs that look for leaked secrets, recognise a
	// refresh token.
	refreshPrefix = "gthr_"
	// A refresh token is a handle, the same for all of a family, and a secret of its own.
	handleBytes = 16
	secretBytes = 32
)

// Refresh is what is kept of a refresh token. Whoever presents the right handle with
// another secret than the current one has seen an earlier token of the family, however
// long it is superseded: nobody else knows the handle.
type Refresh struct {
	// Handle and Hash are the hexadecimal SHA-256 of the handle, and of both together.
	Handle, Hash string

	handle []byte
}

// NewRefresh draws the first refresh token of a family.
func NewRefresh() (string, Refresh) {
	handle := make([]byte, handleBytes)
	rand.Read(handle)
	return Refresh{handle: handle}.Next()
}

// Next draws a refresh token of the same family.
func (r Refresh) Next() (string, Refresh) {
	secret := make([]byte, secretBytes)
	rand.Read(secret)
	raw := append(append([]byte(nil), r.handle...), secret...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(raw), refresh(raw)
}

// ParseRefresh reads a refresh token, and tells whether it has the form of one.
func ParseRefresh(token string) (Refresh, bool) {
	encoded, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(handleBytes+secretBytes) {
		return Refresh{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(raw) != handleBytes+secretBytes {
		return Refresh{}, false
	}
	return refresh(raw), true
}

func refresh(raw []byte) Refresh {
	return Refresh{Handle: hash(raw[:handleBytes]), Hash: hash(raw), handle: raw[:handleBytes]}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Family is all the tokens that came of one request for them.
type Family struct {
	ID string
	// ClientKey is the hash of the client key that the tokens were given to.
	ClientKey string
	// Subject is the user that they speak for; empty for none.
	Subject string
	// Abilities are comma-separated, sorted.
	Abilities string
	// Handle is that of every refresh token, and Current the hash of the current one.
	Handle, Current string
	// Generation counts the refresh tokens, from 1.
	Generation  int64
	CreatedAt   time.Time
	RefreshedAt time.Time
	// ExpiresAt is when the current refresh token expires, and TokensUntil when the last
	// token of any kind does.
	ExpiresAt   time.Time
	TokensUntil time.Time
	// EndedAt is zero for a family that has not been ended.
	EndedAt   time.Time
	EndReason authz.SessionEnd
}

// Verdict is what becomes of a refresh token.
type Verdict int

// The verdicts.
const (
	// Refused changes nothing.
	Refused Verdict = iota
	// Taken supersedes the token.
	Taken
	// Reused ends the family.
	Reused
)

// Judge decides about a refresh token with the family's handle, presented with a
// client key. A token that was given to another key is refused before anything else,
// so that nobody else can end the family with it.
func (f Family) Judge(presented Refresh, clientKey string, now time.Time) Verdict {
	switch {
	case f.ClientKey != clientKey || !f.EndedAt.IsZero():
		return Refused
	case f.Current != presented.Hash:
		return Reused
	case !now.Before(f.ExpiresAt):
		return Refused
	default:
		return Taken
	}
}

// Lifetimes say how long tokens are good.
type Lifetimes struct {
	Access, Refresh time.Duration
}

// Issue gives the family a refresh token as its current one, at a time. What ends
// bounds all its tokens; zero is no bound. It returns the expiry of the access token that
// goes with it, in whole seconds.
func (f *Family) Issue(next Refresh, lives Lifetimes, now, ends time.Time) time.Time {
	f.Handle, f.Current = next.Handle, next.Hash
	f.Generation++
	f.RefreshedAt = now
	f.ExpiresAt = sooner(now.Add(lives.Refresh), ends)
	access := sooner(now.Add(lives.Access), ends).Truncate(time.Second)
	for _, until := range []time.Time{f.ExpiresAt, access} {
		if until.After(f.TokensUntil) {
			f.TokensUntil = until
		}
	}
	return access
}

// sooner returns the earlier of a time and a bound, which is none where it is zero.
func sooner(t, bound time.Time) time.Time {
	if !bound.IsZero() && bound.Before(t) {
		return bound
	}
	return t
}
