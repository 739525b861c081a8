-- +goose Up

-- Names sort by code point on every engine, so text columns use the C collation.
-- Times are microseconds since 1970 in UTC; a bound that is not set is 0 (from)
-- or the largest bigint (until), so that every comparison is a plain one.

CREATE TABLE tenants (
    id         text   COLLATE "C" NOT NULL PRIMARY KEY,
    -- Raised by one in every transaction that changes the tenant. Raising it
    -- locks this row, which puts the tenant's writes in one order.
    revision   bigint NOT NULL,
    created_at bigint NOT NULL
);

-- A client key is kept as the SHA-256 of its lower-case form: 122 random bits
-- need no slow hash. A revoked key stays, so that it can never be opened again.
CREATE TABLE client_keys (
    hash        text   COLLATE "C" NOT NULL PRIMARY KEY,
    fingerprint text   COLLATE "C" NOT NULL UNIQUE,
    tenant      text   COLLATE "C" NOT NULL REFERENCES tenants (id),
    name        text   COLLATE "C" NOT NULL,
    abilities   text   COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    expires_at  bigint NOT NULL,
    revoked_at  bigint NOT NULL,
    -- How long such a key lives from its making on, 0 for ever: what its successor
    -- gets, even when this one is to end sooner.
    lifetime    bigint NOT NULL
);

CREATE INDEX client_keys_by_tenant ON client_keys (tenant, fingerprint);

CREATE TABLE roles (
    tenant      text COLLATE "C" NOT NULL REFERENCES tenants (id),
    name        text COLLATE "C" NOT NULL,
    description text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE grants (
    tenant     text COLLATE "C" NOT NULL,
    role       text COLLATE "C" NOT NULL,
    permission text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, role, permission),
    FOREIGN KEY (tenant, role) REFERENCES roles (tenant, name)
);

CREATE INDEX grants_by_permission ON grants (tenant, permission, role);

-- A subject (a user or a group) holds a role at a node of the tenant's tree. The
-- root is the node ('tenant', '').
CREATE TABLE memberships (
    tenant       text   COLLATE "C" NOT NULL,
    subject_type text   COLLATE "C" NOT NULL CHECK (subject_type IN ('user', 'group')),
    subject      text   COLLATE "C" NOT NULL,
    node_type    text   COLLATE "C" NOT NULL,
    node_id      text   COLLATE "C" NOT NULL,
    role         text   COLLATE "C" NOT NULL,
    not_before   bigint NOT NULL,
    expires_at   bigint NOT NULL,
    PRIMARY KEY (tenant, subject_type, subject, node_type, node_id, role),
    FOREIGN KEY (tenant, role) REFERENCES roles (tenant, name)
);

CREATE INDEX memberships_by_role ON memberships (tenant, role, node_type, node_id, subject_type, subject);

-- The change feed: what each revision touched, so that other servers know what to
-- read again. position orders the records of one revision.
CREATE TABLE changes (
    tenant   text   COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    position bigint NOT NULL,
    kind     text   COLLATE "C" NOT NULL,
    key      text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, revision, position)
);

-- An id is a UUID version 7: later events sort behind, and no number tells one
-- tenant how much another does. No reference to tenants: a refusal may concern one
-- that holds nothing yet.
CREATE TABLE audit_events (
    tenant      text   COLLATE "C" NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    occurred_at bigint NOT NULL,
    actor       text   COLLATE "C" NOT NULL,
    action      text   COLLATE "C" NOT NULL,
    resource    text   COLLATE "C" NOT NULL,
    subject     text   COLLATE "C" NOT NULL,
    outcome     text   COLLATE "C" NOT NULL,
    details     text   COLLATE "C" NOT NULL,
    ip          text   COLLATE "C" NOT NULL,
    user_agent  text   COLLATE "C" NOT NULL,
    request_id  text   COLLATE "C" NOT NULL,
    revision    bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- +goose Down
DROP TABLE audit_events;
DROP TABLE changes;
DROP TABLE memberships;
DROP TABLE grants;
DROP TABLE roles;
DROP TABLE client_keys;
DROP TABLE tenants;
