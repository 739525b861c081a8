package middleware

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

const (
	// judgeTimeout bounds what a request waits to know whose it is, and its answer
	// whether its token is still good. A rotation must reach the browser within the
	// overlap (10 s by default) of those that came after it.
	judgeTimeout = 5 * time.Second

	// slowAfter is how long a rotation is taken for the latest without asking, and a
	// session that is over for the browser's last. Somebody who signs in in another tab
	// within that time of a request with the old cookie can be signed out by its answer.
	slowAfter = 250 * time.Millisecond
)

// state is what is known of who sent a request.
type state uint8

const (
	// anonymous: there is no session, or none that is taken.
	anonymous state = iota
	signedIn
	// unknown: nobody could say whether the session is one.
	unknown
)

// visit is one request's way through Sessions.
type visit struct {
	gate *Gate
	// ctx is the request's, as it came.
	ctx context.Context
	// from is where the request came from, with its token; no token where it has none
	// that could be one.
	from authz.PresentedSession
	// cookie tells that the request had a cookie of the name, whatever it held.
	cookie bool

	// mu guards the rest: a handler may use several goroutines, or be left behind by
	// one that limits its time.
	mu      sync.Mutex
	state   state
	session authz.Session
	change  change
	// token is what change delivers, and changedAt when it was decided on.
	token     string
	changedAt time.Time
	// unrotated tells that the session was only verified.
	unrotated bool
	// settled tells that the answer's headers are, or are about to be, written.
	settled bool
}

// change is what an answer does to the browser's cookie.
type change uint8

const (
	leave change = iota
	// deliver brings the token of a rotation, and drop deletes the cookie of a session
	// that is over. A late answer does neither without having asked.
	deliver
	drop
	// signIn and signOut do the same because a handler said so, however late.
	signIn
	signOut
)

// visit takes a request in.
func (g *Gate) visit(r *http.Request) *visit {
	v := &visit{gate: g, ctx: r.Context(), from: authz.PresentedSession{IP: g.clientIP(r), UserAgent: r.UserAgent()}}
	v.from.Token, v.cookie = tokenOf(r)
	switch {
	case v.from.Token == "":
	case switches(r):
		v.verify()
	default:
		v.rotate()
	}
	return v
}

// rotate presents the token, and takes down what became of it.
func (v *visit) rotate() {
	ctx, cancel := context.WithTimeout(v.ctx, judgeTimeout)
	defer cancel()
	rotated, err := v.gate.sessions.RotateSession(ctx, v.from)
	v.changedAt = v.gate.now()
	if err != nil {
		v.refused(err)
		return
	}
	v.state, v.session = signedIn, rotated.Session
	if rotated.Outcome != authz.SessionCurrent {
		v.change, v.token = deliver, rotated.Token
	}
}

// refused takes down that a token was not taken, or could not be judged.
func (v *visit) refused(err error) {
	v.state, v.session = anonymous, authz.Session{}
	why, judged := errors.AsType[authz.SessionRefusal](err)
	switch {
	case !judged:
		v.unjudged(err)
	case why == authz.ErrSessionEnded, why == authz.ErrTokenReused, why == authz.ErrBindingMismatch:
		v.change = drop
	}
}

// verify finds out whose the token is without using it.
func (v *visit) verify() {
	ctx, cancel := context.WithTimeout(v.ctx, judgeTimeout)
	defer cancel()
	v.unrotated = true
	status, err := v.gate.sessions.VerifySession(ctx, v.from)
	switch {
	case err != nil:
		v.unjudged(err)
	case status.Active:
		v.state, v.session = signedIn, status.Session
	}
}

func (v *visit) unjudged(err error) {
	v.state = unknown
	// A browser that has gone away is no failure.
	if v.ctx.Err() == nil {
		v.gate.log.ErrorContext(v.ctx, "a session could not be judged", "error", err)
	}
}

// settle decides what the answer says to the browser and to caches, once.
func (v *visit) settle(header http.Header, status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.settled {
		return
	}
	v.settled = true
	varyByCookie(header)
	if v.unrotated && status != http.StatusSwitchingProtocols {
		v.rotate()
	}
	change := v.change
	if (change == deliver || change == drop) && v.gate.now().Sub(v.changedAt) > slowAfter && !v.latest() {
		change = leave
	}
	switch change {
	case deliver, signIn:
		setCookie(header, sessionCookie(v.session, v.token))
	case drop, signOut:
		setCookie(header, noCookie())
	default:
		if v.state == signedIn && header.Get("Cache-Control") == "" {
			noStore(header)
		}
		return
	}
	noStore(header)
}

// latest tells whether the answer, late as it is, would not take the browser back
// behind what another answer has brought it: an older token, or none where somebody
// has signed in meanwhile.
func (v *visit) latest() bool {
	if v.change == drop {
		return false
	}
	ctx, cancel := context.WithTimeout(v.ctx, judgeTimeout)
	defer cancel()
	mine := v.from
	mine.Token = v.token
	status, err := v.gate.sessions.VerifySession(ctx, mine)
	return err == nil && status.Active && status.Session.Generation == v.session.Generation
}
