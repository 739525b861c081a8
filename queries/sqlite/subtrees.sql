-- The ids of the nodes of one type travel as one JSON array, which each engine
-- unfolds in its own way. SQLite takes no index by name here, and would otherwise
-- read all of a tenant's memberships.

-- name: DeleteNodes :execrows
DELETE FROM nodes WHERE tenant = @tenant AND type = @type AND id IN (SELECT value FROM json_each(CAST(@ids AS text)));

-- name: DeleteMembershipsAt :execrows
DELETE FROM memberships
WHERE memberships.tenant = @tenant AND (memberships.subject_type, memberships.subject, memberships.node_type, memberships.node_id, memberships.role) IN (
    SELECT m.subject_type, m.subject, m.node_type, m.node_id, m.role
    FROM memberships m INDEXED BY memberships_by_node
    WHERE m.tenant = @tenant AND m.node_type = @node_type AND m.node_id IN (SELECT value FROM json_each(CAST(@ids AS text))));
