package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// lastSpans bounds how long the end of the server waits for spans to be exported.
const lastSpans = 5 * time.Second

// spans is where spans go; the zero value makes none.
type spans struct {
	// TracerProvider is nil where nobody asks for spans.
	trace.TracerProvider
	stop func(context.Context) error
}

// startSpans goes by the variables of OpenTelemetry (OTEL_…), which say whether spans are
// to be made and where they go; those that are not looked at here its SDK reads itself.
func startSpans(ctx context.Context, environ []string, logger *slog.Logger) (spans, error) {
	given := map[string]string{}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && strings.HasPrefix(name, "OTEL_") {
			given[name] = strings.TrimSpace(value)
		}
	}
	at, err := spanEndpoint(given)
	exporter := given["OTEL_TRACES_EXPORTER"]
	switch {
	case strings.EqualFold(given["OTEL_SDK_DISABLED"], "true"), exporter == "none", exporter == "" && at == "" && err == nil:
		return spans{}, nil
	case exporter != "" && exporter != "otlp":
		return spans{}, usagef("OTEL_TRACES_EXPORTER: must be otlp or none")
	case err != nil:
		return spans{}, err
	}
	switch cmp.Or(given["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"], given["OTEL_EXPORTER_OTLP_PROTOCOL"], "http/protobuf") {
	case "http/protobuf":
	default:
		return spans{}, usagef("OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf")
	}
	// What the SDK says of its variables repeats their values, which may hold a secret.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("spans could not be exported", "error", err) }))
	var options []otlptracehttp.Option
	if at != "" {
		options = append(options, otlptracehttp.WithEndpointURL(at))
	}
	to, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return spans{}, fmt.Errorf("starting the export of spans: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "gatehouse"), attribute.String("service.version", buildVersion())),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return spans{}, errors.Join(fmt.Errorf("describing the server in spans: %w", err), to.Shutdown(ctx))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(to), sdktrace.WithResource(about))
	return spans{TracerProvider: provider, stop: provider.Shutdown}, nil
}

// spanEndpoint is where the variables say that spans go; empty where they do not. Its
// error does not show the URL, which may hold a password.
func spanEndpoint(given map[string]string) (string, error) {
	name, add := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""
	if given[name] == "" {
		name, add = "OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces"
	}
	if given[name] == "" {
		return "", nil
	}
	u, err := url.Parse(given[name])
	if err != nil || !isWeb(u) {
		return "", usagef("%s: must be an http:// or https:// URL", name)
	}
	return strings.TrimRight(u.String(), "/") + add, nil
}

// close exports what is left, for a bounded time. Spans that nobody takes are no failure
// of the server's.
func (s spans) close(ctx context.Context, logger *slog.Logger) {
	if s.stop == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSpans)
	defer cancel()
	if err := s.stop(ctx); err != nil {
		logger.Warn("the last spans could not be exported", "error", err)
	}
}
