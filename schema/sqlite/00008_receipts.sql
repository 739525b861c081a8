-- +goose Up

-- What requests with an Idempotency-Key were answered (see internal/receipt). An id is a
-- hash over the tenant too. What is kept is sealed with what only the caller has, so
-- encryption at rest has nothing to do here. No reference to tenants, for a request that
-- changed nothing has made none.
CREATE TABLE receipts (
    tenant     text    NOT NULL,
    id         text    NOT NULL,
    sealed     text    NOT NULL,
    kept_at    integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- For the sweep, which is the one to look at every tenant.
CREATE INDEX receipts_by_expiry ON receipts (expires_at);

-- +goose Down
DROP TABLE receipts;
