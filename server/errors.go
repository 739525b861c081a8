package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gen/api"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// answers gives each kind of failure its status and its message, which is the
// same for every error of that status. There is no other place for statuses.
var answers = map[fault.Code]struct {
	status  int
	message string
}{
	fault.CodeInvalid:              {http.StatusBadRequest, "Invalid input"},
	fault.CodeUnauthenticated:      {http.StatusUnauthorized, "Not authenticated"},
	fault.CodeForbidden:            {http.StatusForbidden, "Not allowed"},
	fault.CodeNotFound:             {http.StatusNotFound, "Not found"},
	fault.CodeMethodNotAllowed:     {http.StatusMethodNotAllowed, "Method not allowed"},
	fault.CodeConflict:             {http.StatusConflict, "Conflict"},
	fault.CodeTooLarge:             {http.StatusRequestEntityTooLarge, "Request too large"},
	fault.CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, "Unsupported media type"},
	fault.CodeRateLimited:          {http.StatusTooManyRequests, "Too many requests"},
	fault.CodeUnavailable:          {http.StatusServiceUnavailable, "Service unavailable"},
	fault.CodeInternal:             {http.StatusInternalServerError, "Internal error"},
}

// retryAfter is what a caller is told to wait, in seconds, where nothing better
// is known.
const retryAfter = "1"

// outcomeHeader, with the value "unknown", marks the one kind of 503 after which a
// change may have been made all the same.
const outcomeHeader = "Gatehouse-Outcome"

// fail answers a request with an error: the only way out for errors, those of the
// generated code and of the router included. One without a code is shown to nobody; the
// log has it in full, as that of every failure of the server's. That of a request within
// another is left to that.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if x := exchangeOf(r.Context()); x.within {
		x.failed = err
		return
	} else if x.gone {
		return // in the middle of an answer
	}
	if errors.Is(err, engine.ErrBusy) {
		err = s.admission.refuse(&shed{exchangeOf(r.Context()).operation.class, shedDatabase})
	}
	code := fault.CodeOf(err)
	gone := r.Context().Err() != nil && errors.Is(err, context.Canceled)
	if gone {
		code = fault.CodeUnavailable // nobody reads this
		exchangeOf(r.Context()).gone = true
	}
	answer := answers[code]
	detail := "the request failed; the server's log has more under its request id"
	if e, ok := errors.AsType[*fault.Error](err); ok && code != fault.CodeInternal {
		detail = e.Detail
	} else if code == fault.CodeUnavailable {
		detail = "the request took too long"
	}
	// The metrics count what is shed: to log each would cost more than to refuse it.
	_, tooMuch := errors.AsType[*shed](err)
	exchangeOf(r.Context()).shed = tooMuch
	if answer.status >= http.StatusInternalServerError && !gone && !tooMuch {
		exchangeOf(r.Context()).failure = err
	}
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Unknown {
		w.Header().Set(outcomeHeader, "unknown")
	}
	switch code {
	case fault.CodeUnauthenticated:
		w.Header().Set("WWW-Authenticate", challenge(err))
	case fault.CodeUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case fault.CodeRateLimited:
		if over, ok := errors.AsType[*exceeded](err); ok {
			over.tell(w.Header())
		}
	}
	switch op := exchangeOf(r.Context()).operation; {
	case op.authzen:
		writeJSON(w, answer.status, detail)
		return
	case op.tokens:
		w.Header().Set("Cache-Control", "no-store")
		writeJSON(w, answer.status, tokenError(code, err, detail))
		return
	}
	writeJSON(w, answer.status, api.Error{
		Code: answer.status, Message: answer.message, Error: detail, Timestamp: timestamp(),
	})
}

// challenge says how to authenticate, and of an access token that it was not good (RFC
// 6750, section 3).
func challenge(err error) string {
	if errors.Is(err, authz.ErrInvalidAccessToken) {
		return `Bearer error="invalid_token"`
	}
	return "Bearer"
}

// tokenErrors give each kind of failure OAuth's word (RFC 6749, sections 4.1.2.1 and 5.2),
// unless the error brings one along.
var tokenErrors = map[fault.Code]api.TokenErrorError{
	fault.CodeUnauthenticated: api.TokenErrorErrorInvalidClient,
	fault.CodeForbidden:       api.TokenErrorErrorAccessDenied,
	fault.CodeRateLimited:     api.TokenErrorErrorTemporarilyUnavailable,
	fault.CodeUnavailable:     api.TokenErrorErrorTemporarilyUnavailable,
	fault.CodeInternal:        api.TokenErrorErrorServerError,
}

// tokenError is an error in OAuth's form.
func tokenError(code fault.Code, err error, detail string) api.TokenError {
	word, known := tokenErrors[code]
	if !known {
		word = api.TokenErrorErrorInvalidRequest
	}
	if why, ok := errors.AsType[authz.TokenRefusal](err); ok && code == fault.CodeInvalid {
		word = api.TokenErrorError(why)
	}
	// RFC 6749 allows printable ASCII alone, without quotes and backslashes.
	description := strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c < ' ' || c > '~' || c == '\\':
			return '?'
		}
		return c
	}, detail)
	return api.TokenError{Error: word, ErrorDescription: description}
}

// parameterFault says what is wrong with a path or query parameter. The generated
// code's own words quote Go types.
func parameterFault(err error) error {
	if e, ok := errors.AsType[*api.InvalidParamFormatError](err); ok {
		why := "is malformed"
		if number, ok := errors.AsType[*strconv.NumError](err); ok && number.Func == "ParseBool" {
			why = "must be true or false"
		} else if ok {
			why = "must be a whole number"
		} else if _, ok := errors.AsType[*time.ParseError](err); ok {
			why = "must be an RFC 3339 time such as 2026-01-31T23:59:59Z"
		}
		return &fault.Error{Code: fault.CodeInvalid, Detail: e.ParamName + ": " + why, Cause: err}
	}
	if e, ok := errors.AsType[*api.RequiredParamError](err); ok {
		return &fault.Error{Code: fault.CodeInvalid, Detail: e.ParamName + ": is required", Cause: err}
	}
	return &fault.Error{Code: fault.CodeInvalid, Detail: "the request's parameters are malformed", Cause: err}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // our own structs always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n')) // the caller has gone where this fails
}
