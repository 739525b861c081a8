-- +goose Up

-- Names sort by code point: SQLite compares text byte by byte, and UTF-8 keeps the order.
-- Times are microseconds since 1970 in UTC; a bound that is not set is 0 (from)
-- or the largest bigint (until), so that every comparison is a plain one.

CREATE TABLE tenants (
    id         text    NOT NULL PRIMARY KEY,
    -- Raised by one in every transaction that changes the tenant. Raising it
    -- locks this row, which puts the tenant's writes in one order.
    revision   integer NOT NULL,
    created_at integer NOT NULL
) STRICT, WITHOUT ROWID;

-- A client key is kept as the SHA-256 of its lower-case form: 122 random bits
-- need no slow hash. A revoked key stays, so that it can never be opened again.
CREATE TABLE client_keys (
    hash        text    NOT NULL PRIMARY KEY,
    fingerprint text    NOT NULL UNIQUE,
    tenant      text    NOT NULL REFERENCES tenants (id),
    name        text    NOT NULL,
    abilities   text    NOT NULL,
    created_at  integer NOT NULL,
    expires_at  integer NOT NULL,
    revoked_at  integer NOT NULL,
    -- How long such a key lives from its making on, 0 for ever: what its successor
    -- gets, even when this one is to end sooner.
    lifetime    integer NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX client_keys_by_tenant ON client_keys (tenant, fingerprint);

CREATE TABLE roles (
    tenant      text NOT NULL REFERENCES tenants (id),
    name        text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    tenant     text NOT NULL,
    role       text NOT NULL,
    permission text NOT NULL,
    PRIMARY KEY (tenant, role, permission),
    FOREIGN KEY (tenant, role) REFERENCES roles (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_by_permission ON grants (tenant, permission, role);

-- A subject (a user or a group) holds a role at a node of the tenant's tree. The
-- root is the node ('tenant', '').
CREATE TABLE memberships (
    tenant       text    NOT NULL,
    subject_type text    NOT NULL CHECK (subject_type IN ('user', 'group')),
    subject      text    NOT NULL,
    node_type    text    NOT NULL,
    node_id      text    NOT NULL,
    role         text    NOT NULL,
    not_before   integer NOT NULL,
    expires_at   integer NOT NULL,
    PRIMARY KEY (tenant, subject_type, subject, node_type, node_id, role),
    FOREIGN KEY (tenant, role) REFERENCES roles (tenant, name)
) STRICT, WITHOUT ROWID;

-- The bounds are in it because SQLite would otherwise read all of a tenant's
-- memberships in the order of subjects, rather than look up each in the table.
CREATE INDEX memberships_by_role ON memberships (tenant, role, node_type, node_id, subject_type, subject, not_before, expires_at);

-- The change feed: what each revision touched, so that other servers know what to
-- read again. position orders the records of one revision.
CREATE TABLE changes (
    tenant   text    NOT NULL,
    revision integer NOT NULL,
    position integer NOT NULL,
    kind     text    NOT NULL,
    key      text    NOT NULL,
    PRIMARY KEY (tenant, revision, position)
) STRICT, WITHOUT ROWID;

-- An id is a UUID version 7: later events sort behind, and no number tells one
-- tenant how much another does. No reference to tenants: a refusal may concern one
-- that holds nothing yet.
CREATE TABLE audit_events (
    tenant      text    NOT NULL,
    id          text    NOT NULL,
    occurred_at integer NOT NULL,
    actor       text    NOT NULL,
    action      text    NOT NULL,
    resource    text    NOT NULL,
    subject     text    NOT NULL,
    outcome     text    NOT NULL,
    details     text    NOT NULL,
    ip          text    NOT NULL,
    user_agent  text    NOT NULL,
    request_id  text    NOT NULL,
    revision    integer NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE audit_events;
DROP TABLE changes;
DROP TABLE memberships;
DROP TABLE grants;
DROP TABLE roles;
DROP TABLE client_keys;
DROP TABLE tenants;
