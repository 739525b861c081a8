package store

import (
	"context"
	"time"
)

// Receipts keeps what requests were answered, so that one which comes again gets the
// same answer. What is in a receipt is sealed before it comes here.
type Receipts interface {
	// KeepReceipt is ReceiptTx.KeepReceipt by itself, for a request that changed nothing.
	// It makes no tenant.
	KeepReceipt(ctx context.Context, tenant string, receipt Receipt) (bool, error)
	// DeleteReceipts deletes up to limit receipts of any tenant that have expired at a
	// time, and returns how many.
	DeleteReceipts(ctx context.Context, at time.Time, limit int) (int, error)
}

// ReceiptTx is the part of a transaction that makes a change once.
type ReceiptTx interface {
	// Receipt reads what is sealed in a receipt that has not expired at a time; false
	// where there is none.
	Receipt(ctx context.Context, id string, at time.Time) (sealed string, found bool, err error)
	// KeepReceipt keeps a receipt with what the transaction changes; one that changes
	// nothing keeps none. It does nothing, and reports false, where there is one with this
	// id that has not expired at KeptAt: another transaction was faster, which it waits
	// for.
	KeepReceipt(ctx context.Context, receipt Receipt) (bool, error)
}

// Receipt is what is kept of a request and its answer.
type Receipt struct {
	// ID is of one tenant alone.
	ID     string
	Sealed string
	KeptAt time.Time
	// ExpiresAt is when the receipt is of no more use.
	ExpiresAt time.Time
}
