-- Not shared: CROSS JOIN has SQLite begin with the few rows that the recursion has
-- found. UNION in every recursion, so that a circle would end.

-- name: Holdings :many
-- A user's own memberships and those of every group that the user is in.
WITH RECURSIVE member_of AS (
    SELECT gm.group_name FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'user' AND gm.member = @subject
    UNION
    SELECT gm.group_name FROM member_of o CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = o.group_name
)
SELECT CAST('' AS text) AS group_name, m.node_type, m.node_id, m.role, m.not_before, m.expires_at
FROM memberships m
WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = @subject
UNION ALL
SELECT m.subject AS group_name, m.node_type, m.node_id, m.role, m.not_before, m.expires_at
FROM member_of o CROSS JOIN memberships m
WHERE m.tenant = @tenant AND m.subject_type = 'group' AND m.subject = o.group_name
ORDER BY group_name, node_type, node_id, role;

-- name: GroupsAbove :many
-- Each way from a group into another, from all groups that it is in.
WITH RECURSIVE ways AS (
    SELECT gm.member, gm.group_name FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = @group_name
    UNION
    SELECT gm.member, gm.group_name FROM ways w CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = w.group_name
)
SELECT member, group_name FROM ways
ORDER BY member, group_name;

-- name: RolesAbove :many
-- Some roles and those that they inherit from, nearest first: one row for each parent,
-- and one without where there is none; max_roles counts roles.
WITH RECURSIVE above AS (
    SELECT r.name FROM roles r
    WHERE r.tenant = @tenant AND r.name IN (SELECT value FROM json_each(CAST(@roles AS text)))
    UNION
    SELECT p.parent AS name FROM above a CROSS JOIN role_parents p
    WHERE p.tenant = @tenant AND p.role = a.name
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
    SELECT n.type, n.id FROM below b CROSS JOIN nodes n
    WHERE n.tenant = @tenant AND n.parent_type = b.type AND n.parent_id = b.id
)
SELECT type, id FROM below
ORDER BY type, id;
