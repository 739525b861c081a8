package sdk

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse/internal/fault"
)

// Code is a kind of failure, and an error that errors.Is compares with.
type Code = fault.Code

// The kinds of error that a Client's methods return, for errors.Is; they are the
// engine's.
const (
	ErrInvalid         = fault.CodeInvalid
	ErrUnauthenticated = fault.CodeUnauthenticated
	ErrForbidden       = fault.CodeForbidden
	ErrNotFound        = fault.CodeNotFound
	ErrConflict        = fault.CodeConflict
	ErrTooLarge        = fault.CodeTooLarge
	ErrRateLimited     = fault.CodeRateLimited
	ErrUnavailable     = fault.CodeUnavailable
)

// Error is a request that failed. A request whose context was cancelled fails with
// the context's error instead.
type Error struct {
	// Status is the HTTP status; 0 where nothing was sent or nothing came back.
	Status int
	// Code is the kind of failure. A status that a proxy may have made by itself
	// is no word of Gatehouse's: without Gatehouse's envelope only 413, 429, 502,
	// 503 and 504 have a kind.
	Code Code
	// Message says the same for every error of a status; for people.
	Message string
	// Detail says what is wrong, and where.
	Detail string
	// RequestID finds the request in the server's log and audit.
	RequestID string
	// RetryAfter is how long the server asked to wait; 0 where it did not.
	RetryAfter time.Duration

	cause error
}

// Error says what is known of the failure. It holds no key.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Status != 0 {
		fmt.Fprintf(&b, "%d %s: ", e.Status, strings.ToLower(http.StatusText(e.Status)))
	}
	b.WriteString(e.Detail)
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", e.RequestID)
	}
	return b.String()
}

// Unwrap gives errors.Is the code, and the error that kept the answer away.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.cause}
}

// invalid refuses what cannot be sent.
func invalid(format string, args ...any) error {
	return &Error{Code: ErrInvalid, Detail: fmt.Sprintf(format, args...)}
}

// codeOfStatus is the kind of a status that Gatehouse answered with.
func codeOfStatus(status int) Code {
	switch status {
	case http.StatusBadRequest:
		return fault.CodeInvalid
	case http.StatusUnauthorized:
		return fault.CodeUnauthenticated
	case http.StatusForbidden:
		return fault.CodeForbidden
	case http.StatusNotFound:
		return fault.CodeNotFound
	case http.StatusMethodNotAllowed:
		return fault.CodeMethodNotAllowed
	case http.StatusConflict:
		return fault.CodeConflict
	case http.StatusUnsupportedMediaType:
		return fault.CodeUnsupportedMediaType
	default:
		return codeOfForeignStatus(status)
	}
}

// codeOfForeignStatus is the kind of a status whoever answered with it.
func codeOfForeignStatus(status int) Code {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return fault.CodeTooLarge
	case http.StatusTooManyRequests:
		return fault.CodeRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fault.CodeUnavailable
	default:
		return fault.CodeInternal
	}
}
