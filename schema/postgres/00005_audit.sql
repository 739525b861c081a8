-- +goose Up

-- The salt is random, so that the hash of an event's leaf, which outlives the event,
-- tells nothing of it. The place of the event in the tenant's Merkle tree is -1 until it has one.
ALTER TABLE audit_events ADD COLUMN salt text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN seq bigint NOT NULL DEFAULT -1;

CREATE INDEX audit_events_pending ON audit_events (tenant, id) WHERE seq < 0;
CREATE UNIQUE INDEX audit_events_by_seq ON audit_events (tenant, seq) WHERE seq >= 0;

-- What a filter finds, newest first. A resource may be longer than an index can hold.
CREATE INDEX audit_events_by_subject ON audit_events (tenant, subject, id) WHERE subject <> '';
CREATE INDEX audit_events_by_action ON audit_events (tenant, action, id);
CREATE INDEX audit_events_by_resource ON audit_events (tenant, substr(resource, 1, 256), id);
CREATE INDEX audit_events_by_request ON audit_events (tenant, substr(request_id, 1, 256), id) WHERE request_id <> '';
CREATE INDEX audit_events_refused ON audit_events (tenant, id) WHERE outcome = 'refused';

-- How far a tenant's tree goes. Whoever lengthens it locks this row.
CREATE TABLE audit_heads (
    tenant       text COLLATE "C" NOT NULL PRIMARY KEY,
    -- How many leaves the tree has.
    size         bigint NOT NULL,
    -- Below this place the events have been pruned, or are about to be.
    pruned       bigint NOT NULL,
    -- The sizes of the newest checkpoint, and of the newest in the checkpoint file.
    checkpointed bigint NOT NULL,
    filed        bigint NOT NULL
);

CREATE INDEX audit_heads_unsigned ON audit_heads (tenant) WHERE checkpointed < size;
CREATE INDEX audit_heads_unfiled ON audit_heads (tenant) WHERE filed < checkpointed;

-- The tree in tiles of 256 hashes of 32 bytes: level 0 holds those of leaves, each further
-- level those of full tiles below. Only the last tile of a level grows.
CREATE TABLE audit_tiles (
    tenant text COLLATE "C" NOT NULL,
    level  bigint NOT NULL,
    number bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (tenant, level, number)
);

-- Signed notes (C2SP tlog-checkpoint).
CREATE TABLE audit_checkpoints (
    tenant     text COLLATE "C" NOT NULL,
    size       bigint NOT NULL,
    note       text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (tenant, size)
);

-- What one server at a time does, until it lets go or the time comes.
CREATE TABLE leases (
    name       text COLLATE "C" NOT NULL PRIMARY KEY,
    holder     text COLLATE "C" NOT NULL,
    expires_at bigint NOT NULL
);

-- +goose Down
DROP TABLE leases;
DROP TABLE audit_checkpoints;
DROP TABLE audit_tiles;
DROP TABLE audit_heads;
DROP INDEX audit_events_refused;
DROP INDEX audit_events_by_request;
DROP INDEX audit_events_by_resource;
DROP INDEX audit_events_by_action;
DROP INDEX audit_events_by_subject;
DROP INDEX audit_events_by_seq;
DROP INDEX audit_events_pending;
ALTER TABLE audit_events DROP COLUMN seq;
ALTER TABLE audit_events DROP COLUMN salt;
