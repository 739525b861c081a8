package middleware

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// CookieName is the name of the cookie that holds the session's token. Its prefix
// makes browsers refuse one that another host, or a page without TLS, has set.
const CookieName = "__Host-session"

// maxToken is the longest token that is looked at, in bytes.
const maxToken = 2048

// tokenOf reads a request's token. It is empty where there is no cookie, and where
// there is none that could be one of ours: two of the name, or one that is too long.
func tokenOf(r *http.Request) (token string, cookie bool) {
	tokens := tokensOf(r.Header)
	if len(tokens) != 1 || len(tokens[0]) > maxToken {
		return "", len(tokens) > 0
	}
	return tokens[0], true
}

// tokensOf returns the value of every cookie of the name, however malformed. Package
// http passes over what is, and takes quotes off, and so would find one where there
// are two. No other space than a browser takes off is taken off here: with it, a name
// is one that the prefix does not protect. GET /auth/forward reads cookies in the same
// way.
func tokensOf(header http.Header) []string {
	var values []string
	for pair := range strings.SplitSeq(strings.Join(header["Cookie"], ";"), ";") {
		if name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "="); name == CookieName {
			values = append(values, value)
		}
	}
	return values
}

// sessionCookie is the cookie for a token. The browser keeps it for as long as the
// session lasts unless it is used: by the clock of who keeps the session, not ours.
func sessionCookie(session authz.Session, token string) *http.Cookie {
	left := session.IdleExpiresAt.Sub(session.LastSeenAt)
	return cookie(token, max(1, int(left/time.Second)))
}

// noCookie deletes the cookie.
func noCookie() *http.Cookie { return cookie("", -1) }

func cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: CookieName, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// setCookie replaces whatever the answer's headers say about the session's cookie.
func setCookie(header http.Header, cookie *http.Cookie) {
	others := slices.DeleteFunc(header["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, CookieName+"=") })
	header["Set-Cookie"] = append(others, cookie.String())
}

// noStore keeps an answer out of every cache, whatever its headers said before:
// those for certain caches only (RFC 9213) too.
func noStore(header http.Header) {
	for name := range header {
		if lower := strings.ToLower(name); strings.HasSuffix(lower, "cache-control") || lower == "surrogate-control" || lower == "expires" {
			delete(header, name)
		}
	}
	header.Set("Cache-Control", "no-store")
}

// varyByCookie tells caches that the answer is for this cookie alone.
func varyByCookie(header http.Header) {
	for _, line := range header["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, "Cookie") {
				return
			}
		}
	}
	header.Add("Vary", "Cookie")
}
