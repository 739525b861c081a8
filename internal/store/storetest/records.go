package storetest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// key makes a client key of the fixture's tenant that no other case has.
func (f fixture) key(name string) store.ClientKey {
	return store.ClientKey{
		Hash:        "hash of " + name + " " + f.tenant,
		Fingerprint: name + " " + f.tenant,
		Tenant:      f.tenant,
		Name:        name,
		Abilities:   "check,read",
		CreatedAt:   now,
	}
}

func testClientKeys(t *testing.T, f fixture) {
	ctx := t.Context()
	forever, expiring := f.key("forever"), f.key("expiring")
	expiring.ExpiresAt = now.Add(time.Hour)
	f.write(t, func(tx store.Tx) {
		for _, key := range []store.ClientKey{forever, expiring} {
			equal(t, "create", get(tx.CreateClientKey(ctx, key))(t), true)
			again := key
			again.Name = "another name"
			equal(t, "create again", get(tx.CreateClientKey(ctx, again))(t), false)
		}
	})
	for _, key := range []store.ClientKey{forever, expiring} {
		equal(t, "by hash", get(f.ClientKeyByHash(ctx, key.Hash))(t), key)
		equal(t, "by fingerprint", get(f.ClientKeyByFingerprint(ctx, key.Fingerprint))(t), key)
	}
	_, err := f.ClientKeyByHash(ctx, forever.Fingerprint)
	hasCode(t, "an unknown hash", err, fault.CodeNotFound)
	_, err = f.ClientKeyByFingerprint(ctx, strings.ToUpper(forever.Fingerprint))
	hasCode(t, "an unknown fingerprint", err, fault.CodeNotFound)

	f.write(t, func(tx store.Tx) {
		equal(t, "expire", get(tx.SetClientKeyExpiry(ctx, forever.Fingerprint, now))(t), true)
		equal(t, "expire at the same time", get(tx.SetClientKeyExpiry(ctx, forever.Fingerprint, now))(t), false)
		equal(t, "never expire", get(tx.SetClientKeyExpiry(ctx, expiring.Fingerprint, time.Time{}))(t), true)
		equal(t, "expire an unknown key", get(tx.SetClientKeyExpiry(ctx, "none", now))(t), false)
	})
	equal(t, "expires", get(f.ClientKeyByHash(ctx, forever.Hash))(t).ExpiresAt, now)
	equal(t, "never expires", get(f.ClientKeyByHash(ctx, expiring.Hash))(t).ExpiresAt, time.Time{})
}

func testRevokedClientKey(t *testing.T, f fixture) {
	ctx := t.Context()
	key, other := f.key("key"), f.key("other")
	f.write(t, func(tx store.Tx) {
		get(tx.CreateClientKey(ctx, key))(t)
		get(tx.CreateClientKey(ctx, other))(t)
		equal(t, "revoke", get(tx.RevokeClientKey(ctx, key.Fingerprint, now))(t), true)
		equal(t, "revoke again", get(tx.RevokeClientKey(ctx, key.Fingerprint, now.Add(1)))(t), false)
		equal(t, "expire", get(tx.SetClientKeyExpiry(ctx, key.Fingerprint, now.Add(time.Hour)))(t), false)
		equal(t, "create again", get(tx.CreateClientKey(ctx, key))(t), false)
		equal(t, "revoke an unknown key", get(tx.RevokeClientKey(ctx, "none", now))(t), false)
		equal(t, "revoke at no time", get(tx.RevokeClientKey(ctx, other.Fingerprint, time.Time{}))(t), true)
	})
	key.RevokedAt = now
	equal(t, "revoked", get(f.ClientKeyByHash(ctx, key.Hash))(t), key)
	equal(t, "revoked at no time", get(f.ClientKeyByHash(ctx, other.Hash))(t).RevokedAt.IsZero(), false)
}

