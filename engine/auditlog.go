package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
	"github.com/gatehouse/gatehouse/internal/store"
)

// AuditCheckpoint is the newest checkpoint of a tenant's audit log.
type AuditCheckpoint = audit.SignedCheckpoint

// AuditHash is a hash of the log's Merkle tree.
type AuditHash = audit.Hash

// AuditPlace names an event by its ID, or by its Seq where ID is empty.
type AuditPlace = audit.EventPlace

// InclusionProof shows that an event is in the log of a checkpoint, ConsistencyProof
// that a log goes on from where a former checkpoint was.
type (
	InclusionProof   = audit.InclusionProof
	ConsistencyProof = audit.ConsistencyProof
)

const (
	// auditPage is how many rows are read at once where all are.
	auditPage = 1000
	// pruneBatch is how many events one transaction deletes.
	pruneBatch = 5000
)

// AuditCheckpoint returns the newest checkpoint; ErrNotFound before the first one, which
// is there about a second after the first event.
func (t *Tenant) AuditCheckpoint(ctx context.Context) (AuditCheckpoint, error) {
	var newest audit.SizedNote
	var found bool
	err := t.engine.store.View(ctx, t.id, func(r store.Reader) (err error) {
		newest, found, err = r.AuditCheckpoint(ctx)
		return err
	})
	if err != nil {
		return AuditCheckpoint{}, err
	}
	if !found {
		return AuditCheckpoint{}, fault.NotFound("the audit log has no checkpoint yet")
	}
	signer, err := t.engine.sequencer.signingKey(ctx)
	if err != nil {
		return AuditCheckpoint{}, err
	}
	c, err := signer.Open(newest.Note)
	if err != nil {
		return AuditCheckpoint{}, err
	}
	return AuditCheckpoint{Note: newest.Note, Checkpoint: c, Key: signer.VerifierKey(t.id)}, nil
}

// AuditInclusion proves that an event is in the tree of a size; 0 is that of the newest
// checkpoint. An event that has no place there yet is ErrConflict, one that is not
// known or has been pruned ErrNotFound.
func (t *Tenant) AuditInclusion(ctx context.Context, event AuditPlace, size int64) (InclusionProof, error) {
	switch {
	case size < 0:
		return InclusionProof{}, fault.Invalid("size: must not be negative")
	case event.Seq < 0:
		return InclusionProof{}, fault.Invalid("seq: must not be negative")
	}
	if err := validateText("id", event.ID, maxFilter); err != nil {
		return InclusionProof{}, err
	}
	var proof InclusionProof
	err := t.engine.store.View(ctx, t.id, func(r store.Reader) error {
		size := size // which another run is to choose anew
		head, newest, err := auditState(ctx, r)
		if err != nil {
			return err
		}
		record, err := findAuditRecord(ctx, r, head, event)
		if err != nil {
			return err
		}
		if size == 0 {
			if size = newest.Size; size <= record.Seq {
				return fault.Conflict("the event is under no checkpoint yet: ask again in a second")
			}
		}
		if size > head.Size {
			return fault.Invalid("size: the log has %d events", head.Size)
		}
		if size <= record.Seq {
			return fault.Invalid("size: the event has place %d, and the tree of that size ends before it", record.Seq)
		}
		proof = InclusionProof{Seq: record.Seq, Size: size, Leaf: record.Leaf()}
		if size == newest.Size {
			proof.Checkpoint = newest.Note
		}
		proof.Hashes, err = auditTiles(ctx, r).Prove(record.Seq, size)
		return err
	})
	return proof, err
}

func findAuditRecord(ctx context.Context, r store.Reader, head store.AuditHead, event AuditPlace) (audit.Record, error) {
	if event.ID != "" {
		record, ok, err := r.AuditRecord(ctx, event.ID)
		switch {
		case err != nil:
			return audit.Record{}, err
		case !ok:
			return audit.Record{}, fault.NotFound("no event has this id, or it was pruned")
		case record.Seq == audit.Pending:
			return audit.Record{}, fault.Conflict("the event has no place in the tree yet: ask again in a second")
		}
		return record, nil
	}
	record, ok, err := r.AuditRecordAt(ctx, event.Seq)
	switch {
	case err != nil:
		return audit.Record{}, err
	case ok:
		return record, nil
	case event.Seq < head.Pruned:
		return audit.Record{}, fault.NotFound("the event with place %d was pruned", event.Seq)
	}
	return audit.Record{}, fault.NotFound("no event has place %d", event.Seq)
}

