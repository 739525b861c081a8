-- A list travels as one JSON array, which each engine unfolds in its own way; that
-- is why these queries are not shared.

-- name: Holders :many
-- Users who hold one of the roles at a node, themselves or by a group. LATERAL, and
-- OFFSET 0, keep PostgreSQL from joining the whole tenant.
WITH RECURSIVE held AS (
    SELECT m.subject AS group_name FROM memberships m
    WHERE m.tenant = @tenant AND m.role = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb))))
      AND m.node_type = @node_type AND m.node_id = @node_id AND m.subject_type = 'group'
      AND m.not_before <= @at AND m.expires_at > @at
    UNION
    SELECT inner_group.name FROM held h CROSS JOIN LATERAL (
        SELECT gm.member AS name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'group' OFFSET 0) inner_group
)
SELECT subject FROM (
    SELECT one.subject FROM (
        SELECT DISTINCT jsonb_array_elements_text(CAST(CAST(@roles AS text) AS jsonb)) AS name) wanted
    CROSS JOIN LATERAL (
        SELECT m.subject FROM memberships m
        WHERE m.tenant = @tenant AND m.role = wanted.name
          AND m.node_type = @node_type AND m.node_id = @node_id AND m.subject_type = 'user'
          AND m.not_before <= @at AND m.expires_at > @at AND m.subject > @after
        ORDER BY m.subject LIMIT CAST(@max_rows AS bigint)) one) themselves
UNION
SELECT subject FROM (
    SELECT one.subject FROM held h CROSS JOIN LATERAL (
        SELECT gm.member AS subject FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.group_name = h.group_name AND gm.member_type = 'user' AND gm.member > @after
        ORDER BY gm.member LIMIT CAST(@max_rows AS bigint)) one) by_group
ORDER BY subject
LIMIT CAST(@max_rows AS bigint);

-- name: NodesWithin :many
-- The nodes of a type that lie below some scopes of one kind, at any depth.
WITH RECURSIVE above AS (
    SELECT CAST(@kind AS text) COLLATE "C" AS type, jsonb_array_elements_text(CAST(CAST(@ids AS text) AS jsonb)) COLLATE "C" AS id
    UNION
    SELECT child.type, child.id FROM above a CROSS JOIN LATERAL (
        SELECT n.type, n.id FROM nodes n
        WHERE n.tenant = @tenant AND n.parent_type = a.type AND n.parent_id = a.id
          AND n.type IN ('organization', 'project', 'team') OFFSET 0) child
)
SELECT one.id FROM above a CROSS JOIN LATERAL (
    SELECT n.id FROM nodes n
    WHERE n.tenant = @tenant AND n.parent_type = a.type AND n.parent_id = a.id AND n.type = @type AND n.id > @after
    ORDER BY n.id LIMIT CAST(@max_rows AS bigint)) one
ORDER BY one.id
LIMIT CAST(@max_rows AS bigint);

-- name: HoldingsOf :many
-- Holdings, of several users at some nodes. A node is a list of its type and its id.
WITH RECURSIVE asked AS (
    SELECT DISTINCT jsonb_array_elements_text(CAST(CAST(@subjects AS text) AS jsonb)) AS subject
), places AS (
    SELECT DISTINCT node ->> 0 AS type, node ->> 1 AS id FROM jsonb_array_elements(CAST(CAST(@nodes AS text) AS jsonb)) AS node
), member_of AS (
    SELECT a.subject, own.group_name FROM asked a CROSS JOIN LATERAL (
        SELECT gm.group_name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.member_type = 'user' AND gm.member = a.subject OFFSET 0) own
    UNION
    SELECT o.subject, up.group_name FROM member_of o CROSS JOIN LATERAL (
        SELECT gm.group_name FROM group_members gm
        WHERE gm.tenant = @tenant AND gm.member_type = 'group' AND gm.member = o.group_name OFFSET 0) up
)
SELECT a.subject, CAST('' AS text) AS group_name, h.node_type, h.node_id, h.role, h.not_before, h.expires_at
FROM asked a CROSS JOIN places p CROSS JOIN LATERAL (
    SELECT m.node_type, m.node_id, m.role, m.not_before, m.expires_at FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = a.subject
      AND m.node_type = p.type AND m.node_id = p.id OFFSET 0) h
UNION ALL
SELECT o.subject, o.group_name, h.node_type, h.node_id, h.role, h.not_before, h.expires_at
FROM member_of o CROSS JOIN places p CROSS JOIN LATERAL (
    SELECT m.node_type, m.node_id, m.role, m.not_before, m.expires_at FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'group' AND m.subject = o.group_name
      AND m.node_type = p.type AND m.node_id = p.id OFFSET 0) h
ORDER BY subject, group_name, node_type, node_id, role;

-- name: NodesNamed :many
SELECT * FROM nodes
WHERE tenant = @tenant AND type = @type AND id = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@ids AS text) AS jsonb))));

-- name: UsersNamed :many
SELECT name, active, properties, seal FROM users
WHERE tenant = @tenant AND name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@names AS text) AS jsonb))))
ORDER BY name;
