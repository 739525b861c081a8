-- name: RaiseRevision :one
-- Locks the tenant's row until the transaction ends; revision 1 means that this
-- transaction created the tenant.
INSERT INTO tenants (id, revision, created_at, sealed_with, sealed_also)
VALUES (@tenant, 1, @created_at, (SELECT i.sealed_with FROM encryption i), (SELECT i.sealed_also FROM encryption i))
ON CONFLICT (id) DO UPDATE SET revision = tenants.revision + 1
RETURNING revision, sealed_with, sealed_also;

-- name: Revision :one
SELECT revision FROM tenants WHERE id = @tenant;
