-- name: Revisions :many
-- The tenants travel as one JSON array, which each engine unfolds in its own way.
SELECT id, revision FROM tenants
WHERE id IN (SELECT value FROM json_each(CAST(@tenants AS text)));
