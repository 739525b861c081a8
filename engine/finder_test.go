package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/store"
)

// TestFinderHoldsOneLoadAtATime decides on more candidates than are loaded at once.
func TestFinderHoldsOneLoadAtATime(t *testing.T) {
	t.Parallel()
	var all []string
	for n := range 3000 {
		all = append(all, fmt.Sprintf("%04d", n))
	}
	var loaded []string
	f := finder{
		candidates: func(after string, limit int) ([]string, error) {
			from, found := slices.BinarySearch(all, after)
			if found {
				from++
			}
			return all[from:min(from+limit, len(all))], nil
		},
		load: func(names []string) error {
			if loaded = names; len(names) == 0 || len(names) > heavyChunk {
				t.Errorf("got %d candidates loaded at once, want 1 to %d", len(names), heavyChunk)
			}
			return nil
		},
		found: func(name string) (bool, error) {
			if !slices.Contains(loaded, name) {
				t.Errorf("%s is decided on and not loaded", name)
			}
			return true, nil
		},
	}
	items, last, err := f.page("", MaxPage, time.Time{})
	if err != nil || last != "" || !slices.Equal(items, all) {
		t.Errorf("got %d items, next page at %q, error %v, want all %d", len(items), last, err, len(all))
	}
}

func TestSnapshotFactsLetGoOfThoseBefore(t *testing.T) {
	t.Parallel()
	e, err := Open(t.Context(), Config{Database: filepath.Join(t.TempDir(), "gatehouse.sqlite3")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	tenant, post := e.Tenant("tenant"), func(id string) authz.Node { return authz.Node{Type: "post", ID: id} }
	for _, id := range []string{"a", "b"} {
		if _, err := tenant.PutResource(t.Context(), authz.Resource{Node: post(id)}); err != nil {
			t.Fatal(err)
		}
	}
	err = tenant.view(t.Context(), func(r store.Reader) error {
		known := newSnapshotFacts(context.WithoutCancel(t.Context()), r)
		for _, ids := range [][]string{{"a", "c"}, {"b"}} {
			if err := known.readNodes("post", ids); err != nil {
				return err
			}
			if err := known.readSubjects(ids, []authz.Node{authz.Root}); err != nil {
				return err
			}
			if len(known.nodes) != len(ids) || len(known.subjects) != len(ids) {
				t.Errorf("after %v: got %d nodes and %d users, want %d of each", ids, len(known.nodes), len(known.subjects), len(ids))
			}
			for _, id := range ids {
				if record, err := known.Node(post(id)); err != nil || (record != nil) != (id != "c") {
					t.Errorf("%s: got %v, %v", id, record, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
