-- Not shared: SQLite would otherwise read all nodes, or all of a type, in the order
-- of the table.

-- name: NodesUnder :many
SELECT * FROM nodes INDEXED BY nodes_by_parent
WHERE tenant = @tenant AND parent_type = @parent_type AND parent_id = @parent_id AND type = @type AND id > @after
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: DisownNodes :execrows
UPDATE nodes SET owner = '' WHERE nodes.tenant = @tenant AND (nodes.type, nodes.id) IN (
    SELECT n.type, n.id FROM nodes n INDEXED BY nodes_by_owner WHERE n.tenant = @tenant AND n.owner = @owner);
