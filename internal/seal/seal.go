// Package seal encrypts what a database keeps, so that whoever reads or changes the
// database alone learns no name and cannot put one for another.
//
// There are two forms, and both say which key made them: "k1." and unpadded base64url.
// A looked-up field is sealed by [Tenant.Name], deterministically, so that equal names
// in one column of one tenant are equal in the database, and nowhere else. Everything
// that is only read back is sealed by [Tenant.Row], together, bound to the row that it
// stands in. The package is pure: the store keeps the keys' parameters and picks the
// key that writes.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
)

// MinIterations and DefaultIterations are rounds of PBKDF2-HMAC-SHA256: the least that
// is taken, and what OWASP's Password Storage Cheat Sheet asks for.
const (
	MinIterations     = 100_000
	DefaultIterations = 600_000
)

// SaltBytes is the length of an installation's salt.
const SaltBytes = 16

// Plain is the id of the key that leaves values as they are.
const Plain = ""

var (
	// ErrDamaged is the error of a value that was not sealed as what it is opened as: some
	// byte of it, or of what it is bound to, was changed or comes from elsewhere.
	ErrDamaged = errors.New("a sealed value does not verify")
	// ErrUnknownKey is the error of a value whose key is not in the ring.
	ErrUnknownKey = errors.New("a value is sealed with a key that is not known here")
)

const (
	keyBytes = 32
	ivBytes  = aes.BlockSize
)

// Secret is a secret that has been stretched, which takes a while.
type Secret struct{ master []byte }

// Stretch derives what keys are made of from a secret and the installation's salt, by
// PBKDF2-HMAC-SHA256 (RFC 8018).
func Stretch(secret string, salt []byte, iterations int) (Secret, error) {
	if len(salt) != SaltBytes || iterations < MinIterations {
		return Secret{}, fmt.Errorf("stretch a secret: want a salt of %d bytes and at least %d iterations", SaltBytes, MinIterations)
	}
	master, err := pbkdf2.Key(sha256.New, secret, salt, iterations, keyBytes)
	if err != nil {
		return Secret{}, fmt.Errorf("stretch a secret: %w", err)
	}
	return Secret{master: master}, nil
}

// Check is a value by which the secret is recognised. It tells no more of the secret than
// a sealed value does.
func (s Secret) Check() string {
	return base64.RawURLEncoding.EncodeToString(Key{master: s.master}.derive("check", ""))
}

// Is reports whether a value is the secret's Check.
func (s Secret) Is(check string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Check()), []byte(check)) == 1
}

// Key returns the secret as the installation's key with a number, from 1.
func (s Secret) Key(number int64) Key {
	return Key{id: "k" + strconv.FormatInt(number, 10), master: s.master}
}

// Key is an installation's key, from which those of its tenants derive.
type Key struct {
	id     string
	master []byte
}

// ID is what the key's values begin with: "k" and its number.
func (k Key) ID() string { return k.id }

// derive makes a key for one purpose of one tenant by HKDF-SHA256 (RFC 5869).
func (k Key) derive(purpose, tenant string) []byte {
	derived, err := hkdf.Key(sha256.New, k.master, nil, "gatehouse seal v1\x00"+purpose+"\x00"+tenant, keyBytes)
	if err != nil {
		panic(err) // only for a length that HKDF cannot make
	}
	return derived
}

// Ring is a set of keys. It never changes, so it is safe for concurrent use.
type Ring struct{ keys map[string]Key }

// NewRing returns a ring of keys with different ids.
func NewRing(keys ...Key) *Ring {
	ring := &Ring{keys: make(map[string]Key, len(keys))}
	for _, key := range keys {
		ring.keys[key.id] = key
	}
	return ring
}

// Has reports whether the ring has the key of an id. It always has Plain.
func (r *Ring) Has(id string) bool {
	_, ok := r.keys[id]
	return ok || id == Plain
}

// Tenant returns what seals and opens the values of one tenant; those of the
// installation belong to the tenant "".
func (r *Ring) Tenant(tenant string) *Tenant {
	return &Tenant{ring: r, tenant: tenant, keys: map[string]*tenantKey{}}
}

// Tenant seals and opens the values of one tenant. It is for one goroutine at a time.
type Tenant struct {
	ring   *Ring
	tenant string
	keys   map[string]*tenantKey
}

// tenantKey holds a tenant's keys, by purpose.
type tenantKey struct {
	names cipher.Block
	ivs   hash.Hash
	rows  cipher.AEAD
}

// Column is where a name stands.
type Column struct{ Table, Name string }

