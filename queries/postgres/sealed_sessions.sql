-- PostgreSQL locks rows, and a user's sessions by a number: the user's row may be sealed
-- in more than one way, or not be there.

-- name: LockSession :one
SELECT * FROM sessions WHERE tenant = @tenant AND id = @id FOR UPDATE;

-- name: LockNumber :exec
SELECT pg_advisory_xact_lock(CAST(@number AS bigint));

-- name: LockStoredSessionUser :one
SELECT * FROM session_users WHERE tenant = @tenant AND name = @name FOR UPDATE;

-- name: LockTenant :one
-- As a change of the tenant's policy does.
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant FOR NO KEY UPDATE;