// AuditConsistency proves that the tree of size to, 0 being that of the newest
// checkpoint, begins with that of size from.
func (t *Tenant) AuditConsistency(ctx context.Context, from, to int64) (ConsistencyProof, error) {
	switch {
	case from < 1:
		return ConsistencyProof{}, fault.Invalid("from: must be at least 1")
	case to < 0:
		return ConsistencyProof{}, fault.Invalid("to: must not be negative")
	}
	var proof ConsistencyProof
	err := t.engine.store.View(ctx, t.id, func(r store.Reader) error {
		head, newest, err := auditState(ctx, r)
		if err != nil {
			return err
		}
		if to == 0 {
			if to = newest.Size; to == 0 {
				return fault.NotFound("the audit log has no checkpoint yet")
			}
		}
		switch {
		case to > head.Size:
			return fault.Invalid("to: the log has %d events", head.Size)
		case from > to:
			return fault.Invalid("from: must be at most to, which is %d", to)
		}
		proof = ConsistencyProof{From: from, To: to}
		proof.Hashes, err = auditTiles(ctx, r).ProveConsistency(from, to)
		return err
	})
	return proof, err
}

// auditState reads how far a log goes and its newest checkpoint, zero without one.
func auditState(ctx context.Context, r store.Reader) (store.AuditHead, audit.SizedNote, error) {
	head, err := r.AuditHead(ctx)
	if err != nil {
		return store.AuditHead{}, audit.SizedNote{}, err
	}
	newest, _, err := r.AuditCheckpoint(ctx)
	return head, newest, err
}

// auditTiles reads tiles as package audit wants them.
func auditTiles(ctx context.Context, r store.Reader) audit.TileReader {
	return func(tiles []tlog.Tile) ([][]byte, error) {
		data := make([][]byte, len(tiles))
		for i, tile := range tiles {
			var err error
			if data[i], err = r.AuditTile(ctx, tile.L, tile.N); err != nil {
				return nil, err
			}
			if len(data[i]) < tile.W*tlog.HashSize {
				return nil, fmt.Errorf("tile %d of level %d of the audit log is incomplete", tile.N, tile.L)
			}
		}
		return data, nil
	}
}

// PruneAudit deletes the events before the first one that is not older than a time,
// and returns up to which place that is. Their hashes stay, and so the log can still be
// verified; an event of its own tells of it. It calls progress after each batch.
func (t *Tenant) PruneAudit(ctx context.Context, before time.Time, progress func()) (int64, error) {
	if before.Truncate(time.Microsecond).After(t.engine.now()) {
		return 0, fault.Invalid("before: must not lie in the future")
	}
	if err := t.engine.sequenceTenant(ctx, t.id); err != nil {
		return 0, err
	}
	pruned, err := t.engine.store.PruneEvents(ctx, t.id, before, func(size int64) audit.Event {
		return t.sign(audit.Event{
			Action: audit.AuditPruned, Resource: "audit", Outcome: audit.Success,
			Details: map[string]any{audit.PrunedSize: size, "before": before.UTC().Format(time.RFC3339Nano)},
		})
	})
	if err != nil {
		return 0, err
	}
	for more := true; more; {
		if more, err = t.engine.store.DeletePrunedEvents(ctx, t.id, pruneBatch); err != nil {
			return 0, err
		}
		progress()
	}
	return pruned, t.engine.sequencer.sign(ctx, t.id)
}

// AuditKey returns the key that verifies checkpoints, of all tenants.
func (e *Engine) AuditKey(ctx context.Context) (audit.Key, error) {
	signer, err := e.sequencer.signingKey(ctx)
	return signer.Key, err
}

// AuditTenants lists the tenants of which the audit log holds anything.
func (e *Engine) AuditTenants(ctx context.Context) ([]string, error) {
	var tenants []string
	for tenant := ""; ; {
		var err error
		if tenant, err = e.store.AuditTenant(ctx, tenant); err != nil || tenant == "" {
			return tenants, err
		}
		tenants = append(tenants, tenant)
	}
}

// SequenceAudit gives every event its place now, and signs a checkpoint of every log
// that has grown, rather than wait for the server that does.
func (e *Engine) SequenceAudit(ctx context.Context) error {
	pending, err := e.store.PendingAuditTenant(ctx, "")
	if err != nil {
		return err
	}
	always := func() (bool, error) { return true, ctx.Err() }
	return errors.Join(e.sequencer.sequenceAll(ctx, pending, always), e.sequencer.signAll(ctx))
}

// sequenceTenant is SequenceAudit for one tenant.
func (e *Engine) sequenceTenant(ctx context.Context, tenant string) error {
	for {
		n, err := e.store.SequenceEvents(ctx, tenant, sequenceBatch)
		if err != nil {
			return err
		}
		if n < sequenceBatch {
			return e.sequencer.sign(ctx, tenant)
		}
	}
}

// AuditSize returns how many events a tenant's log has, pruned ones among them.
func (t *Tenant) AuditSize(ctx context.Context) (size int64, err error) {
	err = t.engine.store.View(ctx, t.id, func(r store.Reader) error {
		head, err := r.AuditHead(ctx)
		size = head.Size
		return err
	})
	return size, err
}

