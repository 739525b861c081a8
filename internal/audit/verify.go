package audit

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Finding is the first thing that is wrong with a log.
type Finding struct {
	Tenant string
	// Seq and ID name the event; ID is empty where it is not there.
	Seq int64
	ID  string
	// Checkpoint is the size of the checkpoint that does not hold; 0 where it is an
	// event that is wrong.
	Checkpoint int64
	Problem    string
}

// Error implements error.
func (f *Finding) Error() string {
	switch {
	case f.Checkpoint > 0:
		return fmt.Sprintf("tenant %q: the checkpoint at size %d no longer holds: %s", f.Tenant, f.Checkpoint, f.Problem)
	case f.ID == "":
		return fmt.Sprintf("tenant %q: event %d %s", f.Tenant, f.Seq, f.Problem)
	default:
		return fmt.Sprintf("tenant %q: event %d (%s) %s", f.Tenant, f.Seq, f.ID, f.Problem)
	}
}

// Verified is what of a log was found good.
type Verified struct {
	Tenant string
	// From and To are the places of the first event and of that behind the last.
	From, To int64
	// Checkpoints counts those that hold; Newest is the size of the last.
	Checkpoints int64
	Newest      int64
}

// Log is a tenant's log as a database holds it.
type Log struct {
	Tenant string
	// Size is how many leaves the tree has; Pruned, of how many of them the events have
	// been deleted. Checkpointed is the size of the newest checkpoint.
	Size, Pruned, Checkpointed int64
	// Records are those with a Seq, by Seq and ID.
	Records iter.Seq2[Record, error]
	// Notes are the signed checkpoints by size.
	Notes iter.Seq2[SizedNote, error]
	// Tile returns the data of a tile; nil where there is none.
	Tile func(level int, number int64) ([]byte, error)
}

// SizedNote is a signed checkpoint with the size that it is kept under.
type SizedNote struct {
	Size int64
	Note string
}

// progressEvery is how many leaves there are between two calls of progress.
const progressEvery = 1000

