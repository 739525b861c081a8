-- name: SetGrant :execrows
INSERT INTO grants (tenant, role, permission, condition, seal) VALUES (@tenant, @role, @permission, @condition, @seal)
ON CONFLICT (tenant, role, permission) DO UPDATE SET condition = excluded.condition
WHERE grants.condition <> excluded.condition;

-- name: DeleteGrant :execrows
DELETE FROM grants WHERE tenant = @tenant AND role = @role AND permission = @permission;

-- name: DeleteGrantsOfRole :execrows
DELETE FROM grants WHERE tenant = @tenant AND role = @role;

-- name: Grant :one
SELECT permission, condition, seal FROM grants
WHERE tenant = @tenant AND role = @role AND permission = @permission;

-- name: Grants :many
SELECT permission, condition, seal FROM grants
WHERE tenant = @tenant AND role = @role AND permission > @after
ORDER BY permission
LIMIT CAST(@max_rows AS bigint);

-- name: AllGrants :many
SELECT role, permission, condition, seal FROM grants
WHERE tenant = @tenant
ORDER BY role, permission;
