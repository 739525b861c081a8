-- A list travels as one JSON array, which each engine unfolds in its own way; that
-- is why these queries are not shared.

-- name: Members :many
-- Users who hold a role themselves, and those of the groups that do. The keyset
-- and the limit are in each part, so that a page does not read all members.
WITH RECURSIVE held AS (
    SELECT m.subject AS group_name, m.role FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role IN (SELECT value FROM json_each(CAST(@roles AS text)))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'group'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT gm.member AS group_name, h.role FROM held h CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'group'
)
SELECT subject, role FROM (
    SELECT m.subject, m.role FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role IN (SELECT value FROM json_each(CAST(@roles AS text)))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'user'
      AND m.not_before <= @at AND m.expires_at > @at
      AND m.subject >= @after_subject AND (m.subject > @after_subject OR m.role > @after_role)
      AND (CAST(@active_only AS bigint) = 0 OR coalesce((
    SELECT u.active FROM users u WHERE u.tenant = @tenant AND u.name = m.subject), 1) = 1)
    ORDER BY m.subject, m.role LIMIT CAST(@max_rows AS bigint)) themselves
UNION
SELECT subject, role FROM (
    SELECT DISTINCT gm.member AS subject, h.role FROM held h CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'user'
      AND gm.member >= @after_subject AND (gm.member > @after_subject OR h.role > CAST(@after_role AS text))
      AND (CAST(@active_only AS bigint) = 0 OR coalesce((
    SELECT u.active FROM users u WHERE u.tenant = @tenant AND u.name = gm.member), 1) = 1)
    ORDER BY gm.member, h.role LIMIT CAST(@max_rows AS bigint)) by_group
ORDER BY subject, role
LIMIT CAST(@max_rows AS bigint);

-- name: CountMembers :one
WITH RECURSIVE held AS (
    SELECT m.subject AS group_name, m.role FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role IN (SELECT value FROM json_each(CAST(@roles AS text)))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'group'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT gm.member AS group_name, h.role FROM held h CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'group'
)
SELECT CAST(count(*) AS bigint) FROM (
    SELECT m.subject, m.role FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role IN (SELECT value FROM json_each(CAST(@roles AS text)))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'user'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT gm.member AS subject, h.role FROM held h CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'user') pairs
WHERE CAST(@active_only AS bigint) = 0 OR coalesce((
    SELECT u.active FROM users u WHERE u.tenant = @tenant AND u.name = pairs.subject), 1) = 1;
