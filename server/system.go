package server

import (
	"context"
	"net/http"
	"time"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

const (
	// pingTimeout bounds how long a probe waits for the database.
	pingTimeout = 2 * time.Second
	// slowPing is the latency beyond which the database counts as degraded.
	slowPing = time.Second
)

func (handlers) Ping(context.Context, api.PingRequestObject) (api.PingResponseObject, error) {
	return api.Ping200JSONResponse{Body: api.Pong{Message: api.PONG}}, nil
}

func (h handlers) GetHealth(ctx context.Context, _ api.GetHealthRequestObject) (api.GetHealthResponseObject, error) {
	database := h.server.pingDatabase(ctx)
	health := api.Health{Status: api.Healthy}
	health.Database.Type = api.HealthDatabaseType(database.Database)
	if database.Err != nil {
		health.Status, health.Database.Status = api.Unhealthy, api.Down
		wait := 1
		return api.GetHealth503JSONResponse{Body: health, Headers: api.GetHealth503ResponseHeaders{RetryAfter: &wait}}, nil
	}
	latency := float64(database.Latency.Microseconds()) / 1000
	health.Database.Status, health.Database.LatencyMs = api.Up, &latency
	if database.Latency > slowPing {
		health.Status = api.Degraded
	}
	return api.GetHealth200JSONResponse{Body: health}, nil
}

func (handlers) GetLiveness(context.Context, api.GetLivenessRequestObject) (api.GetLivenessResponseObject, error) {
	return api.GetLiveness200JSONResponse{ProbeResponseJSONResponse: probeOK}, nil
}

func (h handlers) GetReadiness(ctx context.Context, _ api.GetReadinessRequestObject) (api.GetReadinessResponseObject, error) {
	select {
	case <-h.server.stopping:
		return nil, fault.Unavailable(nil, "the server is shutting down")
	default:
	}
	if database := h.server.pingDatabase(ctx); database.Err != nil {
		return nil, fault.Unavailable(database.Err, "the database does not answer")
	}
	return api.GetReadiness200JSONResponse{ProbeResponseJSONResponse: probeOK}, nil
}

var probeOK = api.ProbeResponseJSONResponse{Body: api.Probe{Status: api.Ok}}

func (s *Server) pingDatabase(ctx context.Context) engine.Health {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.engine.Health(ctx)
}

// docsPolicy lets the documentation page load nothing from elsewhere. Its page
// starts itself with an inline script.
const docsPolicy = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// routeDocs serves the API's description, and a page to read and try it.
func (s *Server) routeDocs() error {
	encoded, err := api.GetSpecJSON()
	if err != nil {
		return err
	}
	s.mux.Handle("GET /openapi.yaml", static("application/yaml", gatehouse.OpenAPI))
	s.mux.Handle("GET /openapi.json", static("application/json", encoded))
	page := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Gatehouse", SwaggerJSON: "/openapi.json", BasePath: "/docs",
	})
	docs := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		page.ServeHTTP(w, r)
	})
	s.mux.Handle("GET /docs", docs)
	for _, asset := range []string{
		"swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-16x16.png", "favicon-32x32.png",
	} {
		s.mux.Handle("GET /docs/"+asset, docs)
	}
	return nil
}

func static(contentType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content) // the caller has gone where this fails
	})
}
