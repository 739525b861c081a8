package sqlstore

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// KeepReceipt implements store.Receipts.
func (s *Store) KeepReceipt(ctx context.Context, tenant string, receipt store.Receipt) (bool, error) {
	return s.swap(ctx, "keep a receipt", func(q postgres.Querier) (int64, error) {
		return q.KeepReceipt(ctx, receiptRow(tenant, receipt))
	})
}

// DeleteReceipts implements store.Receipts.
func (s *Store) DeleteReceipts(ctx context.Context, at time.Time, limit int) (deleted int, err error) {
	err = retry(ctx, func() error {
		rows, err := s.db.statements().DeleteReceipts(ctx, postgres.DeleteReceiptsParams{At: micros(at), MaxRows: maxRows(limit)})
		deleted = int(rows)
		return classify(ctx, err, "delete expired receipts")
	})
	return deleted, err
}

// Receipt implements store.ReceiptTx.
func (w *writer) Receipt(ctx context.Context, id string, at time.Time) (string, bool, error) {
	sealed, err := w.queries.Receipt(ctx, postgres.ReceiptParams{Tenant: w.tenant, ID: id, At: micros(at)})
	if err != nil {
		return "", false, unlessNoRows(ctx, err, "read a receipt")
	}
	return sealed, true, nil
}

// KeepReceipt implements store.ReceiptTx. A receipt is no change by itself.
func (w *writer) KeepReceipt(ctx context.Context, receipt store.Receipt) (bool, error) {
	rows, err := w.queries.KeepReceipt(ctx, receiptRow(w.tenant, receipt))
	if err != nil {
		return false, w.fail(classify(ctx, err, "keep a receipt"))
	}
	return rows > 0, nil
}

func receiptRow(tenant string, receipt store.Receipt) postgres.KeepReceiptParams {
	return postgres.KeepReceiptParams{
		Tenant:    tenant,
		ID:        receipt.ID,
		Sealed:    receipt.Sealed,
		KeptAt:    micros(receipt.KeptAt),
		ExpiresAt: micros(receipt.ExpiresAt),
	}
}
