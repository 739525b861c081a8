package integration_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/internal/tlstest"
)

// TestCommandsOverTLS runs commands as processes of their own, for the CAs of a system
// are read once by each.
func TestCommandsOverTLS(t *testing.T) {
	t.Parallel()
	i := installSQLite(t, "AUTH_TLS_CERT_FILE=cert.pem", "AUTH_TLS_KEY_FILE=key.pem")
	cert := filepath.Join(i.home, "cert.pem")
	tlstest.Write(t, cert, filepath.Join(i.home, "key.pem"))
	server := i.serve()
	if err := os.WriteFile(filepath.Join(i.home, "key"), []byte(i.must("client", "create")), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := []string{"check", "alice", "read", "--server", server.url, "--key-file", "key"}
	if got := i.with("SSL_CERT_FILE=" + cert).run(ask...); got.code != 1 || got.stdout != "denied\n" {
		t.Errorf("with the CA: got %+v, want denied", got)
	}
	i.fails("certificate", ask...)
}
