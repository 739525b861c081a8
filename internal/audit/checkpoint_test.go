package audit_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/gatehouse/gatehouse/internal/audit"
)

func signer(t *testing.T) audit.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return audit.NewSigner(private)
}

func TestCheckpointIsASignedNote(t *testing.T) {
	t.Parallel()
	s := signer(t)
	for _, tenant := range []string{"acme", "a b", "a+b", "ü/%2B\u2028", "a%20b", "."} {
		want := audit.Checkpoint{Tenant: tenant, Size: 12, Root: audit.Hash{1, 2}}
		signed, err := s.Sign(want)
		if err != nil {
			t.Fatalf("%q: %v", tenant, err)
		}
		if got, err := s.Open(signed); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", tenant, got, err, want)
		}
		key, err := audit.ParseKey(s.VerifierKey("another"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Open(signed); err != nil || got != want {
			t.Errorf("%q under a key named for another log: got %+v, %v; want %+v", tenant, got, err, want)
		}
		// Others verify it as they do any log's.
		verifier, err := note.NewVerifier(s.VerifierKey(tenant))
		if err != nil {
			t.Fatal(err)
		}
		opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
		if err != nil {
			t.Fatalf("%q: %v", tenant, err)
		}
		if origin, _, _ := strings.Cut(opened.Text, "\n"); origin != verifier.Name() {
			t.Errorf("%q: got origin %q and key name %q, want the same", tenant, origin, verifier.Name())
		}
	}
}

func TestCheckpointIsRefused(t *testing.T) {
	t.Parallel()
	s := signer(t)
	signed, err := s.Sign(audit.Checkpoint{Tenant: "acme", Size: 12, Root: audit.Hash{1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(signed) - 1 {
		flipped := []byte(signed)
		flipped[i] ^= 1
		if c, err := s.Open(string(flipped)); err == nil {
			t.Errorf("byte %d changed: got %+v, want an error", i, c)
		}
	}
	if _, err := signer(t).Open(signed); err == nil {
		t.Error("another key's checkpoint was taken")
	}
	for _, text := range []string{"", "acme", "a+1+AA==", "a+00000000+AQID", s.VerifierKey("acme")[1:]} {
		if _, err := audit.ParseKey(text); err == nil {
			t.Errorf("%q was taken for a key", text)
		}
	}
}

func TestSplitNotes(t *testing.T) {
	t.Parallel()
	const one, two = "o\n1\nr\n\n\u2014 o a\n", "p\n2\ns\n\n\u2014 p b\n\u2014 w c\n"
	const line = `{"tenant":"o","checkpoint":"o\n1\nr\n\n— o a\n"}` + "\n"
	for text, want := range map[string][]string{
		"":                                    nil,
		one:                                   {one},
		one + two:                             {one, two},
		"\n" + one + "\n\n" + two:             {one, two},
		line + line:                           {one, one},
		one + line + two:                      {one, one, two},
		`{"tor` + "\n" + line:                 {one},
		strings.ReplaceAll(one, "\n", "\r\n"): {one},
	} {
		got, torn := audit.SplitNotes(text)
		if strings.Join(got, "|") != strings.Join(want, "|") || (torn > 0) != strings.Contains(text, "tor\n") {
			t.Errorf("%q: got %q and %d torn lines, want %q", text, got, torn, want)
		}
	}
}
