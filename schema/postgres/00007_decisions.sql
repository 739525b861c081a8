-- +goose Up

-- Decisions that were made, without a revision or a place in the audit log's tree: what
-- is written here is written in batches, later, and not all of it (see engine). An id is
-- a UUID version 7 of the time of its decision, so ids are in the order of time and
-- bound it. No reference to tenants or users, for neither need be known.
CREATE TABLE decisions (
    tenant        text   COLLATE "C" NOT NULL,
    id            text   COLLATE "C" NOT NULL,
    decided_at    bigint NOT NULL,
    actor         text   COLLATE "C" NOT NULL,
    subject       text   COLLATE "C" NOT NULL,
    permission    text   COLLATE "C" NOT NULL,
    -- Both empty at the root.
    resource_type text   COLLATE "C" NOT NULL,
    resource_id   text   COLLATE "C" NOT NULL,
    allowed       bigint NOT NULL,
    revision      bigint NOT NULL,
    details       text   COLLATE "C" NOT NULL,
    request_id    text   COLLATE "C" NOT NULL,
    ip            text   COLLATE "C" NOT NULL,
    -- What encryption at rest takes out of the other columns.
    seal          text   COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, id)
);

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
