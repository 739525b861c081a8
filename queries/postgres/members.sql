-- A list travels as one JSON array, which each engine unfolds in its own way; that
-- is why these queries are not shared.

-- name: Members :many
-- Users who hold a role themselves, and those of the groups that do. The keyset
-- and the limit are in each part, so that a page reads at most so many of each role
-- and group. LATERAL, and OFFSET 0, keep PostgreSQL from joining the whole tenant.
WITH RECURSIVE held AS (
    SELECT m.subject AS group_name, m.role FROM memberships m
    WHERE m.tenant = @tenant AND m.role = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb))))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'group'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT inner_group.name, h.role FROM held h CROSS JOIN LATERAL (
        SELECT gm.member AS name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'group' OFFSET 0) inner_group
)
SELECT subject, role FROM (
    SELECT one.subject, one.role FROM (
        SELECT DISTINCT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb)) AS name) wanted
    CROSS JOIN LATERAL (
        SELECT m.subject, m.role FROM memberships m
        WHERE m.tenant = @tenant AND m.role = wanted.name
          AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'user'
          AND m.not_before <= @at AND m.expires_at > @at
          AND m.subject >= @after_subject AND (m.subject > @after_subject OR m.role > @after_role)
          AND (CAST(@active_only AS bigint) = 0 OR coalesce((
            SELECT u.active FROM users u WHERE u.tenant = @tenant AND u.name = m.subject), 1) = 1)
        ORDER BY m.subject LIMIT CAST(@max_rows AS bigint)) one) themselves
UNION
SELECT subject, role FROM (
    SELECT DISTINCT one.subject, h.role FROM held h CROSS JOIN LATERAL (
        SELECT gm.member AS subject FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'user'
          AND gm.member >= @after_subject AND (gm.member > @after_subject OR h.role > CAST(@after_role AS text))
          AND (CAST(@active_only AS bigint) = 0 OR coalesce((
            SELECT u.active FROM users u WHERE u.tenant = @tenant AND u.name = gm.member), 1) = 1)
        ORDER BY gm.member LIMIT CAST(@max_rows AS bigint)) one) by_group
ORDER BY subject, role
LIMIT CAST(@max_rows AS bigint);

-- name: CountMembers :one
WITH RECURSIVE held AS (
    SELECT m.subject AS group_name, m.role FROM memberships m
    WHERE m.tenant = @tenant AND m.role = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb))))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'group'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT inner_group.name, h.role FROM held h CROSS JOIN LATERAL (
        SELECT gm.member AS name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'group' OFFSET 0) inner_group
)
SELECT CAST(count(*) AS bigint) FROM (
    SELECT m.subject, m.role FROM memberships m
    WHERE m.tenant = @tenant AND m.role = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb))))
      AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'user'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT one.subject, h.role FROM held h CROSS JOIN LATERAL (
        SELECT gm.member AS subject FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'user' OFFSET 0) one) pairs
WHERE CAST(@active_only AS bigint) = 0 OR coalesce((
    SELECT u.active FROM users u WHERE u.tenant = @tenant AND u.name = pairs.subject), 1) = 1;
