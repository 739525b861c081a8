-- A list travels as one JSON array, which each engine unfolds in its own way; that
-- is why these queries are not shared.

-- name: Holders :many
-- Users who hold one of the roles at a node, themselves or by a group.
WITH RECURSIVE held AS (
    SELECT m.subject AS group_name FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role IN (SELECT value FROM json_each(CAST(@roles AS text)))
      AND m.node_type = @node_type AND m.node_id = @node_id AND m.subject_type = 'group'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT gm.member AS group_name FROM held h CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'group'
)
SELECT subject FROM (
    SELECT DISTINCT m.subject FROM memberships m INDEXED BY memberships_by_role
    WHERE m.tenant = @tenant AND m.role IN (SELECT value FROM json_each(CAST(@roles AS text)))
      AND m.node_type = @node_type AND m.node_id = @node_id AND m.subject_type = 'user'
      AND m.not_before <= @at AND m.expires_at > @at AND m.subject > @after
    ORDER BY m.subject LIMIT CAST(@max_rows AS bigint)) themselves
UNION
SELECT subject FROM (
    SELECT DISTINCT gm.member AS subject FROM held h CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'user' AND gm.member > @after
    ORDER BY gm.member LIMIT CAST(@max_rows AS bigint)) by_group
ORDER BY subject
LIMIT CAST(@max_rows AS bigint);

-- name: NodesWithin :many
-- The nodes of a type that lie below some scopes of one kind, at any depth. The
-- subquery bounds what is read under each scope, for want of LATERAL.
WITH RECURSIVE above AS (
    SELECT CAST(@kind AS text) AS type, CAST(value AS text) AS id FROM json_each(CAST(@ids AS text))
    UNION
    SELECT n.type, n.id FROM above a CROSS JOIN nodes n INDEXED BY nodes_by_parent
    WHERE n.tenant = @tenant AND n.parent_type = a.type AND n.parent_id = a.id
      AND n.type IN ('organization', 'project', 'team')
)
SELECT n.id FROM above a CROSS JOIN nodes n
WHERE n.tenant = @tenant AND n.type = @type AND n.id IN (
    SELECT child.id FROM nodes child INDEXED BY nodes_by_parent
    WHERE child.tenant = @tenant AND child.parent_type = a.type AND child.parent_id = a.id
      AND child.type = @type AND child.id > @after
    ORDER BY child.id LIMIT CAST(@max_rows AS bigint))
ORDER BY n.id
LIMIT CAST(@max_rows AS bigint);

-- name: HoldingsOf :many
-- Holdings, of several users at some nodes. A node is a list of its type and its id.
WITH RECURSIVE asked AS (
    SELECT DISTINCT CAST(value AS text) AS subject FROM json_each(CAST(@subjects AS text))
), places AS (
    SELECT DISTINCT CAST(json_extract(value, '$[0]') AS text) AS type, CAST(json_extract(value, '$[1]') AS text) AS id
    FROM json_each(CAST(@nodes AS text))
), member_of AS (
    SELECT a.subject, gm.group_name FROM asked a CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'user' AND gm.member = a.subject
    UNION
    SELECT o.subject, gm.group_name FROM member_of o CROSS JOIN group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = o.group_name
)
SELECT a.subject AS subject, CAST('' AS text) AS group_name, m.node_type, m.node_id, m.role, m.not_before, m.expires_at
FROM asked a CROSS JOIN places p CROSS JOIN memberships m
WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = a.subject
  AND m.node_type = p.type AND m.node_id = p.id
UNION ALL
SELECT o.subject AS subject, o.group_name AS group_name, m.node_type, m.node_id, m.role, m.not_before, m.expires_at
FROM member_of o CROSS JOIN places p CROSS JOIN memberships m
WHERE m.tenant = @tenant AND m.subject_type = 'group' AND m.subject = o.group_name
  AND m.node_type = p.type AND m.node_id = p.id
ORDER BY subject, group_name, node_type, node_id, role;

-- name: NodesNamed :many
SELECT * FROM nodes
WHERE tenant = @tenant AND type = @type AND id IN (SELECT value FROM json_each(CAST(@ids AS text)));

-- name: UsersNamed :many
SELECT name, active, properties, seal FROM users
WHERE tenant = @tenant AND name IN (SELECT value FROM json_each(CAST(@names AS text)))
ORDER BY name;
