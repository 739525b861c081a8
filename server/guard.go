package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// maxBody is the largest request body, in bytes.
const maxBody = 1 << 20

// minRevisionHeader asks that an answer be no older than a revision.
const minRevisionHeader = "Gatehouse-Min-Revision"

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// guard stands before an operation: it finds out who calls, whether they may call this
// now, how fresh the answer must be, what the request is called, and whether the body is
// one that the operation takes, in that order. A request that has been answered under
// that name goes no further.
func (s *Server) guard(op operation, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		x := exchangeOf(ctx)
		x.operation = op
		x.context.limit(requestTimeout)
		if op.ability != "" || op.sessions {
			w.Header().Set("Cache-Control", "no-store")
		}
		defer x.release(s.admission.bodiesOf(op.class))
		if op.class == classDecision {
			// No line that a tenant stands in: not even who it is need be asked.
			if err := s.admission.check(x); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		if op.ability == "" {
			if err := s.admission.enter(ctx, x); err != nil {
				s.fail(w, r, err)
				return
			}
			next(w, r)
			return
		}
		if err := s.admit(ctx, r, op); err != nil {
			s.fail(w, r, err)
			return
		}
		if op.class != classDecision {
			if err := s.admission.check(x); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		// url.URL.Query drops what it cannot parse, and so a filter with it.
		if r.URL.RawQuery != "" {
			if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
				s.fail(w, r, fault.Invalid("query: is malformed"))
				return
			}
		}
		if err := freshen(ctx, r, op); err != nil {
			s.fail(w, r, err)
			return
		}
		var key string
		if !op.reads {
			var err error
			if key, err = idempotencyKey(r, op); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		var body []byte
		if hasBody(r) || op.form {
			var err error
			if body, err = s.receive(w, r, x); err != nil {
				s.fail(w, r, err)
				return
			}
			// However long the caller took to send it, the work has its full time.
			x.context.limit(requestTimeout)
		}
		if op.streams && wantsEvents(r) {
			x.context.limit(0) // and no place: streams have a bound of their own
		} else if err := s.admission.enter(ctx, x); err != nil {
			s.fail(w, r, err)
			return
		}
		if hasBody(r) || op.form {
			if err := judgeBody(r, op, body); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		if key != "" {
			if err := s.once(w, r, key, next); err != nil {
				s.fail(w, r, err)
			}
			return
		}
		next(w, r)
	})
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// admit authenticates the caller and checks that their key may call so often, and has
// the ability. The batch has done so for its mutations.
func (s *Server) admit(ctx context.Context, r *http.Request, op operation) error {
	x := exchangeOf(ctx)
	if x.within {
		return nil
	}
	if err := s.identify(ctx, r, x); err != nil {
		s.meters.refused(err)
		return err
	}
	if op.tokens {
		if err := x.principal.RequireKey(ctx, op.id); err != nil {
			return err
		}
	}
	return x.principal.Require(ctx, op.ability, op.id)
}

// identify finds out who calls, and that they may call so often.
func (s *Server) identify(ctx context.Context, r *http.Request, x *exchange) error {
	token, err := bearer(r)
	if err != nil {
		return err
	}
	from := s.clientAddr(r)
	if err := s.failures.admit(from, token); err != nil {
		return err
	}
	x.principal, err = s.engine.Authenticate(ctx, token, engine.Actor{
		IP:        addressText(from),
		UserAgent: r.UserAgent(),
		RequestID: x.requestID,
	})
	s.failures.note(from, token, err)
	if err != nil {
		return err
	}
	return s.calls.take(x.principal.Fingerprint)
}

// freshen lets the operation's reads see at least the revision that the caller
// asks for.
func freshen(ctx context.Context, r *http.Request, op operation) error {
	values := r.Header.Values(minRevisionHeader)
	if len(values) == 0 || !op.reads {
		return nil
	}
	revision, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil || len(values) > 1 {
		return fault.Invalid("%s: must be one whole number", minRevisionHeader)
	}
	principal := &exchangeOf(ctx).principal
	principal.Tenant = principal.Tenant.AtLeast(int64(revision))
	// Whoever waits for it does so without a place, for it may never come.
	return principal.Tenant.Reach(ctx)
}

// bearer returns the token of the Authorization header (RFC 6750, section 2.1).
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", fault.Unauthenticated("one Authorization header with a bearer token is required")
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", fault.Unauthenticated("the Authorization header must be a bearer token")
	}
	return strings.TrimSpace(token), nil
}

