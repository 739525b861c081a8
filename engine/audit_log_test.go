package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/fault"
)

// sequenced waits until every event has its place under a checkpoint, and returns them
// all, newest first.
func sequenced(t *testing.T, tenant *engine.Tenant, want int) []engine.AuditEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		list, err := tenant.AuditEvents(ctx, engine.AuditFilter{}, authz.Page{Limit: 10_000})
		if err != nil {
			t.Fatalf("%v, with %d events of %d", err, len(list.Items), want)
		}
		checkpoint, err := tenant.AuditCheckpoint(ctx)
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			t.Fatal(err)
		}
		if len(list.Items) == want && checkpoint.Size == int64(want) {
			return list.Items
		}
	}
}

func verifiedWhole(t *testing.T, e *engine.Engine, tenant *engine.Tenant, known ...audit.Checkpoint) audit.Verified {
	t.Helper()
	key, err := e.AuditKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verified, err := tenant.VerifyAudit(t.Context(), key, known, func(int64) {})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return verified
}

// TestEventsGetOneSequence has ten writers at work on two servers, while a third sequencer
// is killed again and again at random moments.
func TestEventsGetOneSequence(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		const writers, each = 10, 30
		config := engine.Config{Database: database, AutoMigrate: true}
		engines := []*engine.Engine{openEngine(t, config), openEngine(t, config)}
		var writing, killing sync.WaitGroup
		for w := range writers {
			tenant := engines[w%2].Tenant("tenant")
			writing.Go(func() {
				for n := range each {
					name := fmt.Sprintf("role-%d-%d", w, n)
					_, err := tenant.AddRole(t.Context(), name, authz.RoleOptions{})
					// Whose connections are broken all the time may find the database away. What was
					// made all the same is not made again.
					for errors.Is(err, fault.CodeUnavailable) && t.Context().Err() == nil {
						_, err = tenant.AddRole(t.Context(), name, authz.RoleOptions{})
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		written := make(chan struct{})
		killing.Go(func() {
			for {
				select {
				case <-written:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.N(20))*time.Millisecond)
				if err := engines[0].SequenceAudit(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				cancel()
			}
		})
		writing.Wait()
		close(written)
		killing.Wait()

		tenant := engines[1].Tenant("tenant")
		events := sequenced(t, tenant, writers*each)
		var places []int64
		for _, event := range events {
			if event.Seq == nil {
				t.Fatalf("event %s has no place, and is under a checkpoint", event.ID)
			}
			places = append(places, *event.Seq)
		}
		slices.Sort(places)
		for want, got := range places {
			if got != int64(want) {
				t.Fatalf("got place %d where %d should be", got, want)
			}
		}
		if v := verifiedWhole(t, engines[0], tenant); v.To != writers*each || v.Checkpoints == 0 {
			t.Errorf("got %+v, want all %d events under checkpoints", v, writers*each)
		}
	})
}

// TestEventsAreProved has each of a log's events proved against a checkpoint, and the
// checkpoint against a later one.
func TestEventsAreProved(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		x := newTampering(t, database)
		ctx := t.Context()
		if _, err := x.tenant.AuditCheckpoint(ctx); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("before the first event: got %v, want %v", err, engine.ErrNotFound)
		}
		x.grow(t, 0, 270)
		earlier := x.checkpoint(t)
		x.grow(t, 270, 300)
		later := x.checkpoint(t)
		events, err := x.tenant.AuditEvents(ctx, engine.AuditFilter{}, authz.Page{})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events.Items {
			proof, err := x.tenant.AuditInclusion(ctx, engine.AuditPlace{ID: event.ID}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.Verify(later); err != nil || proof.Seq != *event.Seq || !strings.Contains(string(proof.Leaf), event.ID) || proof.Checkpoint == "" {
				t.Errorf("event %d: got %+v, %v", *event.Seq, proof, err)
			}
			if proof, err = x.tenant.AuditInclusion(ctx, engine.AuditPlace{Seq: *event.Seq}, earlier.Size); *event.Seq >= earlier.Size {
				if !errors.Is(err, engine.ErrInvalid) {
					t.Errorf("event %d in an earlier tree: got %v, want %v", *event.Seq, err, engine.ErrInvalid)
				}
			} else if err != nil || proof.Verify(earlier) != nil {
				t.Errorf("event %d in an earlier tree: got %+v, %v", *event.Seq, proof, err)
			}
		}
		proof, err := x.tenant.AuditConsistency(ctx, earlier.Size, 0)
		if err != nil || proof.Verify(earlier, later) != nil {
			t.Errorf("got %+v, %v", proof, err)
		}
		for what, test := range map[string]struct {
			err  error
			want error
		}{
			"an unknown id":          {second(x.tenant.AuditInclusion(ctx, engine.AuditPlace{ID: "none"}, 0)), engine.ErrNotFound},
			"an id of no text":       {second(x.tenant.AuditInclusion(ctx, engine.AuditPlace{ID: "\xff"}, 0)), engine.ErrInvalid},
			"a place beyond the end": {second(x.tenant.AuditInclusion(ctx, engine.AuditPlace{Seq: 300}, 0)), engine.ErrNotFound},
			"a place below 0":        {second(x.tenant.AuditInclusion(ctx, engine.AuditPlace{Seq: -1}, 0)), engine.ErrInvalid},
			"a size beyond the end":  {second(x.tenant.AuditInclusion(ctx, engine.AuditPlace{Seq: 1}, 301)), engine.ErrInvalid},
			"another tenant's":       {second(x.engine.Tenant("other").AuditInclusion(ctx, engine.AuditPlace{ID: events.Items[0].ID}, 0)), engine.ErrNotFound},
			"from nothing":           {second(x.tenant.AuditConsistency(ctx, 0, 0)), engine.ErrInvalid},
			"backwards":              {second(x.tenant.AuditConsistency(ctx, 300, 1)), engine.ErrInvalid},
			"to beyond the end":      {second(x.tenant.AuditConsistency(ctx, 1, 301)), engine.ErrInvalid},
			"of an empty log":        {second(x.engine.Tenant("other").AuditConsistency(ctx, 1, 0)), engine.ErrNotFound},
		} {
			if !errors.Is(test.err, test.want) {
				t.Errorf("%s: got %v, want %v", what, test.err, test.want)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestPrunedLogIsVerifiable(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		x := newTampering(t, database)
		ctx := t.Context()
		x.grow(t, 0, 280)
		before := x.checkpoint(t)
		cut := time.Now()
		x.grow(t, 280, 300)
		pruned, err := x.tenant.PruneAudit(ctx, cut, func() {})
		if err != nil || pruned != 280 {
			t.Fatalf("got %d, %v; want 280", pruned, err)
		}
		if v := verifiedWhole(t, x.engine, x.tenant, before); v.From != 280 || v.To != 301 {
			t.Errorf("got %+v, want from 280 to 301: the last tells of the pruning", v)
		}
		if again, err := x.tenant.PruneAudit(ctx, cut, func() {}); err != nil || again != 280 || verifiedWhole(t, x.engine, x.tenant).To != 301 {
			t.Errorf("pruning again: got %d, %v; want 280 and no other event", again, err)
		}
		_, err = x.tenant.AuditInclusion(ctx, engine.AuditPlace{Seq: 279}, 0)
		if !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("a pruned event: got %v, want %v", err, engine.ErrNotFound)
		}
		if _, err := x.tenant.PruneAudit(ctx, time.Now().Add(time.Hour), func() {}); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("prune the future: got %v, want %v", err, engine.ErrInvalid)
		}
		x.grow(t, 300, 310)
		if _, err := x.tenant.PruneAudit(ctx, time.Now(), func() {}); err != nil {
			t.Fatal(err)
		}
		verifiedWhole(t, x.engine, x.tenant, before)

		// More cannot be taken along by saying that it was pruned.
		x.exec(t, "UPDATE audit_heads SET pruned = pruned + 1", "DELETE FROM audit_events WHERE seq = (SELECT pruned - 1 FROM audit_heads)")
		if _, err := x.verify(t); err == nil {
			t.Error("an event behind the pruned ones was deleted, and the log verifies")
		}
	})
}

// The present is no future, though events' times are in microseconds.
func TestPruneUpToNow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.November, 21, 12, 0, 0, 999, time.UTC)
	e := openEngine(t, engine.Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3"), Now: func() time.Time { return now }})
	if _, err := e.Tenant("tenant").PruneAudit(t.Context(), now, func() {}); err != nil {
		t.Errorf("now: %v", err)
	}
	if _, err := e.Tenant("tenant").PruneAudit(t.Context(), now.Add(time.Microsecond), func() {}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a microsecond later: got %v, want %v", err, engine.ErrInvalid)
	}
}

func TestExportIsVerifiable(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		x := newTampering(t, database)
		x.grow(t, 0, 150)
		first := x.checkpoint(t)
		early := time.Now()
		x.grow(t, 150, 280)
		late := time.Now()
		x.grow(t, 280, 300)
		key, err := x.engine.AuditKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		export := func(since, until time.Time) string {
			var b bytes.Buffer
			if err := x.tenant.ExportAudit(t.Context(), &b, since, until, func(int64) {}); err != nil {
				t.Fatal(err)
			}
			total, err := audit.ExportTotal(1).Line()
			if err != nil {
				t.Fatal(err)
			}
			return b.String() + string(total)
		}
		for what, c := range map[string]struct {
			since, until time.Time
			from, to     int64
		}{
			"all":        {time.Time{}, time.Time{}, 0, 300},
			"the newest": {early, time.Time{}, 150, 300},
			"the oldest": {time.Time{}, late, 0, 280},
			"between":    {early, late, 150, 280},
		} {
			got, err := audit.VerifyExport(strings.NewReader(export(c.since, c.until)), &key, []audit.Checkpoint{first}, func(int64) {})
			if err != nil || len(got) != 1 || got[0].From != c.from || got[0].To != c.to {
				t.Errorf("%s: got %+v, %v; want from %d to %d", what, got, err, c.from, c.to)
			}
		}
		err = x.tenant.ExportAudit(t.Context(), &bytes.Buffer{}, time.Now(), time.Time{}, func(int64) {})
		if !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("nothing to export: got %v, want %v", err, engine.ErrNotFound)
		}

		lines := strings.SplitAfter(strings.TrimSuffix(export(time.Time{}, time.Time{}), "\n"), "\n")
		lines[len(lines)-1] += "\n"
		line := 1 + 200 // behind the start
		for what, c := range map[string]struct {
			change func([]string) []string
			seq    int64 // -1 where no event is named
		}{
			"an event changed":   {func(l []string) []string { l[line] = strings.Replace(l[line], "role-200", "role-999", 1); return l }, 200},
			"an event removed":   {func(l []string) []string { return slices.Delete(l, line, line+1) }, 200},
			"two events swapped": {func(l []string) []string { l[line], l[line+1] = l[line+1], l[line]; return l }, 200},
			"an event twice":     {func(l []string) []string { return slices.Insert(l, line, l[line]) }, 201},
			"an event renamed": {func(l []string) []string {
				l[line] = strings.Replace(l[line], `"tenant":"tenant"`, `"tenant":"tenanu"`, 1)
				return l
			}, 200},
			"the tail removed":   {func(l []string) []string { return slices.Delete(l, line, len(l)-1) }, -1},
			"the end removed":    {func(l []string) []string { return slices.Delete(l, len(l)-2, len(l)-1) }, -1},
			"the start removed":  {func(l []string) []string { return l[1:] }, -1},
			"the start repeated": {func(l []string) []string { return slices.Insert(l, line, l[0]) }, -1},
			"a line torn":        {func(l []string) []string { l[line] = l[line][:40] + "\n"; return l }, -1},
			"the total removed":  {func(l []string) []string { return l[:len(l)-1] }, -1},
			"another total":      {func(l []string) []string { return append(l[:len(l)-1], `{"tenants":2}`+"\n") }, -1},
			"more behind":        {func(l []string) []string { return append(l, l[len(l)-1]) }, -1},
			"a leaf that others read": {func(l []string) []string {
				l[line] = strings.Replace(l[line], `"leaf":`, `"leaf":{"action":"ANOTHER"},"LEAF":`, 1)
				return l
			}, -1},
			"a leaf on the start": {func(l []string) []string { l[0] = strings.Replace(l[0], "}\n", `,"leaf":{}}`+"\n", 1); return l }, -1},
			"a strange line":      {func(l []string) []string { return slices.Insert(l, line, "{}\n") }, -1},
			"nothing":             {func([]string) []string { return nil }, -1},
			"another tree at the start": {func(l []string) []string {
				l[0] = strings.Replace(l[0], `"from":0,"peaks":[]`, `"from":1,"peaks":["CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="]`, 1)
				return slices.Delete(l, 1, 2)
			}, -1},
		} {
			text := strings.Join(c.change(slices.Clone(lines)), "")
			_, err := audit.VerifyExport(strings.NewReader(text), &key, nil, func(int64) {})
			found, ok := errors.AsType[*audit.Finding](err)
			if err == nil || c.seq >= 0 && (!ok || found.Seq != c.seq || found.Checkpoint != 0) {
				t.Errorf("%s: got %v, want event %d named", what, err, c.seq)
			}
		}
		wrong := first
		wrong.Root[0] ^= 1
		if _, err := audit.VerifyExport(strings.NewReader(strings.Join(lines, "")), &key, []audit.Checkpoint{wrong}, func(int64) {}); err == nil {
			t.Error("an export verifies against a checkpoint of another log")
		}
	})
}

