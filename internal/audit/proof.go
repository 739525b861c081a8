package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// EventPlace names an event by its ID, or by its Seq where ID is empty.
type EventPlace struct {
	ID  string
	Seq int64
}

// InclusionProof shows that an event is in the tree of a size.
type InclusionProof struct {
	// Seq is the event's place.
	Seq int64
	// Size is that of the tree.
	Size int64
	// Leaf is the event as the tree holds it: a JSON object.
	Leaf []byte
	// Hashes lead from the leaf to the root (RFC 6962, section 2.1.1).
	Hashes []Hash
	// Checkpoint is the signed note of that size; empty where there is none.
	Checkpoint string
}

// ConsistencyProof shows that the tree of a size begins with that of another.
type ConsistencyProof struct {
	From, To int64
	// Hashes are those of RFC 6962, section 2.1.2.
	Hashes []Hash
}

// LeafHash is the hash of the proof's leaf.
func (p InclusionProof) LeafHash() Hash { return tlog.RecordHash(p.Leaf) }

// Verify checks that the leaf is where the proof says in the log that has the
// checkpoint.
func (p InclusionProof) Verify(c Checkpoint) error {
	if p.Size != c.Size {
		return fmt.Errorf("inclusion proof: is for the tree of size %d, and the checkpoint of size %d", p.Size, c.Size)
	}
	if p.Seq < 0 || p.Seq >= p.Size || tlog.CheckRecord(p.Hashes, p.Size, c.Root, p.Seq, p.LeafHash()) != nil {
		return errors.New("inclusion proof: does not hold")
	}
	return nil
}

// Verify checks that the log that has the later checkpoint has the earlier one, too.
func (p ConsistencyProof) Verify(earlier, later Checkpoint) error {
	if earlier.Tenant != later.Tenant {
		return errors.New("consistency proof: the checkpoints are of two logs")
	}
	if p.From != earlier.Size || p.To != later.Size {
		return fmt.Errorf("consistency proof: is from size %d to %d, and the checkpoints from %d to %d", p.From, p.To, earlier.Size, later.Size)
	}
	if !consistent(p.Hashes, earlier, later) {
		return errors.New("consistency proof: does not hold")
	}
	return nil
}

func consistent(proof []Hash, earlier, later Checkpoint) bool {
	if earlier.Size == later.Size {
		return earlier.Root == later.Root && len(proof) == 0
	}
	return tlog.CheckTree(proof, later.Size, later.Root, earlier.Size, earlier.Root) == nil
}

// Prove shows that the leaf at a place is in the tree of a size.
func (read TileReader) Prove(seq, size int64) ([]Hash, error) {
	return tlog.ProveRecord(size, seq, read)
}

// ProveConsistency shows that the tree of size to begins with that of size from, which
// is not empty.
func (read TileReader) ProveConsistency(from, to int64) ([]Hash, error) {
	if from == to {
		return nil, nil
	}
	return tlog.ProveTree(to, from, read)
}
