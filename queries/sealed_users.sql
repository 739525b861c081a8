-- name: SealedInactiveUsers :many
SELECT * FROM users
WHERE tenant = @tenant AND active = 0 AND name > @after
ORDER BY name
LIMIT CAST(@max_rows AS bigint);
