package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// A server that leaves is not ready but answers, then refuses connections but answers
// on those that it has, and closes each with an answer.
func TestServerLingersWhenItIsToldToEnd(t *testing.T) {
	t.Parallel()
	cfg := server.Config{ShutdownDelay: 2 * time.Second}
	s := startService(t, func(_ *engine.Config, serverCfg *server.Config) { cfg.Logger = serverCfg.Logger })
	cfg.Engine = s.engine
	h, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- h.Serve(ctx, l) }()

	kept, other := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{}}
	ask := func(client *http.Client, path string) *http.Response {
		t.Helper()
		response, err := client.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body) // so that the connection is kept
		_ = response.Body.Close()
		return response
	}
	if got := ask(kept, "/readyz"); got.StatusCode != http.StatusOK {
		t.Fatalf("ready: got %s, want 200", got.Status)
	}
	stop()
	until := time.Now().Add(cfg.ShutdownDelay)
	for ask(other, "/readyz").StatusCode != http.StatusServiceUnavailable {
		if time.Now().After(until) {
			t.Fatal("the server remains ready")
		}
	}
	if got := ask(other, "/ping"); got.StatusCode != http.StatusOK || got.Close {
		t.Errorf("not ready: got %s, to be closed: %t, want 200 on a connection that stays", got.Status, got.Close)
	}
	for {
		connection, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			break
		}
		_ = connection.Close()
		if time.Now().After(until.Add(cfg.ShutdownDelay)) {
			t.Fatal("the server goes on taking connections")
		}
	}
	if got := ask(kept, "/ping"); got.StatusCode != http.StatusOK || !got.Close {
		t.Errorf("leaving: got %s, to be closed: %t, want 200 and the connection's end", got.Status, got.Close)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: got %v, want nil", err)
	}
}
