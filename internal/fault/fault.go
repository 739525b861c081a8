// Package fault holds the kinds of failure that callers of Gatehouse act on.
//
// An error gets its code where the cause is known, and keeps it on the way out:
// the server turns the code into a status in one place, and the engine and the
// SDK export the codes as the errors that errors.Is compares with. An error
// without a code is a fault of ours and is never shown to a caller.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Code is a kind of failure. It is an error itself, so that
// errors.Is(err, CodeNotFound) holds for every error of that kind.
type Code uint8

// The codes, each with the meaning that its HTTP status has in RFC 9110.
const (
	CodeInternal Code = iota
	CodeInvalid
	CodeUnauthenticated
	CodeForbidden
	CodeNotFound
	CodeMethodNotAllowed
	CodeConflict
	CodeTooLarge
	CodeUnsupportedMediaType
	CodeRateLimited
	CodeUnavailable
)

func (c Code) Error() string {
	switch c {
	case CodeInvalid:
		return "invalid input"
	case CodeUnauthenticated:
		return "not authenticated"
	case CodeForbidden:
		return "not allowed"
	case CodeNotFound:
		return "not found"
	case CodeMethodNotAllowed:
		return "method not allowed"
	case CodeConflict:
		return "conflict"
	case CodeTooLarge:
		return "request too large"
	case CodeUnsupportedMediaType:
		return "unsupported media type"
	case CodeRateLimited:
		return "too many requests"
	case CodeUnavailable:
		return "service unavailable"
	default:
		return "internal error"
	}
}

// Error is a failure with a code and words that a caller may read. The cause is
// for logs: it may hold SQL or addresses, and Error does not print it.
type Error struct {
	Code   Code
	Detail string
	Cause  error
	// Unknown says that a change may have been made all the same, so that only one
	// that does no harm twice may be tried again.
	Unknown bool
}

func (e *Error) Error() string { return e.Detail }

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is e's code.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// New returns an error with the given code and words.
func New(code Code, format string, args ...any) error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Invalid says that the input is malformed; the words begin with the field's name.
func Invalid(format string, args ...any) error { return New(CodeInvalid, format, args...) }

// Unauthenticated says that the caller is not known.
func Unauthenticated(format string, args ...any) error {
	return New(CodeUnauthenticated, format, args...)
}

// Forbidden says that the caller is known and may not do this.
func Forbidden(format string, args ...any) error { return New(CodeForbidden, format, args...) }

// NotFound says that what the request names does not exist in its tenant.
func NotFound(format string, args ...any) error { return New(CodeNotFound, format, args...) }

// Conflict says that the request cannot be carried out as things stand.
func Conflict(format string, args ...any) error { return New(CodeConflict, format, args...) }

// Unavailable says that nothing can be said now; cause goes to the log only.
func Unavailable(cause error, format string, args ...any) error {
	return &Error{Code: CodeUnavailable, Detail: fmt.Sprintf(format, args...), Cause: cause}
}

// CodeOf returns err's code. A deadline that passed is CodeUnavailable; what has
// no code is CodeInternal.
func CodeOf(err error) Code {
	var coded *Error
	var code Code
	switch {
	case errors.As(err, &coded):
		return coded.Code
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return CodeUnavailable
	default:
		return CodeInternal
	}
}
