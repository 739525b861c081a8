package seed

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// Both vectors were made with OpenSSL.
const (
	vectorKey     = "hunter2"
	vectorCreator = "3f2b1c9e-8a47-4d15-9c6e-0b7a5d2e4f10"
	vectorPlain   = "deploy"
	vectorCommon  = "xMRm7oeL5tP5AJCJanWfFgm7gzrAWA=="
	vectorTenant  = "v2:FaHSXhlJqxrSSiIYs33SwgPhS1o7zg=="
)

func newCipher(t *testing.T, password string) *Cipher {
	t.Helper()
	c, err := NewCipher(password)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCipherOpensVectors(t *testing.T) {
	t.Parallel()
	c := newCipher(t, vectorKey)
	for _, value := range []string{vectorCommon, vectorTenant} {
		if got, err := c.open(vectorCreator, value); got != vectorPlain || err != nil {
			t.Errorf("%s: got %q and %v, want %q", value, got, err, vectorPlain)
		}
	}
}

func TestCipherRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	another := "3f2b1c9e-8a47-4d15-9c6e-0b7a5d2e4f11"
	for name, test := range map[string]struct{ password, creator, value string }{
		"another password":          {"hunter3", vectorCreator, vectorCommon},
		"another tenant's password": {"hunter3", vectorCreator, vectorTenant},
		"another tenant":            {vectorKey, another, vectorTenant},
		"the wrong scheme":          {vectorKey, vectorCreator, strings.TrimPrefix(vectorTenant, tenantPrefix)},
		"cut off":                   {vectorKey, vectorCreator, base64.StdEncoding.EncodeToString(make([]byte, ivLength))},
		"shorter than its IV":       {vectorKey, vectorCreator, "xMRm7oeL5tM="},
	} {
		if got, err := newCipher(t, test.password).open(test.creator, test.value); !errors.Is(err, errNotAuthentic) {
			t.Errorf("%s: got %q and %v, want %v", name, got, err, errNotAuthentic)
		}
	}
}

func TestEveryChangedByteIsSeen(t *testing.T) {
	t.Parallel()
	c := newCipher(t, vectorKey)
	for _, value := range []string{vectorCommon, vectorTenant} {
		for at := range value {
			for change := 1; change < 256; change++ {
				bytes := []byte(value)
				bytes[at] ^= byte(change)
				changed := string(bytes)
				if formOf(changed) == plain {
					t.Errorf("byte %d of %s: %q passes for a plain name", at, value, changed)
				}
				if name, err := c.open(vectorCreator, changed); err == nil {
					t.Errorf("byte %d of %s: %q opens as %q", at, value, changed, name)
				}
			}
		}
		prefix, payload := "", value
		if rest, ok := strings.CutPrefix(value, tenantPrefix); ok {
			prefix, payload = tenantPrefix, rest
		}
		raw, err := base64.StdEncoding.DecodeString(payload)
		if err != nil {
			t.Fatal(err)
		}
		for at := range raw {
			for change := 1; change < 256; change++ {
				raw[at] ^= byte(change)
				if name, err := c.open(vectorCreator, prefix+base64.StdEncoding.EncodeToString(raw)); err == nil {
					t.Errorf("raw byte %d of %s changed by %#x opens as %q", at, value, change, name)
				}
				raw[at] ^= byte(change)
			}
		}
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]form{
		"":                                     plain,
		"alice":                                plain,
		"alice.cooper@example.com":             plain, // 24 bytes
		"auth0|5f7c8ec7c33c6c004bbafe82":       plain,
		"5f7c8ec7c33c6c004bbafe82":             plain, // an ObjectId
		"5F7C8EC7C33C6C004BBAFE82":             plain,
		"3f2b1c9e-8a47-4d15-9c6e-0b7a5d2e4f10": plain,
		"v2:deploy":                            plain,
		"May write, and read all that is here": plain,
		"administratorOfDeployments":           plain,   // 26 bytes
		"administrators-of-the-servers":        plain,   // 29 bytes
		"administratorOfDeployment":            plain,   // 25 bytes
		"administrator_OfDeployed":             damaged, // 24 bytes, one of them no base64
		"administratorOfDeployed1":             sealed,
		"tFhS5d0kVxYlTgu3b1Wm2zQn8KE3":         sealed, // as Firebase names users
		vectorCommon:                           sealed,
		vectorTenant:                           sealed,
		vectorCommon[:28] + "\n===":            plain,
		vectorCommon[:31] + "\n":               damaged,
		vectorCommon[:29] + "B==":              damaged, // not how these bits are written
	} {
		if got := formOf(value); got != want {
			t.Errorf("%q: got %d, want %d", value, got, want)
		}
	}
}
