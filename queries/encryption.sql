-- name: Encryption :one
SELECT sealed_with, sealed_also, salt FROM encryption WHERE id = 1;

-- name: SetEncryption :exec
UPDATE encryption SET sealed_with = @sealed_with, sealed_also = @sealed_also, salt = @salt WHERE id = 1;

-- name: EncryptionKeys :many
SELECT * FROM encryption_keys ORDER BY number;

-- name: CreateEncryptionKey :exec
INSERT INTO encryption_keys (number, iterations, check_value, created_at, retired_at)
VALUES (@number, @iterations, @check_value, @created_at, 0);

-- name: RetireEncryptionKey :exec
UPDATE encryption_keys SET retired_at = @retired_at WHERE number = @number;

-- name: TenantSealing :one
SELECT sealed_with, sealed_also FROM tenants WHERE id = @tenant;

-- name: SetTenantSealing :exec
UPDATE tenants SET sealed_with = @sealed_with, sealed_also = @sealed_also WHERE id = @tenant;

-- name: CreateUnwrittenTenant :exec
-- For what is kept of a tenant that no policy was written of yet.
INSERT INTO tenants (id, revision, created_at, sealed_with)
VALUES (@tenant, 0, @created_at, (SELECT e.sealed_with FROM encryption e))
ON CONFLICT (id) DO NOTHING;

-- name: AnyTenant :one
SELECT CAST(count(*) AS bigint) FROM (SELECT t.id FROM tenants t LIMIT 1) one;
