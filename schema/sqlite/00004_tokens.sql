-- +goose Up

-- A family of tokens: those that came of one request for them. Like sessions, families
-- have no revision, and each is changed by comparing and swapping its own row.
CREATE TABLE token_families (
    tenant       text    NOT NULL,
    id           text    NOT NULL,
    -- The hash of the client key that the tokens were given to.
    client_key   text    NOT NULL,
    -- The user that they speak for; empty for none.
    subject      text    NOT NULL,
    abilities    text    NOT NULL,
    -- SHA-256 of what every refresh token of the family begins with, and of the current one.
    handle       text    NOT NULL,
    current      text    NOT NULL,
    generation   integer NOT NULL,
    created_at   integer NOT NULL,
    refreshed_at integer NOT NULL,
    -- When the current refresh token expires, and when the last token does.
    expires_at   integer NOT NULL,
    tokens_until integer NOT NULL,
    -- The largest integer for a family that has not been ended.
    ended_at     integer NOT NULL,
    end_reason   text    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX token_families_by_handle ON token_families (tenant, handle);
CREATE INDEX live_token_families_by_subject ON token_families (tenant, subject) WHERE ended_at = 9223372036854775807;
-- For the sweep, which is the one to look at every tenant.
CREATE INDEX token_families_by_sweep ON token_families (tokens_until);

-- +goose Down
DROP TABLE token_families;
