-- name: CreateMembership :execrows
INSERT INTO memberships (tenant, subject_type, subject, node_type, node_id, role, not_before, expires_at, seal)
VALUES (@tenant, @subject_type, @subject, @node_type, @node_id, @role, @not_before, @expires_at, @seal)
ON CONFLICT (tenant, subject_type, subject, node_type, node_id, role) DO NOTHING;

-- name: SetMembershipWindow :execrows
UPDATE memberships SET not_before = @not_before, expires_at = @expires_at
WHERE tenant = @tenant AND subject_type = @subject_type AND subject = @subject
  AND node_type = @node_type AND node_id = @node_id AND role = @role
  AND (not_before <> @not_before OR expires_at <> @expires_at);

-- name: DeleteMembership :execrows
DELETE FROM memberships
WHERE tenant = @tenant AND subject_type = @subject_type AND subject = @subject
  AND node_type = @node_type AND node_id = @node_id AND role = @role;

-- name: DeleteMembershipsOfSubject :execrows
DELETE FROM memberships WHERE tenant = @tenant AND subject_type = @subject_type AND subject = @subject;

-- name: MembershipOutside :one
-- The kinds of node stand in one text, a comma before and after each.
SELECT subject_type, subject, node_type, node_id, role, not_before, expires_at, seal FROM memberships
WHERE tenant = @tenant AND role = @role
  AND CAST(@kinds AS text) NOT LIKE '%,' || CASE
    WHEN node_type = 'tenant' AND node_id = '' THEN 'tenant'
    WHEN node_type IN ('organization', 'project', 'team') THEN node_type
    ELSE 'resource' END || ',%'
ORDER BY node_type, node_id, subject_type, subject
LIMIT 1;

-- name: Memberships :many
-- Users come before groups, and each kind has a keyset of its own.
SELECT subject_type, subject, role, not_before, expires_at FROM (
    SELECT m.subject_type, m.subject, m.role, m.not_before, m.expires_at FROM memberships m
    WHERE m.tenant = @tenant AND m.node_type = @node_type AND m.node_id = @node_id AND m.subject_type = 'user'
      AND CAST(@with_users AS bigint) = 1
      AND m.subject >= @after_user AND (m.subject > @after_user OR m.role > @after_user_role)
    ORDER BY m.subject, m.role LIMIT CAST(@max_rows AS bigint)) by_user
UNION ALL
SELECT subject_type, subject, role, not_before, expires_at FROM (
    SELECT m.subject_type, m.subject, m.role, m.not_before, m.expires_at FROM memberships m
    WHERE m.tenant = @tenant AND m.node_type = @node_type AND m.node_id = @node_id AND m.subject_type = 'group'
      AND m.subject >= @after_group AND (m.subject > @after_group OR m.role > @after_group_role)
    ORDER BY m.subject, m.role LIMIT CAST(@max_rows AS bigint)) by_group
ORDER BY subject_type DESC, subject, role
LIMIT CAST(@max_rows AS bigint);
