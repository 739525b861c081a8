package sdk

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
)

// idempotencyHeader names a change, so that it can be sent again.
const idempotencyHeader = "Idempotency-Key"

const maxIdempotencyKey = 255

type (
	idempotencyKey struct{}
	unnamedKey     struct{}
)

// WithIdempotencyKey names the change that is made with the returned context, so that
// it has its effect once, however often it is asked for: whoever asks again within 24
// hours, with the same client and the same key, gets the answer of the first that
// succeeded, which says so as Replayed. Another change with the same key is
// ErrConflict, so each needs a key of its own. One is 1 to 255 printable ASCII
// characters, else ErrInvalid. See Retry for when the client itself asks again.
//
// What reads, RotateSession and the token methods take no key, and are not changed by
// it. With a TokenSource an answer cannot be had again under the next access token:
// that is ErrConflict, and the change was made.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// unnamed marks the context of what changes something and takes no key.
func unnamed(ctx context.Context) context.Context {
	return context.WithValue(ctx, unnamedKey{}, true)
}

// name sends the key of a change along, all tries of which share it.
func (r Retry) name(ctx context.Context, req *http.Request) error {
	if reads(req) || ctx.Value(unnamedKey{}) != nil {
		return nil
	}
	key, given := ctx.Value(idempotencyKey{}).(string)
	switch {
	case !given && !r.Idempotent:
		return nil
	case !given:
		key = rand.Text()
	case key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }):
		return invalid("idempotency key: must be 1 to %d printable ASCII characters", maxIdempotencyKey)
	}
	req.Header.Set(idempotencyHeader, `"`+quoting.Replace(key)+`"`)
	return nil
}

// quoting is what RFC 9651 wants of a string (section 4.1.6).
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
