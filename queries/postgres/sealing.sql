-- PostgreSQL locks rows: a transaction that seals values holds the row that says with
-- which key, in a way that only a change of that keeps waiting.

-- name: HoldTenantSealing :one
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant FOR KEY SHARE;

-- name: LockTenantSealing :one
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant FOR UPDATE;

-- name: HoldEncryption :one
SELECT sealed_with, sealed_also, salt, turn FROM encryption WHERE id = 1 FOR KEY SHARE;

-- name: LockEncryption :one
SELECT sealed_with, sealed_also, salt, turn FROM encryption WHERE id = 1 FOR UPDATE;

-- name: AwaitTenantWriters :exec
-- Waits for all transactions that have written to the table, and keeps others out until
-- this one ends. What such a transaction read before is then committed, or gone.
LOCK TABLE tenants IN SHARE ROW EXCLUSIVE MODE;

-- name: AwaitSessionWriters :exec
LOCK TABLE sessions IN SHARE ROW EXCLUSIVE MODE;

-- name: AwaitSessionUserWriters :exec
LOCK TABLE session_users IN SHARE ROW EXCLUSIVE MODE;

-- name: AwaitEventWriters :exec
LOCK TABLE audit_events IN SHARE ROW EXCLUSIVE MODE;

-- name: AwaitTokenWriters :exec
LOCK TABLE token_families IN SHARE ROW EXCLUSIVE MODE;

-- name: AwaitDecisionWriters :exec
LOCK TABLE decisions IN SHARE ROW EXCLUSIVE MODE;

-- name: WaitAtMost :exec
-- Bounds how long the transaction waits for a lock, as in '1s'.
SELECT set_config('lock_timeout', @bound, true);
