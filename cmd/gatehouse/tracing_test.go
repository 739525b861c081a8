package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// collector keeps what OTLP brings it.
type collector struct {
	url string
	mu  sync.Mutex
	// paths and spans are what was asked for and brought. mu guards them.
	paths []string
	spans bytes.Buffer
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.paths = append(c.paths, r.URL.Path)
		_, _ = io.Copy(&c.spans, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

func (c *collector) brought() (paths, spans string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.paths, " "), c.spans.String()
}

func TestServeExportsSpansWhereTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environ func(url string) []string
		path    string
	}{
		"endpoint":        {func(url string) []string { return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url + "/"} }, "/v1/traces"},
		"traces endpoint": {func(url string) []string { return []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + url + "/here"} }, "/here"},
		"none": {func(url string) []string {
			return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_TRACES_EXPORTER=none"}
		}, ""},
		"disabled": {func(url string) []string {
			return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + url, "OTEL_SDK_DISABLED=true"}
		}, ""},
		"not set": {func(string) []string { return nil }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCollector(t)
			s := install(t, test.environ(c.url)...).serve()
			get(t, s.url+"/api/roles")
			if ended := s.stop(); ended.code != exitSuccess {
				t.Errorf("the server ended with %+v, want success", ended)
			}
			paths, spans := c.brought()
			if paths != test.path || strings.Contains(spans, "GET /api/roles") != (test.path != "") {
				t.Errorf("got spans at %q: %q, want them at %q", paths, spans, test.path)
			}
		})
	}
}

func TestServeRefusesSpansThatItCannotExport(t *testing.T) {
	t.Parallel()
	for want, environ := range map[string][]string{
		"OTEL_TRACES_EXPORTER: must be otlp or none":                {"OTEL_TRACES_EXPORTER=console"},
		"OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf":        {"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
		"OTEL_EXPORTER_OTLP_ENDPOINT: must be an http:// or":        {"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317"},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: must be an http:// or": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=grpc://collector"},
	} {
		install(t, environ...).fails(exitUsage, want, "serve")
	}
}