func testTakenClientKey(t *testing.T, f fixture) {
	ctx := t.Context()
	key := f.key("key")
	f.write(t, func(tx store.Tx) { get(tx.CreateClientKey(ctx, key))(t) })

	same := key
	same.Hash += " of another key"
	foreign := key
	foreign.Tenant += " of another tenant"
	for what, c := range map[string]struct {
		key  store.ClientKey
		want fault.Code
	}{
		"another key's fingerprint": {same, fault.CodeConflict},
		"another tenant":            {foreign, fault.CodeInternal},
	} {
		_, err := f.Update(ctx, f.tenant, func(tx store.Tx) error {
			_, err := tx.CreateClientKey(ctx, c.key)
			return err
		})
		hasCode(t, what, err, c.want)
	}

	other := f
	other.tenant += "-other"
	foreign.Tenant = other.tenant
	other.write(t, func(tx store.Tx) {
		equal(t, "create it in another tenant", get(tx.CreateClientKey(ctx, foreign))(t), false)
	})
	equal(t, "the key", get(f.ClientKeyByHash(ctx, key.Hash))(t), key)
}

func testClientKeyList(t *testing.T, f fixture) {
	ctx := t.Context()
	first, second := f, f
	first.tenant += "-1"
	second.tenant += "-2"
	var want []store.ClientKey
	for _, f := range []fixture{first, second} {
		for _, name := range []string{"A", "Z", "a", "b", "c"} {
			want = append(want, f.key(name))
		}
	}
	for _, key := range slices.Backward(want) {
		f := f
		f.tenant = key.Tenant
		f.write(t, func(tx store.Tx) { get(tx.CreateClientKey(ctx, key))(t) })
	}
	for limit := 1; limit <= len(want); limit++ {
		// The keys of other cases lie around these.
		var got []store.ClientKey
		after := store.ClientKey{Tenant: f.tenant}
		for len(got) < len(want) {
			page := get(f.ClientKeys(ctx, after, limit))(t)
			if len(page) == 0 || len(page) > limit {
				t.Fatalf("got %d keys, want 1 to %d", len(page), limit)
			}
			got = append(got, page...)
			after = store.ClientKey{Tenant: page[len(page)-1].Tenant, Fingerprint: page[len(page)-1].Fingerprint}
		}
		if got = got[:len(want)]; !slices.Equal(got, want) {
			t.Errorf("in pages of %d: got %v, want %v", limit, got, want)
		}
	}
}

func testAuditEvents(t *testing.T, f fixture) {
	ctx := t.Context()
	change := audit.Event{
		Time:      now,
		Actor:     "fingerprint",
		Action:    audit.MembershipAdded,
		Resource:  "membership/ann/editor",
		User:      "ann",
		Outcome:   audit.Success,
		Details:   map[string]any{"until": "2027", "list": []any{"<a>", 1.5, true, nil}, "Ünï": map[string]any{"\u2028": "\x00"}},
		IP:        "2001:db8::1",
		UserAgent: `Mozilla/5.0 ("quoted")`,
		RequestID: "request",
	}
	refusal := audit.Event{Time: now.Add(-time.Hour), Action: audit.AccessRefused, Outcome: audit.Refused}
	f.write(t, func(tx store.Tx) {
		must(t, tx.AppendEvent(ctx, change))
		must(t, tx.AppendEvent(ctx, change))
	})
	// It was appended later and happened earlier: the log's order is that of time.
	must(t, f.AppendEvent(ctx, f.tenant, refusal))

	change.Revision = 1
	want := []audit.Event{change, change, refusal}
	got := get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 10))(t)
	if len(got) != len(want) {
		t.Fatalf("got %d events, want %d", len(got), len(want))
	}
	for i, event := range got {
		if i > 0 && event.ID >= got[i-1].ID {
			t.Errorf("got ID %s after %s, want the newest first", event.ID, got[i-1].ID)
		}
		event.ID = ""
		if !reflect.DeepEqual(event, want[i]) {
			t.Errorf("event %d: got %+v, want %+v", i, event, want[i])
		}
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var paged []audit.Event
		for before := ""; ; before = paged[len(paged)-1].ID {
			page := get(f.reader().AuditEvents(ctx, audit.Filter{}, before, limit))(t)
			paged = append(paged, page...)
			if len(page) < limit {
				break
			}
		}
		if !reflect.DeepEqual(paged, got) {
			t.Errorf("in pages of %d: got %v, want %v", limit, paged, got)
		}
	}
}

