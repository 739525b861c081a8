package middleware_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/middleware"
)

// TestEveryKindOfAnswerTakesTheCookieAlong shows each way in which a handler can begin
// its answer, over HTTP/1.1 and HTTP/2.
func TestEveryKindOfAnswerTakesTheCookieAlong(t *testing.T) {
	t.Parallel()
	routes := map[string]http.HandlerFunc{
		"/nothing":  func(http.ResponseWriter, *http.Request) {},
		"/status":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"/cached":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"/bytes":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("body")) },
		"/string":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") },
		"/copy":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("body")) },
		"/flush":    func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"/control":  func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"/error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusTeapot) },
		"/redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusSeeOther) },
		"/other": func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
		},
	}
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		a := app(t, newGate(t, newService(t, engine.SessionConfig{})), routes)
		for path := range routes {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				t.Run(protocol+" "+method+" "+path, func(t *testing.T) {
					t.Parallel()
					b := open(t, a)
					b.speak(protocol)
					b.signIn("alice")
					before := b.token()
					if p := b.do(method, path); p.cookie(t) != "set" || b.token() == before {
						t.Errorf("got %d and the cookie %s, want a new one", p.status, p.cookie(t))
					}
					b.is("alice")
				})
			}
		}
	}
}

// speak makes a browser use one version of HTTP.
func (b *browser) speak(protocol string) {
	transport := b.app.Client().Transport.(*http.Transport).Clone()
	if protocol == "HTTP/1.1" {
		transport.ForceAttemptHTTP2 = false
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	}
	b.client.Transport = transport
	b.t.Cleanup(transport.CloseIdleConnections)
}

// TestWriterIsWhatTheServersIs shows that a handler finds no ability which is not there.
func TestWriterIsWhatTheServersIs(t *testing.T) {
	t.Parallel()
	abilities := func(w http.ResponseWriter) string {
		_, flusher := w.(http.Flusher)
		_, hijacker := w.(http.Hijacker)
		_, readerFrom := w.(io.ReaderFrom)
		_, pusher := w.(http.Pusher)
		return fmt.Sprint(flusher, hijacker, readerFrom, pusher)
	}
	gate := newGate(t, newService(t, engine.SessionConfig{}))
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+" "+abilities(w)) })
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Bare", r.Proto+" "+abilities(w))
				gate.Handler(inner).ServeHTTP(w, r)
			}))
			s.EnableHTTP2 = true
			s.StartTLS()
			t.Cleanup(s.Close)
			b := open(t, s)
			b.speak(protocol)
			p := b.get("/")
			if p.body != p.header.Get("Bare") || !strings.HasPrefix(p.body, protocol) {
				t.Errorf("got %q, want %q as without the middleware, over %s", p.body, p.header.Get("Bare"), protocol)
			}
		})
	}
}

func TestStreamReachesTheBrowserWhileItGoesOn(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	b := open(t, app(t, newGate(t, newService(t, engine.SessionConfig{})), map[string]http.HandlerFunc{
		"/stream": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "first\n")
			w.(http.Flusher).Flush()
			select {
			case <-read:
				_, _ = io.WriteString(w, "second\n")
			case <-r.Context().Done():
			}
		},
	}))
	b.signIn("alice")
	before := b.token()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.app.URL+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", b.agent)
	rsp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	lines := bufio.NewReader(rsp.Body)
	if line, err := lines.ReadString('\n'); line != "first\n" || b.token() == before {
		t.Errorf("got %q and error %v, want the first line, and a new cookie", line, err)
	}
	close(read)
	if line, err := lines.ReadString('\n'); line != "second\n" {
		t.Errorf("got %q and error %v, want the second line", line, err)
	}
}

func TestEarlyHintsComeWithoutTheCookie(t *testing.T) {
	t.Parallel()
	b := open(t, app(t, newGate(t, newService(t, engine.SessionConfig{})), map[string]http.HandlerFunc{
		"/hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		},
	}))
	b.signIn("alice")
	hints := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
		if hints++; status != http.StatusEarlyHints || header.Get("Set-Cookie") != "" {
			t.Errorf("got %d with Set-Cookie %q, want 103 without", status, header.Get("Set-Cookie"))
		}
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, b.app.URL+"/hints", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", b.agent)
	rsp, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = rsp.Body.Close()
	if got := (page{header: rsp.Header}).cookie(t); hints != 1 || got != "set" {
		t.Errorf("got %d hints and then the cookie %s, want 1 and set", hints, got)
	}
}

// TestSwitchingProtocolsDoesNotRotate shows a WebSocket's handshake, whose answer is
// often written past all headers: it must not lose the browser's next token.
func TestSwitchingProtocolsDoesNotRotate(t *testing.T) {
	t.Parallel()
	s := newService(t, engine.SessionConfig{})
	b := open(t, app(t, newGate(t, s), map[string]http.HandlerFunc{
		"/socket": func(w http.ResponseWriter, r *http.Request) {
			user, _ := middleware.CurrentUser(r.Context())
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\nUser: %s\r\n\r\n", user)
			_ = rw.Flush()
		},
		"/switch": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Upgrade", "chat")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close()
		},
	}))
	b.speak("HTTP/1.1")
	b.signIn("alice")
	before := b.token()
	if p := b.do(http.MethodGet, "/socket", "Connection", "keep-alive, Upgrade", "Upgrade", "chat"); p.status != http.StatusSwitchingProtocols || p.header.Get("User") != "alice" {
		t.Errorf("hijacked: got %d for %q, want 101 for alice", p.status, p.header.Get("User"))
	}
	if p := b.do(http.MethodGet, "/switch", "Connection", "Upgrade", "Upgrade", "chat"); p.status != http.StatusSwitchingProtocols || p.cookie(t) != "left" {
		t.Errorf("switched: got %d and the cookie %s, want 101 and left", p.status, p.cookie(t))
	}
	if s.rotated.Load() != 0 || b.token() != before {
		t.Errorf("got %d rotations, want none", s.rotated.Load())
	}
	// Asking for a switch that does not come is no way around rotation.
	if p := b.do(http.MethodGet, "/whoami", "Connection", "Upgrade", "Upgrade", "chat"); p.body != "alice" || p.cookie(t) != "set" || s.rotated.Load() != 1 {
		t.Errorf("refused: got %q, the cookie %s and %d rotations, want alice, set and 1", p.body, p.cookie(t), s.rotated.Load())
	}
	b.is("alice")
}

// TestPanicsPassThrough shows that who recovers outside still delivers the cookie.
func TestPanicsPassThrough(t *testing.T) {
	t.Parallel()
	gate := newGate(t, newService(t, engine.SessionConfig{}))
	runs := 0
	signIn := gate.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := gate.SignIn(r.Context(), "alice"); err != nil {
			t.Error(err)
		}
	}))
	breaks := gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++; panic("broken") }))
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			signIn.ServeHTTP(w, r)
			return
		}
		defer func() {
			if got := recover(); got != "broken" {
				t.Errorf("recovered %v, want the handler's panic", got)
			}
			w.WriteHeader(http.StatusInternalServerError)
		}()
		breaks.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	b := open(t, s)
	b.do(http.MethodPost, "/")
	if p := b.get("/"); p.status != http.StatusInternalServerError || p.cookie(t) != "set" || runs != 1 {
		t.Errorf("got %d, the cookie %s and %d runs, want 500, set and 1", p.status, p.cookie(t), runs)
	}
}
