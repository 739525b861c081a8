package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse/sdk/api"
)

// Mutation is a request of the REST API that changes something, as a part of a
// Batch.
type Mutation struct {
	// Method is http.MethodPost, http.MethodPut or http.MethodDelete.
	Method string
	// Path is such as "/api/roles/editor"; see Path for names that come from users.
	Path string
	// Body is what encoding/json makes an object of; nil sends none.
	Body any
}

// BatchResult is the answer to a Batch.
type BatchResult struct {
	// Data are the "data" of what each mutation was answered with, in their order.
	Data []json.RawMessage
	// Revision is the tenant's revision that holds the changes.
	Revision int64
	// Replayed tells that the answer is the one to an earlier request; see
	// WithIdempotencyKey.
	Replayed bool
}

// Path is the path under /api of the given names, each percent-encoded, as in
//
//	sdk.Path("roles", role, "grants", permission)
func Path(names ...string) string {
	var b strings.Builder
	b.WriteString("/api")
	for _, name := range names {
		b.WriteString("/" + url.PathEscape(name))
	}
	return b.String()
}

// Batch carries out up to 1,000 mutations in one transaction: under one revision,
// all or none. The error is that of the first that failed; its Detail begins with
// the mutation's index, as in "mutations.3: …".
func (c *Client) Batch(ctx context.Context, mutations []Mutation) (BatchResult, error) {
	body := api.BatchRequest{Mutations: make([]api.Mutation, len(mutations))}
	for i, mutation := range mutations {
		sent, err := sentMutation(mutation)
		if err != nil {
			return BatchResult{}, invalid("mutations.%d: %v", i, err)
		}
		body.Mutations[i] = sent
	}
	a, err := read[api.BatchResult](c.api.Batch(ctx, nil, body))
	if err == nil && len(a.data.Results) != len(mutations) {
		err = &Error{Status: http.StatusOK, Detail: fmt.Sprintf("the answer holds %d results for %d mutations", len(a.data.Results), len(mutations))}
	}
	if err != nil {
		return BatchResult{}, err
	}
	return BatchResult{Data: a.data.Results, Revision: a.revision, Replayed: a.replayed}, nil
}

// sentMutation is a mutation as it is sent. That it is one is for the server to
// say.
func sentMutation(mutation Mutation) (api.Mutation, error) {
	sent := api.Mutation{Method: api.MutationMethod(mutation.Method), Path: mutation.Path}
	if err := checkTexts(name{"method", mutation.Method}, name{"path", mutation.Path}); err != nil {
		return sent, err
	}
	if mutation.Body == nil {
		return sent, nil
	}
	encoded, err := json.Marshal(mutation.Body)
	if err != nil {
		return sent, fmt.Errorf("body: %w", err)
	}
	sent.Body = (*json.RawMessage)(&encoded)
	return sent, nil
}
