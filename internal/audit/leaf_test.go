package audit_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/internal/audit"
)

func TestLeafIsReadable(t *testing.T) {
	t.Parallel()
	r := audit.Record{
		Tenant: "acme", ID: "1", TimeMicros: 1_700_000_000_000_001, Actor: "key", Action: "A", Resource: "role/ü", Subject: "a\tb",
		Outcome: audit.Success, Details: `{"a":"<b>","n":1.50}`, IP: "::1", UserAgent: `"x"\`, RequestID: "r", Revision: 7, Salt: "s",
	}
	const want = `{"tenant":"acme","id":"1","time":"2023-11-14T22:13:20.000001Z","actor":"key","action":"A","resource":"role/ü","user":"a\u0009b",` +
		`"outcome":"success","details":{"a":"<b>","n":1.50},"ip":"::1","user_agent":"\"x\"\\","request_id":"r","revision":7,"salt":"s"}`
	if got := string(r.Leaf()); got != want {
		t.Errorf("got leaf\n%s\nwant\n%s", got, want)
	}
}

// FuzzLeaf holds that a leaf is one line of JSON whatever the columns hold, that valid
// text comes back, and that no two records have the same leaf.
func FuzzLeaf(f *testing.F) {
	for _, text := range []string{"", "a", "\xff", "\uFFFD", "\x00\n\r\u2028", `{"a":1}`, "{\n}", `{"a":"` + "\xff" + `"}`, `"`, `\udcff`, `{}`, `","ip":"x`} {
		f.Add(text, "b", text)
	}
	f.Fuzz(func(t *testing.T, a, b, details string) {
		r := audit.Record{Tenant: a, UserAgent: b, Details: details}
		leaf := r.Leaf()
		if strings.ContainsAny(string(leaf), "\n\r") || !json.Valid(leaf) {
			t.Fatalf("got leaf %q, want one line of JSON", leaf)
		}
		var read struct {
			Tenant    string `json:"tenant"`
			UserAgent string `json:"user_agent"`
		}
		if err := json.Unmarshal(leaf, &read); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(a+b) && (read.Tenant != a || read.UserAgent != b) {
			t.Errorf("got %q and %q, want %q and %q", read.Tenant, read.UserAgent, a, b)
		}
		seen := map[string]audit.Record{}
		for _, other := range []audit.Record{
			r, {Tenant: b, UserAgent: a, Details: details}, {Tenant: a, UserAgent: details, Details: b},
			{Tenant: strings.ToValidUTF8(a, "\uFFFD"), UserAgent: b, Details: details}, {Tenant: a, IP: b, Details: details},
			{Tenant: a, UserAgent: b, Details: strings.ToValidUTF8(details, "\uFFFD")},
		} {
			text := string(other.Leaf())
			if same, ok := seen[text]; ok && !reflect.DeepEqual(same, other) {
				t.Errorf("%+v and %+v have the same leaf", same, other)
			}
			seen[text] = other
		}
	})
}
