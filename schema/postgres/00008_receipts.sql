-- +goose Up

-- What requests with an Idempotency-Key were answered (see internal/receipt). An id is a
-- hash over the tenant too. What is kept is sealed with what only the caller has, so
-- encryption at rest has nothing to do here. No reference to tenants, for a request that
-- changed nothing has made none.
CREATE TABLE receipts (
    tenant     text   COLLATE "C" NOT NULL,
    id         text   COLLATE "C" NOT NULL,
    sealed     text   COLLATE "C" NOT NULL,
    kept_at    bigint NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- For the sweep, which is the one to look at every tenant.
CREATE INDEX receipts_by_expiry ON receipts (expires_at);

-- +goose Down
DROP TABLE receipts;