// judgeBody judges the request body before the generated code decodes it: its type
// first, then its form; receive has judged its size. The generated code alone would take any
// type, unknown and misspelled fields, and bytes after the JSON value. An
// operation that takes no body ignores a well-formed one.
func judgeBody(r *http.Request, op operation, data []byte) error {
	r.Body = io.NopCloser(bytes.NewReader(data))
	if len(data) == 0 && op.form {
		return fault.Invalid("body: is required")
	}
	if len(data) == 0 || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	form, err := judgeType(r.Header, op.form)
	if err != nil {
		if op.authzen {
			return fault.Invalid("%v", err)
		}
		return err
	}
	if form {
		if data, err = formJSON(data); err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(data))
	}
	if op.form {
		// The generated code chooses by it, and by its exact letters.
		r.Header.Set("Content-Type", jsonType)
	}
	x := exchangeOf(r.Context())
	if op.plain != nil {
		if x.plain = readPlain(data, op.plain); x.plain != nil {
			return nil
		}
	}
	if x.body, err = decodeJSON(data); err != nil || op.body == nil {
		return err
	}
	return judge(x.body, op.body)
}

// judge holds a decoded body to its schema.
func judge(value any, schema *openapi3.Schema) error {
	return schemaFault(schema.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.EnableFormatValidation(),
		openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(validateTime))))
}

// judgeType refuses a body that is neither JSON nor, where that may be, a form, and tells
// whether it is a form.
func judgeType(headers http.Header, orForm bool) (form bool, err error) {
	if encoding := headers.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false, fault.New(fault.CodeUnsupportedMediaType, "Content-Encoding: %q is not supported", encoding)
	}
	header := headers.Get("Content-Type")
	mediaType, parameters, err := mime.ParseMediaType(header)
	charset, set := parameters["charset"]
	form = orForm && mediaType == formType
	if err != nil || mediaType != jsonType && !form || set && !strings.EqualFold(charset, "utf-8") {
		want := jsonType
		if orForm {
			want += " or " + formType
		}
		return false, fault.New(fault.CodeUnsupportedMediaType, "Content-Type: want %s, got %q", want, header)
	}
	return form, nil
}

// formJSON makes the JSON object of strings that a form stands for (RFC 6749, appendix
// B), so that both go the same way. A parameter that is given twice is refused, and one
// without a value counts as not given, as RFC 6749 has it in section 3.2.
func formJSON(data []byte) ([]byte, error) {
	parameters, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, fault.Invalid("body: is a malformed form")
	}
	members := map[string]string{}
	for name, values := range parameters {
		if len(values) > 1 {
			return nil, fault.Invalid("%.64s: is given twice", name)
		}
		if !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, fault.Invalid("body: must be valid UTF-8")
		}
		if values[0] != "" {
			members[name] = values[0]
		}
	}
	return json.Marshal(members)
}

// decodeJSON decodes exactly one JSON value in UTF-8 (RFC 8259, section 8.1).
func decodeJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, fault.Invalid("body: must be valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	var value any
	if err := decoder.Decode(&value); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fault.Invalid("body: malformed JSON at byte %d: %v", syntax.Offset, syntax)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fault.Invalid("body: malformed JSON: it ends too early")
		}
		return nil, fault.Invalid("body: holds a number that is too large")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.Invalid("body: bytes after the JSON value")
	}
	return value, nil
}

// validateTime holds a date-time to what time.Time can carry, so that what the
// schema accepts decodes.
func validateTime(s string) error {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return errors.New("must be an RFC 3339 time such as 2026-01-31T23:59:59Z")
	}
	return nil
}

// schemaFault says which part of a body is at fault, and why.
func schemaFault(err error) error {
	if err == nil {
		return nil
	}
	at, reason := "body", "is not what this operation takes"
	if e, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		reason = e.Reason
		if path := e.JSONPointer(); len(path) > 0 {
			at = strings.Join(path, ".")
		}
	}
	return fault.Invalid("%s: %s", at, reason)
}

// bodyFault is for what the generated code finds wrong with a body that readBody
// has let through.
func bodyFault(err error) error {
	return &fault.Error{Code: fault.CodeInvalid, Detail: "body: is not what this operation takes", Cause: fmt.Errorf("decode: %w", err)}
}
