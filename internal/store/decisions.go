package store

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/authz"
)

// Decisions keeps the decision log of all tenants, which has no revision.
type Decisions interface {
	// AppendDecisions writes all or nothing. It gives each decision that has none its
	// ID, by time and then by place, so that the same ones may be written again after an
	// error without being there twice.
	AppendDecisions(ctx context.Context, decisions []TenantDecision) error
	// DeleteDecisions deletes up to limit decisions of any tenant that were made before a
	// time, and returns how many. Several at once share the work.
	DeleteDecisions(ctx context.Context, before time.Time, limit int) (int, error)
}

// TenantDecision is a decision with the tenant that it was made about.
type TenantDecision struct {
	Tenant string
	authz.LoggedDecision
}
