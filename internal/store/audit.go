package store

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/internal/audit"
)

// Audit keeps the audit log of every tenant, and the Merkle tree over it. What
// lengthens a tree locks the tenant's head first, so that any number of callers may
// do so at once: its places have no gap and no event has two.
type Audit interface {
	// AppendEvent keeps an event that has no effect to share a transaction with,
	// such as a refusal.
	AppendEvent(ctx context.Context, tenant string, event audit.Event) error

	// PendingAuditTenant finds the next tenant behind another that has events without a
	// place in its tree; empty for none. UnsignedAuditTenant finds the next one whose tree
	// has grown beyond its newest checkpoint.
	PendingAuditTenant(ctx context.Context, after string) (string, error)
	UnsignedAuditTenant(ctx context.Context, after string) (string, error)
	// AuditTenant finds the next tenant of which the audit log holds anything.
	AuditTenant(ctx context.Context, after string) (string, error)

	// SequenceEvents makes leaves of up to limit events that have no place yet, in one
	// transaction, and returns how many.
	SequenceEvents(ctx context.Context, tenant string, limit int) (int, error)
	// SignCheckpoint keeps what the signer makes of the tree, unless it is signed already. A
	// checkpoint of the same minute gives way to it. Where the newest checkpoint does
	// not hold any more, the tree is not signed: that is audit.ErrForked.
	SignCheckpoint(ctx context.Context, tenant string, at time.Time, signer audit.Signer) error

	// PruneEvents lets go of the events before the first one that is not older than a
	// time, and returns up to which place. The event that made makes of that place becomes
	// a leaf in the same transaction; nothing happens where there is no more to prune.
	PruneEvents(ctx context.Context, tenant string, before time.Time, made func(size int64) audit.Event) (int64, error)
	// DeletePrunedEvents deletes up to limit of the events that were let go, and reports
	// whether there are more.
	DeletePrunedEvents(ctx context.Context, tenant string, limit int) (more bool, err error)

	// UnfiledCheckpoints lists the newest checkpoints of tenants behind another, where
	// CheckpointFiled has not been told of them.
	UnfiledCheckpoints(ctx context.Context, after string, limit int) ([]FiledCheckpoint, error)
	CheckpointFiled(ctx context.Context, tenant string, size int64) error
}

// AuditReader reads one tenant's audit log as the tree has it.
type AuditReader interface {
	// AuditEvents lists events by their time, newest first, from behind the ID before;
	// an empty one starts at the newest. Those of one moment are in the order of appending.
	AuditEvents(ctx context.Context, filter audit.Filter, before string, limit int) ([]audit.Event, error)

	AuditHead(ctx context.Context) (AuditHead, error)
	// AuditRecord finds an event by its ID, and AuditRecordAt by its place.
	AuditRecord(ctx context.Context, id string) (audit.Record, bool, error)
	AuditRecordAt(ctx context.Context, seq int64) (audit.Record, bool, error)
	// AuditRecords lists those that have a place, by it and ID, from behind one. Where one
	// is sealed and does not open, the error is an *audit.Finding, beside those before it.
	AuditRecords(ctx context.Context, after audit.Record, limit int) ([]audit.Record, error)
	// FirstAuditPlace finds the first place with an event at or after a time; the tree's
	// size where there is none.
	FirstAuditPlace(ctx context.Context, since time.Time) (int64, error)
	// AuditTile reads a tile's hashes; nil where there is none.
	AuditTile(ctx context.Context, level int, number int64) ([]byte, error)
	// AuditCheckpoint reads the newest checkpoint, and AuditCheckpoints lists them by
	// size, from behind one.
	AuditCheckpoint(ctx context.Context) (audit.SizedNote, bool, error)
	AuditCheckpoints(ctx context.Context, after int64, limit int) ([]audit.SizedNote, error)
}

// AuditHead says how far a tenant's tree goes.
type AuditHead struct {
	// Size is how many leaves it has; below the place Pruned, events have been let go.
	Size, Pruned int64
	// Checkpointed is the size of the newest checkpoint.
	Checkpointed int64
}

// FiledCheckpoint is a signed checkpoint of a tenant.
type FiledCheckpoint struct {
	Tenant string
	audit.SizedNote
	At time.Time
}

// Leases let one server at a time do what any could. They are a courtesy: whoever needs
// to be the only one has the database see to it.
type Leases interface {
	// TakeLease takes a lease that nobody else holds at a time, or keeps it, for a term.
	TakeLease(ctx context.Context, name, holder string, at time.Time, term time.Duration) (bool, error)
	// EndLease lets go of a lease before its time.
	EndLease(ctx context.Context, name, holder string) error
}
