-- name: CreateChange :exec
INSERT INTO changes (tenant, revision, position, kind, key)
VALUES (@tenant, @revision, @position, @kind, @key);

-- name: ChangesAfter :many
SELECT revision, kind, key FROM changes
WHERE tenant = @tenant AND revision > @after
ORDER BY revision, position
LIMIT CAST(@max_rows AS bigint);
