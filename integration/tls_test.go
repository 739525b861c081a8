package integration_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/internal/tlstest"
)

// TestCommandsOverTLS runs commands as processes of their own, for the CAs of a system
// are read once by each.
func TestCommandsOverTLS(t *testing.T) {
	t.Parallel()
	i := servertest.InstallSQLite(t, "AUTH_TLS_CERT_FILE=cert.pem", "AUTH_TLS_KEY_FILE=key.pem")
	cert := filepath.Join(i.Home, "cert.pem")
	tlstest.Write(t, cert, filepath.Join(i.Home, "key.pem"))
	server := i.Serve()
	if err := os.WriteFile(filepath.Join(i.Home, "key"), []byte(i.Must("client", "create")), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := []string{"check", "alice", "read", "--server", server.URL, "--key-file", "key"}
	if got := i.With("SSL_CERT_FILE=" + cert).Run(ask...); got.Code != 1 || got.Stdout != "denied\n" {
		t.Errorf("with the CA: got %+v, want denied", got)
	}
	i.Fails("certificate", ask...)
}
