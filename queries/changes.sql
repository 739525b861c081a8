-- name: CreateChange :exec
INSERT INTO changes (tenant, revision, position, kind, key, seal)
VALUES (@tenant, @revision, @position, @kind, @key, @seal);

-- name: ChangesAfter :many
SELECT revision, position, kind, key, seal FROM changes
WHERE tenant = @tenant AND revision > @after
ORDER BY revision, position
LIMIT CAST(@max_rows AS bigint);
