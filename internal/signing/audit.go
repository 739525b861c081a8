package signing

import "crypto/ed25519"

// UseAudit is the use of the key that signs checkpoints of the audit log. It is of
// EdDSA and signs no tokens.
const UseAudit = "audit"

// Ed25519 returns the private key of EdDSA; nil where the key is of another algorithm.
func (k Key) Ed25519() ed25519.PrivateKey {
	private, _ := k.private.(ed25519.PrivateKey)
	return private
}
