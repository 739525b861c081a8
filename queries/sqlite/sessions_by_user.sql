-- SQLite keeps no statistics, and reads all sessions of a tenant for a user's unless it
-- is told the index, which sqlc understands in a SELECT alone. PostgreSQL finds it.

-- name: SessionsOfUser :many
SELECT * FROM sessions INDEXED BY sessions_by_user
WHERE tenant = @tenant AND subject = @subject AND id > @after
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: LiveSessionsOfUser :many
SELECT * FROM sessions INDEXED BY live_sessions_by_user
WHERE tenant = @tenant AND subject = @subject AND id > @after
  AND ended_at = 9223372036854775807 AND idle_expires_at > @at
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: EndSessionsOfUser :many
UPDATE sessions SET ended_at = @ended_at, end_reason = @end_reason, sweep_at = idle_expires_at
WHERE sessions.tenant = @tenant AND sessions.ended_at = 9223372036854775807 AND sessions.id IN (
    SELECT s.id FROM sessions s INDEXED BY live_sessions_by_user
    WHERE s.tenant = @tenant AND s.subject = @subject AND s.id <> @except_id AND s.ended_at = 9223372036854775807)
RETURNING *;

-- name: EndOldestSessions :many
UPDATE sessions SET ended_at = @ended_at, end_reason = @end_reason, sweep_at = idle_expires_at
WHERE sessions.tenant = @tenant AND sessions.ended_at = 9223372036854775807 AND sessions.id IN (
    SELECT s.id FROM sessions s INDEXED BY live_sessions_by_user
    WHERE s.tenant = @tenant AND s.subject = @subject AND s.ended_at = 9223372036854775807 AND s.idle_expires_at > @at
    ORDER BY s.created_at DESC, s.id DESC
    LIMIT 9223372036854775807 OFFSET CAST(@keep AS bigint))
RETURNING *;
