-- +goose Up

-- Sessions have no revision: each is changed by comparing and swapping its own row.
-- No reference to tenants or users, for neither need be known.
CREATE TABLE sessions (
    tenant          text    NOT NULL,
    id              text    NOT NULL,
    subject         text    NOT NULL,
    epoch           integer NOT NULL,
    generation      integer NOT NULL,
    -- When former generations were superseded, as JSON: [[up to, microseconds], …].
    recent          text    NOT NULL,
    confirmed       integer NOT NULL,
    recovered       integer NOT NULL,
    replays         integer NOT NULL,
    created_at      integer NOT NULL,
    rotated_at      integer NOT NULL,
    idle_expires_at integer NOT NULL,
    expires_at      integer NOT NULL,
    ip              text    NOT NULL,
    user_agent      text    NOT NULL,
    binding         text    NOT NULL CHECK (binding IN ('strict', 'standard', 'off')),
    -- The largest integer for a session that has not been ended.
    ended_at        integer NOT NULL,
    -- When the sweep looks at the session next: at its idle expiry, or before. A rotation
    -- leaves it as it is, and so changes nothing that an index holds.
    sweep_at        integer NOT NULL,
    end_reason      text    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (tenant, subject, id);
-- A user may have many sessions that have ended, and few that have not.
CREATE INDEX live_sessions_by_user ON sessions (tenant, subject, id) WHERE ended_at = 9223372036854775807;
-- For the sweep, which is the one to look at every tenant.
CREATE INDEX live_sessions_by_sweep ON sessions (sweep_at) WHERE ended_at = 9223372036854775807;
CREATE INDEX ended_sessions_by_sweep ON sessions (sweep_at) WHERE ended_at < 9223372036854775807;

-- A user's epoch is raised when all of the user's sessions end; the row outlives the
-- user, so that nothing brings an older session back.
CREATE TABLE session_users (
    tenant text    NOT NULL,
    name   text    NOT NULL,
    epoch  integer NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- Keys that sign tokens: of all servers and tenants. Each signs from its time on,
-- until the next number of its use does.
CREATE TABLE signing_keys (
    purpose    text    NOT NULL,
    number     integer NOT NULL,
    id         text    NOT NULL,
    algorithm  text    NOT NULL,
    material   text    NOT NULL,
    created_at integer NOT NULL,
    signs_from integer NOT NULL,
    PRIMARY KEY (purpose, number)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE signing_keys;
DROP TABLE session_users;
DROP TABLE sessions;
