-- Apart from PostgreSQL's, which locks what it finds.

-- name: StaleDecisions :many
SELECT tenant, id FROM decisions
WHERE decided_at < @before
ORDER BY decided_at
LIMIT CAST(@max_rows AS bigint);
