-- name: SealedNodesOwned :many
SELECT * FROM nodes WHERE tenant = @tenant AND owner = @owner
ORDER BY type, id
LIMIT CAST(@max_rows AS bigint);
