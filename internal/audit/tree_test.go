package audit_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse/gatehouse/internal/audit"
)

// rootOf is the definition of RFC 6962, section 2.1, as it stands there.
func rootOf(leaves [][]byte) [32]byte {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := rootOf(leaves[:k]), rootOf(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// forest keeps a growing tree's tiles in memory.
type forest struct {
	tree  audit.Tree
	tiles map[[2]int64][]byte
}

func newForest() *forest { return &forest{tiles: map[[2]int64][]byte{}} }

func (f *forest) add(leaf []byte) {
	f.tree.Append(tlog.RecordHash(leaf), func(level int, number int64, h audit.Hash) {
		at := [2]int64{int64(level), number / audit.TileWidth}
		f.tiles[at] = append(f.tiles[at], h[:]...)
	})
}

func (f *forest) read(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		data[i] = f.tiles[[2]int64{int64(tile.L), tile.N}]
		if len(data[i]) < tile.W*tlog.HashSize {
			return nil, errors.New("no such tile")
		}
	}
	return data, nil
}

func leafOf(n int) []byte { return binary.AppendVarint(nil, int64(n)) }

func TestTreeIsThatOfRFC6962(t *testing.T) {
	t.Parallel()
	f := newForest()
	var leaves [][]byte
	for n := range 700 {
		if got, want := f.tree.Root(), rootOf(leaves); got != want {
			t.Fatalf("root of %d leaves: got %x, want %x", n, got, want)
		}
		leaves = append(leaves, leafOf(n))
		f.add(leaves[n])
	}
	for _, size := range []int64{1, 2, 255, 256, 257, 511, 512, 513, 700} {
		restored, err := audit.TileReader(f.read).Restore(size)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := restored.Root(), rootOf(leaves[:size]); got != want {
			t.Errorf("restored root of %d leaves: got %x, want %x", size, got, want)
		}
	}
	if _, err := audit.RestoreTree(3, restoredPeaks(t, f, 2)); err == nil {
		t.Error("a tree was restored from the peaks of another size")
	}
}

func restoredPeaks(t *testing.T, f *forest, size int64) []audit.Hash {
	t.Helper()
	tree, err := audit.TileReader(f.read).Restore(size)
	if err != nil {
		t.Fatal(err)
	}
	return tree.Peaks()
}

// TestProofs tries random places and sizes in a tree of three levels of tiles, and every
// way in which a proof can be wrong.
func TestProofs(t *testing.T) {
	t.Parallel()
	const size = 70_000
	f := newForest()
	roots := make([]audit.Hash, 1, size+1)
	for n := range size {
		f.add(leafOf(n))
		roots = append(roots, f.tree.Root())
	}
	read := audit.TileReader(f.read)
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		to := 2 + random.Int64N(size-1)
		seq, from := random.Int64N(to), 1+random.Int64N(to)
		later := audit.Checkpoint{Tenant: "a", Size: to, Root: roots[to]}
		earlier := audit.Checkpoint{Tenant: "a", Size: from, Root: roots[from]}

		hashes, err := read.Prove(seq, to)
		if err != nil {
			t.Fatal(err)
		}
		inclusion := audit.InclusionProof{Seq: seq, Size: to, Leaf: leafOf(int(seq)), Hashes: hashes}
		if err := inclusion.Verify(later); err != nil {
			t.Errorf("leaf %d in a tree of %d: %v", seq, to, err)
		}
		for what, change := range map[string]func(*audit.InclusionProof){
			"another leaf":  func(p *audit.InclusionProof) { p.Leaf = leafOf(int(seq) + 1) },
			"another place": func(p *audit.InclusionProof) { p.Seq = (seq + 1) % to },
			"beyond":        func(p *audit.InclusionProof) { p.Seq = to },
			"before":        func(p *audit.InclusionProof) { p.Seq = -1 },
			"another size":  func(p *audit.InclusionProof) { p.Size++ },
			"a hash less":   func(p *audit.InclusionProof) { p.Hashes = p.Hashes[1:] },
			"a hash more":   func(p *audit.InclusionProof) { p.Hashes = append(p.Hashes[:len(p.Hashes):len(p.Hashes)], roots[1]) },
		} {
			p := inclusion
			change(&p)
			if p.Verify(later) == nil {
				t.Errorf("leaf %d in a tree of %d: a proof for %s verifies", seq, to, what)
			}
		}

		if hashes, err = read.ProveConsistency(from, to); err != nil {
			t.Fatal(err)
		}
		consistency := audit.ConsistencyProof{From: from, To: to, Hashes: hashes}
		if err := consistency.Verify(earlier, later); err != nil {
			t.Errorf("from %d to %d: %v", from, to, err)
		}
		forked := later
		forked.Root[0] ^= 1
		foreign := later
		foreign.Tenant = "b"
		for what, wrong := range map[string]error{
			"a fork":         consistency.Verify(earlier, forked),
			"another tenant": consistency.Verify(earlier, foreign),
			"other sizes":    audit.ConsistencyProof{From: from + 1, To: to, Hashes: hashes}.Verify(earlier, later),
		} {
			if wrong == nil {
				t.Errorf("from %d to %d: a proof of %s verifies", from, to, what)
			}
		}
	}
}
