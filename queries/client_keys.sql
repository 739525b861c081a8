-- name: CreateClientKey :execrows
INSERT INTO client_keys (hash, fingerprint, tenant, name, abilities, created_at, expires_at, revoked_at, lifetime)
VALUES (@hash, @fingerprint, @tenant, @name, @abilities, @created_at, @expires_at, @revoked_at, @lifetime)
ON CONFLICT (hash) DO NOTHING;

-- name: ClientKeyByHash :one
-- The one look-up without a tenant: it is how a caller's tenant becomes known.
SELECT * FROM client_keys WHERE hash = @hash;

-- name: ClientKeyByFingerprint :one
SELECT * FROM client_keys WHERE fingerprint = @fingerprint;

-- name: ClientKeys :many
-- For the operator's command line, which sees every tenant.
SELECT * FROM client_keys
WHERE tenant > @after_tenant OR (tenant = @after_tenant AND fingerprint > @after_fingerprint)
ORDER BY tenant, fingerprint
LIMIT CAST(@max_rows AS bigint);

-- name: SetClientKeyExpiry :execrows
UPDATE client_keys SET expires_at = @expires_at
WHERE tenant = @tenant AND fingerprint = @fingerprint AND revoked_at = 0
  AND expires_at <> @expires_at;

-- name: RevokeClientKey :execrows
UPDATE client_keys SET revoked_at = @revoked_at
WHERE tenant = @tenant AND fingerprint = @fingerprint AND revoked_at = 0;