// VerifyLog checks that every event is what and where the tree says, and that the
// tree is what the log's checkpoints, signed by key, and those of known say. The error
// is a *Finding for the first of them that is wrong. It calls progress with the number
// of leaves now and then, and needs the memory of a few tiles.
func VerifyLog(log Log, key Key, known []Checkpoint, progress func(leaves int64)) (Verified, error) {
	v := &verifier{log: log, key: key, verified: Verified{Tenant: log.Tenant, From: -1}, tiles: map[int]loadedTile{}}
	for _, c := range known {
		if c.Tenant == log.Tenant {
			v.known = append(v.known, c)
		}
	}
	slices.SortStableFunc(v.known, func(a, b Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	var stopRecords, stopNotes func()
	v.nextRecord, stopRecords = iter.Pull2(log.Records)
	defer stopRecords()
	v.nextNote, stopNotes = iter.Pull2(log.Notes)
	defer stopNotes()
	if err := v.run(progress); err != nil {
		return Verified{}, err
	}
	return v.verified, nil
}

type verifier struct {
	log      Log
	key      Key
	verified Verified

	tree  Tree
	tiles map[int]loadedTile // the last of each level

	nextRecord func() (Record, error, bool)
	record     Record // the next one, where more
	more       bool

	nextNote func() (SizedNote, error, bool)
	stored   *Checkpoint // the next of the log's own; nil behind the last
	newest   int64       // the size of the last of those that were read
	known    []Checkpoint

	// lost are the runs of places whose events are missing, and pruned is how many places
	// from the first one on the log itself says were pruned.
	lost   []run
	pruned int64
}

// run is places from one up to another, which it does not hold.
type run struct{ from, to int64 }

type loadedTile struct {
	number int64
	data   []byte
}

func (v *verifier) run(progress func(int64)) error {
	if err := v.advance(); err != nil {
		return err
	}
	if err := v.readNote(); err != nil {
		return err
	}
	for seq := int64(0); seq < v.log.Size; seq++ {
		if err := v.checkpointsHere(); err != nil {
			return err
		}
		if err := v.leaf(seq); err != nil {
			return err
		}
		if seq%progressEvery == 0 {
			progress(seq)
		}
	}
	if err := v.checkpointsHere(); err != nil {
		return err
	}
	progress(v.log.Size)
	return v.end()
}

// end looks for what there is beyond the tree's last leaf.
func (v *verifier) end() error {
	if v.more {
		return v.wrong(v.record, "lies beyond the end of the tree, which has %d leaves", v.log.Size)
	}
	for _, lost := range v.lost {
		if lost.to > v.pruned {
			return &Finding{Tenant: v.log.Tenant, Seq: max(lost.from, v.pruned), Problem: "is missing, and no event says that it was pruned"}
		}
	}
	if v.log.Pruned > v.pruned {
		return &Finding{Tenant: v.log.Tenant, Seq: v.pruned, Problem: "is called pruned, and no event says that it was"}
	}
	if v.newest < v.log.Checkpointed {
		return v.broken(Checkpoint{Size: v.log.Checkpointed}, "it is kept no more")
	}
	for level, n := 0, v.log.Size; ; level, n = level+1, n>>TileHeight {
		data, err := v.tile(level, n/TileWidth)
		if err != nil {
			return err
		}
		if int64(len(data)) != n%TileWidth*tlog.HashSize {
			return &Finding{Tenant: v.log.Tenant, Seq: v.log.Size, Problem: fmt.Sprintf(
				"lies beyond the end of the tree, and tile %d of level %d goes on there", n/TileWidth, level)}
		}
		if n == 0 {
			break
		}
	}
	if c := v.nextCheckpoint(); c != nil {
		return v.broken(*c, "the log has %d events only: it was cut off, or an older copy was restored", v.log.Size)
	}
	if v.verified.From < 0 {
		v.verified.From = v.log.Size
	}
	v.verified.To = v.log.Size
	return nil
}

// leaf checks the event at a place and adds its leaf.
func (v *verifier) leaf(seq int64) error {
	data, err := v.tile(0, seq/TileWidth)
	if err != nil {
		return err
	}
	if len(data) > TileWidth*tlog.HashSize {
		return &Finding{Tenant: v.log.Tenant, Seq: seq, Problem: fmt.Sprintf("is in tile %d, which is too long", seq/TileWidth)}
	}
	var hash Hash
	in := hash[:copy(hash[:], data[min(int64(len(data)), seq%TileWidth*tlog.HashSize):])]
	switch {
	case v.more && v.record.Seq < seq:
		return v.wrong(v.record, "is there twice")
	case len(in) < tlog.HashSize:
		return &Finding{Tenant: v.log.Tenant, Seq: seq, Problem: "has no leaf in the tree"}
	case v.more && v.record.Seq == seq:
		if err := v.compare(hash, data); err != nil {
			return err
		}
		if v.verified.From < 0 {
			v.verified.From = seq
		}
		if size := prunedSize(v.record.Action, []byte(v.record.Details)); size <= seq {
			v.pruned = max(v.pruned, size)
		}
		if err := v.advance(); err != nil {
			return err
		}
	case seq < v.log.Pruned:
		if last := len(v.lost) - 1; last >= 0 && v.lost[last].to == seq {
			v.lost[last].to++
		} else {
			v.lost = append(v.lost, run{seq, seq + 1})
		}
	default:
		return &Finding{Tenant: v.log.Tenant, Seq: seq, Problem: "is missing"}
	}
	var misfit error
	v.tree.Append(hash, func(level int, number int64, h Hash) {
		if level > 0 && misfit == nil {
			misfit = v.compareNode(seq, level, number, h)
		}
	})
	return misfit
}

// compare holds the next record against its leaf, one of those in data.
func (v *verifier) compare(leaf Hash, data []byte) error {
	if v.record.Tenant != v.log.Tenant {
		return v.wrong(v.record, "is of another tenant")
	}
	hash := v.record.LeafHash()
	if hash == leaf {
		return nil
	}
	for place := range len(data) / tlog.HashSize {
		if bytes.Equal(data[place*tlog.HashSize:][:tlog.HashSize], hash[:]) {
			return v.wrong(v.record, "is out of order: its place is %d", v.record.Seq/TileWidth*TileWidth+int64(place))
		}
	}
	return v.wrong(v.record, "is not what the tree says: it was changed, or its leaf was")
}

// compareNode holds a hash that the leaf at seq completed against its tile.
func (v *verifier) compareNode(seq int64, level int, number int64, h Hash) error {
	data, err := v.tile(level, number/TileWidth)
	if err != nil {
		return err
	}
	at := number % TileWidth * tlog.HashSize
	if int64(len(data)) < at+tlog.HashSize || !bytes.Equal(data[at:at+tlog.HashSize], h[:]) {
		return &Finding{Tenant: v.log.Tenant, Seq: seq, Problem: fmt.Sprintf(
			"and those before it do not fit tile %d of level %d of the tree", number/TileWidth, level)}
	}
	return nil
}

func (v *verifier) tile(level int, number int64) ([]byte, error) {
	if last, ok := v.tiles[level]; ok && last.number == number {
		return last.data, nil
	}
	data, err := v.log.Tile(level, number)
	v.tiles[level] = loadedTile{number, data}
	return data, err
}

// advance reads the next record.
func (v *verifier) advance() (err error) {
	v.record, err, v.more = v.nextRecord()
	return err
}

// checkpointsHere checks the checkpoints of the tree's size.
func (v *verifier) checkpointsHere() error {
	for c := v.nextCheckpoint(); c != nil && c.Size <= v.tree.Size(); c = v.nextCheckpoint() {
		if c.Size < v.tree.Size() || c.Root != v.tree.Root() {
			return v.broken(*c, "the events up to there are not those that it was signed for")
		}
		v.verified.Checkpoints++
		v.verified.Newest = c.Size
		if c == v.stored {
			if err := v.readNote(); err != nil {
				return err
			}
		} else {
			v.known = v.known[1:]
		}
	}
	return nil
}

// nextCheckpoint returns the smallest checkpoint that is not checked yet; nil where
// there is none.
func (v *verifier) nextCheckpoint() *Checkpoint {
	if len(v.known) > 0 && (v.stored == nil || v.known[0].Size < v.stored.Size) {
		return &v.known[0]
	}
	return v.stored
}

// readNote reads the next of the log's own checkpoints.
func (v *verifier) readNote() error {
	v.stored = nil
	kept, err, more := v.nextNote()
	if err != nil || !more {
		return err
	}
	c, err := v.key.Open(kept.Note)
	if err != nil {
		return v.broken(Checkpoint{Size: kept.Size}, "%v", err)
	}
	if c.Tenant != v.log.Tenant || c.Size != kept.Size {
		return v.broken(Checkpoint{Size: kept.Size}, "it is kept in the place of another")
	}
	v.stored, v.newest = &c, c.Size
	return nil
}

func (v *verifier) wrong(r Record, problem string, args ...any) error {
	return &Finding{Tenant: v.log.Tenant, Seq: r.Seq, ID: r.ID, Problem: fmt.Sprintf(problem, args...)}
}

func (v *verifier) broken(c Checkpoint, problem string, args ...any) error {
	return &Finding{Tenant: v.log.Tenant, Checkpoint: c.Size, Problem: fmt.Sprintf(problem, args...)}
}
