package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file keeps the tree over the events: places, tiles, checkpoints, and how far it
// was pruned. Every transaction that writes any of them locks the tenant's head first.

// PendingAuditTenant implements store.Audit.
func (s *Store) PendingAuditTenant(ctx context.Context, after string) (string, error) {
	tenant, err := s.db.queries().PendingAuditTenant(ctx, postgres.PendingAuditTenantParams{After: after})
	return tenant, unlessNoRows(ctx, err, "look for pending audit events")
}

// UnsignedAuditTenant implements store.Audit.
func (s *Store) UnsignedAuditTenant(ctx context.Context, after string) (string, error) {
	tenant, err := s.db.queries().UnsignedAuditTenant(ctx, postgres.UnsignedAuditTenantParams{After: after})
	return tenant, unlessNoRows(ctx, err, "look for unsigned audit logs")
}

// AuditTenant implements store.Audit.
func (s *Store) AuditTenant(ctx context.Context, after string) (string, error) {
	row, err := s.db.queries().NextAuditTenant(ctx, postgres.NextAuditTenantParams{After: after})
	if err != nil {
		return "", classify(ctx, err, "look for audit logs")
	}
	next := ""
	for _, tenant := range []string{row.InEvents, row.InHeads, row.InCheckpoints} {
		if tenant != "" && (next == "" || tenant < next) {
			next = tenant
		}
	}
	return next, nil
}

// SequenceEvents implements store.Audit.
func (s *Store) SequenceEvents(ctx context.Context, tenant string, limit int) (sequenced int, err error) {
	const doing = "sequence audit events"
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		tx, head, err := s.holdHead(ctx, tx, tenant)
		if err != nil {
			return false, err
		}
		rows, err := tx.PendingAuditEvents(ctx, postgres.PendingAuditEventsParams{Tenant: tenant, MaxRows: maxRows(limit)})
		sequenced = len(rows)
		if err != nil || sequenced == 0 {
			return false, classify(ctx, err, doing)
		}
		records := make([]audit.Record, len(rows))
		for i, row := range rows {
			records[i] = recordOf(row)
		}
		return true, extend(ctx, tx, head, records)
	})
	return sequenced, err
}

// holdHead locks a tenant's head, and returns tx as what opens and seals its events.
func (s *Store) holdHead(ctx context.Context, tx transaction, tenant string) (transaction, postgres.AuditHead, error) {
	tx, err := s.vault.hold(ctx, tx, tenant)
	if err != nil {
		return nil, postgres.AuditHead{}, err
	}
	head, err := tx.LockAuditHead(ctx, postgres.LockAuditHeadParams{Tenant: tenant})
	return tx, head, classify(ctx, err, "lock the head of the audit log")
}