// Name seals a name for a column with the key of an id. The initialization vector is
// synthetic, as in RFC 5297: equal names are equal sealed, and no other are.
func (t *Tenant) Name(id string, column Column, name string) (string, error) {
	if id == Plain {
		return name, nil
	}
	key, err := t.key(id)
	if err != nil {
		return "", err
	}
	iv := key.iv(t.tenant, column, []byte(name))
	sealed := append(iv, name...)
	cipher.NewCTR(key.names, iv).XORKeyStream(sealed[ivBytes:], sealed[ivBytes:])
	return write(id, sealed), nil
}

// OpenName opens a name that was sealed for the column.
func (t *Tenant) OpenName(column Column, value string) (string, error) {
	key, sealed, err := t.read(value)
	if err != nil {
		return "", err
	}
	if len(sealed) < ivBytes {
		return "", ErrDamaged
	}
	iv, name := sealed[:ivBytes], sealed[ivBytes:]
	cipher.NewCTR(key.names, iv).XORKeyStream(name, name)
	if subtle.ConstantTimeCompare(iv, key.iv(t.tenant, column, name)) != 1 {
		return "", ErrDamaged
	}
	return string(name), nil
}

// iv is the HMAC of a name and where it stands, cut to the length of an initialization
// vector.
func (k *tenantKey) iv(tenant string, column Column, name []byte) []byte {
	k.ivs.Reset()
	k.ivs.Write(joined(tenant, column.Table, column.Name))
	k.ivs.Write(name)
	return k.ivs.Sum(nil)[:ivBytes]
}

// Row seals content, which belongs to the row of a table that identity tells from all
// others, with the key of an id by AES-256-GCM. Its nonce is random, so that one key
// seals up to 2^32 rows of a tenant (NIST SP 800-38D, section 8.3).
func (t *Tenant) Row(id, table string, identity []string, content []byte) (string, error) {
	key, err := t.key(id)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, key.rows.NonceSize(), key.rows.NonceSize()+len(content)+key.rows.Overhead())
	rand.Read(nonce)
	return write(id, key.rows.Seal(nonce, nonce, content, t.associated(id, table, identity))), nil
}

// OpenRow opens what Row sealed for the same row.
func (t *Tenant) OpenRow(table string, identity []string, value string) ([]byte, error) {
	key, sealed, err := t.read(value)
	if err != nil {
		return nil, err
	}
	size := key.rows.NonceSize()
	if len(sealed) < size {
		return nil, ErrDamaged
	}
	content, err := key.rows.Open(nil, sealed[:size], sealed[size:], t.associated(KeyID(value), table, identity))
	if err != nil {
		return nil, ErrDamaged
	}
	return content, nil
}

func (t *Tenant) associated(id, table string, identity []string) []byte {
	return joined(append([]string{id, t.tenant, table}, identity...)...)
}

// joined writes each part behind its length, so that no two lists are written alike.
func joined(parts ...string) []byte {
	var text []byte
	for _, part := range parts {
		text = binary.BigEndian.AppendUint32(text, uint32(len(part)))
		text = append(text, part...)
	}
	return text
}

func (t *Tenant) key(id string) (*tenantKey, error) {
	if key, ok := t.keys[id]; ok {
		return key, nil
	}
	master, ok := t.ring.keys[id]
	if !ok {
		return nil, ErrUnknownKey
	}
	names, err := aes.NewCipher(master.derive("names", t.tenant))
	if err != nil {
		return nil, err
	}
	rows, err := aes.NewCipher(master.derive("rows", t.tenant))
	if err != nil {
		return nil, err
	}
	sealer, err := cipher.NewGCM(rows)
	if err != nil {
		return nil, err
	}
	key := &tenantKey{names: names, ivs: hmac.New(sha256.New, master.derive("ivs", t.tenant)), rows: sealer}
	t.keys[id] = key
	return key, nil
}

// KeyID is the id of the key that a value says it was sealed with; empty where it says
// none.
func KeyID(value string) string {
	id, _, found := strings.Cut(value, ".")
	number, numbered := strings.CutPrefix(id, "k")
	if !found || !numbered {
		return ""
	}
	if n, err := strconv.ParseInt(number, 10, 64); err != nil || n < 1 || strconv.FormatInt(n, 10) != number {
		return ""
	}
	return id
}

func write(id string, sealed []byte) string {
	return id + "." + base64.RawURLEncoding.EncodeToString(sealed)
}

func (t *Tenant) read(value string) (*tenantKey, []byte, error) {
	id := KeyID(value)
	if id == "" {
		return nil, nil, ErrDamaged
	}
	key, err := t.key(id)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value[len(id)+1:])
	// The decoder skips line breaks.
	if err != nil || strings.ContainsAny(value, "\r\n") {
		return nil, nil, ErrDamaged
	}
	return key, sealed, nil
}
