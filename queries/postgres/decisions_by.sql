-- Apart from SQLite's, which must be told the index.

-- name: DecisionsOfUser :many
SELECT * FROM decisions
WHERE tenant = @tenant
  AND subject = @subject
  AND (CAST(@permission AS text) = '' OR permission = @permission)
  AND (CAST(@resource_type AS text) = '' OR (resource_type = @resource_type AND resource_id = @resource_id))
  AND (CAST(@allowed AS bigint) < 0 OR allowed = @allowed)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
  AND id >= @since AND id < @before
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: DecisionsOfPermission :many
SELECT * FROM decisions
WHERE tenant = @tenant
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND permission = @permission
  AND (CAST(@resource_type AS text) = '' OR (resource_type = @resource_type AND resource_id = @resource_id))
  AND (CAST(@allowed AS bigint) < 0 OR allowed = @allowed)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
  AND id >= @since AND id < @before
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: DecisionsOnResource :many
SELECT * FROM decisions
WHERE tenant = @tenant
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@permission AS text) = '' OR permission = @permission)
  AND resource_type = @resource_type AND resource_id = @resource_id
  AND (CAST(@allowed AS bigint) < 0 OR allowed = @allowed)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
  AND id >= @since AND id < @before
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: DecisionsByAnswer :many
SELECT * FROM decisions
WHERE tenant = @tenant
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@permission AS text) = '' OR permission = @permission)
  AND (CAST(@resource_type AS text) = '' OR (resource_type = @resource_type AND resource_id = @resource_id))
  AND allowed = @allowed
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
  AND id >= @since AND id < @before
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: DecisionsOfRequest :many
SELECT * FROM decisions
WHERE tenant = @tenant
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@permission AS text) = '' OR permission = @permission)
  AND (CAST(@resource_type AS text) = '' OR (resource_type = @resource_type AND resource_id = @resource_id))
  AND (CAST(@allowed AS bigint) < 0 OR allowed = @allowed)
  AND request_id = @request_id
  AND id >= @since AND id < @before
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);
