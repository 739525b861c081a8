-- name: CreateGrant :execrows
INSERT INTO grants (tenant, role, permission) VALUES (@tenant, @role, @permission)
ON CONFLICT (tenant, role, permission) DO NOTHING;

-- name: DeleteGrant :execrows
DELETE FROM grants WHERE tenant = @tenant AND role = @role AND permission = @permission;

-- name: DeleteGrantsOfRole :execrows
DELETE FROM grants WHERE tenant = @tenant AND role = @role;

-- name: RolePermissions :many
SELECT permission FROM grants
WHERE tenant = @tenant AND role = @role AND permission > @after
ORDER BY permission
LIMIT CAST(@max_rows AS bigint);

-- name: UserPermissions :many
-- CROSS JOIN has SQLite begin with the user's few roles, not with all grants.
SELECT DISTINCT g.permission FROM (
    SELECT m.role FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = @subject
      AND m.node_type = 'tenant' AND m.node_id = ''
      AND m.not_before <= @at AND m.expires_at > @at
    UNION ALL SELECT CAST(@everyone AS text) AS role) held
CROSS JOIN grants g
WHERE g.tenant = @tenant AND g.role = held.role AND g.permission > @after
ORDER BY g.permission
LIMIT CAST(@max_rows AS bigint);

-- name: CountUserPermissions :one
SELECT CAST(count(DISTINCT g.permission) AS bigint) FROM (
    SELECT m.role FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = @subject
      AND m.node_type = 'tenant' AND m.node_id = ''
      AND m.not_before <= @at AND m.expires_at > @at
    UNION ALL SELECT CAST(@everyone AS text) AS role) held
CROSS JOIN grants g
WHERE g.tenant = @tenant AND g.role = held.role;
