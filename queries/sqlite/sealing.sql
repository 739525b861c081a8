-- PostgreSQL locks rows. A write transaction of SQLite has no other beside it.

-- name: HoldTenantSealing :one
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant;

-- name: LockTenantSealing :one
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant;

-- name: HoldEncryption :one
SELECT sealed_with, sealed_also, salt, turn FROM encryption WHERE id = 1;

-- name: LockEncryption :one
SELECT sealed_with, sealed_also, salt, turn FROM encryption WHERE id = 1;

-- name: AwaitTenantWriters :exec
SELECT 1;

-- name: AwaitSessionWriters :exec
SELECT 1;

-- name: AwaitSessionUserWriters :exec
SELECT 1;

-- name: AwaitEventWriters :exec
SELECT 1;

-- name: AwaitTokenWriters :exec
SELECT 1;

-- name: AwaitDecisionWriters :exec
SELECT 1;

-- name: WaitAtMost :exec
SELECT CAST(@bound AS text);
