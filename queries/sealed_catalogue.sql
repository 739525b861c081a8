-- Grants and tools' permissions in no order that means anything, to find permissions by
-- more than their whole names.

-- name: SealedGrants :many
SELECT * FROM grants
WHERE tenant = @tenant AND role >= @after_role AND (role > @after_role OR permission > @after_permission)
ORDER BY role, permission
LIMIT CAST(@max_rows AS bigint);

-- name: SealedToolPermission :one
SELECT * FROM tool_permissions WHERE tenant = @tenant AND permission = @permission;

-- name: SealedToolPermissions :many
SELECT * FROM tool_permissions
WHERE tenant = @tenant AND permission > @after
ORDER BY permission
LIMIT CAST(@max_rows AS bigint);
