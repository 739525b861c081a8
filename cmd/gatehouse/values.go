package main

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/authz"
)

// The types below check the values of variables that are more than a word or a
// number. Nobody is shown their errors, which may hold a secret: a variable's tags
// say what it can be.
var errForm = errors.New("not of the variable's form")

// databaseURL is a PostgreSQL URL, or "sqlite:" and a path.
type databaseURL string

func (u *databaseURL) UnmarshalText(text []byte) error {
	*u = databaseURL(text)
	if path, ok := u.sqlitePath(); ok {
		return path.check()
	}
	return checkPostgres(string(text))
}

// sqlitePath returns the path of an SQLite URL. As SQLAlchemy has it, the path
// behind sqlite:/// is relative and needs a fourth slash to be absolute.
func (u databaseURL) sqlitePath() (filePath, bool) {
	path, ok := strings.CutPrefix(string(u), "sqlite:")
	return filePath(strings.TrimPrefix(path, "///")), ok
}

// postgresURL is postgres://… or postgresql://….
type postgresURL string

func (u *postgresURL) UnmarshalText(text []byte) error {
	*u = postgresURL(text)
	return checkPostgres(string(text))
}

func checkPostgres(raw string) error {
	scheme, rest, _ := strings.Cut(raw, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return errForm
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	// There may be several hosts, each with its port, which no other URL can have.
	hosts := strings.LastIndex(rest[:end], "@") + 1
	for host := range strings.SplitSeq(rest[hosts:end], ",") {
		if _, err := url.Parse(scheme + "://" + rest[:hosts] + host + rest[end:]); err != nil {
			return err
		}
	}
	return nil
}

// replicaURLs are PostgreSQL URLs.
type replicaURLs []string

func (us *replicaURLs) UnmarshalText(text []byte) error {
	*us = split(text)
	for _, raw := range *us {
		if err := checkPostgres(raw); err != nil {
			return err
		}
	}
	return nil
}

// filePath is the path of a file, which may begin with ~/.
type filePath string

func (p *filePath) UnmarshalText(text []byte) error {
	*p = filePath(text)
	return p.check()
}

// check refuses what is no file: SQLite's names for a database in memory would
// make a file of that name.
func (p filePath) check() error {
	if p == "" || p == "~" || strings.HasPrefix(string(p), ":memory:") || strings.HasPrefix(string(p), "//") {
		return errForm
	}
	return nil
}

// hostName is a name or an address without a port; an IPv6 address has no brackets.
type hostName string

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$`)

func (h *hostName) UnmarshalText(text []byte) error {
	name := string(text)
	if inner, ok := strings.CutPrefix(name, "["); ok {
		if name, ok = strings.CutSuffix(inner, "]"); !ok {
			return errForm
		}
	}
	*h = hostName(name)
	if _, err := netip.ParseAddr(name); err != nil && !namePattern.MatchString(name) {
		return errForm
	}
	return nil
}

// isLoopback reports whether only this machine can reach the host.
func (h hostName) isLoopback() bool {
	address, err := netip.ParseAddr(string(h))
	if err != nil {
		return strings.EqualFold(string(h), "localhost")
	}
	return address.Unmap().IsLoopback()
}

// address is a host, an IPv6 address in brackets, with a port.
type address string

func (a *address) UnmarshalText(text []byte) error {
	*a = address(text)
	host, port, err := net.SplitHostPort(string(text))
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return err
	}
	return new(hostName).UnmarshalText([]byte(host))
}

// host is the address without the port.
func (a address) host() hostName {
	host, _, _ := net.SplitHostPort(string(a)) // it was split before
	return hostName(host)
}

// tenantID names a tenant, which there need not be yet.
type tenantID string

func (t *tenantID) UnmarshalText(text []byte) error {
	*t = tenantID(text)
	return authz.ValidateID(string(text))
}

// publicURL is where clients reach the server, without a slash at its end.
type publicURL string

func (p *publicURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.User != nil || u.ForceQuery || u.RawQuery != "" || strings.Contains(string(text), "#") || !isWeb(u) {
		return errForm
	}
	*p = publicURL(strings.TrimRight(string(text), "/"))
	return nil
}

func isWeb(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// origins are web origins (RFC 6454), or "*" for all.
type origins []string

func (o *origins) UnmarshalText(text []byte) error {
	*o = split(text)
	for _, origin := range *o {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || !isWeb(u) || origin != u.Scheme+"://"+u.Host || strings.Contains(origin, "*")) {
			return errForm
		}
	}
	return nil
}

// proxies are networks; an address is a network of one.
type proxies []netip.Prefix

func (p *proxies) UnmarshalText(text []byte) error {
	*p = nil
	for _, word := range split(text) {
		network, err := netip.ParsePrefix(word)
		if err != nil {
			address, err := netip.ParseAddr(word)
			if err != nil || address.Zone() != "" {
				return errForm
			}
			address = address.Unmap()
			network = netip.PrefixFrom(address, address.BitLen())
		}
		*p = append(*p, network.Masked())
	}
	return nil
}

// list is several words, none of them empty.
type list []string

func (l *list) UnmarshalText(text []byte) error {
	*l = split(text)
	if slices.Contains(*l, "") {
		return errForm
	}
	return nil
}

// split returns what stands between commas, without the space around it.
func split(text []byte) []string {
	words := strings.Split(string(text), ",")
	for i, word := range words {
		words[i] = strings.TrimSpace(word)
	}
	return words
}
