-- A write transaction of SQLite has no other beside it.

-- name: LockSession :one
SELECT * FROM sessions WHERE tenant = @tenant AND id = @id;

-- name: LockNumber :exec
SELECT CAST(@number AS bigint);

-- name: LockStoredSessionUser :one
SELECT * FROM session_users WHERE tenant = @tenant AND name = @name;

-- name: LockTenant :one
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant;
