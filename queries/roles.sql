-- name: CreateRole :execrows
INSERT INTO roles (tenant, name, description) VALUES (@tenant, @name, @description)
ON CONFLICT (tenant, name) DO NOTHING;

-- name: SetRoleDescription :execrows
UPDATE roles SET description = @description
WHERE tenant = @tenant AND name = @name AND description <> @description;

-- name: CountRole :one
SELECT CAST(count(*) AS bigint) FROM roles WHERE tenant = @tenant AND name = @name;

-- name: DeleteRole :execrows
DELETE FROM roles WHERE tenant = @tenant AND name = @name;

-- name: Roles :many
-- Built-in roles, whose names begin with an at sign, are not listed.
SELECT name, description FROM roles
WHERE tenant = @tenant AND name > @after AND substr(name, 1, 1) <> CAST(@builtin_prefix AS text)
ORDER BY name
LIMIT CAST(@max_rows AS bigint);
