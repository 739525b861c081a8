package main

import (
	"slices"
	"strings"
	"testing"
)

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	i := install(t, "AUTH_JWT_ALGORITHM=ES256")
	const header = "KID  USE  ALGORITHM  SIGNS FROM  STATE\n"
	if got := i.must("keys", "list"); got != header {
		t.Errorf("the empty list is %q, want %q", got, header)
	}
	var kids []string
	for range 2 {
		made := i.run("keys", "rotate", "--use", "session")
		kid, rest, _ := strings.Cut(made.stdout, "\n")
		if made.code != exitSuccess || kid == "" || rest != "" || !strings.HasPrefix(made.stderr, "signing key "+kid+" for session tokens by ES256 signs from ") {
			t.Fatalf("rotate: %+v, want a kid alone on standard output", made)
		}
		kids = append(kids, kid)
	}
	both := strings.Fields(i.must("keys", "rotate"))
	if len(both) != 2 {
		t.Fatalf("rotate all: got %q, want two kids", both)
	}
	want := [][]string{
		{kids[0], "session", "ES256", "signing"}, {kids[1], "session", "ES256", "published"}, {both[0], "session", "ES256", "published"},
		{both[1], "access", "ES256", "signing"},
	}
	if got := i.signingKeys(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}

	i.environ = append(i.environ, "AUTH_JWT_ALGORITHM=HS256", "AUTH_JWT_SECRET_KEY="+strings.Repeat("s", 32))
	i.fails(exitFailure, "the signing key is the configured secret", "keys", "rotate")
	if got := i.signingKeys(); len(got) != 6 || got[3][2] != "HS256" || got[3][3] != "signing" || got[0][3] != "verifying" ||
		got[5][1] != "access" || got[5][2] != "HS256" || got[5][3] != "signing" || got[4][3] != "verifying" {
		t.Errorf("with a secret: got %q, want it to sign, and those before it to verify", got)
	}
}

// signingKeys lists the keys, without the time that they sign from.
func (i installation) signingKeys() [][]string {
	i.t.Helper()
	var rows [][]string
	for _, line := range strings.Split(strings.TrimSpace(i.must("keys", "list")), "\n")[1:] {
		words := strings.Fields(line)
		rows = append(rows, slices.Delete(words, 3, 4))
	}
	return rows
}