// VerifyAudit checks the tenant's log in the database, as it is at one moment, against
// its checkpoints, which key has signed, and those of known that are the tenant's. What is
// wrong is an *audit.Finding.
func (t *Tenant) VerifyAudit(ctx context.Context, key audit.Key, known []audit.Checkpoint, progress func(leaves int64)) (audit.Verified, error) {
	var verified audit.Verified
	err := t.engine.store.View(ctx, t.id, func(r store.Reader) error {
		head, err := r.AuditHead(ctx)
		if err != nil {
			return err
		}
		verified, err = audit.VerifyLog(audit.Log{
			Tenant: t.id, Size: head.Size, Pruned: head.Pruned, Checkpointed: head.Checkpointed,
			Records: auditRecords(ctx, r, 0),
			Notes:   auditNotes(ctx, r),
			Tile:    func(level int, number int64) ([]byte, error) { return r.AuditTile(ctx, level, number) },
		}, key, known, progress)
		return err
	})
	return verified, err
}

// auditRecords reads all records from a place on.
func auditRecords(ctx context.Context, r store.Reader, from int64) iter.Seq2[audit.Record, error] {
	return inPages(audit.Record{Seq: from}, func(last audit.Record) ([]audit.Record, error) {
		return r.AuditRecords(ctx, last, auditPage)
	})
}

func auditNotes(ctx context.Context, r store.Reader) iter.Seq2[audit.SizedNote, error] {
	return inPages(audit.SizedNote{Size: -1}, func(last audit.SizedNote) ([]audit.SizedNote, error) {
		return r.AuditCheckpoints(ctx, last.Size, auditPage)
	})
}

// inPages reads all that comes behind an item, a page of auditPage at a time.
func inPages[T any](behind T, read func(T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			page, err := read(behind)
			for _, item := range page {
				if !yield(item, nil) {
					return
				}
			}
			if err != nil {
				yield(behind, err)
				return
			}
			if len(page) < auditPage {
				return
			}
			behind = page[len(page)-1]
		}
	}
}

// ExportAudit writes the tenant's events from the first one at or after since up to the
// first one at or after until, where these are not zero, in the form that
// audit.VerifyExport reads. A log without a checkpoint is ErrNotFound. It calls progress
// with the number of events now and then.
func (t *Tenant) ExportAudit(ctx context.Context, w io.Writer, since, until time.Time, progress func(events int64)) error {
	signer, err := t.engine.sequencer.signingKey(ctx)
	if err != nil {
		return err
	}
	begun := false
	return t.engine.store.View(ctx, t.id, func(r store.Reader) error {
		if begun {
			return fault.Unavailable(nil, "the connection to the database was lost in the middle of the export")
		}
		head, newest, err := auditState(ctx, r)
		if err != nil {
			return err
		}
		if newest.Size == 0 {
			return fault.NotFound("the audit log of tenant %q has no checkpoint yet", t.id)
		}
		from, to := head.Pruned, newest.Size
		if !since.IsZero() {
			place, err := r.FirstAuditPlace(ctx, since)
			if err != nil {
				return err
			}
			from = min(max(from, place), to)
		}
		if !until.IsZero() {
			place, err := r.FirstAuditPlace(ctx, until)
			if err != nil {
				return err
			}
			to = max(from, min(to, place))
		}
		if from == to {
			return fault.NotFound("the audit log of tenant %q has no events in that time", t.id)
		}
		begun = true
		return auditExport{t.id, signer.VerifierKey(t.id), newest, from, to, progress}.write(ctx, r, w)
	})
}

// auditExport is what is exported of a tenant's log: the events with the places from
// one up to another, and the checkpoint over them.
type auditExport struct {
	tenant, key string
	newest      audit.SizedNote
	from, to    int64
	progress    func(events int64)
}

func (x auditExport) write(ctx context.Context, r store.Reader, w io.Writer) error {
	tiles := auditTiles(ctx, r)
	before, err := tiles.Restore(x.from)
	if err != nil {
		return err
	}
	consistency, err := tiles.ProveConsistency(x.to, x.newest.Size)
	if err != nil {
		return err
	}
	start, err := audit.ExportStart{Tenant: x.tenant, From: x.from, Peaks: before.Peaks(), Key: x.key}.Line()
	if err != nil {
		return err
	}
	end, err := audit.ExportEnd{Tenant: x.tenant, Checkpoint: x.newest.Note, Consistency: consistency}.Line()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	// What a write cannot do, the next one and Flush report, too.
	_, _ = out.Write(start)
	next := x.from
	var line []byte
	for record, err := range auditRecords(ctx, r, x.from) {
		if err != nil {
			return err
		}
		if record.Seq != next {
			return fmt.Errorf("the audit log of tenant %q has no event %d: see gatehouse audit verify", x.tenant, next)
		}
		if record.Seq == x.to {
			break
		}
		line = record.AppendExport(line[:0])
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("write the export: %w", err)
		}
		if next++; next%auditPage == 0 {
			x.progress(next - x.from)
		}
	}
	if next != x.to {
		return fmt.Errorf("the audit log of tenant %q has no event %d: see gatehouse audit verify", x.tenant, next)
	}
	_, _ = out.Write(end)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	x.progress(x.to - x.from)
	return nil
}