// extend makes leaves of events, in their order, behind those that the tree has.
func extend(ctx context.Context, tx transaction, head postgres.AuditHead, records []audit.Record) error {
	const doing = "extend the audit log's tree"
	tiles := tileReader(ctx, tx, head.Tenant)
	tree, err := tiles.Restore(head.Size)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	type place struct {
		level  int
		number int64
	}
	grown := map[place][]byte{}
	for _, record := range records {
		tree.Append(record.LeafHash(), func(level int, number int64, hash audit.Hash) {
			at := place{level, number / audit.TileWidth}
			data, ok := grown[at]
			if width := int(number % audit.TileWidth); !ok && width > 0 && err == nil {
				var read [][]byte
				if read, err = tiles([]tlog.Tile{{H: audit.TileHeight, L: level, N: at.number, W: width}}); err == nil {
					data = read[0]
				}
			}
			grown[at] = append(data, hash[:]...)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	err = tx.pipeline(ctx, func(q postgres.Querier) error {
		for i, record := range records {
			err := q.SequenceAuditEvent(ctx, postgres.SequenceAuditEventParams{Tenant: head.Tenant, ID: record.ID, Seq: head.Size + int64(i)})
			if err != nil {
				return err
			}
		}
		for at, hashes := range grown {
			err := q.SetAuditTile(ctx, postgres.SetAuditTileParams{Tenant: head.Tenant, Level: int64(at.level), Number: at.number, Hashes: hashes})
			if err != nil {
				return err
			}
		}
		return q.SetAuditSize(ctx, postgres.SetAuditSizeParams{Tenant: head.Tenant, Size: tree.Size()})
	})
	return classify(ctx, err, doing)
}

// tileReader reads a tenant's tiles: exactly what is asked for.
func tileReader(ctx context.Context, q postgres.Querier, tenant string) audit.TileReader {
	return func(tiles []tlog.Tile) ([][]byte, error) {
		data := make([][]byte, len(tiles))
		for i, tile := range tiles {
			hashes, err := auditTile(ctx, q, tenant, tile.L, tile.N)
			if err != nil {
				return nil, err
			}
			width := tile.W * tlog.HashSize
			if len(hashes) < width {
				return nil, fmt.Errorf("tile %d of level %d of the audit log of tenant %q is incomplete", tile.N, tile.L, tenant)
			}
			data[i] = hashes[:width:width]
		}
		return data, nil
	}
}

func auditTile(ctx context.Context, q postgres.Querier, tenant string, level int, number int64) ([]byte, error) {
	hashes, err := q.AuditTile(ctx, postgres.AuditTileParams{Tenant: tenant, Level: int64(level), Number: number})
	if isNoRows(err) {
		return nil, nil
	}
	return hashes, classify(ctx, err, "read a tile of the audit log")
}

// SignCheckpoint implements store.Audit.
func (s *Store) SignCheckpoint(ctx context.Context, tenant string, at time.Time, signer audit.Signer) error {
	const doing = "sign a checkpoint of the audit log"
	return s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		head, err := tx.LockAuditHead(ctx, postgres.LockAuditHeadParams{Tenant: tenant})
		if err != nil {
			return false, classify(ctx, err, doing)
		}
		if head.Size == 0 || head.Size == head.Checkpointed {
			return false, nil
		}
		tiles := tileReader(ctx, tx, tenant)
		newest, err := tx.AuditCheckpoint(ctx, postgres.AuditCheckpointParams{Tenant: tenant})
		switch {
		case isNoRows(err):
		case err != nil:
			return false, classify(ctx, err, doing)
		default:
			if err := signer.CheckExtension(newest.Note, tenant, head.Size, tiles); err != nil {
				return false, fmt.Errorf("%s of tenant %q: %w", doing, tenant, err)
			}
		}
		tree, err := tiles.Restore(head.Size)
		if err != nil {
			return false, fmt.Errorf("%s: %w", doing, err)
		}
		note, err := signer.Sign(audit.Checkpoint{Tenant: tenant, Size: head.Size, Root: tree.Root()})
		if err != nil {
			return false, err
		}
		err = tx.pipeline(ctx, func(q postgres.Querier) error {
			err := q.DeleteAuditCheckpoint(ctx, postgres.DeleteAuditCheckpointParams{
				Tenant: tenant, Size: head.Checkpointed, Since: micros(at.Truncate(time.Minute)),
			})
			if err != nil {
				return err
			}
			err = q.CreateAuditCheckpoint(ctx, postgres.CreateAuditCheckpointParams{
				Tenant: tenant, Size: head.Size, Note: note, CreatedAt: micros(at),
			})
			if err != nil {
				return err
			}
			return q.SetAuditCheckpointed(ctx, postgres.SetAuditCheckpointedParams{Tenant: tenant, Size: head.Size})
		})
		return true, classify(ctx, err, doing)
	})
}

// PruneEvents implements store.Audit.
func (s *Store) PruneEvents(ctx context.Context, tenant string, before time.Time, made func(size int64) audit.Event) (pruned int64, err error) {
	const doing = "prune the audit log"
	var appended uint64
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		tx, head, err := s.holdHead(ctx, tx, tenant)
		if err != nil {
			return false, err
		}
		place, err := firstAuditPlace(ctx, tx, tenant, before)
		if err != nil {
			return false, err
		}
		if place < 0 {
			place = head.Size
		}
		pruned, appended = max(place, head.Pruned), 0
		if place <= head.Pruned {
			return false, nil
		}
		row, err := s.events.row(tenant, 0, made(place))
		if err != nil {
			return false, err
		}
		if err := tx.CreateAuditEvent(ctx, row); err != nil {
			return false, classify(ctx, err, doing)
		}
		kept, err := tx.AuditEvent(ctx, postgres.AuditEventParams{Tenant: tenant, ID: row.ID})
		if err != nil {
			return false, classify(ctx, err, doing)
		}
		if err := extend(ctx, tx, head, []audit.Record{recordOf(kept)}); err != nil {
			return false, err
		}
		appended = 1
		return true, classify(ctx, tx.SetAuditPruned(ctx, postgres.SetAuditPrunedParams{Tenant: tenant, Pruned: place}), doing)
	})
	if err == nil {
		s.counts.events.Add(appended)
	}
	return pruned, err
}

// DeletePrunedEvents implements store.Audit.
func (s *Store) DeletePrunedEvents(ctx context.Context, tenant string, limit int) (more bool, err error) {
	const doing = "delete pruned audit events"
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		head, err := tx.LockAuditHead(ctx, postgres.LockAuditHeadParams{Tenant: tenant})
		if err != nil {
			return false, classify(ctx, err, doing)
		}
		oldest, err := tx.OldestAuditPlace(ctx, postgres.OldestAuditPlaceParams{Tenant: tenant})
		more = err == nil && oldest >= 0 && oldest < head.Pruned
		if err != nil || !more {
			return false, classify(ctx, err, doing)
		}
		upTo := min(oldest+maxRows(limit), head.Pruned)
		more = upTo < head.Pruned
		rows, err := tx.DeleteAuditEvents(ctx, postgres.DeleteAuditEventsParams{Tenant: tenant, UpTo: upTo})
		return rows > 0, classify(ctx, err, doing)
	})
	return more, err
}

