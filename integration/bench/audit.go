package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"fmt"
	"iter"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	// The driver's name is "pgx".
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
)

const (
	// sequencedEvents is how many events are sequenced at once, in batches of as many
	// changes as one may have.
	sequencedEvents = 20_000
	eventBatch      = 1000

	// verifiedEvents is how many events are verified.
	verifiedEvents = 1_000_000
)

// auditing measures what the audit log costs: writes with and without it, how fast
// events become leaves of the tree, and the verification of a million of them.
func auditing(ctx context.Context, o options, d *databases) error {
	for _, kind := range kinds {
		title("Acknowledged writes on " + kind + ": what the audit log costs")
		if err := d.auditedWrites(ctx, o, kind); err != nil {
			return err
		}
		if err := d.sequencing(ctx, kind); err != nil {
			return err
		}
	}
	title("Verification of the audit log")
	return verification()
}

func (d *databases) auditedWrites(ctx context.Context, o options, kind string) error {
	var contenders []contender
	for _, c := range []struct {
		name, base string
		disabled   bool
	}{{"without", "", true}, {"with the audit log", "without", false}} {
		database, err := d.newDatabase(ctx, kind, "audit-"+strings.Fields(c.name)[0])
		if err != nil {
			return err
		}
		e, err := engine.Open(ctx, engine.Config{Database: database, AutoMigrate: true, DisableAudit: c.disabled})
		if err != nil {
			return fmt.Errorf("open the engine on %s: %w", kind, err)
		}
		d.atEnd(func() { report(e.Close()) })
		w := &writing{}
		for n := range manyWriters {
			tenant := e.Tenant(fmt.Sprintf("tenant-%d", n))
			if _, err := tenant.AddRole(ctx, "editor", authz.RoleOptions{}); err != nil {
				return err
			}
			w.tenants = append(w.tenants, tenant)
		}
		for _, writers := range []int{1, manyWriters} {
			name := func(of string) string {
				if of == "" {
					return ""
				}
				return fmt.Sprintf("%s, %d writers", of, writers)
			}
			contenders = append(contenders, contender{name(c.name), name(c.base), w.engine(writers, writers)})
		}
	}
	return compare(ctx, o, "", contenders)
}

// sequencing has all events of a tenant sequenced anew.
func (d *databases) sequencing(ctx context.Context, kind string) error {
	database, err := d.newDatabase(ctx, kind, "sequencing")
	if err != nil {
		return err
	}
	e, err := engine.Open(ctx, engine.Config{Database: database, AutoMigrate: true})
	if err != nil {
		return fmt.Errorf("open the engine on %s: %w", kind, err)
	}
	defer func() { report(e.Close()) }()
	for batch := range sequencedEvents / eventBatch {
		_, err := e.Tenant("tenant").Batch(ctx, func(t *engine.Tenant) error {
			for n := range eventBatch {
				if _, err := t.AddRole(ctx, fmt.Sprintf("role-%d-%d", batch, n), authz.RoleOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := e.SequenceAudit(ctx); err != nil {
		return err
	}
	if err := forgetTree(ctx, database); err != nil {
		return err
	}
	begin := time.Now()
	if err := e.SequenceAudit(ctx); err != nil {
		return err
	}
	took := time.Since(begin)
	fmt.Printf("\n%d events sequenced in %s: %.0f a second\n", sequencedEvents, took.Round(time.Millisecond), sequencedEvents/took.Seconds())
	return nil
}

// forgetTree makes every event pending again, in one transaction.
func forgetTree(ctx context.Context, database string) error {
	driver := "pgx"
	if path, ok := strings.CutPrefix(database, "sqlite:"); ok {
		driver, database = "sqlite", "file:"+(&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()+"?_pragma=busy_timeout(5000)&_txlock=immediate"
	}
	db, err := sql.Open(driver, database)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	defer func() { report(db.Close()) }()
	return inTransaction(ctx, db, func(tx *sql.Tx) error {
		for _, statement := range []string{
			"DELETE FROM audit_heads", "DELETE FROM audit_tiles", "DELETE FROM audit_checkpoints", "UPDATE audit_events SET seq = -1",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// verification verifies a log that is made up as it is read: the tree in memory apart,
// it shows what verifying itself needs.
func verification() error {
	record := func(seq int64) audit.Record {
		return audit.Record{
			Seq: seq, Tenant: "tenant", ID: fmt.Sprintf("01993f6e-8a53-7d1a-8c55-%012x", seq), TimeMicros: 1_700_000_000_000_000 + seq,
			Actor: "9f86d081884c7d65", Action: audit.MembershipAdded, Resource: fmt.Sprintf("membership/user-%d@example.com/editor", seq),
			Subject: fmt.Sprintf("user-%d@example.com", seq), Outcome: audit.Success, Details: `{"expires_at":"2026-01-31T23:59:59Z"}`,
			IP: "192.0.2.1", UserAgent: "curl/8.5.0", RequestID: "01993f6e-8a52-7c3e-9f0a-1b2c3d4e5f60", Revision: seq, Salt: "3q2-7wAAAAAAAAAAAAAAAA",
		}
	}
	type place struct {
		level  int
		number int64
	}
	tiles := map[place][]byte{}
	var tree audit.Tree
	begin := time.Now()
	for seq := range int64(verifiedEvents) {
		tree.Append(record(seq).LeafHash(), func(level int, number int64, h audit.Hash) {
			at := place{level, number / audit.TileWidth}
			tiles[at] = append(tiles[at], h[:]...)
		})
	}
	fmt.Printf("%d leaves appended in %s, %.0f a second\n", verifiedEvents, time.Since(begin).Round(time.Millisecond), verifiedEvents/time.Since(begin).Seconds())
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	signer := audit.NewSigner(private)
	note, err := signer.Sign(audit.Checkpoint{Tenant: "tenant", Size: tree.Size(), Root: tree.Root()})
	if err != nil {
		return err
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	base, peak := memory.HeapAlloc, uint64(0)
	begin = time.Now()
	_, err = audit.VerifyLog(audit.Log{
		Tenant: "tenant", Size: tree.Size(),
		Records: func(yield func(audit.Record, error) bool) {
			for seq := int64(0); seq < tree.Size() && yield(record(seq), nil); seq++ {
			}
		},
		Notes: iter.Seq2[audit.SizedNote, error](func(yield func(audit.SizedNote, error) bool) {
			yield(audit.SizedNote{Size: tree.Size(), Note: note}, nil)
		}),
		Tile: func(level int, number int64) ([]byte, error) { return tiles[place{level, number}], nil },
	}, signer.Key, nil, func(leaves int64) {
		if leaves%100_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&memory)
			peak = max(peak, memory.HeapAlloc)
		}
	})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	fmt.Printf("%d events verified in %s, %.0f a second, with at most %.1f MiB of live heap beside the tree's %.0f MiB\n", verifiedEvents,
		took.Round(time.Millisecond), verifiedEvents/took.Seconds(), float64(peak-min(base, peak))/(1<<20), float64(base)/(1<<20))
	return nil
}
