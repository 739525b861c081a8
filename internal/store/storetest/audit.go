package storetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/audit"
)

// appendEvents appends events a minute apart, and returns the time of the last.
func (f fixture) appendEvents(t *testing.T, from, to int) time.Time {
	t.Helper()
	for n := from; n < to; n++ {
		must(t, f.AppendEvent(t.Context(), f.tenant, audit.Event{Time: now.Add(time.Duration(n) * time.Minute), Action: strconv.Itoa(n)}))
	}
	return now.Add(time.Duration(to-1) * time.Minute)
}

// auditSigner makes a key for checkpoints.
func auditSigner(t *testing.T) audit.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return audit.NewSigner(private)
}

func testAuditPlaces(t *testing.T, f fixture) {
	f.Store = f.open(t)
	ctx := t.Context()
	equal(t, "sequence nothing", get(f.SequenceEvents(ctx, f.tenant, 10))(t), 0)
	f.appendEvents(t, 0, 600)
	first := get(f.reader().AuditEvents(ctx, audit.Filter{Action: "0"}, "", 2))(t)
	if len(first) != 1 || first[0].Seq != nil {
		t.Fatalf("got %+v, want one event without a place", first)
	}
	// Several at once share the work.
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for {
				n, err := f.SequenceEvents(ctx, f.tenant, 37)
				if err != nil {
					t.Errorf("sequence: %v", err)
				}
				if err != nil || n == 0 {
					return
				}
			}
		})
	}
	done.Wait()
	head := get(f.reader().AuditHead(ctx))(t)
	equal(t, "size", head.Size, 600)
	var tree audit.Tree
	after := audit.Record{}
	for tree.Size() < head.Size {
		page := get(f.reader().AuditRecords(ctx, after, 100))(t)
		if len(page) == 0 {
			t.Fatalf("got %d events in order, want %d", tree.Size(), head.Size)
		}
		for _, record := range page {
			equal(t, "place", record.Seq, tree.Size())
			equal(t, "action", record.Action, strconv.FormatInt(tree.Size(), 10))
			tree.Append(record.LeafHash(), nil)
		}
		after = page[len(page)-1]
	}

	signer := auditSigner(t)
	must(t, f.SignCheckpoint(ctx, f.tenant, now, signer))
	newest, ok, err := f.reader().AuditCheckpoint(ctx)
	if err != nil || !ok {
		t.Fatalf("got %v and error %v, want a checkpoint", ok, err)
	}
	equal(t, "checkpoint", get(signer.Open(newest.Note))(t), audit.Checkpoint{Tenant: f.tenant, Size: 600, Root: tree.Root()})

	// One of the same minute gives way, and one of another stays.
	for n, at := range []time.Time{now.Add(time.Second), now.Add(time.Minute)} {
		f.appendEvents(t, 600+n, 601+n)
		get(f.SequenceEvents(ctx, f.tenant, 10))(t)
		must(t, f.SignCheckpoint(ctx, f.tenant, at, signer))
		must(t, f.SignCheckpoint(ctx, f.tenant, at, signer)) // there is nothing more to sign
	}
	var sizes []int64
	for _, note := range get(f.reader().AuditCheckpoints(ctx, 0, 10))(t) {
		sizes = append(sizes, note.Size)
	}
	equalList(t, "checkpoints", sizes, []int64{601, 602})
}

func testAuditPruning(t *testing.T, f fixture) {
	ctx := t.Context()
	last := f.appendEvents(t, 0, 10)
	get(f.SequenceEvents(ctx, f.tenant, 100))(t)
	equal(t, "first place of a time", get(f.reader().FirstAuditPlace(ctx, now.Add(4*time.Minute)))(t), 4)
	equal(t, "first place behind all", get(f.reader().FirstAuditPlace(ctx, last.Add(time.Microsecond)))(t), 10)
	var said int64
	made := func(size int64) audit.Event {
		said = size
		return audit.Event{Time: last, Action: audit.AuditPruned, Details: map[string]any{audit.PrunedSize: size}}
	}
	equal(t, "pruned", get(f.PruneEvents(ctx, f.tenant, now.Add(4*time.Minute), made))(t), 4)
	equal(t, "the event says", said, 4)
	equal(t, "pruned less", get(f.PruneEvents(ctx, f.tenant, now, made))(t), 4)
	head := get(f.reader().AuditHead(ctx))(t)
	equal(t, "size, with one event of the pruning", head.Size, 11)
	equal(t, "more to delete", get(f.DeletePrunedEvents(ctx, f.tenant, 3))(t), true)
	equal(t, "more to delete", get(f.DeletePrunedEvents(ctx, f.tenant, 3))(t), false)
	equal(t, "more to delete", get(f.DeletePrunedEvents(ctx, f.tenant, 3))(t), false)
	if left := get(f.reader().AuditRecords(ctx, audit.Record{}, 100))(t); len(left) != 7 || left[0].Seq != 4 {
		t.Errorf("got %+v, want 7 events from place 4 on", left)
	}
}

func testLeases(t *testing.T, f fixture) {
	ctx := t.Context()
	name := "lease " + f.tenant
	take := func(holder string, at time.Time) bool { return get(f.TakeLease(ctx, name, holder, at, time.Minute))(t) }
	equal(t, "take", take("a", now), true)
	equal(t, "take what is held", take("b", now.Add(59*time.Second)), false)
	equal(t, "keep", take("a", now.Add(59*time.Second)), true)
	equal(t, "take before its time", take("b", now.Add(118*time.Second)), false)
	equal(t, "take in time", take("b", now.Add(119*time.Second)), true)
	equal(t, "take back", take("a", now.Add(120*time.Second)), false)
	must(t, f.EndLease(ctx, name, "a"))
	equal(t, "take what another holds", take("a", now.Add(120*time.Second)), false)
	must(t, f.EndLease(ctx, name, "b"))
	equal(t, "take what was let go", take("a", now.Add(120*time.Second)), true)
}
