-- name: CheckPermission :one
-- The decision rule with no resource. A list travels as one JSON array, which each
-- engine unfolds in its own way; that is why these queries are not shared. The outer row is there even where nothing
-- is granted, so one statement answers with the revision that it was read at.
-- CROSS JOIN has SQLite begin with the user's memberships: a permission may be
-- granted to any number of roles.
SELECT t.revision, CAST(CASE WHEN EXISTS (
    SELECT 1 FROM memberships m CROSS JOIN grants g
    WHERE g.tenant = m.tenant AND g.role = m.role
      AND m.tenant = @tenant AND m.subject_type = 'user' AND m.subject = @subject
      AND m.node_type = 'tenant' AND m.node_id = ''
      AND m.not_before <= @at AND m.expires_at > @at
      AND g.permission IN (SELECT value FROM json_each(CAST(@patterns AS text)))
) OR EXISTS (
    SELECT 1 FROM grants g
    WHERE g.tenant = @tenant AND g.role = @everyone AND g.permission IN (SELECT value FROM json_each(CAST(@patterns AS text)))
) THEN 1 ELSE 0 END AS bigint) AS allowed
FROM tenants t WHERE t.id = @tenant;

-- name: CheckRolePermission :one
SELECT t.revision, CAST(CASE WHEN EXISTS (
    SELECT 1 FROM grants g
    WHERE g.tenant = @tenant AND g.role = @role AND g.permission IN (SELECT value FROM json_each(CAST(@patterns AS text)))
) THEN 1 ELSE 0 END AS bigint) AS allowed
FROM tenants t WHERE t.id = @tenant;

-- name: RolesWithPermission :many
-- SQLite would otherwise filter all of the tenant's grants in the order of roles.
SELECT DISTINCT g.role FROM grants g INDEXED BY grants_by_permission
WHERE g.tenant = @tenant AND g.permission IN (SELECT value FROM json_each(CAST(@patterns AS text)))
  AND g.role > @after AND substr(g.role, 1, 1) <> CAST(@builtin_prefix AS text)
ORDER BY g.role
LIMIT CAST(@max_rows AS bigint);

-- name: UsersWithPermission :many
-- One row per user and role; the keyset is (subject, role).
SELECT m.subject, m.role FROM memberships m
WHERE m.tenant = @tenant AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'user'
  AND m.not_before <= @at AND m.expires_at > @at
  AND m.subject >= @after_subject AND (m.subject > @after_subject OR m.role > @after_role)
  AND m.role IN (
    SELECT g.role FROM grants g WHERE g.tenant = @tenant AND g.permission IN (SELECT value FROM json_each(CAST(@patterns AS text))))
ORDER BY m.subject, m.role
LIMIT CAST(@max_rows AS bigint);

-- name: CountUsersWithPermission :one
SELECT CAST(count(*) AS bigint) FROM memberships m
WHERE m.tenant = @tenant AND m.node_type = 'tenant' AND m.node_id = '' AND m.subject_type = 'user'
  AND m.not_before <= @at AND m.expires_at > @at
  AND m.role IN (
    SELECT g.role FROM grants g WHERE g.tenant = @tenant AND g.permission IN (SELECT value FROM json_each(CAST(@patterns AS text))));
