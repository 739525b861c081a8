-- name: CreateRole :execrows
INSERT INTO roles (tenant, name, description, seal) VALUES (@tenant, @name, @description, @seal)
ON CONFLICT (tenant, name) DO NOTHING;

-- name: SetRole :execrows
-- No two seals are alike, and plain rows have none.
INSERT INTO roles (tenant, name, description, scopes, seal) VALUES (@tenant, @name, @description, @scopes, @seal)
ON CONFLICT (tenant, name) DO UPDATE SET description = excluded.description, scopes = excluded.scopes, seal = excluded.seal
WHERE roles.description <> excluded.description OR roles.scopes <> excluded.scopes OR roles.seal <> excluded.seal;

-- name: SetRoleDescription :execrows
UPDATE roles SET description = @description
WHERE tenant = @tenant AND name = @name AND description <> @description;

-- name: DeleteRole :execrows
DELETE FROM roles WHERE tenant = @tenant AND name = @name;

-- name: Role :many
-- One row for each parent, and one without where there is none.
SELECT r.description, r.scopes, r.seal, CAST(coalesce(p.parent, '') AS text) AS parent
FROM roles r LEFT JOIN role_parents p ON p.tenant = r.tenant AND p.role = r.name
WHERE r.tenant = @tenant AND r.name = @name
ORDER BY parent;

-- name: Roles :many
-- Built-in roles, whose names begin with an at sign, are not listed.
SELECT name, description, scopes, seal FROM roles
WHERE tenant = @tenant AND name > @after AND substr(name, 1, 1) <> CAST(@builtin_prefix AS text)
ORDER BY name
LIMIT CAST(@max_rows AS bigint);

-- name: AllRoles :many
SELECT name FROM roles WHERE tenant = @tenant ORDER BY name;

-- name: CreateRoleParent :execrows
INSERT INTO role_parents (tenant, role, parent) VALUES (@tenant, @role, @parent)
ON CONFLICT (tenant, role, parent) DO NOTHING;

-- name: DeleteRoleParent :execrows
DELETE FROM role_parents WHERE tenant = @tenant AND role = @role AND parent = @parent;

-- name: DeleteParentsOfRole :execrows
DELETE FROM role_parents WHERE tenant = @tenant AND role = @role;

-- name: DeleteChildrenOfRole :execrows
DELETE FROM role_parents WHERE tenant = @tenant AND parent = @parent;

-- name: AllRoleParents :many
SELECT role, parent FROM role_parents
WHERE tenant = @tenant
ORDER BY role, parent;
