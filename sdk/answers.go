package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// revisionHeader holds the tenant's revision that an answer was made at.
const revisionHeader = "Gatehouse-Revision"

// staleHeader stands where an answer was made from memory, and tells for how long
// the database has been away, in seconds.
const staleHeader = "Gatehouse-Stale"

// minRevisionHeader asks for an answer that is not from before a revision.
const minRevisionHeader = "Gatehouse-Min-Revision"

// replayedHeader stands where a change had been made before, under the same key.
const replayedHeader = "Idempotent-Replayed"

// envelope is the form of every answer under /api.
type envelope[T any] struct {
	Success bool   `json:"success"`
	Code    int    `json:"code"`
	Message string `json:"message"`
	Error   string `json:"error"`
	Data    *T     `json:"data"`
}

// answer is what a request brought back.
type answer[T any] struct {
	data     T
	revision int64
	// stale is for how long the server's database has been away; 0 where it is not.
	stale time.Duration
	// next is the cursor of a list's next page; empty on the last.
	next string
	// replayed tells that the answer is the one to an earlier request.
	replayed bool
}

// read turns an answer under /api, or why there is none, into its data or an
// error. It takes what the generated client's methods return.
func read[T any](rsp *http.Response, err error) (answer[T], error) {
	if err != nil {
		return answer[T]{}, unanswered(err)
	}
	body, err := readBody(rsp)
	if err != nil {
		return answer[T]{}, err
	}
	var e envelope[T]
	if !isJSON(rsp.Header) || json.Unmarshal(body, &e) != nil || e.Code != rsp.StatusCode {
		return answer[T]{}, foreign(rsp)
	}
	if rsp.StatusCode != http.StatusOK && rsp.StatusCode != http.StatusCreated {
		return answer[T]{}, refused(rsp, e.Message, e.Error)
	}
	if !e.Success || e.Data == nil {
		return answer[T]{}, foreign(rsp)
	}
	a := answer[T]{data: *e.Data, replayed: rsp.Header.Get(replayedHeader) == "true"}
	if a.revision, err = number(rsp.Header, revisionHeader); err != nil {
		return answer[T]{}, err
	}
	staleSeconds, err := number(rsp.Header, staleHeader)
	if err != nil {
		return answer[T]{}, err
	}
	a.stale = time.Duration(staleSeconds) * time.Second
	if a.next, err = nextCursor(rsp.Header); err != nil {
		return answer[T]{}, err
	}
	return a, nil
}

// written reads the answer to a change.
func written(rsp *http.Response, err error) (authz.Written, error) {
	a, err := read[api.Result](rsp, err)
	return authz.Written{Changed: a.data.Result, Revision: a.revision, Replayed: a.replayed}, err
}

// put reads the answer to a PUT, which is the thing as it is now. It does not tell
// whether that is what it was before.
func put[T any](rsp *http.Response, err error) (authz.Written, error) {
	a, err := read[T](rsp, err)
	return authz.Written{Changed: err == nil, Revision: a.revision, Replayed: a.replayed}, err
}

// decided reads the answer to a question about a user.
func decided(rsp *http.Response, err error) (authz.Decision, error) {
	a, err := read[api.DecisionAnswer](rsp, err)
	return a.decision(a.data.HasPermission), err
}

func (a answer[T]) decision(allowed bool) authz.Decision {
	return authz.Decision{Allowed: allowed, Revision: a.revision, Stale: a.stale}
}

// members reads a list of users and roles.
func members(rsp *http.Response, err error) (authz.List[authz.Member], error) {
	a, err := read[[]api.Member](rsp, err)
	return listOf(a, a.data, member), err
}

func member(m api.Member) authz.Member { return authz.Member{User: m.User, Role: m.Role} }

func permissionName(p api.PermissionName) string { return p.Name }

// listOf is a page of the rows that an answer holds.
func listOf[T, Row, Item any](a answer[T], rows []Row, item func(Row) Item) authz.List[Item] {
	list := authz.List[Item]{Next: a.next, Revision: a.revision, Stale: a.stale}
	for _, row := range rows {
		list.Items = append(list.Items, item(row))
	}
	return list
}

// snapshotOf is the thing that an answer shows.
func snapshotOf[Row, Item any](a answer[Row], err error, item func(Row) Item) (authz.Snapshot[Item], error) {
	if err != nil {
		return authz.Snapshot[Item]{}, err
	}
	return authz.Snapshot[Item]{Value: item(a.data), Revision: a.revision}, nil
}

// readBody reads an answer to its end, so that its connection can be used again.
func readBody(rsp *http.Response) ([]byte, error) {
	defer rsp.Body.Close()
	body, err := io.ReadAll(rsp.Body)
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, context.Canceled):
		return nil, err
	default:
		return nil, &Error{Code: ErrUnavailable, Detail: "the answer broke off: " + err.Error(), cause: err}
	}
}

// unanswered is the error of a request that was not answered, or could not be made.
func unanswered(err error) error {
	var sent *url.Error
	if own, ok := errors.AsType[*Error](err); ok {
		return own // of a token source, which asked before
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &sent):
		return &Error{Code: ErrUnavailable, Detail: "no answer: " + err.Error(), cause: err}
	default:
		return &Error{Code: ErrInvalid, Detail: "the request cannot be made: " + err.Error(), cause: err}
	}
}

// refused is the error that the server answered with.
func refused(rsp *http.Response, message, detail string) *Error {
	return &Error{
		Status:     rsp.StatusCode,
		Code:       codeOfStatus(rsp.StatusCode),
		Message:    message,
		Detail:     detail,
		RequestID:  rsp.Header.Get("X-Request-ID"),
		RetryAfter: retryAfter(rsp.Header, time.Now()),
	}
}

// foreign is the error of an answer that is not in the API's form: a proxy's page,
// a redirect, or another service's. It tells nothing of the body, which may echo
// the request.
func foreign(rsp *http.Response) error {
	detail := "the answer is not Gatehouse's"
	if mediaType, _, err := mime.ParseMediaType(rsp.Header.Get("Content-Type")); err == nil {
		detail += fmt.Sprintf(": its type is %s", mediaType)
	}
	if rsp.StatusCode/100 == 3 {
		detail += "; redirects are not followed"
	}
	return &Error{
		Status:     rsp.StatusCode,
		Code:       codeOfForeignStatus(rsp.StatusCode),
		Message:    http.StatusText(rsp.StatusCode),
		Detail:     detail,
		RequestID:  rsp.Header.Get("X-Request-ID"),
		RetryAfter: retryAfter(rsp.Header, time.Now()),
	}
}

func isJSON(header http.Header) bool {
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && mediaType == "application/json"
}

// number reads a header that holds a whole number; 0 where there is none.
func number(header http.Header, field string) (int64, error) {
	value := header.Get(field)
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, &Error{Status: http.StatusOK, Detail: fmt.Sprintf("the answer's %s header %q is not a number", field, value)}
	}
	return n, nil
}

// nextLink finds the next page in a Link header (RFC 8288), in the form that the
// API gives it.
var nextLink = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next\b`)

// nextCursor is the cursor of the next page. A next page that cannot be asked for
// is an error: a list must not end early unnoticed.
func nextCursor(header http.Header) (string, error) {
	for _, value := range header.Values("Link") {
		match := nextLink.FindStringSubmatch(value)
		if match == nil {
			continue
		}
		address, err := url.Parse(match[1])
		if err == nil && address.Query().Get("cursor") != "" {
			return address.Query().Get("cursor"), nil
		}
		return "", &Error{Status: http.StatusOK, Detail: "the answer's Link header names a next page without a cursor"}
	}
	return "", nil
}
