package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/tlstest"
	"github.com/gatehouse/gatehouse/server"
)

func TestServeSpeaksTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := tlstest.Write(t, certFile, keyFile)
	quiet := slog.New(slog.DiscardHandler)
	certificate, err := server.LoadCertificate(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(t.Context(), engine.Config{Database: filepath.Join(dir, "gatehouse.sqlite3"), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	s, err := server.New(server.Config{Engine: e, Logger: quiet, TLS: certificate.TLS()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()

	address := listener.Addr().String()
	for name, test := range map[string]struct {
		protocols []string
		version   uint16 // the newest that is offered
		want      string // the protocol that is agreed on; empty where it is refused
	}{
		"HTTP/2":   {[]string{"h2", "http/1.1"}, tls.VersionTLS13, "h2"},
		"HTTP/1.1": {[]string{"http/1.1"}, tls.VersionTLS12, "http/1.1"},
		"TLS 1.1":  {[]string{"http/1.1"}, tls.VersionTLS11, ""},
		"TLS 1.0":  {[]string{"http/1.1"}, tls.VersionTLS10, ""},
	} {
		connection, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool, NextProtos: test.protocols, MinVersion: tls.VersionTLS10, MaxVersion: test.version})
		if err != nil {
			if test.want != "" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if got := connection.ConnectionState().NegotiatedProtocol; got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		_ = connection.Close()
	}

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	response, err := client.Get("https://" + address + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.ProtoMajor != 2 || string(body) != "{\"message\":\"PONG\"}\n" {
		t.Errorf("got %s %q, %v, want PONG over HTTP/2", response.Proto, body, err)
	}
	if response, err = http.Get("http://" + address + "/ping"); err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP: got %s, want 400", response.Status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
