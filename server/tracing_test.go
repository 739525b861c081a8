package server_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/pgtest"
	"github.com/gatehouse/gatehouse/server"
)

// startTraced starts a service whose spans go to the exporter, on an SQLite file where no
// database is given.
func startTraced(t *testing.T, database string) (*service, *tracetest.InMemoryExporter) {
	t.Helper()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	s := startService(t, func(cfg *engine.Config, serverCfg *server.Config) {
		if database != "" {
			cfg.Database, cfg.AutoMigrate = database, true
		}
		cfg.TracerProvider, serverCfg.TracerProvider = provider, provider
	})
	return s, spans
}

func TestSpansAreOfOperationsAndShowNothingElse(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func() string{
		"SQLite": func() string { return "" }, "PostgreSQL": func() string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, spans := startTraced(t, database())
			c := s.caller(t)
			const planted = "xplantedx"
			const user, agent = planted + "-user", planted + "-agent/1.0"
			c.data(c.put("/api/roles/"+planted, `{"description":"`+planted+`"}`))
			c.data(c.put("/api/roles/"+planted+"/grants/"+planted, `{}`))
			c.data(c.post("/api/membership/" + user + "/" + planted))
			c.data(c.get("/api/has_permission/" + user + "/" + planted))
			c.data(c.do("POST", "/api/check", `{"user":"`+user+`","permission":"`+planted+`","context":{"a":"`+planted+`"}}`))
			_, token := c.signIn(user, "203.0.113.7", agent)
			token = c.rotate(token, "203.0.113.7", agent).Data.Token
			c.get("/api/audit?user=" + user)
			c.get("/api/no/" + planted + "?" + planted)
			c.do("GET", "/api/roles/"+planted, "", "User-Agent", agent, "X-Request-ID", planted, "Cookie", planted, "Baggage", planted, "X-Forwarded-For", "203.0.113.8")
			c.do("XPLANTEDX", "/api/roles", "")
			c.get("/api/roles?cursor=" + planted)

			all := spans.GetSpans()
			said := strings.ToLower(fmt.Sprintf("%+v", all.Snapshots()) + fmt.Sprintf("%+v", all))
			for _, secret := range []string{planted, c.key, token, "203.0.113.", "127.0.0.1", "select ", "insert "} {
				if at := strings.Index(said, strings.ToLower(secret)); at >= 0 {
					t.Errorf("the spans hold %q: %s", secret, said[max(0, at-100):min(len(said), at+100)])
				}
			}
			requests, statements := map[trace.SpanID]string{}, 0
			for _, span := range all {
				if span.SpanKind == trace.SpanKindServer {
					requests[span.SpanContext.SpanID()] = span.Name
				}
			}
			for _, span := range all {
				if span.SpanKind != trace.SpanKindClient {
					continue
				}
				statements++
				if requests[span.Parent.SpanID()] == "" || !regexp.MustCompile(`^[A-Za-z]+$`).MatchString(span.Name) {
					t.Errorf("statement %q is below %v, want the span of a request and the name of a query", span.Name, span.Parent)
				}
			}
			if want := name == "PostgreSQL"; (statements > 0) != want {
				t.Errorf("got %d spans of statements", statements)
			}
			for _, want := range []string{"GET /api/has_permission/{user}/{name}", "PUT /api/roles/{role}", "POST /api/sessions/rotate", "none /"} {
				if !strings.Contains(fmt.Sprint(requests), want) {
					t.Errorf("got spans %v, want one called %q", requests, want)
				}
			}
		})
	}
}

func TestSpansGoOnWithTheCallersTrace(t *testing.T) {
	t.Parallel()
	s, spans := startTraced(t, "")
	c := s.caller(t)
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	a := c.do("GET", "/api/roles", "", "traceparent", "00-"+id+"-00f067aa0ba902b7-01", "X-Request-ID", "the-request")
	if a.status != http.StatusOK {
		t.Fatalf("got %d, want 200", a.status)
	}
	all := spans.GetSpans()
	if len(all) != 1 || all[0].SpanContext.TraceID().String() != id || all[0].Parent.SpanID().String() != "00f067aa0ba902b7" {
		t.Errorf("got %+v, want one span below the caller's", all)
	}
	if log := s.log.String(); !strings.Contains(log, `"request_id":"the-request","trace_id":"`+id+`"`) {
		t.Errorf("the log has no trace of the request: %s", log)
	}
}

func TestProbesMakeNoSpans(t *testing.T) {
	t.Parallel()
	s, spans := startTraced(t, "")
	c := s.caller(t)
	for _, path := range []string{"/ping", "/health", "/livez", "/readyz", "/metrics"} {
		if a := c.get(path); a.status != http.StatusOK {
			t.Errorf("%s: got %d, want 200", path, a.status)
		}
	}
	if all := spans.GetSpans(); len(all) > 0 {
		t.Errorf("got %+v, want none", all)
	}
}
