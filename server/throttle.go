package server

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// maxThrottled bounds each table below, in entries. A full one lets go of what is
// asked for least (W-TinyLFU): keys and addresses that come once push out each other,
// and not one that keeps coming, so nobody shakes off a limit by a flood from
// elsewhere. Who is let go of begins anew, with a full bucket.
const maxThrottled = 1 << 14

// quota is how much there may be within a time, which is whole seconds. Where time
// has passed since, all of it may come at once.
type quota struct {
	// name is the quota's in RateLimit and RateLimit-Policy.
	name   string
	most   int
	within time.Duration
}

// The names of the quotas.
const (
	keyQuota     = "key"
	failureQuota = "auth-failures"
)

func (q quota) perSecond() float64 { return float64(q.most) / q.within.Seconds() }

// exceeded is the quota that a request was refused for, and when there is room again.
type exceeded struct {
	quota
	wait time.Duration
}

func (e *exceeded) Error() string { return e.name + " exceeded" }

// tell sets what an answer says of the quota: Retry-After (RFC 9110), and the headers
// of draft-ietf-httpapi-ratelimit-headers.
func (e *exceeded) tell(h http.Header) {
	seconds := max(1, int64(math.Ceil(e.wait.Seconds())))
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", e.name, e.most, int64(e.within.Seconds())))
	h.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%d", e.name, seconds))
}

// buckets hold a quota for each of many.
type buckets[K comparable] struct {
	quota
	of *otter.Cache[K, *rate.Limiter]
	// now is the clock. On some machines it costs more than all else here, so it is
	// looked at only where something is limited.
	now func() time.Time
}

func newBuckets[K comparable](q quota, now func() time.Time) (*buckets[K], error) {
	of, err := otter.New(&otter.Options[K, *rate.Limiter]{MaximumSize: maxThrottled})
	return &buckets[K]{q, of, now}, err
}

// bucket returns that of one, which is full where there was none.
func (b *buckets[K]) bucket(of K) *rate.Limiter {
	limiter, found := b.of.GetIfPresent(of)
	if !found {
		limiter, _ = b.of.SetIfAbsent(of, rate.NewLimiter(rate.Limit(b.perSecond()), b.most))
	}
	return limiter
}

// refusal is the error of a bucket that has less than one left.
func (b *buckets[K]) refusal(limiter *rate.Limiter, now time.Time, detail string) error {
	wait := (1 - limiter.TokensAt(now)) / b.perSecond()
	return &fault.Error{
		Code: fault.CodeRateLimited, Detail: detail,
		Cause: &exceeded{b.quota, time.Duration(wait * float64(time.Second))},
	}
}

// calls bounds the requests of each client key, by its fingerprint. A nil one bounds
// nothing.
type calls struct{ *buckets[string] }

func newCalls(perSecond int, now func() time.Time) (*calls, error) {
	if perSecond <= 0 {
		return nil, nil
	}
	b, err := newBuckets[string](quota{name: keyQuota, most: perSecond, within: time.Second}, now)
	return &calls{b}, err
}

// take counts a request; the error is fault.CodeRateLimited.
func (c *calls) take(fingerprint string) error {
	if c == nil {
		return nil
	}
	now := c.now()
	if b := c.bucket(fingerprint); !b.AllowN(now, 1) {
		return c.refusal(b, now, "this client key makes too many requests")
	}
	return nil
}

// failures bounds the failed authentications of each client address. A nil one bounds
// nothing.
type failures struct {
	*buckets[netip.Prefix]
	// known holds the credentials that were good, with where they came from. A collision
	// lets one more wrong credential be looked at.
	known *otter.Cache[uint64, struct{}]
	seed  maphash.Seed
}

func newFailures(perMinute int, now func() time.Time) (*failures, error) {
	if perMinute <= 0 {
		return nil, nil
	}
	b, errBuckets := newBuckets[netip.Prefix](quota{name: failureQuota, most: perMinute, within: time.Minute}, now)
	known, errKnown := otter.New(&otter.Options[uint64, struct{}]{MaximumSize: maxThrottled})
	return &failures{b, known, maphash.MakeSeed()}, errors.Join(errBuckets, errKnown)
}

// admit tells whether a credential may be looked at. Where its address has failed too
// often, only one that was good there before may, so that whoever shares the address
// with others cannot lock them out; the error is fault.CodeRateLimited.
func (f *failures) admit(from netip.Addr, credential string) error {
	if f == nil {
		return nil
	}
	b, found := f.of.GetIfPresent(network(from))
	if !found {
		return nil
	}
	now := f.now()
	if b.TokensAt(now) >= 1 {
		return nil
	}
	if _, known := f.known.GetIfPresent(f.pair(from, credential)); known {
		return nil
	}
	return f.refusal(b, now, "too many failed authentications from this address")
}

// note remembers how a credential fared that was admitted: err is
// fault.CodeUnauthenticated where it was no good.
func (f *failures) note(from netip.Addr, credential string, err error) {
	if f == nil {
		return
	}
	pair := f.pair(from, credential)
	switch {
	case err == nil:
		if _, known := f.known.GetIfPresent(pair); !known {
			f.known.Set(pair, struct{}{})
		}
	case errors.Is(err, fault.CodeUnauthenticated):
		f.known.Invalidate(pair)
		// Parallel requests may all have been admitted by the last one that was left:
		// they are owed, and worked off.
		f.bucket(network(from)).ReserveN(f.now(), 1)
	}
}

func (f *failures) pair(from netip.Addr, credential string) uint64 {
	type pair struct {
		network    netip.Prefix
		credential string
	}
	return maphash.Comparable(f.seed, pair{network(from), credential})
}

// network is whom an address stands for: itself, or the /64 of an IPv6 address, in
// which whoever has one has all. All callers without an address are one.
func network(address netip.Addr) netip.Prefix {
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, _ := address.Prefix(bits) // fails without an address alone
	return prefix
}
