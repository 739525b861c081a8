-- PostgreSQL locks rows one by one: two sweeps at once take different ones.

-- name: StaleDecisions :many
SELECT tenant, id FROM decisions
WHERE decided_at < @before
ORDER BY decided_at
LIMIT CAST(@max_rows AS bigint)
FOR UPDATE SKIP LOCKED;
