-- name: RaiseRevision :one
-- Locks the tenant's row until the transaction ends; revision 1 means that this
-- transaction created the tenant.
INSERT INTO tenants (id, revision, created_at, sealed_with, sealed_also)
VALUES (@tenant, 1, @created_at, (SELECT e.sealed_with FROM encryption e), (SELECT e.sealed_also FROM encryption e))
ON CONFLICT (id) DO UPDATE SET revision = tenants.revision + 1
RETURNING revision, sealed_with, sealed_also;

-- name: Revision :one
SELECT revision FROM tenants WHERE id = @tenant;
