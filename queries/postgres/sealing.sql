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
