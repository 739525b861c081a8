-- name: Encryption :one
SELECT sealed_with, sealed_also, salt, turn FROM encryption WHERE id = 1;

-- name: SetEncryption :exec
UPDATE encryption SET sealed_with = @sealed_with, sealed_also = @sealed_also, salt = @salt, turn = @turn WHERE id = 1;

-- name: EncryptionKeys :many
SELECT * FROM encryption_keys ORDER BY number;

-- name: CreateEncryptionKey :exec
INSERT INTO encryption_keys (number, iterations, check_value, created_at, retired_at)
VALUES (@number, @iterations, @check_value, @created_at, 0);

-- name: RetireEncryptionKeys :exec
UPDATE encryption_keys SET retired_at = @retired_at WHERE retired_at = 0 AND number <> @except_number;

-- name: TenantSealing :one
-- The tenant's, which is the installation's where there is no tenant, and the
-- installation's.
SELECT CAST(coalesce(t.sealed_with, e.sealed_with) AS text) AS sealed_with, CAST(coalesce(t.sealed_also, e.sealed_also) AS text) AS sealed_also,
    e.sealed_with AS installation_with, e.sealed_also AS installation_also
FROM encryption e LEFT JOIN tenants t ON t.id = @tenant
WHERE e.id = 1;

-- name: SetTenantSealing :exec
UPDATE tenants SET sealed_with = @sealed_with, sealed_also = @sealed_also WHERE id = @tenant;

-- name: CreateUnwrittenTenant :exec
-- For what is kept of a tenant that no policy was written of yet.
INSERT INTO tenants (id, revision, created_at, sealed_with, sealed_also)
VALUES (@tenant, 0, @created_at, (SELECT i.sealed_with FROM encryption i), (SELECT i.sealed_also FROM encryption i))
ON CONFLICT (id) DO NOTHING;

-- name: AnythingSealable :one
SELECT CAST(count(known.id) AS bigint) FROM (
    SELECT min(t.id) AS id FROM tenants t
    UNION ALL SELECT min(k.purpose) FROM signing_keys k
    UNION ALL SELECT min(a.tenant) FROM audit_events a
    UNION ALL SELECT min(sessions.tenant) FROM sessions
    UNION ALL SELECT min(session_users.tenant) FROM session_users
    UNION ALL SELECT min(token_families.tenant) FROM token_families
    UNION ALL SELECT min(decisions.tenant) FROM decisions
) known;

-- name: CountUnsealedTenants :one
SELECT CAST(count(*) AS bigint) FROM tenants WHERE sealed_with <> @sealed_with OR sealed_also <> '';
