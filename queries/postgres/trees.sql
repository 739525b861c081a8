-- Not shared: PostgreSQL may join all of a tenant to the few rows that the
-- recursion has found. LATERAL with OFFSET 0 has it look up each instead. UNION in
-- every recursion, so that a circle would end.

-- name: Holdings :many
-- A user's own memberships and those of every group that the user is in.
WITH RECURSIVE member_of AS (
    SELECT gm.group_name FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'user' AND gm.member = @subject
    UNION
    SELECT up.group_name FROM member_of o CROSS JOIN LATERAL (
        SELECT gm.group_name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = o.group_name OFFSET 0) up
)
SELECT CAST('' AS text) AS group_name, m.node_type, m.node_id, m.role, m.not_before, m.expires_at
FROM memberships m
WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = @subject
UNION ALL
SELECT o.group_name, h.node_type, h.node_id, h.role, h.not_before, h.expires_at
FROM member_of o CROSS JOIN LATERAL (
    SELECT m.node_type, m.node_id, m.role, m.not_before, m.expires_at FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'group' AND m.subject = o.group_name OFFSET 0) h
ORDER BY group_name, node_type, node_id, role;

-- name: GroupsAbove :many
-- Each way from a group into another, from all groups that it is in.
WITH RECURSIVE ways AS (
    SELECT gm.member, gm.group_name FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = @group_name
    UNION
    SELECT up.member, up.group_name FROM ways w CROSS JOIN LATERAL (
        SELECT gm.member, gm.group_name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = w.group_name OFFSET 0) up
)
SELECT member, group_name FROM ways
ORDER BY member, group_name;

-- name: RolesAbove :many
-- Some roles and those that they inherit from, nearest first: one row for each parent,
-- and one without where there is none; max_roles counts roles.
WITH RECURSIVE above AS (
    SELECT r.name FROM roles r
    WHERE r.tenant = @tenant AND r.name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb))))
    UNION
    SELECT up.parent FROM above a CROSS JOIN LATERAL (
        SELECT p.parent FROM role_parents p WHERE p.tenant = @tenant AND p.role = a.name OFFSET 0) up
)
SELECT nearest.name AS role, CAST(coalesce(p.parent, '') AS text) AS parent
FROM (SELECT name FROM above LIMIT CAST(@max_roles AS bigint)) nearest
LEFT JOIN role_parents p ON p.tenant = @tenant AND p.role = nearest.name
ORDER BY nearest.name, p.parent;

-- name: NodesBelow :many
-- All that lies below a node, at any depth.
WITH RECURSIVE below AS (
    SELECT n.type, n.id FROM nodes n
    WHERE n.tenant = @tenant AND n.parent_type = @type AND n.parent_id = @id
    UNION
    SELECT child.type, child.id FROM below b CROSS JOIN LATERAL (
        SELECT n.type, n.id FROM nodes n
        WHERE n.tenant = @tenant AND n.parent_type = b.type AND n.parent_id = b.id OFFSET 0) child
)
SELECT type, id FROM below
ORDER BY type, id;
