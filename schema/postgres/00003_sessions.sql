-- +goose Up

-- Sessions have no revision: each is changed by comparing and swapping its own row.
-- No reference to tenants or users, for neither need be known.
CREATE TABLE sessions (
    tenant          text   COLLATE "C" NOT NULL,
    id              text   COLLATE "C" NOT NULL,
    subject         text   COLLATE "C" NOT NULL,
    epoch           bigint NOT NULL,
    generation      bigint NOT NULL,
    -- When former generations were superseded, as JSON: [[up to, microseconds], …].
    recent          text   COLLATE "C" NOT NULL,
    confirmed       bigint NOT NULL,
    recovered       bigint NOT NULL,
    replays         bigint NOT NULL,
    created_at      bigint NOT NULL,
    rotated_at      bigint NOT NULL,
    idle_expires_at bigint NOT NULL,
    expires_at      bigint NOT NULL,
    ip              text   COLLATE "C" NOT NULL,
    user_agent      text   COLLATE "C" NOT NULL,
    binding         text   COLLATE "C" NOT NULL CHECK (binding IN ('strict', 'standard', 'off')),
    -- The largest integer for a session that has not been ended.
    ended_at        bigint NOT NULL,
    -- When the sweep looks at the session next: at its idle expiry, or before. A rotation
    -- leaves it as it is, and so changes nothing that an index holds.
    sweep_at        bigint NOT NULL,
    end_reason      text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
)
-- Room on each page for a row's next version, which then needs no index entry (HOT).
WITH (fillfactor = 70);

CREATE INDEX sessions_by_user ON sessions (tenant, subject, id);
-- A user may have many sessions that have ended, and few that have not.
CREATE INDEX live_sessions_by_user ON sessions (tenant, subject, id) WHERE ended_at = 9223372036854775807;
-- For the sweep, which is the one to look at every tenant.
CREATE INDEX live_sessions_by_sweep ON sessions (sweep_at) WHERE ended_at = 9223372036854775807;
CREATE INDEX ended_sessions_by_sweep ON sessions (sweep_at) WHERE ended_at < 9223372036854775807;

-- A user's epoch is raised when all of the user's sessions end; the row outlives the
-- user, so that nothing brings an older session back.
CREATE TABLE session_users (
    tenant text   COLLATE "C" NOT NULL,
    name   text   COLLATE "C" NOT NULL,
    epoch  bigint NOT NULL,
    PRIMARY KEY (tenant, name)
);

-- Keys that sign tokens: of all servers and tenants. Each signs from its time on,
-- until the next number of its use does.
CREATE TABLE signing_keys (
    purpose    text   COLLATE "C" NOT NULL,
    number     bigint NOT NULL,
    id         text   COLLATE "C" NOT NULL,
    algorithm  text   COLLATE "C" NOT NULL,
    material   text   COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    signs_from bigint NOT NULL,
    PRIMARY KEY (purpose, number)
);

-- +goose Down
DROP TABLE signing_keys;
DROP TABLE session_users;
DROP TABLE sessions;
