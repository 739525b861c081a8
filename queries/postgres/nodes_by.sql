-- name: NodesUnder :many
SELECT * FROM nodes
WHERE tenant = @tenant AND parent_type = @parent_type AND parent_id = @parent_id AND type = @type AND id > @after
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: DisownNodes :execrows
UPDATE nodes SET owner = '' WHERE tenant = @tenant AND owner = @owner;
