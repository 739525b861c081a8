package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/internal/seal"
)

var (
	salt   = bytes.Repeat([]byte{7}, seal.SaltBytes)
	ring   = seal.NewRing(newKey(1, "the first secret"), newKey(2, "the second secret"))
	member = seal.Column{Table: "memberships", Name: "subject"}
)

func newKey(number int64, secret string) seal.Key {
	return stretch(secret).Key(number)
}

func stretch(secret string) seal.Secret {
	stretched, err := seal.Stretch(secret, salt, seal.MinIterations)
	if err != nil {
		panic(err)
	}
	return stretched
}

func name(t *testing.T, tenant, id string, column seal.Column, text string) string {
	t.Helper()
	sealed, err := ring.Tenant(tenant).Name(id, column, text)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestNames holds the properties of deterministic encryption (RFC 5297): the same comes
// of the same, and something else of everything else.
func TestNames(t *testing.T) {
	t.Parallel()
	names := []string{"", "a", "alice", "alice@example.com", "Alice", strings.Repeat("x", 256), "k1.abc", "日本語", "\x00\xff"}
	seen := map[string]string{}
	for _, tenant := range []string{"t1", "t2", "t"} {
		for _, id := range []string{"k1", "k2"} {
			for _, column := range []seal.Column{member, {Table: "memberships", Name: "role"}, {Table: "users", Name: "subject"}, {Table: "membershipss", Name: "ubject"}} {
				for _, text := range names {
					what := fmt.Sprintf("%q %s %v %q", tenant, id, column, text)
					sealed := name(t, tenant, id, column, text)
					if again := name(t, tenant, id, column, text); again != sealed {
						t.Errorf("%s: got %s and %s", what, sealed, again)
					}
					if other, ok := seen[sealed]; ok {
						t.Errorf("%s and %s are both %s", what, other, sealed)
					}
					seen[sealed] = what
					if !strings.HasPrefix(sealed, id+".") || seal.KeyID(sealed) != id {
						t.Errorf("%s: %s does not name its key", what, sealed)
					}
					if opened, err := ring.Tenant(tenant).OpenName(column, sealed); err != nil || opened != text {
						t.Errorf("%s: opened as %q, %v", what, opened, err)
					}
					for _, elsewhere := range []struct {
						tenant string
						column seal.Column
					}{{tenant + "1", column}, {tenant, seal.Column{Table: column.Table, Name: column.Name + "2"}}, {tenant, seal.Column{Table: "x", Name: column.Name}}} {
						if opened, err := ring.Tenant(elsewhere.tenant).OpenName(elsewhere.column, sealed); !errors.Is(err, seal.ErrDamaged) {
							t.Errorf("%s: opened at %v as %q, %v", what, elsewhere, opened, err)
						}
					}
				}
			}
		}
	}
}

// TestFlips changes every bit of sealed values, and cuts and stretches them.
func TestFlips(t *testing.T) {
	t.Parallel()
	identity := []string{"user", "alice", "editor"}
	sealedRow, err := ring.Tenant("t").Row("k1", "memberships", identity, []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]struct {
		sealed string
		open   func(string) ([]byte, error)
	}{
		"name": {name(t, "t", "k1", member, "deploy"), func(value string) ([]byte, error) {
			text, err := ring.Tenant("t").OpenName(member, value)
			return []byte(text), err
		}},
		"row": {sealedRow, func(value string) ([]byte, error) { return ring.Tenant("t").OpenRow("memberships", identity, value) }},
	}
	for form, f := range forms {
		values := []string{"", "k1", "k1.", "k1.AA", f.sealed + "A", f.sealed + "AAAA", f.sealed + "\n", f.sealed + "=", "k01" + f.sealed[2:], strings.Replace(f.sealed, ".", ".\n", 1)}
		for i := range len(f.sealed) {
			values = append(values, f.sealed[:i])
			for bit := range 8 {
				flipped := []byte(f.sealed)
				flipped[i] ^= 1 << bit
				values = append(values, string(flipped))
			}
		}
		for _, value := range values {
			opened, err := f.open(value)
			if !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, seal.ErrUnknownKey) {
				t.Errorf("%s: %q was opened as %q, %v", form, value, opened, err)
			}
		}
		if _, err := f.open(f.sealed); err != nil {
			t.Errorf("%s: %v", form, err)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	tenant := ring.Tenant("t")
	seen := []string{}
	for range 100 {
		sealed, err := tenant.Row("k2", "users", []string{"alice"}, []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(seen, sealed) {
			t.Fatal("the same content was sealed the same twice")
		}
		seen = append(seen, sealed)
	}
	open := func(tenant, table string, identity ...string) error {
		content, err := ring.Tenant(tenant).OpenRow(table, identity, seen[0])
		if err == nil && string(content) != "content" {
			t.Errorf("opened as %q", content)
		}
		return err
	}
	if err := open("t", "users", "alice"); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		open("u", "users", "alice"), open("t", "user", "alice"), open("t", "users", "bob"), open("t", "users"),
		open("t", "users", "alice", ""), open("t", "users", "al", "ice"), open("t", "users", ""),
	} {
		if !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("opened in another row: %v", err)
		}
	}
	// The key's id is bound as well: a value of one key is none of another's.
	if _, err := ring.Tenant("t").OpenRow("users", []string{"alice"}, "k1"+seen[0][2:]); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("opened with another key: %v", err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	if a, b := stretch("a"), stretch("b"); a.Is(b.Check()) || !a.Is(stretch("a").Check()) || a.Is("") {
		t.Error("a check value is not that of its secret alone")
	}
	if _, err := ring.Tenant("t").Name("k3", member, "alice"); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("sealed with a key that is not there: %v", err)
	}
	if got := name(t, "t", seal.Plain, member, "alice"); got != "alice" || !ring.Has(seal.Plain) || !ring.Has("k2") || ring.Has("k3") {
		t.Errorf("got %q", got)
	}
	if _, err := seal.Stretch("secret", nil, seal.MinIterations); err == nil {
		t.Error("stretched a secret without salt")
	}
	if _, err := seal.Stretch("secret", salt, seal.MinIterations-1); err == nil {
		t.Error("stretched a secret too little")
	}
	for value, want := range map[string]string{"k1.": "k1", "k10.x": "k10", "k0.x": "", "k-1.x": "", "k+1.x": "", "k1": "", "x1.x": "", "": "", "k01.x": ""} {
		if got := seal.KeyID(value); got != want {
			t.Errorf("KeyID(%q): got %q, want %q", value, got, want)
		}
	}
}
