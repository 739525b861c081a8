-- name: CreateAuditEvent :exec
INSERT INTO audit_events (tenant, id, occurred_at, actor, action, resource, subject, outcome, details, ip, user_agent, request_id, revision, seal)
VALUES (@tenant, @id, @occurred_at, @actor, @action, @resource, @subject, @outcome, @details, @ip, @user_agent, @request_id, @revision, @seal);

-- name: AuditEvents :many
-- Newest first. An empty filter matches everything.
SELECT * FROM audit_events
WHERE tenant = @tenant AND id < @before
  AND occurred_at >= @since AND occurred_at < @until
  AND (CAST(@subject AS text) = '' OR subject = @subject)
  AND (CAST(@action AS text) = '' OR action = @action)
  AND (CAST(@resource AS text) = '' OR resource = @resource)
  AND (CAST(@outcome AS text) = '' OR outcome = @outcome)
  AND (CAST(@request_id AS text) = '' OR request_id = @request_id)
ORDER BY id DESC
LIMIT CAST(@max_rows AS bigint);
