package audit

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// TileHeight is the height of a tile: it holds the hashes of one level of the tree,
	// and all between that level and the tile above can be computed.
	TileHeight = 8
	// TileWidth is how many hashes a full tile holds.
	TileWidth = 1 << TileHeight
)

// Tree is a Merkle tree that grows: of all hashes it keeps those of the largest
// complete subtrees, 63 at most. Its zero value is empty.
type Tree struct {
	size  int64
	peaks []Hash // from the left, each of a smaller subtree
}

// RestoreTree continues a tree of a size from its Peaks.
func RestoreTree(size int64, peaks []Hash) (Tree, error) {
	if size < 0 || bits.OnesCount64(uint64(size)) != len(peaks) {
		return Tree{}, fmt.Errorf("a tree of %d leaves does not have %d peaks", size, len(peaks))
	}
	return Tree{size: size, peaks: slices.Clone(peaks)}, nil
}

// Size counts the leaves.
func (t *Tree) Size() int64 { return t.size }

// Peaks returns the hashes of the largest complete subtrees, from the left.
func (t *Tree) Peaks() []Hash { return slices.Clone(t.peaks) }

// Append adds a leaf. It calls tiled, unless that is nil, with each hash that has a
// place in a tile: its tiles' level and its number on that level.
func (t *Tree) Append(leaf Hash, tiled func(level int, number int64, h Hash)) {
	hash, number := leaf, t.size
	for level := 0; ; level++ {
		if tiled != nil && level%TileHeight == 0 {
			tiled(level/TileHeight, number, hash)
		}
		if number&1 == 0 {
			break
		}
		last := len(t.peaks) - 1
		hash, number = tlog.NodeHash(t.peaks[last], hash), number>>1
		t.peaks = t.peaks[:last]
	}
	t.peaks = append(t.peaks, hash)
	t.size++
}

// Root is the tree's hash (RFC 6962, section 2.1).
func (t *Tree) Root() Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	root := t.peaks[len(t.peaks)-1]
	for _, peak := range slices.Backward(t.peaks[:len(t.peaks)-1]) {
		root = tlog.NodeHash(peak, root)
	}
	return root
}

// TileReader reads the data of tiles: of each the W hashes that are asked for, or
// more.
type TileReader func(tiles []tlog.Tile) ([][]byte, error)

var _ tlog.HashReader = TileReader(nil)

// Restore reads the tree as it was at a size.
func (read TileReader) Restore(size int64) (Tree, error) {
	var indexes []int64
	for from, left := int64(0), uint64(size); left > 0; {
		level := bits.Len64(left) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, from>>level))
		from += 1 << level
		left &^= 1 << level
	}
	peaks, err := read.ReadHashes(indexes)
	if err != nil {
		return Tree{}, err
	}
	return RestoreTree(size, peaks)
}

// ReadHashes implements tlog.HashReader.
func (read TileReader) ReadHashes(indexes []int64) ([]Hash, error) {
	var tiles []tlog.Tile
	places := make([]int, len(indexes)) // in tiles
	for i, index := range indexes {
		tile := tlog.TileForIndex(TileHeight, index)
		places[i] = slices.IndexFunc(tiles, func(t tlog.Tile) bool { return t.L == tile.L && t.N == tile.N })
		if places[i] < 0 {
			places[i] = len(tiles)
			tiles = append(tiles, tile)
		}
		known := &tiles[places[i]]
		known.W = max(known.W, tile.W)
	}
	data, err := read(tiles)
	if err != nil {
		return nil, err
	}
	hashes := make([]Hash, len(indexes))
	for i, index := range indexes {
		if hashes[i], err = tlog.HashFromTile(tiles[places[i]], data[places[i]], index); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
