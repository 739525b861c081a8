-- Candidates of the searches, by keyset. The keyset and the limit are in each part,
-- so that a page reads at most so many of each.

-- name: KnownUsers :many
-- Everybody whom the tenant has heard of: registered, a holder of a role or a member
-- of a group anywhere, or an owner.
SELECT subject FROM (
    SELECT u.name AS subject FROM users u
    WHERE u.tenant = @tenant AND u.name > @after
    ORDER BY u.name LIMIT CAST(@max_rows AS bigint)) registered
UNION
SELECT subject FROM (
    SELECT DISTINCT m.subject FROM memberships m
    WHERE m.tenant = @tenant AND m.subject_type = 'user' AND m.subject > @after
    ORDER BY m.subject LIMIT CAST(@max_rows AS bigint)) holders
UNION
SELECT subject FROM (
    SELECT DISTINCT gm.member AS subject FROM group_members gm
    WHERE gm.tenant = @tenant AND gm.member_type = 'user' AND gm.member > @after
    ORDER BY gm.member LIMIT CAST(@max_rows AS bigint)) grouped
UNION
SELECT subject FROM (
    SELECT DISTINCT n.owner AS subject FROM nodes n
    WHERE n.tenant = @tenant AND n.owner > @after
    ORDER BY n.owner LIMIT CAST(@max_rows AS bigint)) owners
ORDER BY subject
LIMIT CAST(@max_rows AS bigint);

-- name: KnownPermissions :many
-- What a role is granted by its exact name, or a tool defines.
SELECT permission FROM (
    SELECT DISTINCT g.permission FROM grants g
    WHERE g.tenant = @tenant AND g.permission > @after AND g.permission NOT LIKE '%*'
    ORDER BY g.permission LIMIT CAST(@max_rows AS bigint)) granted
UNION
SELECT permission FROM (
    SELECT t.permission FROM tool_permissions t
    WHERE t.tenant = @tenant AND t.permission > @after
    ORDER BY t.permission LIMIT CAST(@max_rows AS bigint)) defined
ORDER BY permission
LIMIT CAST(@max_rows AS bigint);

-- name: NodesOfType :many
SELECT id FROM nodes
WHERE tenant = @tenant AND type = @type AND id > @after
ORDER BY id
LIMIT CAST(@max_rows AS bigint);

-- name: NodesOwned :many
SELECT id FROM nodes
WHERE tenant = @tenant AND owner = @owner AND type = @type AND id > @after
ORDER BY id
LIMIT CAST(@max_rows AS bigint);
