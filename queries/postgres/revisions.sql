-- name: Revisions :many
-- The tenants travel as one JSON array, which each engine unfolds in its own way.
SELECT id, revision FROM tenants
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@tenants AS text) AS jsonb))));
