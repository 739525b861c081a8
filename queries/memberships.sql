-- name: CreateMembership :execrows
INSERT INTO memberships (tenant, subject_type, subject, node_type, node_id, role, not_before, expires_at)
VALUES (@tenant, 'user', @subject, 'tenant', '', @role, @not_before, @expires_at)
ON CONFLICT (tenant, subject_type, subject, node_type, node_id, role) DO NOTHING;

-- name: SetMembershipWindow :execrows
UPDATE memberships SET not_before = @not_before, expires_at = @expires_at
WHERE tenant = @tenant AND subject_type = 'user' AND subject = @subject
  AND node_type = 'tenant' AND node_id = '' AND role = @role
  AND (not_before <> @not_before OR expires_at <> @expires_at);

-- name: DeleteMembership :execrows
DELETE FROM memberships
WHERE tenant = @tenant AND subject_type = 'user' AND subject = @subject
  AND node_type = 'tenant' AND node_id = '' AND role = @role;

-- name: DeleteMembershipsOfRole :execrows
DELETE FROM memberships WHERE tenant = @tenant AND role = @role;

-- name: CheckMembership :one
SELECT t.revision, CAST(CASE WHEN EXISTS (
    SELECT 1 FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = @subject
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.role = @role
      AND m.not_before <= @at AND m.expires_at > @at
) THEN 1 ELSE 0 END AS bigint) AS allowed
FROM tenants t WHERE t.id = @tenant;

-- name: UserRoles :many
SELECT role FROM memberships
WHERE tenant = @tenant AND subject_type = 'user' AND subject = @subject
  AND node_type = 'tenant' AND node_id = '' AND role > @after
  AND not_before <= @at AND expires_at > @at
ORDER BY role
LIMIT CAST(@max_rows AS bigint);

-- name: Members :many
SELECT subject FROM memberships
WHERE tenant = @tenant AND role = @role AND node_type = 'tenant' AND node_id = ''
  AND subject_type = 'user' AND subject > @after
  AND not_before <= @at AND expires_at > @at
ORDER BY subject
LIMIT CAST(@max_rows AS bigint);
