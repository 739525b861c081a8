package server_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/server"
)

// BenchmarkDecision measures what a decision takes in the server, without the network.
func BenchmarkDecision(b *testing.B) {
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	e, err := engine.Open(b.Context(), engine.Config{Database: filepath.Join(b.TempDir(), "gatehouse.sqlite3"), OpenRegistration: true, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = e.Close() })
	handler, err := server.New(server.Config{Engine: e, Logger: log})
	if err != nil {
		b.Fatal(err)
	}
	key := uuid.NewString()
	opening := httptest.NewRequest(http.MethodPost, "/api/role/reader", nil)
	opening.Header.Set("Authorization", "Bearer "+key)
	handler.ServeHTTP(httptest.NewRecorder(), opening)
	for name, ask := range map[string]func() *http.Request{
		"has_permission": func() *http.Request {
			return httptest.NewRequest(http.MethodGet, "/api/has_permission/alice/read", nil)
		},
		"evaluation": func() *http.Request {
			r := httptest.NewRequest(http.MethodPost, "/access/v1/evaluation",
				strings.NewReader(`{"subject":{"type":"user","id":"alice"},"action":{"name":"read"},"resource":{"type":"post","id":"7"}}`))
			r.Header.Set("Content-Type", "application/json")
			return r
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := ask()
				r.Header.Set("Authorization", "Bearer "+key)
				w := &discard{header: http.Header{}}
				if handler.ServeHTTP(w, r); w.status > http.StatusOK {
					b.Fatalf("got %d, want 200", w.status)
				}
			}
		})
	}
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
