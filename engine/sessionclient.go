package engine

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/session"
)

// clientFrom says where a user's device is, in the form that is kept and compared.
func clientFrom(ip, userAgent string) (session.Client, error) {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return session.Client{}, fault.Invalid("ip: must be an IP address")
	}
	// A zone names an interface of the machine that saw the address.
	return session.Client{IP: address.Unmap().WithZone("").String(), UserAgent: userAgentText(userAgent)}, nil
}

// userAgentText makes text of at most maxActorText bytes that every database holds of
// whatever a device sends. Without a limit it could keep a session from being kept.
func userAgentText(s string) string {
	s = s[:min(len(s), 2*maxActorText)]
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= maxActorText {
		return s
	}
	end := maxActorText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// validateSessions accepts a tenant that can be asked about sessions, which a batch's
// cannot: sessions change by themselves, not with a revision.
func (t *Tenant) validateSessions() error {
	if t.tx != nil {
		return fault.Invalid("batch: cannot hold what concerns sessions")
	}
	if err := authz.ValidateID(t.id); err != nil {
		return invalid("tenant", err)
	}
	return nil
}

// validateSessionID accepts what may be the id of a session.
func (t *Tenant) validateSessionID(id string) error {
	if err := authz.ValidateID(id); err != nil {
		return invalid("id", err)
	}
	return t.validateSessions()
}
