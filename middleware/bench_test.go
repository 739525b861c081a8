package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

// BenchmarkRequest is the cost of a request in process: of the bare handler, and of the
// same one behind the middleware, for nobody, for a session whose token is still young,
// and for one that each request rotates.
func BenchmarkRequest(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	b.Run("bare", func(b *testing.B) { serve(b, handler, "") })
	for name, test := range map[string]struct {
		sessions engine.SessionConfig
		signedIn bool
		require  bool
	}{
		"nobody":            {},
		"current":           {engine.SessionConfig{RotateAfter: time.Hour}, true, false},
		"current, required": {engine.SessionConfig{RotateAfter: time.Hour}, true, true},
		"rotated":           {engine.SessionConfig{}, true, false},
	} {
		b.Run(name, func(b *testing.B) {
			s := newService(b, test.sessions)
			permit(b, s)
			gate := newGate(b, s)
			token := ""
			if test.signedIn {
				issued, err := s.CreateSession(b.Context(), authz.NewSession{User: "alice", IP: "192.0.2.1", UserAgent: firefox})
				if err != nil {
					b.Fatal(err)
				}
				token = issued.Token
			}
			var h http.Handler = handler
			if test.require {
				h = gate.Require("note:read", nil)(h)
			}
			serve(b, gate.Handler(h), token)
		})
	}
}

// serve sends requests one after another, each with the latest token.
func serve(b *testing.B, h http.Handler, token string) {
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", nil)
		r.Header.Set("User-Agent", firefox)
		if token != "" {
			r.AddCookie(&http.Cookie{Name: middleware.CookieName, Value: token})
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("got %d, want 200", w.Code)
		}
		if cookies := w.Result().Cookies(); len(cookies) > 0 {
			token = cookies[0].Value
		}
	}
}