// UnfiledCheckpoints implements store.Audit.
func (s *Store) UnfiledCheckpoints(ctx context.Context, after string, limit int) ([]store.FiledCheckpoint, error) {
	rows, err := s.db.queries().UnfiledAuditCheckpoints(ctx, postgres.UnfiledAuditCheckpointsParams{After: after, MaxRows: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "list the checkpoints for the file")
	}
	list := make([]store.FiledCheckpoint, len(rows))
	for i, row := range rows {
		list[i] = store.FiledCheckpoint{
			Tenant: row.Tenant, SizedNote: audit.SizedNote{Size: row.Size, Note: row.Note}, At: timeOf(row.CreatedAt),
		}
	}
	return list, nil
}

// CheckpointFiled implements store.Audit.
func (s *Store) CheckpointFiled(ctx context.Context, tenant string, size int64) error {
	return retry(ctx, func() error {
		err := s.db.statements().SetAuditFiled(ctx, postgres.SetAuditFiledParams{Tenant: tenant, Size: size})
		return classify(ctx, err, "note a checkpoint as filed")
	})
}

// AuditHead implements store.AuditReader.
func (r reader) AuditHead(ctx context.Context) (store.AuditHead, error) {
	row, err := r.queries.AuditHead(ctx, postgres.AuditHeadParams{Tenant: r.tenant})
	return store.AuditHead{Size: row.Size, Pruned: row.Pruned, Checkpointed: row.Checkpointed}, unlessNoRows(ctx, err, "read how far the audit log goes")
}

// AuditRecord implements store.AuditReader.
func (r reader) AuditRecord(ctx context.Context, id string) (audit.Record, bool, error) {
	row, err := r.queries.AuditEvent(ctx, postgres.AuditEventParams{Tenant: r.tenant, ID: id})
	return recordOf(row), err == nil, unlessNoRows(ctx, err, "find an audit event")
}

// AuditRecordAt implements store.AuditReader.
func (r reader) AuditRecordAt(ctx context.Context, seq int64) (audit.Record, bool, error) {
	row, err := r.queries.AuditEventAt(ctx, postgres.AuditEventAtParams{Tenant: r.tenant, Seq: seq})
	return recordOf(row), err == nil, unlessNoRows(ctx, err, "find an audit event")
}

// AuditRecords implements store.AuditReader.
func (r reader) AuditRecords(ctx context.Context, after audit.Record, limit int) ([]audit.Record, error) {
	rows, err := r.queries.SequencedAuditEvents(ctx, postgres.SequencedAuditEventsParams{
		Tenant: r.tenant, AfterSeq: after.Seq, AfterID: after.ID, MaxRows: maxRows(limit),
	})
	found, damaged := errors.AsType[*audit.Finding](err)
	if err != nil && !damaged {
		return nil, classify(ctx, err, "read the audit log in order")
	}
	records := make([]audit.Record, len(rows))
	for i, row := range rows {
		if row.Seal != "" {
			return records[:i], &audit.Finding{Tenant: row.Tenant, Seq: row.Seq, ID: row.ID, Problem: "was changed: it is sealed, and nothing else is"}
		}
		records[i] = recordOf(row)
	}
	if damaged {
		return records, found
	}
	return records, nil
}

// FirstAuditPlace implements store.AuditReader.
func (r reader) FirstAuditPlace(ctx context.Context, since time.Time) (int64, error) {
	place, err := firstAuditPlace(ctx, r.queries, r.tenant, since)
	if err != nil || place >= 0 {
		return place, err
	}
	head, err := r.AuditHead(ctx)
	return head.Size, err
}

// firstAuditPlace is -1 where there is none.
func firstAuditPlace(ctx context.Context, q postgres.Querier, tenant string, since time.Time) (int64, error) {
	place, err := q.FirstAuditPlace(ctx, postgres.FirstAuditPlaceParams{
		Tenant: tenant, Behind: idPrefix(since.Add(-idSlack)), Since: micros(since),
	})
	return place, classify(ctx, err, "find a time in the audit log")
}

// AuditTile implements store.AuditReader.
func (r reader) AuditTile(ctx context.Context, level int, number int64) ([]byte, error) {
	return auditTile(ctx, r.queries, r.tenant, level, number)
}

// AuditCheckpoint implements store.AuditReader.
func (r reader) AuditCheckpoint(ctx context.Context) (audit.SizedNote, bool, error) {
	row, err := r.queries.AuditCheckpoint(ctx, postgres.AuditCheckpointParams{Tenant: r.tenant})
	return audit.SizedNote(row), err == nil, unlessNoRows(ctx, err, "read the newest checkpoint")
}

// AuditCheckpoints implements store.AuditReader.
func (r reader) AuditCheckpoints(ctx context.Context, after int64, limit int) ([]audit.SizedNote, error) {
	rows, err := r.queries.AuditCheckpoints(ctx, postgres.AuditCheckpointsParams{Tenant: r.tenant, After: after, MaxRows: maxRows(limit)})
	if err != nil {
		return nil, classify(ctx, err, "list the checkpoints")
	}
	notes := make([]audit.SizedNote, len(rows))
	for i, row := range rows {
		notes[i] = audit.SizedNote(row)
	}
	return notes, nil
}
