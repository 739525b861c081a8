-- The ids of the nodes of one type travel as one JSON array, which each engine
-- unfolds in its own way.

-- name: DeleteNodes :execrows
DELETE FROM nodes WHERE tenant = @tenant AND type = @type AND id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@ids AS text) AS jsonb))));

-- name: DeleteMembershipsAt :execrows
DELETE FROM memberships WHERE tenant = @tenant AND node_type = @node_type AND node_id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@ids AS text) AS jsonb))));
