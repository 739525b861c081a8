package session

import (
	"net/netip"

	"github.com/mileusna/useragent"

	"github.com/gatehouse/gatehouse/authz"
)

// admits tells whether a session that is bound to a client may go on at another.
func admits(binding authz.SessionBinding, bound, client Client) bool {
	switch binding {
	case authz.BindingOff:
		return true
	case authz.BindingStandard:
		return sameBrowser(bound.UserAgent, client.UserAgent)
	default:
		return sameAddress(bound.IP, client.IP) && bound.UserAgent == client.UserAgent
	}
}

// sameAddress compares IP addresses, in whatever way they are written; an IPv4 address
// is the same mapped into IPv6. What is no address is compared as text.
func sameAddress(a, b string) bool {
	first, err := netip.ParseAddr(a)
	if err != nil {
		return a == b
	}
	second, err := netip.ParseAddr(b)
	return err == nil && first.Unmap() == second.Unmap()
}

// sameBrowser tells whether two User-Agents are of one family of browsers on one
// operating system, of whatever versions. Those of no known family are compared as text.
func sameBrowser(a, b string) bool {
	if a == b {
		return true
	}
	first, second := useragent.Parse(a), useragent.Parse(b)
	return first.Name != "" && first.Name == second.Name && first.OS == second.OS
}
