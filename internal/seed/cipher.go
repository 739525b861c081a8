package seed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

const (
	kdfSalt       = "auth_deterministic_encryption_salt_v1"
	kdfIterations = 100_000
	keyLength     = 32
	ivLength      = aes.BlockSize

	// tenantPrefix begins the values that later releases wrote, under keys of the
	// creator's own.
	tenantPrefix = "v2:"
	tenantInfo   = "auth-fieldkey-v2|"
)

// Cipher opens the values that auth has encrypted: standard base64 of an IV and
// AES-256-CTR, where the IV is the beginning of the plaintext's HMAC-SHA256. It is
// not safe for use by several goroutines.
type Cipher struct {
	master []byte
	common fieldKeys
	// tenant are the keys of creator, whose value was opened last.
	creator string
	tenant  fieldKeys
}

// fieldKeys encrypt, and authenticate, in this order.
type fieldKeys struct{ aes, mac []byte }

// NewCipher derives the keys of a password, auth's AUTH_ENCRYPTION_KEY.
func NewCipher(password string) (*Cipher, error) {
	master, err := pbkdf2.Key(sha256.New, password, []byte(kdfSalt), kdfIterations, 2*keyLength)
	if err != nil {
		return nil, err
	}
	return &Cipher{master: master, common: splitKeys(master)}, nil
}

func splitKeys(both []byte) fieldKeys { return fieldKeys{aes: both[:keyLength], mac: both[keyLength:]} }

// errNotAuthentic is a value that these keys have not made.
var errNotAuthentic = errors.New("does not authenticate")

// open decrypts a value of creator's that has the form of a ciphertext.
func (c *Cipher) open(creator, value string) (string, error) {
	keys := c.common
	payload, ofTenant := strings.CutPrefix(value, tenantPrefix)
	if ofTenant {
		if err := c.deriveTenant(creator); err != nil {
			return "", err
		}
		keys = c.tenant
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(payload)
	if err != nil || len(raw) < ivLength {
		return "", errNotAuthentic
	}
	block, err := aes.NewCipher(keys.aes)
	if err != nil {
		return "", err
	}
	iv, text := raw[:ivLength], raw[ivLength:]
	cipher.NewCTR(block, iv).XORKeyStream(text, text)
	mac := hmac.New(sha256.New, keys.mac)
	mac.Write(text)
	if !hmac.Equal(mac.Sum(nil)[:ivLength], iv) {
		return "", errNotAuthentic
	}
	return string(text), nil
}

func (c *Cipher) deriveTenant(creator string) error {
	if c.tenant.aes != nil && c.creator == creator {
		return nil
	}
	both, err := hkdf.Expand(sha256.New, c.master, tenantInfo+creator, 2*keyLength)
	if err != nil {
		return err
	}
	c.creator, c.tenant = creator, splitKeys(both)
	return nil
}

// form is how a stored value looks, whatever the key.
type form int

const (
	// plain is neither of the others.
	plain form = iota
	// damaged is a byte away from the form of a ciphertext: either one that was
	// changed, or a name that happens to look so.
	damaged
	// sealed has the form of a ciphertext.
	sealed
)

func formOf(value string) form {
	if isHex(value) {
		// An identifier in hexadecimal. A ciphertext is that once in 2^44.
		return plain
	}
	misfits, payload := 0, value
	if len(value)%4 == len(tenantPrefix) {
		payload = value[len(tenantPrefix):]
		for i := range tenantPrefix {
			if value[i] != tenantPrefix[i] {
				misfits++
			}
		}
	}
	if len(payload)%4 != 0 || len(payload) < base64.StdEncoding.EncodedLen(ivLength) {
		return plain
	}
	for i := range len(payload) {
		if isPadding := payload[i] == '=' && i >= len(payload)-2; !isPadding && !isBase64(payload[i]) {
			misfits++
		}
	}
	switch {
	case misfits > 1:
		return plain
	case misfits == 1:
		return damaged
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(payload); err != nil {
		return damaged
	}
	return sealed
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}

// isHex tells the digits of a hexadecimal number, in one case.
func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == "" || strings.Trim(s, "0123456789ABCDEF") == ""
}