func testAuditFilter(t *testing.T, f fixture) {
	ctx := t.Context()
	base := audit.Event{Time: now, Action: "A", Resource: "role/a", User: "ann", Outcome: audit.Success, RequestID: "1"}
	events := map[string]audit.Event{"base": base}
	for name, change := range map[string]func(*audit.Event){
		"later":     func(e *audit.Event) { e.Time = now.Add(time.Microsecond) },
		"action":    func(e *audit.Event) { e.Action = "B" },
		"resource":  func(e *audit.Event) { e.Resource = "role/b" },
		"user":      func(e *audit.Event) { e.User = "bob" },
		"outcome":   func(e *audit.Event) { e.Outcome = audit.Refused },
		"requestID": func(e *audit.Event) { e.RequestID = "2" },
	} {
		event := base
		change(&event)
		events[name] = event
	}
	for name, event := range events {
		event.Actor = name
		must(t, f.AppendEvent(ctx, f.tenant, event))
	}
	for _, c := range []struct {
		name   string
		filter audit.Filter
		want   []string
	}{
		{"action", audit.Filter{Action: "B"}, []string{"action"}},
		{"resource", audit.Filter{Resource: "role/b"}, []string{"resource"}},
		{"user", audit.Filter{User: "bob"}, []string{"user"}},
		{"outcome", audit.Filter{Outcome: audit.Refused}, []string{"outcome"}},
		{"request", audit.Filter{RequestID: "2"}, []string{"requestID"}},
		{"since is inclusive", audit.Filter{Since: now.Add(time.Microsecond)}, []string{"later"}},
		{"until is not", audit.Filter{Until: now.Add(time.Microsecond), User: "ann", Action: "A", Resource: "role/a", Outcome: audit.Success, RequestID: "1"}, []string{"base"}},
		{"an empty span", audit.Filter{Since: now, Until: now}, nil},
		{"a prefix", audit.Filter{User: "an"}, nil},
		{"another case", audit.Filter{User: "Ann"}, nil},
		{"both", audit.Filter{User: "bob", Action: "B"}, nil},
	} {
		var got []string
		for _, event := range get(f.reader().AuditEvents(ctx, c.filter, "", 100))(t) {
			got = append(got, event.Actor)
		}
		equalList(t, c.name, got, c.want)
	}
	equal(t, "no filter", len(get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 100))(t)), len(events))
}

// testHostileEvent appends what a client can put into its request. None of it may
// keep the event from being written.
func testHostileEvent(t *testing.T, f fixture) {
	ctx := t.Context()
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ sent, want string }{
		{"a\xff\xfeb", "a\uFFFDb"},
		{"a\x00b", "a\uFFFDb"},
		{long, long},
	} {
		event := audit.Event{Time: now, UserAgent: c.sent, RequestID: c.sent, Details: map[string]any{"sent": c.sent}}
		must(t, f.AppendEvent(ctx, f.tenant, event))
		f.write(t, func(tx store.Tx) { must(t, tx.AppendEvent(ctx, event)) })
		for _, event := range get(f.reader().AuditEvents(ctx, audit.Filter{}, "", 2))(t) {
			if event.UserAgent != c.want || event.RequestID != c.want {
				t.Errorf("got %.20q and %.20q, want %.20q", event.UserAgent, event.RequestID, c.want)
			}
		}
	}
	err := f.AppendEvent(ctx, f.tenant, audit.Event{Time: now, Details: map[string]any{"channel": make(chan int)}})
	hasCode(t, "details that are not JSON", err, fault.CodeInternal)
}
