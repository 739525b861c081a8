-- name: SetNode :execrows
-- No two seals are alike, and plain rows have none.
INSERT INTO nodes (tenant, type, id, parent_type, parent_id, name, owner, properties, seal)
VALUES (@tenant, @type, @id, @parent_type, @parent_id, @name, @owner, @properties, @seal)
ON CONFLICT (tenant, type, id) DO UPDATE SET
    parent_type = excluded.parent_type, parent_id = excluded.parent_id,
    name = excluded.name, owner = excluded.owner, properties = excluded.properties, seal = excluded.seal
WHERE nodes.parent_type <> excluded.parent_type OR nodes.parent_id <> excluded.parent_id
   OR nodes.name <> excluded.name OR nodes.owner <> excluded.owner OR nodes.properties <> excluded.properties
   OR nodes.seal <> excluded.seal;

-- name: Node :one
SELECT * FROM nodes WHERE tenant = @tenant AND type = @type AND id = @id;

-- name: Nodes :many
SELECT * FROM nodes
WHERE tenant = @tenant AND type = @type AND id > @after
ORDER BY id
LIMIT CAST(@max_rows AS bigint);
