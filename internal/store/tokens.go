package store

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/session"
	"github.com/gatehouse/gatehouse/internal/token"
)

// Tokens keeps families of access and refresh tokens. Like sessions they have no
// revision.
type Tokens interface {
	// TokenFamily finds a family by its id, and TokenFamilyByHandle by the handle of its
	// refresh tokens; false where there is none.
	TokenFamily(ctx context.Context, tenant, id string) (token.Family, bool, error)
	TokenFamilyByHandle(ctx context.Context, tenant, handle string) (token.Family, bool, error)

	// UpdateTokens runs fn in a write transaction, as UpdateSessions does.
	UpdateTokens(ctx context.Context, tenant string, fn func(TokenTx) error) error

	// DeleteTokenFamilies deletes up to limit families of any tenant whose last token
	// expired before a time, ended or not, and returns how many.
	DeleteTokenFamilies(ctx context.Context, before time.Time, limit int) (int, error)
}

// TokenTx is a transaction on one tenant's tokens. A method's bool tells whether it
// changed anything.
type TokenTx interface {
	// LockUser is that of SessionTx: whoever ends what a user has waits for it, too.
	LockUser(ctx context.Context, user string) (session.User, error)
	// CreateTokenFamily needs the subject, if there is one, to be locked.
	CreateTokenFamily(ctx context.Context, family token.Family) error
	// RefreshTokenFamily keeps what token.Family.Issue changed, and counts Generation on by
	// itself. It does nothing where the current token is another than superseded, or the
	// family has been ended.
	RefreshTokenFamily(ctx context.Context, superseded string, family token.Family) (bool, error)
	// EndTokenFamily leaves one that has been ended as it is.
	EndTokenFamily(ctx context.Context, id string, at time.Time, reason authz.SessionEnd) (bool, error)

	AppendEvent(ctx context.Context, event audit.Event) error
}
