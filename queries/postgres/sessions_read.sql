-- PostgreSQL has a clock, which all servers share, and locks rows one by one: two sweeps
-- at once take different ones. SQLite has neither.

-- name: Session :one
SELECT s.*,
    CAST(coalesce((SELECT u.active FROM users u WHERE u.tenant = s.tenant AND u.name = s.subject), 1) AS bigint) AS user_active,
    CAST(coalesce((SELECT e.epoch FROM session_users e WHERE e.tenant = s.tenant AND e.name = s.subject), 0) AS bigint) AS user_epoch,
    CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS read_at
FROM sessions s
WHERE s.tenant = @tenant AND s.id = @id;

-- name: DueSessions :many
-- Some of them have been rotated since, and so have not expired.
SELECT * FROM sessions
WHERE ended_at = 9223372036854775807 AND sweep_at < @before
ORDER BY sweep_at
LIMIT CAST(@max_rows AS bigint)
FOR UPDATE SKIP LOCKED;

-- name: StaleSessions :many
SELECT tenant, id FROM sessions
WHERE ended_at < 9223372036854775807 AND sweep_at < @before
ORDER BY sweep_at
LIMIT CAST(@max_rows AS bigint)
FOR UPDATE SKIP LOCKED;

-- name: DatabaseTime :one
SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS micros;
