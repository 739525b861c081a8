package integration_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/internal/servertest"
	"github.com/gatehouse/gatehouse/internal/tlstest"
	"github.com/gatehouse/gatehouse/sdk"
)

// Servers behind nginx, with the configuration of deploy/compose, are restarted one
// after the other, and no call fails: no read, which nginx may send twice, and no write,
// which it may not.
func TestServersBehindNginxAreRestartedOneByOneAndNoCallFails(t *testing.T) {
	t.Parallel()
	program := servertest.FindProgram(t, "nginx-light", "nginx", "/usr/sbin/nginx")
	i := servertest.Install(t, pgtest.URL(t), "AUTH_TRUSTED_PROXIES=127.0.0.1", "AUTH_SHUTDOWN_DELAY=500ms")
	i.Must("migrate")
	// Each on an address of its own, where nobody else takes the port while it is free.
	hosts := []string{"127.0.0.11", "127.0.0.12", "127.0.0.13"}
	var servers []*process
	for _, host := range hosts {
		servers = append(servers, i.With("AUTH_SERVER_HOST="+host).Serve())
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	trusted := tlstest.Write(t, filepath.Join(folder, "tls", "cert.pem"), filepath.Join(folder, "tls", "key.pem"))
	text, err := os.ReadFile("../deploy/compose/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	address := runNginx(t, program, folder, func(address string) string {
		configuration := string(text)
		replace := func(from, to string) {
			if !strings.Contains(configuration, from) {
				t.Fatalf("nginx.conf has no %q", from)
			}
			configuration = strings.ReplaceAll(configuration, from, to)
		}
		for n, server := range servers {
			replace(fmt.Sprintf("gatehouse-%d:8000", n+1), strings.TrimPrefix(server.URL, "http://"))
		}
		replace("listen 8443", "listen "+address)
		// The socket that runNginx hands down blocks: of two workers that wake for one
		// connection, the other would wait in accept for the next one, and answer nobody.
		replace("worker_processes auto", "worker_processes 1")
		replace("/tmp/", folder+"/")
		replace("access_log /dev/stdout outcomes", "access_log off")
		replace("error_log stderr crit", "error_log stderr warn")
		// As far below AUTH_SHUTDOWN_DELAY as in compose.yaml.
		replace("keepalive_timeout 2s", "keepalive_timeout 200ms")
		return configuration
	})

	key := uuid.NewString()
	var clients []*sdk.Client
	for range 8 {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
		t.Cleanup(transport.CloseIdleConnections)
		c, err := sdk.New("https://"+address, key, sdk.WithRetry(sdk.Retry{Tries: 1}), sdk.WithHTTPClient(&http.Client{Transport: transport, Timeout: servertest.CommandTimeout}))
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	probing := &http.Client{Timeout: servertest.CommandTimeout}
	traffic := startTraffic(t, clients...)
	traffic.goesOn("before")
	for n, server := range servers {
		server.Terminate()
		server.WantSuccess()
		traffic.goesOn(fmt.Sprint("without server ", n+1))
		_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		next := i.With("AUTH_SERVER_HOST="+hosts[n], "AUTH_SERVER_PORT="+port).Start()
		servertest.Eventually(t, servertest.CommandTimeout, "the server is ready", func() bool {
			if next.HasEnded() {
				t.Fatalf("the server did not start: %s", &next.Stderr)
			}
			response, err := probing.Get(server.URL + "/readyz")
			if err != nil {
				return false
			}
			_ = response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
		traffic.goesOn(fmt.Sprint("with server ", n+1, " again"))
	}
	traffic.stop()
	t.Logf("%d calls", traffic.calls.Load())
}
