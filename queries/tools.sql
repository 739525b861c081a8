-- name: SetTool :execrows
-- No two seals are alike, and plain rows have none.
INSERT INTO tools (tenant, name, description, seal) VALUES (@tenant, @name, @description, @seal)
ON CONFLICT (tenant, name) DO UPDATE SET description = excluded.description, seal = excluded.seal
WHERE tools.description <> excluded.description OR tools.seal <> excluded.seal;

-- name: DeleteTool :execrows
DELETE FROM tools WHERE tenant = @tenant AND name = @name;

-- name: SetToolPermission :execrows
INSERT INTO tool_permissions (tenant, permission, tool, description, seal)
VALUES (@tenant, @permission, @tool, @description, @seal)
ON CONFLICT (tenant, permission) DO UPDATE SET description = excluded.description
WHERE tool_permissions.tool = excluded.tool AND tool_permissions.description <> excluded.description;

-- name: DeleteToolPermission :execrows
DELETE FROM tool_permissions WHERE tenant = @tenant AND permission = @permission AND tool = @tool;

-- name: DeletePermissionsOfTool :execrows
DELETE FROM tool_permissions WHERE tenant = @tenant AND tool = @tool;

-- name: Tool :many
-- One row for each permission, and one without where there is none.
SELECT t.name, t.description, t.seal, CAST(coalesce(p.permission, '') AS text) AS permission,
    CAST(coalesce(p.description, '') AS text) AS permission_description, CAST(coalesce(p.seal, '') AS text) AS permission_seal
FROM tools t LEFT JOIN tool_permissions p ON p.tenant = t.tenant AND p.tool = t.name
WHERE t.tenant = @tenant AND t.name = @name
ORDER BY permission;

-- name: Tools :many
-- The rows of each tool are as in Tool; max_rows counts tools.
SELECT t.name, t.description, t.seal, CAST(coalesce(p.permission, '') AS text) AS permission,
    CAST(coalesce(p.description, '') AS text) AS permission_description, CAST(coalesce(p.seal, '') AS text) AS permission_seal
FROM (
    SELECT tools.tenant, tools.name, tools.description, tools.seal FROM tools
    WHERE tools.tenant = @tenant AND tools.name > @after
    ORDER BY tools.name LIMIT CAST(@max_rows AS bigint)) t
LEFT JOIN tool_permissions p ON p.tenant = t.tenant AND p.tool = t.name
ORDER BY t.name, permission;

-- name: DefiningTool :one
SELECT tool FROM tool_permissions
WHERE tenant = @tenant AND permission >= @lowest AND permission <= @highest
ORDER BY permission
LIMIT 1;

-- name: Catalogue :many
-- One row for each role that is granted a permission, and one without where there
-- is none; max_rows counts permissions.
SELECT c.permission, CAST(coalesce(p.tool, '') AS text) AS tool, CAST(coalesce(p.description, '') AS text) AS description,
    CAST(coalesce(g.role, '') AS text) AS role
FROM (
    SELECT permission FROM (
        SELECT d.permission FROM tool_permissions d WHERE d.tenant = @tenant AND d.permission > @after
        ORDER BY d.permission LIMIT CAST(@max_rows AS bigint)) defined
    UNION
    SELECT permission FROM (
        SELECT DISTINCT a.permission FROM grants a WHERE a.tenant = @tenant AND a.permission > @after
        ORDER BY a.permission LIMIT CAST(@max_rows AS bigint)) granted
    ORDER BY permission LIMIT CAST(@max_rows AS bigint)) c
LEFT JOIN tool_permissions p ON p.tenant = @tenant AND p.permission = c.permission
LEFT JOIN grants g ON g.tenant = @tenant AND g.permission = c.permission
ORDER BY c.permission, role;
