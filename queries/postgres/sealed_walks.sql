-- Not shared, as trees.sql is not. Names travel in all of their sealed forms, and a subject
-- as a list of its type and one form.

-- name: SealedGroupsOf :many
-- The groups that some users or groups are in themselves.
SELECT * FROM group_members
WHERE tenant = @tenant AND member_type = @member_type
  AND member = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@members AS text) AS jsonb))));

-- name: SealedGroupsIn :many
-- The groups that are in some groups themselves.
SELECT * FROM group_members
WHERE tenant = @tenant AND member_type = 'group'
  AND group_name = ANY (ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(@groups AS text) AS jsonb))));

-- name: SealedMembershipsOf :many
SELECT held.* FROM jsonb_array_elements(CAST(CAST(@subjects AS text) AS jsonb)) AS asked CROSS JOIN LATERAL (
    SELECT m.* FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = asked ->> 0 AND m.subject = asked ->> 1 OFFSET 0) held;

-- name: SealedMembershipsOfAt :many
-- A node is a list of its type and its id.
WITH places AS (
    SELECT DISTINCT node ->> 0 AS type, node ->> 1 AS id FROM jsonb_array_elements(CAST(CAST(@nodes AS text) AS jsonb)) AS node
)
SELECT held.* FROM jsonb_array_elements(CAST(CAST(@subjects AS text) AS jsonb)) AS asked CROSS JOIN places p CROSS JOIN LATERAL (
    SELECT m.* FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = asked ->> 0 AND m.subject = asked ->> 1
      AND m.node_type = p.type AND m.node_id = p.id OFFSET 0) held;

-- name: SealedMembershipsOfRole :many
SELECT * FROM memberships
WHERE tenant = @tenant AND role = @role AND node_type = @node_type AND node_id = @node_id
  AND subject_type = @subject_type AND subject > @after AND not_before <= @at AND expires_at > @at
ORDER BY subject
LIMIT CAST(@max_rows AS bigint);

-- name: SealedOwnedNodes :many
SELECT * FROM nodes
WHERE tenant = @tenant AND owner > ''
  AND owner >= @after_owner AND (owner > @after_owner OR type > @after_type OR (type = @after_type AND id > @after_id))
ORDER BY owner, type, id
LIMIT CAST(@max_rows AS bigint);