// TestCheckpointsAreFiled lets servers take turns in writing one file.
func TestCheckpointsAreFiled(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, database string) {
		path := filepath.Join(t.TempDir(), "checkpoints")
		config := engine.Config{Database: database, AutoMigrate: true, AuditCheckpointFile: path}.WithCheckpointEvery(10 * time.Millisecond)
		var key audit.Key
		for n := range 3 {
			e, err := engine.Open(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			if key, err = e.AuditKey(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Tenant("tenant").AddRole(t.Context(), fmt.Sprintf("role-%d", n), authz.RoleOptions{}); err != nil {
				t.Fatal(err)
			}
			sizes := func() (sizes []int64) {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				notes, _ := audit.SplitNotes(string(text))
				for _, note := range notes {
					c, err := key.Open(note)
					if err != nil {
						t.Fatal(err)
					}
					sizes = append(sizes, c.Size)
				}
				return sizes
			}
			for ctx := t.Context(); !slices.Contains(sizes(), int64(n+1)); {
				if ctx.Err() != nil {
					t.Fatal(ctx.Err())
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			if got := sizes(); !slices.IsSorted(got) || len(got) > n+1 {
				t.Errorf("got checkpoints of sizes %v, want each once", got)
			}
			// As a crash in the middle of a line would leave it.
			torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := torn.WriteString(`{"checkp`); err != nil {
				t.Fatal(err)
			}
			if err := torn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got mode %v, %v; want 0600", info.Mode(), err)
		}
		config.AuditCheckpointFile = t.TempDir()
		if _, err := engine.Open(t.Context(), config); err == nil {
			t.Error("an engine opened that cannot write its checkpoint file")
		}
	})
}
