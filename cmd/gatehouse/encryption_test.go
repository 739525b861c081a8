package main

import (
	"strings"
	"testing"
)

// TestEncryption takes a database with a client key from plain to sealed, to another
// secret, and back.
func TestEncryption(t *testing.T) {
	t.Parallel()
	const first, second = "AUTH_ENCRYPTION_KEY=" + marker + " the first secret", "AUTH_ENCRYPTION_KEY=" + marker + " the second secret"
	plain := install(t)
	with := func(environ ...string) installation {
		i := plain
		i.environ = append(append([]string{}, plain.environ...), environ...)
		return i
	}
	enabled := func(environ ...string) installation { return with(append(environ, "AUTH_ENABLE_ENCRYPTION=true")...) }
	succeeds := func(i installation, want string, args ...string) {
		t.Helper()
		got := i.run(args...)
		if got.code != exitSuccess || !strings.HasPrefix(got.stdout, want) {
			t.Errorf("%v: got %+v, want success and %q", args, got, want)
		}
		if strings.Contains(got.stdout+got.stderr, marker) {
			t.Errorf("%v shows a secret: %+v", args, got)
		}
	}

	plain.must("client", "create")
	plain.fails(exitUsage, "AUTH_ENCRYPTION_KEY: is not set", "encryption", "enable")
	with(first).fails(exitFailure, "the database is not sealed: run `gatehouse encryption enable`", "encryption", "rotate")
	enabled(first).fails(exitFailure, "the database is not sealed: run `gatehouse encryption enable`, or set AUTH_ENABLE_ENCRYPTION=false", "client", "list")
	succeeds(with(first), "sealed: ", "encryption", "enable")
	succeeds(enabled(first), "sealed already: nothing to do\n", "encryption", "enable")
	succeeds(enabled(first), "new values: ", "encryption", "status")
	succeeds(enabled(first), "FINGERPRINT", "client", "list")
	with(first).fails(exitFailure, "the database is sealed: set AUTH_ENABLE_ENCRYPTION=true, or run `gatehouse encryption disable`", "client", "list")
	plain.fails(exitFailure, "the database is sealed with key k1: set AUTH_ENABLE_ENCRYPTION=true, and give its secret", "client", "list")

	rotating := enabled(second, "AUTH_ENCRYPTION_PREVIOUS_KEYS="+marker+" the first secret")
	succeeds(rotating, "FINGERPRINT", "client", "list")
	if got := rotating.run("client", "list").stderr; !strings.Contains(got, "run `gatehouse encryption rotate`") {
		t.Errorf("with the next secret: logged %q, want what to run", got)
	}
	enabled(second).fails(exitFailure, "the database is sealed with key k1", "encryption", "rotate")
	succeeds(rotating, "sealed with the key of AUTH_ENCRYPTION_KEY: ", "encryption", "rotate")
	succeeds(enabled(second), "FINGERPRINT", "client", "list")
	succeeds(enabled(second), "plain: ", "encryption", "disable")
	succeeds(plain, "FINGERPRINT", "client", "list")
	succeeds(plain, "plain already: nothing to do\n", "encryption", "disable")
}
