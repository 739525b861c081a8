-- SQLite has to be told which index to use: it would rather read a tenant's events in the order of
-- their ids. PostgreSQL knows how many there are.

-- name: AuditEvents :many
-- Newest first. An empty filter matches everything. Those below are the same for one
-- filter that is not empty, and so can use its index.
SELECT * FROM audit_events
WHERE tenant = @tenant AND id < @before AND id >= @behind AND occurred_at >= @since AND occurred_at < @until
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@action AS text) = '' OR action = @action)
  AND (CAST(@resource AS text) = '' OR resource = @resource)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AuditEventsOfSubject :many
SELECT * FROM audit_events INDEXED BY audit_events_by_subject
WHERE tenant = @tenant AND id < @before AND id >= @behind AND occurred_at >= @since AND occurred_at < @until
  AND subject = @subject AND subject <> ''
  AND (CAST(@action AS text) = '' OR action = @action)
  AND (CAST(@resource AS text) = '' OR resource = @resource)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AuditEventsOfAction :many
SELECT * FROM audit_events INDEXED BY audit_events_by_action
WHERE tenant = @tenant AND id < @before AND id >= @behind AND occurred_at >= @since AND occurred_at < @until
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND action = @action
  AND (CAST(@resource AS text) = '' OR resource = @resource)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AuditEventsOfResource :many
SELECT * FROM audit_events INDEXED BY audit_events_by_resource
WHERE tenant = @tenant AND id < @before AND id >= @behind AND occurred_at >= @since AND occurred_at < @until
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@action AS text) = '' OR action = @action)
  AND resource = @resource AND substr(resource, 1, 256) = substr(CAST(@resource AS text), 1, 256)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AuditEventsRefused :many
SELECT * FROM audit_events INDEXED BY audit_events_refused
WHERE tenant = @tenant AND id < @before AND id >= @behind AND occurred_at >= @since AND occurred_at < @until
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@action AS text) = '' OR action = @action)
  AND (CAST(@resource AS text) = '' OR resource = @resource)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND outcome = 'refused'
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: AuditEventsOfRequest :many
SELECT * FROM audit_events INDEXED BY audit_events_by_request
WHERE tenant = @tenant AND id < @before AND id >= @behind AND occurred_at >= @since AND occurred_at < @until
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@action AS text) = '' OR action = @action)
  AND (CAST(@resource AS text) = '' OR resource = @resource)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND request_id = @request_id AND substr(request_id, 1, 256) = substr(CAST(@request_id AS text), 1, 256) AND request_id <> ''
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);

-- name: PendingAuditEvents :many
SELECT * FROM audit_events INDEXED BY audit_events_pending WHERE tenant = @tenant AND seq < 0 ORDER BY id LIMIT CAST(@max_rows AS bigint);
