package server

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often the files of a certificate are looked at, at most.
const lookEvery = time.Second

// Certificate is a TLS certificate that follows its files: a handshake looks whether
// they hold another one, at most once a second. Until they hold one that can be used,
// the last one that could goes on. It is safe for use by many goroutines.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	current atomic.Pointer[tls.Certificate]

	mu sync.Mutex // guards what follows
	// lookedAt is when the files were last read, and seen what they held, good or not.
	lookedAt time.Time
	seen     pairContent
}

// LoadCertificate reads a chain and its private key, both in PEM.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	return loadCertificate(certFile, keyFile, logger, time.Now)
}

func loadCertificate(certFile, keyFile string, logger *slog.Logger, now func() time.Time) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: logger, now: now, lookedAt: now()}
	if _, err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// TLS is how a server with this certificate speaks TLS: 1.2 or newer, and else by Go's
// defaults.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// get implements tls.Config.GetCertificate. While one handshake looks at the files,
// others go on.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		if now := c.now(); now.Sub(c.lookedAt) >= lookEvery {
			c.lookedAt = now
			c.follow()
		}
	}
	return c.current.Load(), nil
}

// follow takes up what the files hold now, and logs it once.
func (c *Certificate) follow() {
	changed, err := c.read()
	switch {
	case err != nil && changed:
		c.log.Error("the TLS certificate cannot be used; the one from before goes on", "cert_file", c.certFile, "key_file", c.keyFile, "error", err)
	case changed:
		c.log.Info("another TLS certificate", "cert_file", c.certFile, "expires", c.current.Load().Leaf.NotAfter)
	}
}

// read makes what the files hold current where that can be used, and tells whether it
// is another than was read before.
func (c *Certificate) read() (changed bool, err error) {
	chain, errChain := os.ReadFile(c.certFile)
	key, errKey := os.ReadFile(c.keyFile)
	content := pairContent{sha256.Sum256(chain), sha256.Sum256(key)}
	changed = content != c.seen
	c.seen = content
	if err := errors.Join(errChain, errKey); err != nil || !changed {
		return changed, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err == nil {
		c.current.Store(&pair)
	}
	return changed, err
}

// pairContent are the hashes of what two files held; of nothing, where one could not be
// read.
type pairContent [2][sha256.Size]byte
