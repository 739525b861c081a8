package sdk

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse/gatehouse/sdk/api"
)

// Health says how a server is.
type Health struct {
	// Status is "healthy", "degraded" or "unhealthy".
	Status string
	// Database is "sqlite" or "postgresql".
	Database string
	// DatabaseUp tells whether the database answers.
	DatabaseUp bool
	// Latency is what the database took to answer; 0 where it did not.
	Latency time.Duration
}

// Ping asks the server for a sign of life. It sends no key and is not tried again.
func (c *Client) Ping(ctx context.Context) error {
	pong, rsp, err := probe[api.Pong](c.probes.Ping(ctx))
	if err == nil && (rsp.StatusCode != http.StatusOK || !pong.Message.Valid()) {
		err = foreign(rsp)
	}
	return err
}

// Health asks how the server and its database are. That they are not well is an
// answer, not an error. It sends no key and is not tried again.
func (c *Client) Health(ctx context.Context) (Health, error) {
	health, rsp, err := probe[api.Health](c.probes.GetHealth(ctx))
	if err != nil {
		return Health{}, err
	}
	if !health.Status.Valid() || rsp.StatusCode != http.StatusOK && rsp.StatusCode != http.StatusServiceUnavailable {
		return Health{}, foreign(rsp)
	}
	h := Health{
		Status:     string(health.Status),
		Database:   string(health.Database.Type),
		DatabaseUp: health.Database.Status == api.Up,
	}
	if ms := health.Database.LatencyMs; ms != nil {
		h.Latency = time.Duration(*ms * float64(time.Millisecond))
	}
	return h, nil
}

// probe reads an answer that has no envelope.
func probe[T any](rsp *http.Response, err error) (T, *http.Response, error) {
	var data T
	if err != nil {
		return data, nil, unanswered(err)
	}
	body, err := readBody(rsp)
	if err != nil {
		return data, nil, err
	}
	if !isJSON(rsp.Header) || json.Unmarshal(body, &data) != nil {
		return data, nil, foreign(rsp)
	}
	return data, rsp, nil
}
