-- +goose Up

-- Decisions that were made, without a revision or a place in the audit log's tree: what
-- is written here is written in batches, later, and not all of it (see engine). An id is
-- a UUID version 7 of the time of its decision, so ids are in the order of time and
-- bound it. No reference to tenants or users, for neither need be known.
CREATE TABLE decisions (
    tenant        text    NOT NULL,
    id            text    NOT NULL,
    decided_at    integer NOT NULL,
    actor         text    NOT NULL,
    subject       text    NOT NULL,
    permission    text    NOT NULL,
    -- Both empty at the root.
    resource_type text    NOT NULL,
    resource_id   text    NOT NULL,
    allowed       integer NOT NULL,
    revision      integer NOT NULL,
    details       text    NOT NULL,
    request_id    text    NOT NULL,
    ip            text    NOT NULL,
    -- What encryption at rest takes out of the other columns.
    seal          text    NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- One for each filter of the list.
CREATE INDEX decisions_by_user ON decisions (tenant, subject, id);
CREATE INDEX decisions_by_permission ON decisions (tenant, permission, id);
CREATE INDEX decisions_by_resource ON decisions (tenant, resource_type, resource_id, id);
CREATE INDEX decisions_by_answer ON decisions (tenant, allowed, id);
CREATE INDEX decisions_by_request ON decisions (tenant, request_id, id);
-- For the sweep, which is the one to look at every tenant.
CREATE INDEX decisions_by_time ON decisions (decided_at);

-- +goose Down
DROP TABLE decisions;
