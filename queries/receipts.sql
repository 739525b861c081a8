-- name: Receipt :one
SELECT sealed FROM receipts WHERE tenant = @tenant AND id = @id AND expires_at > @at;

-- name: KeepReceipt :execrows
-- Takes the place of one that has expired, and of no other.
INSERT INTO receipts (tenant, id, sealed, kept_at, expires_at)
VALUES (@tenant, @id, @sealed, @kept_at, @expires_at)
ON CONFLICT (tenant, id) DO UPDATE SET sealed = excluded.sealed, kept_at = excluded.kept_at, expires_at = excluded.expires_at
WHERE receipts.expires_at <= excluded.kept_at;

-- name: DeleteReceipts :execrows
-- An id is of one tenant, so the tenant need not be named.
DELETE FROM receipts
WHERE receipts.expires_at <= @at AND receipts.id IN (
    SELECT r.id FROM receipts r WHERE r.expires_at <= @at ORDER BY r.expires_at LIMIT CAST(@max_rows AS bigint)
);
