// Package receipt seals what a request was answered, for one that comes again.
//
// A receipt is found by its [ID] and opened with a [Secret]: the bearer credential of
// the caller and the name that the caller gave the request. Neither is in the database,
// so whoever reads that alone learns neither the answer nor the request, and cannot
// try out what they may be. The package is pure: the store keeps receipts, and the
// engine says for how long.
package receipt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
)

var (
	// ErrOtherCredential is the error of a receipt that was sealed with another credential.
	ErrOtherCredential = errors.New("the receipt was sealed with another credential")
	// ErrOtherRequest is the error of a receipt for another request of the same name.
	ErrOtherRequest = errors.New("the receipt is that of another request")
	// ErrDamaged is the error of a receipt that is not as it was sealed.
	ErrDamaged = errors.New("the receipt does not verify")
)

// A sealed receipt is the version and unpadded base64url: a salt, a proof of the secret
// and a fingerprint of the request, and then the answer under AES-256-GCM, bound to them
// and to the receipt's id.
const (
	version          = "r1."
	saltBytes        = 16
	proofBytes       = 16
	fingerprintBytes = sha256.Size
	headBytes        = saltBytes + proofBytes + fingerprintBytes
	keyBytes         = 32
)

// ID is where the receipt is found for the request that a client key calls name.
func ID(tenant, clientKey, name string) string {
	sum := sha256.Sum256(join("gatehouse receipt id v1", tenant, clientKey, name))
	return hex.EncodeToString(sum[:])
}

// Secret is what a receipt is sealed with.
type Secret struct {
	// Credential is the bearer credential that the caller was authenticated by.
	Credential string
	// Name is what the caller calls the request.
	Name string
}

// Seal makes a receipt of a request and its answer.
func (s Secret) Seal(id string, request, answer []byte) string {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	k := s.derive(salt)
	head := append(append(salt, k.proof...), k.fingerprint(request)...)
	sealed := k.aead().Seal(head, nil, answer, bound(id, head))
	return version + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open returns the answer in a receipt of a request.
func (s Secret) Open(id, sealed string, request []byte) ([]byte, error) {
	encoded, found := strings.CutPrefix(sealed, version)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !found || err != nil || len(raw) < headBytes {
		return nil, ErrDamaged
	}
	head, answer := raw[:headBytes], raw[headBytes:]
	k := s.derive(head[:saltBytes])
	if !hmac.Equal(head[saltBytes:saltBytes+proofBytes], k.proof) {
		return nil, ErrOtherCredential
	}
	if !hmac.Equal(head[saltBytes+proofBytes:], k.fingerprint(request)) {
		return nil, ErrOtherRequest
	}
	opened, err := k.aead().Open(nil, nil, answer, bound(id, head))
	if err != nil {
		return nil, ErrDamaged
	}
	return opened, nil
}

// keys are those of one receipt.
type keys struct{ encryption, mac, proof []byte }

// derive makes a receipt's keys by HKDF-SHA256 (RFC 5869).
func (s Secret) derive(salt []byte) keys {
	all, err := hkdf.Key(sha256.New, join(s.Credential, s.Name), salt, "gatehouse receipt v1", 2*keyBytes+proofBytes)
	if err != nil {
		panic(err) // only for a length that HKDF cannot make
	}
	return keys{encryption: all[:keyBytes], mac: all[keyBytes : 2*keyBytes], proof: all[2*keyBytes:]}
}

func (k keys) fingerprint(request []byte) []byte {
	mac := hmac.New(sha256.New, k.mac)
	mac.Write(request)
	return mac.Sum(nil)
}

func (k keys) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.encryption)
	if err != nil {
		panic(err) // only for a length that AES does not have
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for another block size than AES's
	}
	return aead
}

func bound(id string, head []byte) []byte { return append(join(id), head...) }

// join makes one text of several, so that no others make the same.
func join(parts ...string) []byte {
	var b bytes.Buffer
	for _, part := range parts {
		b.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		b.WriteString(part)
	}
	return b.Bytes()
}
