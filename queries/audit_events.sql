-- name: CreateAuditEvent :exec
INSERT INTO audit_events (tenant, id, occurred_at, actor, action, resource, subject, outcome, details, ip, user_agent, request_id, revision, salt, seal)
VALUES (@tenant, @id, @occurred_at, @actor, @action, @resource, @subject, @outcome, @details, @ip, @user_agent, @request_id, @revision, @salt, @seal);
