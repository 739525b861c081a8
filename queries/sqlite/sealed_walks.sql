-- Not shared, as trees.sql is not. Names travel in all of their sealed forms, and a subject
-- as a list of its type and one form.

-- name: SealedGroupsOf :many
-- The groups that some users or groups are in themselves.
SELECT * FROM group_members
WHERE tenant = @tenant AND member_type = @member_type AND member IN (SELECT value FROM json_each(CAST(@members AS text)));

-- name: SealedGroupsIn :many
-- The groups that are in some groups themselves.
SELECT * FROM group_members INDEXED BY group_members_by_group
WHERE tenant = @tenant AND member_type = 'group' AND group_name IN (SELECT value FROM json_each(CAST(@groups AS text)));

-- name: SealedMembershipsOf :many
SELECT m.* FROM json_each(CAST(@subjects AS text)) asked CROSS JOIN memberships m
WHERE m.tenant = @tenant AND m.subject_type = json_extract(asked.value, '$[0]') AND m.subject = json_extract(asked.value, '$[1]');

-- name: SealedMembershipsOfAt :many
-- A node is a list of its type and its id.
WITH places AS (
    SELECT DISTINCT CAST(json_extract(value, '$[0]') AS text) AS type, CAST(json_extract(value, '$[1]') AS text) AS id
    FROM json_each(CAST(@nodes AS text))
)
SELECT m.* FROM json_each(CAST(@subjects AS text)) asked CROSS JOIN places p CROSS JOIN memberships m
WHERE m.tenant = @tenant AND m.subject_type = json_extract(asked.value, '$[0]') AND m.subject = json_extract(asked.value, '$[1]')
  AND m.node_type = p.type AND m.node_id = p.id;

-- name: SealedMembershipsOfRole :many
-- Told its index, as Members is.
SELECT * FROM memberships INDEXED BY memberships_by_role
WHERE tenant = @tenant AND role = @role AND node_type = @node_type AND node_id = @node_id
  AND subject_type = @subject_type AND subject > @after AND not_before <= @at AND expires_at > @at
ORDER BY subject
LIMIT CAST(@max_rows AS bigint);

-- name: SealedOwnedNodes :many
SELECT * FROM nodes INDEXED BY nodes_by_owner
WHERE tenant = @tenant AND owner > ''
  AND owner >= @after_owner AND (owner > @after_owner OR type > @after_type OR (type = @after_type AND id > @after_id))
ORDER BY owner, type, id
LIMIT CAST(@max_rows AS bigint);
