package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/fault"
)

const (
	// idempotencyHeader names a change, so that it can be sent again and has its effect
	// once (draft-ietf-httpapi-idempotency-key-header).
	idempotencyHeader = "Idempotency-Key"
	// replayedHeader, with the value "true", marks an answer that was kept.
	replayedHeader = "Idempotent-Replayed"

	maxIdempotencyKey = 255
)

// idempotencyKey is what the caller calls a request that is no read; empty where it has
// no name.
func idempotencyKey(r *http.Request, op operation) (string, error) {
	values := r.Header[idempotencyHeader]
	switch {
	case len(values) == 0:
		return "", nil
	case !op.once:
		return "", fault.Invalid("%s: this operation does not take it", idempotencyHeader)
	case len(values) > 1:
		return "", fault.Invalid("%s: is given twice", idempotencyHeader)
	}
	key, err := unquoted(values[0])
	if err != nil || key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", fault.Invalid("%s: must be 1 to %d printable ASCII characters, bare or as a string in quotes", idempotencyHeader, maxIdempotencyKey)
	}
	return key, nil
}

var errQuotes = errors.New("malformed string")

// unquoted reads a string as RFC 9651 writes it (section 3.3.3), and leaves what does not
// begin with a quote as it is.
func unquoted(value string) (string, error) {
	inner, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		return value, nil
	}
	inner, closed := strings.CutSuffix(inner, `"`)
	if !closed {
		return "", errQuotes
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch inner[i] {
		case '"':
			return "", errQuotes
		case '\\':
			if i++; i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return "", errQuotes
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String(), nil
}

// once has next answer the request, unless one with the same key has been answered:
// then that answer is given again.
func (s *Server) once(w http.ResponseWriter, r *http.Request, key string, next http.HandlerFunc) error {
	ctx := r.Context()
	caller := exchangeOf(ctx)
	credential, err := bearer(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read the body again: %w", err)
	}
	attempt := engine.Attempt{
		Key: key, Credential: credential, Sessions: caller.operation.sessions,
		Request: identity(r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body)),
	}
	answer, replayed, err := caller.principal.Tenant.Once(ctx, attempt, func(within *engine.Tenant) ([]byte, error) {
		return s.answerWithin(ctx, r, within, body, next)
	})
	if err != nil {
		return caller.refused(ctx, err)
	}
	var kept keptAnswer
	if err := json.Unmarshal(answer, &kept); err != nil {
		return fmt.Errorf("read a kept answer: %w", err)
	}
	maps.Copy(w.Header(), kept.Header)
	if replayed {
		s.replays.Add(1)
		w.Header().Set(replayedHeader, "true")
	}
	w.WriteHeader(kept.Status)
	_, _ = w.Write(kept.Body) // the caller has gone where this fails
	return nil
}

// answerWithin has next answer the request on another tenant than the caller's own, into
// a keptAnswer.
func (s *Server) answerWithin(ctx context.Context, r *http.Request, within *engine.Tenant, body []byte, next http.HandlerFunc) ([]byte, error) {
	caller := exchangeOf(ctx)
	answer := &recorder{header: http.Header{}}
	x := &exchange{
		ResponseWriter: answer, requestID: caller.requestID, operation: caller.operation, principal: caller.principal, within: true,
	}
	x.principal.Tenant = within
	x.request = r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	x.request.Body = io.NopCloser(bytes.NewReader(body))
	next(x, x.request)
	if x.failed != nil {
		return nil, x.failed
	}
	return json.Marshal(keptAnswer{Status: x.status, Header: answer.header, Body: answer.body.Bytes()})
}

// keptAnswer is the answer to a request as it is kept.
type keptAnswer struct {
	Status int
	Header http.Header
	Body   []byte
}

// identity makes one text of the parts of a request, so that no other has the same.
func identity(parts ...string) []byte {
	var b []byte
	for _, part := range parts {
		b = strconv.AppendQuote(b, part)
	}
	return b
}
