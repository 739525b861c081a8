-- name: RaiseRevision :one
-- Locks the tenant's row until the transaction ends; revision 1 means that this
-- transaction created the tenant.
INSERT INTO tenants (id, revision, created_at) VALUES (@tenant, 1, @created_at)
ON CONFLICT (id) DO UPDATE SET revision = tenants.revision + 1
RETURNING revision;

-- name: Revision :one
SELECT revision FROM tenants WHERE id = @tenant;
