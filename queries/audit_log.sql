-- name: PendingAuditTenant :one
-- The next tenant that has events without a place in its tree.
SELECT tenant FROM audit_events WHERE seq < 0 AND tenant > @after ORDER BY tenant LIMIT 1;

-- name: SequenceAuditEvent :exec
UPDATE audit_events SET seq = @seq WHERE tenant = @tenant AND id = @id AND seq < 0;

-- name: AuditEvent :one
SELECT * FROM audit_events WHERE tenant = @tenant AND id = @id;

-- name: AuditEventAt :one
SELECT * FROM audit_events WHERE tenant = @tenant AND seq = @seq AND seq >= 0;

-- name: SequencedAuditEvents :many
-- In the order of the tree. Two of one place, which the index forbids, would both be found.
SELECT * FROM audit_events
WHERE tenant = @tenant AND seq >= 0 AND seq >= @after_seq AND (seq > @after_seq OR id > @after_id)
ORDER BY seq, id
LIMIT CAST(@max_rows AS bigint);

-- name: FirstAuditPlace :one
-- The first place from which on there is an event at or after a time; -1 for none.
SELECT CAST(coalesce(min(seq), -1) AS bigint) AS seq FROM audit_events
WHERE tenant = @tenant AND id >= @behind AND occurred_at >= @since AND seq >= 0;

-- name: OldestAuditPlace :one
SELECT CAST(coalesce(min(seq), -1) AS bigint) AS seq FROM audit_events WHERE tenant = @tenant AND seq >= 0;

-- name: DeleteAuditEvents :execrows
DELETE FROM audit_events WHERE tenant = @tenant AND seq >= 0 AND seq < @up_to;

-- name: LockAuditHead :one
-- Locks the tenant's head until the transaction ends; makes it where there is none.
INSERT INTO audit_heads (tenant, size, pruned, checkpointed, filed) VALUES (@tenant, 0, 0, 0, 0)
ON CONFLICT (tenant) DO UPDATE SET size = audit_heads.size
RETURNING *;

-- name: AuditHead :one
SELECT * FROM audit_heads WHERE tenant = @tenant;

-- name: SetAuditSize :exec
UPDATE audit_heads SET size = @size WHERE tenant = @tenant;

-- name: SetAuditPruned :exec
UPDATE audit_heads SET pruned = @pruned WHERE tenant = @tenant;

-- name: SetAuditCheckpointed :exec
UPDATE audit_heads SET checkpointed = @size WHERE tenant = @tenant;

-- name: SetAuditFiled :exec
UPDATE audit_heads SET filed = @size WHERE tenant = @tenant AND filed < @size;

-- name: UnsignedAuditTenant :one
-- The next tenant whose tree has grown beyond its newest checkpoint.
SELECT tenant FROM audit_heads WHERE checkpointed < size AND tenant > @after ORDER BY tenant LIMIT 1;

-- name: NextAuditTenant :one
-- The next tenant in each table that has one: of what was tampered with, any may be empty.
SELECT
    CAST(coalesce((SELECT min(e.tenant) FROM audit_events e WHERE e.tenant > @after), '') AS text) AS in_events,
    CAST(coalesce((SELECT min(h.tenant) FROM audit_heads h WHERE h.tenant > @after), '') AS text) AS in_heads,
    CAST(coalesce((SELECT min(c.tenant) FROM audit_checkpoints c WHERE c.tenant > @after), '') AS text) AS in_checkpoints;

-- name: AuditTile :one
SELECT hashes FROM audit_tiles WHERE tenant = @tenant AND level = @level AND number = @number;

-- name: SetAuditTile :exec
INSERT INTO audit_tiles (tenant, level, number, hashes) VALUES (@tenant, @level, @number, @hashes)
ON CONFLICT (tenant, level, number) DO UPDATE SET hashes = excluded.hashes;

-- name: CreateAuditCheckpoint :exec
INSERT INTO audit_checkpoints (tenant, size, note, created_at) VALUES (@tenant, @size, @note, @created_at)
ON CONFLICT (tenant, size) DO NOTHING;

-- name: DeleteAuditCheckpoint :exec
DELETE FROM audit_checkpoints WHERE tenant = @tenant AND size = @size AND created_at >= @since;

-- name: AuditCheckpoint :one
-- The newest.
SELECT size, note FROM audit_checkpoints WHERE tenant = @tenant ORDER BY size DESC LIMIT 1;

-- name: AuditCheckpoints :many
SELECT size, note FROM audit_checkpoints WHERE tenant = @tenant AND size > @after ORDER BY size LIMIT CAST(@max_rows AS bigint);

-- name: UnfiledAuditCheckpoints :many
SELECT c.tenant, c.size, c.note, c.created_at
FROM audit_heads h JOIN audit_checkpoints c ON c.tenant = h.tenant AND c.size = h.checkpointed
WHERE h.filed < h.checkpointed AND h.tenant > @after
ORDER BY h.tenant
LIMIT CAST(@max_rows AS bigint);
