-- A decision is listed by way of the filter that leaves the fewest: each list seeks one (see
-- decisions_by.sql), and looks at the others of what it finds. An empty filter matches
-- everything, as does an answer below 0. All take the same arguments in the same order.

-- name: CreateDecision :exec
-- A batch may be written again after an error that came behind its commit.
INSERT INTO decisions (tenant, id, decided_at, actor, subject, permission, resource_type, resource_id, allowed, revision, details, request_id, ip, seal)
VALUES (@tenant, @id, @decided_at, @actor, @subject, @permission, @resource_type, @resource_id, @allowed, @revision, @details, @request_id, @ip, @seal)
ON CONFLICT (tenant, id) DO NOTHING;

-- name: DeleteDecision :exec
DELETE FROM decisions WHERE tenant = @tenant AND id = @id;

-- name: Decisions :many
SELECT * FROM decisions
WHERE tenant = @tenant
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@permission AS text) = '' OR permission = @permission)
  AND (CAST(@resource_type AS text) = '' OR (resource_type = @resource_type AND resource_id = @resource_id))
  AND (CAST(@allowed AS bigint) < 0 OR allowed = @allowed)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
  AND id >= @since AND id < @before
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);
