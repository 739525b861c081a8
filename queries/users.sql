-- name: SetUser :execrows
INSERT INTO users (tenant, name, active, properties, seal) VALUES (@tenant, @name, @active, @properties, @seal)
ON CONFLICT (tenant, name) DO UPDATE SET active = excluded.active, properties = excluded.properties
WHERE users.active <> excluded.active OR users.properties <> excluded.properties;

-- name: DeleteUser :execrows
DELETE FROM users WHERE tenant = @tenant AND name = @name;

-- name: User :one
SELECT name, active, properties, seal FROM users WHERE tenant = @tenant AND name = @name;

-- name: Users :many
SELECT name, active, properties, seal FROM users
WHERE tenant = @tenant AND name > @after
ORDER BY name
LIMIT CAST(@max_rows AS bigint);
