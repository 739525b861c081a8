package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// clock is a clock in the test's hand.
type clock struct{ since time.Duration }

func (c *clock) now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(c.since) }

// wantTold checks that err refuses for a quota, and what the answer says of it.
func wantTold(t *testing.T, what string, err error, retryAfter, limit, policy string) {
	t.Helper()
	over, ok := errors.AsType[*exceeded](err)
	if !ok || !errors.Is(err, fault.CodeRateLimited) {
		t.Errorf("%s: got %v, want it refused", what, err)
		return
	}
	h := http.Header{}
	over.tell(h)
	if got := [3]string{h.Get("Retry-After"), h.Get("RateLimit"), h.Get("RateLimit-Policy")}; got != [3]string{retryAfter, limit, policy} {
		t.Errorf("%s: told %q, want %q, %q and %q", what, got, retryAfter, limit, policy)
	}
}

func TestCallsOfAKeyAreLimited(t *testing.T) {
	t.Parallel()
	const policy, limit = `"key";q=3;w=1`, `"key";r=0;t=1`
	var clock clock
	c, err := newCalls(3, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		at          time.Duration
		fingerprint string
		allowed     int // and then one is refused
	}{
		{0, "a", 3},
		{0, "b", 3}, // another key
		{333 * time.Millisecond, "a", 0},
		{334 * time.Millisecond, "a", 1},
		{time.Second, "b", 3},
		{time.Hour, "a", 3}, // no more than one second's worth
	} {
		what := fmt.Sprintf("%s after %s", step.fingerprint, step.at)
		clock.since = step.at
		for i := range step.allowed {
			if err := c.take(step.fingerprint); err != nil {
				t.Errorf("%s: call %d: got %v, want it allowed", what, i+1, err)
			}
		}
		wantTold(t, what, c.take(step.fingerprint), "1", limit, policy)
	}
}

func TestNoLimits(t *testing.T) {
	t.Parallel()
	c, errCalls := newCalls(0, time.Now)
	f, errFailures := newFailures(0, time.Now)
	if err := errors.Join(errCalls, errFailures); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		from := netip.Addr{}
		if err := errors.Join(c.take("a"), f.admit(from, "bad")); err != nil {
			t.Fatalf("got %v without limits", err)
		}
		f.note(from, "bad", errBad)
	}
}

func startFailures(t *testing.T, perMinute int) (*failures, *clock) {
	t.Helper()
	clock := &clock{}
	f, err := newFailures(perMinute, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	return f, clock
}

var errBad = fault.Unauthenticated("no")

// try has a credential judged as the guard does, and tells whether it was looked at.
func (f *failures) try(from, credential string, judgement error) error {
	address := netip.MustParseAddr(from)
	if err := f.admit(address, credential); err != nil {
		return err
	}
	f.note(address, credential, judgement)
	return nil
}

func TestFailuresOfAnAddressAreLimited(t *testing.T) {
	t.Parallel()
	const policy = `"auth-failures";q=2;w=60`
	f, clock := startFailures(t, 2)
	for _, step := range []struct {
		at         time.Duration
		from, name string
		judgement  error
		wait       string // empty where the credential is looked at
	}{
		{0, "192.0.2.1", "good", nil, ""},
		{0, "192.0.2.1", "bad", errBad, ""},
		{0, "192.0.2.1", "database away", fault.Unavailable(nil, "away"), ""}, // says nothing of the credential
		{0, "192.0.2.1", "bad", errBad, ""},
		{0, "192.0.2.1", "bad", errBad, "30"},
		{0, "192.0.2.1", "new", nil, "30"},  // not even a good one is looked at
		{0, "192.0.2.1", "good", nil, ""},   // but one that was good here before is
		{0, "192.0.2.2", "bad", errBad, ""}, // another address
		{29 * time.Second, "192.0.2.1", "new", nil, "1"},
		{30 * time.Second, "192.0.2.1", "new", nil, ""}, // and costs nothing
		{30 * time.Second, "192.0.2.1", "bad", errBad, ""},
		{30 * time.Second, "192.0.2.1", "new", nil, ""},
		{30 * time.Second, "192.0.2.1", "good", errBad, ""}, // it was revoked, which counts
		{30 * time.Second, "192.0.2.1", "good", errBad, "60"},
		{time.Hour, "192.0.2.1", "bad", errBad, ""},
		{time.Hour, "192.0.2.1", "bad", errBad, ""},
		{time.Hour, "192.0.2.1", "bad", errBad, "30"}, // no more than a minute's worth
		{time.Hour, "2001:db8:0:1::1", "bad", errBad, ""},
		{time.Hour, "2001:db8:0:1:ffff::2", "bad", errBad, ""},
		{time.Hour, "2001:db8:0:1:a:b:c:d", "bad", errBad, "30"}, // the same /64
		{time.Hour, "2001:db8:0:2::1", "bad", errBad, ""},
	} {
		clock.since = step.at
		err := f.try(step.from, step.name, step.judgement)
		what := fmt.Sprintf("%s of %s after %s", step.name, step.from, step.at)
		if step.wait != "" {
			wantTold(t, what, err, step.wait, `"auth-failures";r=0;t=`+step.wait, policy)
		} else if err != nil {
			t.Errorf("%s: got %v, want it looked at", what, err)
		}
	}
}

// TestParallelFailuresAreWorkedOff admits many before the first has failed.
func TestParallelFailuresAreWorkedOff(t *testing.T) {
	t.Parallel()
	f, clock := startFailures(t, 60)
	from := netip.MustParseAddr("192.0.2.1")
	for range 200 {
		if err := f.admit(from, "bad"); err != nil {
			t.Fatal(err)
		}
	}
	for range 200 {
		f.note(from, "bad", errBad)
	}
	wantTold(t, "after 200", f.admit(from, "bad"), "141", `"auth-failures";r=0;t=141`, `"auth-failures";q=60;w=60`)
	clock.since = 141 * time.Second
	if err := f.admit(from, "bad"); err != nil {
		t.Errorf("got %v when they are worked off", err)
	}
}

// TestFloodsDoNotShakeOffLimits fills the tables many times over.
func TestFloodsDoNotShakeOffLimits(t *testing.T) {
	t.Parallel()
	f, _ := startFailures(t, 2)
	const from, own = "192.0.2.1", "192.0.2.2"
	for range 20 {
		_ = f.try(from, "bad", errBad)
		_ = f.try(own, "good", nil)
	}
	address := netip.MustParseAddr("2001:db8::")
	for i := range 4 * maxThrottled {
		bytes := address.As16()
		bytes[4], bytes[5], bytes[6] = byte(i>>16), byte(i>>8), byte(i)
		one := netip.AddrFrom16(bytes).String()
		_ = f.try(one, "bad", errBad)
		_ = f.try(one, "good", nil)
		if i%5000 == 0 { // both keep coming
			_ = f.try(from, "bad", errBad)
			_ = f.try(own, "good", nil)
		}
	}
	f.of.CleanUp()
	f.known.CleanUp()
	if addresses, known := f.of.EstimatedSize(), f.known.EstimatedSize(); addresses > maxThrottled || known > maxThrottled {
		t.Errorf("holds %d addresses and %d credentials, want at most %d", addresses, known, maxThrottled)
	}
	if err := f.try(from, "bad", errBad); err == nil {
		t.Error("the address is not limited any more")
	}
	for range 3 {
		_ = f.try(own, "bad", errBad)
	}
	if err := f.try(own, "good", nil); err != nil {
		t.Errorf("a credential that was good is refused: %v", err)
	}
}
