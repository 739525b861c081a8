package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

func (h handlers) Batch(ctx context.Context, r api.BatchRequestObject) (api.BatchResponseObject, error) {
	caller := exchangeOf(ctx)
	var results []json.RawMessage
	written, err := caller.principal.Tenant.Batch(ctx, func(within *engine.Tenant) error {
		results = make([]json.RawMessage, 0, len(r.Body.Mutations))
		for i, mutation := range r.Body.Mutations {
			data, err := h.server.mutate(ctx, caller, within, mutation)
			if err != nil {
				return inMutation(i, err)
			}
			results = append(results, data)
		}
		return nil
	})
	if err != nil {
		return nil, caller.refused(ctx, err)
	}
	return api.Batch200JSONResponse{BatchResultResponseJSONResponse: api.BatchResultResponseJSONResponse{
		Body: api.BatchEnvelope{
			Success: true, Code: 200, Message: ok, Timestamp: timestamp(), Data: api.BatchResult{Results: results},
		},
		Headers: api.BatchResultResponseResponseHeaders{GatehouseRevision: &written.Revision},
	}}, nil
}

// mutate carries out one mutation of a batch as the single request would be, and
// returns the data of its answer. It goes through the router and the guard, which
// takes the caller for the one of the batch.
func (s *Server) mutate(ctx context.Context, caller *exchange, within *engine.Tenant, mutation api.Mutation) (json.RawMessage, error) {
	r, op, err := s.single(mutation)
	if err != nil {
		return nil, err
	}
	if !caller.principal.Can(op.ability) {
		return nil, &abilityError{operation: op}
	}
	answer := &recorder{header: http.Header{}}
	x := &exchange{ResponseWriter: answer, requestID: caller.requestID, principal: caller.principal, within: true}
	x.principal.Tenant = within
	x.request = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	s.mux.ServeHTTP(x, x.request)
	if x.failed != nil {
		return nil, x.failed
	}
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(answer.body.Bytes(), &envelope); err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", op.id, err)
	}
	return envelope.Data, nil
}

// single is the request that a mutation stands for, with its operation.
func (s *Server) single(mutation api.Mutation) (*http.Request, operation, error) {
	u, err := url.ParseRequestURI(mutation.Path)
	switch {
	case err != nil || u.Host != "" || u.Scheme != "":
		return nil, operation{}, fault.Invalid("path: must be a path such as /api/role/editor")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, operation{}, fault.Invalid("path: must have no query")
	}
	if !shortest(u) {
		return nil, operation{}, errNoPath
	}
	r := &http.Request{Method: string(mutation.Method), URL: u, Header: http.Header{}, Body: http.NoBody}
	if mutation.Body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Body = io.NopCloser(bytes.NewReader(*mutation.Body))
	}
	_, pattern := s.mux.Handler(r)
	op, known := s.operations[pattern]
	switch {
	case !known:
		return nil, operation{}, fault.NotFound("there is no operation %s at this path", mutation.Method)
	case op.reads || op.ability == "" || pattern == "POST /api/batch":
		return nil, operation{}, fault.Invalid("path: %s is not a mutation that a batch can hold", pattern)
	case op.tokens:
		return nil, operation{}, fault.Invalid("path: %s is about tokens, which a batch cannot hold", pattern)
	case op.sessions:
		return nil, operation{}, fault.Invalid("path: %s is about sessions, which a batch cannot hold", pattern)
	}
	return r, op, nil
}

// abilityError refuses a mutation that needs an ability which the caller's key
// lacks.
type abilityError struct {
	index     int
	operation operation
}

func (e *abilityError) Error() string {
	return "the client key lacks the ability " + string(e.operation.ability)
}

// refused audits an error that is about an ability, unless the exchange is within
// another: a refusal must not be undone with a transaction.
func (x *exchange) refused(ctx context.Context, err error) error {
	lacking, ok := errors.AsType[*abilityError](err)
	if !ok || x.within {
		return err
	}
	if err := x.principal.Require(ctx, lacking.operation.ability, lacking.operation.id); err != nil {
		return inMutation(lacking.index, err)
	}
	return err
}

// inMutation says which mutation of a batch has failed.
func inMutation(index int, err error) error {
	if lacking, ok := errors.AsType[*abilityError](err); ok {
		lacking.index = index
		return lacking
	}
	at := fmt.Sprintf("mutations.%d: ", index)
	if e, ok := errors.AsType[*fault.Error](err); ok {
		return &fault.Error{Code: e.Code, Detail: at + e.Detail, Cause: err, Unknown: e.Unknown}
	}
	return fmt.Errorf("%s%w", at, err)
}

// recorder is where the answer to a request within another goes.
type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(int)             {}
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
