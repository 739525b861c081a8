-- Not shared: SQLite would otherwise read all nodes in the order of the table.

-- name: SealedNodesOwned :many
SELECT * FROM nodes INDEXED BY nodes_by_owner WHERE tenant = @tenant AND owner = @owner
ORDER BY type, id
LIMIT CAST(@max_rows AS bigint);
