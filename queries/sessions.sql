-- The largest integer stands for the end of a session that has not been ended. It is
-- written out, because an index of live sessions serves no query with an argument there.
-- What finds its session by id says >= instead, so that PostgreSQL does not take that index
-- for the shorter way and walk through all live sessions of the tenant.

-- name: CreateSession :exec
INSERT INTO sessions (tenant, id, subject, epoch, generation, recent, confirmed, recovered, replays,
    created_at, rotated_at, idle_expires_at, expires_at, ip, user_agent, binding, ended_at, sweep_at, end_reason, seal)
VALUES (@tenant, @id, @subject, @epoch, @generation, @recent, @confirmed, @recovered, @replays,
    @created_at, @rotated_at, @idle_expires_at, @expires_at, @ip, @user_agent, @binding, @ended_at, @sweep_at, @end_reason, @seal);

-- name: RotateSession :execrows
-- Sets no column that an index holds. A recovery since the row was read has changed
-- recent, which must not be lost.
UPDATE sessions SET generation = @generation, recent = @recent, confirmed = @confirmed,
    replays = @replays, rotated_at = @rotated_at, idle_expires_at = @idle_expires_at, ip = @ip, user_agent = @user_agent
WHERE tenant = @tenant AND id = @id AND generation = @from_generation AND recovered = @recovered AND ended_at >= 9223372036854775807;

-- name: CountReplay :execrows
UPDATE sessions SET replays = replays + 1
WHERE tenant = @tenant AND id = @id AND generation = @generation AND replays < @max_replays AND ended_at >= 9223372036854775807;

-- name: ConfirmSession :execrows
UPDATE sessions SET confirmed = @generation
WHERE tenant = @tenant AND id = @id AND generation = @generation AND confirmed < @generation AND ended_at >= 9223372036854775807;

-- name: RecoverSession :execrows
UPDATE sessions SET recovered = @recovered, recent = @recent, replays = replays + 1
WHERE tenant = @tenant AND id = @id AND generation = @generation
  AND confirmed < generation AND recovered < generation AND ended_at >= 9223372036854775807;

-- name: MoveSession :execrows
UPDATE sessions SET ip = @ip, user_agent = @user_agent, confirmed = generation
WHERE tenant = @tenant AND id = @id AND generation = @generation
  AND (ip <> @ip OR user_agent <> @user_agent) AND ended_at >= 9223372036854775807;

-- name: EndSession :execrows
UPDATE sessions SET ended_at = @ended_at, end_reason = @end_reason, sweep_at = idle_expires_at
WHERE tenant = @tenant AND id = @id AND ended_at >= 9223372036854775807;

-- name: Sessions :many
SELECT * FROM sessions
WHERE tenant = @tenant AND id > @after
  AND (CAST(@with_ended AS bigint) = 1 OR (ended_at = 9223372036854775807 AND idle_expires_at > @at))
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: LockSessionUser :one
-- Locks the user's row until the transaction ends. What decides about the user is read
-- by another statement: this one may have waited, and sees what was there before.
INSERT INTO session_users (tenant, name, epoch) VALUES (@tenant, @name, 0)
ON CONFLICT (tenant, name) DO UPDATE SET epoch = session_users.epoch
RETURNING epoch;

-- name: RaiseSessionEpoch :exec
-- Makes the row where there is none: a row that another transaction has only just made
-- can be met, and waited for, in no other way.
INSERT INTO session_users (tenant, name, epoch) VALUES (@tenant, @name, 1)
ON CONFLICT (tenant, name) DO UPDATE SET epoch = session_users.epoch + 1;

-- name: PostponeSweep :exec
UPDATE sessions SET sweep_at = idle_expires_at WHERE tenant = @tenant AND id = @id;

-- name: DeleteSession :exec
DELETE FROM sessions WHERE tenant = @tenant AND id = @id;

-- name: SessionUser :one
SELECT * FROM session_users WHERE tenant = @tenant AND name = @name;

-- name: CreateSessionUser :exec
INSERT INTO session_users (tenant, name, epoch, seal) VALUES (@tenant, @name, @epoch, @seal);

-- name: RotateSessionInPlace :execrows
-- RotateSession for the address and User-Agent that the session has.
UPDATE sessions SET generation = @generation, recent = @recent, confirmed = @confirmed,
    replays = @replays, rotated_at = @rotated_at, idle_expires_at = @idle_expires_at
WHERE tenant = @tenant AND id = @id AND generation = @from_generation AND recovered = @recovered
  AND ip = @ip AND user_agent = @user_agent AND seal = @seal AND ended_at >= 9223372036854775807;

-- name: MarkSessionMoved :execrows
UPDATE sessions SET confirmed = generation
WHERE tenant = @tenant AND id = @id AND generation = @generation AND ended_at >= 9223372036854775807;
