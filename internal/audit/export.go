package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// An export is JSON lines: of each tenant an ExportStart, events in the order of the
// tree without a gap, and an ExportEnd, whose checkpoint holds them fast; last of all an
// ExportTotal.

// ExportStart is the first line of a tenant's events.
type ExportStart struct {
	Tenant string `json:"tenant"`
	// From is the place of the first event, and Peaks what the tree is up to there.
	From  int64  `json:"from"`
	Peaks []Hash `json:"peaks"`
	// Key verifies the checkpoint. Whoever wants to be sure has it from elsewhere.
	Key string `json:"key"`
}

// ExportEnd is the last line of a tenant's events.
type ExportEnd struct {
	Tenant     string `json:"tenant"`
	Checkpoint string `json:"checkpoint"`
	// Consistency proves that the checkpoint's tree begins with the events up to here.
	Consistency []Hash `json:"consistency"`
}

// ExportTotal is the last line, without which an export is cut off: how many tenants it
// is of.
type ExportTotal int

// exportLine is any line of an export.
type exportLine struct {
	Start *ExportStart `json:"start,omitempty"`
	End   *ExportEnd   `json:"end,omitempty"`

	Tenants *ExportTotal `json:"tenants,omitempty"`

	Seq  *int64          `json:"seq,omitempty"`
	Hash *Hash           `json:"hash,omitempty"`
	Leaf json.RawMessage `json:"leaf,omitempty"`
}

// Line returns the line with its end.
func (s ExportStart) Line() ([]byte, error) { return writeLine(exportLine{Start: &s}) }

// Line returns the line with its end.
func (e ExportEnd) Line() ([]byte, error) { return writeLine(exportLine{End: &e}) }

// Line returns the line with its end.
func (t ExportTotal) Line() ([]byte, error) { return writeLine(exportLine{Tenants: &t}) }

// rewritten is a line as it is written, so that none is taken that others may read
// otherwise, such as one that names something twice.
func (l exportLine) rewritten() ([]byte, error) {
	switch {
	case l.Start != nil:
		return l.Start.Line()
	case l.End != nil:
		return l.End.Line()
	case l.Tenants != nil:
		return l.Tenants.Line()
	case l.Seq != nil && l.Hash != nil && l.Leaf != nil:
		return appendLeafLine(nil, *l.Seq, *l.Hash, l.Leaf), nil
	default:
		return nil, nil
	}
}

func writeLine(line exportLine) ([]byte, error) {
	b, err := json.Marshal(line)
	return append(b, '\n'), err
}

// AppendExport appends the record's line with its end. The leaf stands in it byte for
// byte.
func (r Record) AppendExport(b []byte) []byte {
	return appendLeafLine(b, r.Seq, r.LeafHash(), r.Leaf())
}

func appendLeafLine(b []byte, seq int64, hash Hash, leaf []byte) []byte {
	b = fmt.Appendf(b, `{"seq":%d,"hash":"%s","leaf":`, seq, hash)
	return append(append(b, leaf...), "}\n"...)
}

// maxExportLine bounds a line that is read, in bytes.
const maxExportLine = 64 << 20

// VerifyExport checks an export against its checkpoints, which key has signed, or
// where key is nil the one that the export itself names; and against those of known
// that lie within. The error is a *Finding for the first event or checkpoint that is
// wrong. It calls progress with the number of leaves now and then, and needs little
// memory.
func VerifyExport(r io.Reader, key *Key, known []Checkpoint, progress func(leaves int64)) ([]Verified, error) {
	x := exportVerifier{key: key, known: map[place][]Checkpoint{}}
	for _, c := range known {
		at := place{c.Tenant, c.Size}
		x.known[at] = append(x.known[at], c)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	leaves := int64(0)
	for n := 1; lines.Scan(); n++ {
		var line exportLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("line %d of the export, %s, is not JSON", n, x.where())
		}
		written, err := line.rewritten()
		if err != nil || x.ended || string(written) != lines.Text()+"\n" {
			return nil, fmt.Errorf("line %d, %s, is none of an export", n, x.where())
		}
		switch {
		case line.Start != nil:
			err = x.begin(*line.Start)
		case line.Tenants != nil:
			err = x.total(*line.Tenants)
		case line.End != nil:
			err = x.end(*line.End)
		default:
			if err = x.leaf(*line.Seq, *line.Hash, line.Leaf); leaves%progressEvery == 0 {
				progress(leaves)
			}
			leaves++
		}
		if err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	if !x.ended {
		return nil, fmt.Errorf("the export is cut off %s", x.where())
	}
	progress(leaves)
	return x.done, nil
}

type exportVerifier struct {
	key   *Key
	known map[place][]Checkpoint
	done  []Verified

	// started is between a tenant's start and end, and ended behind the last line.
	started  bool
	ended    bool
	tree     Tree
	current  Verified
	embedded Key
}

// place is a size of a tenant's tree.
type place struct {
	tenant string
	size   int64
}

// where says where in the export it is.
func (x *exportVerifier) where() string {
	if !x.started {
		return "outside of a tenant's events"
	}
	return fmt.Sprintf("at event %d of tenant %q", x.tree.Size(), x.current.Tenant)
}

func (x *exportVerifier) begin(start ExportStart) (err error) {
	if x.started {
		return fmt.Errorf("the export is cut off %s", x.where())
	}
	if x.tree, err = RestoreTree(start.From, start.Peaks); err != nil {
		return fmt.Errorf("the start of tenant %q: %w", start.Tenant, err)
	}
	if x.embedded, err = ParseKey(start.Key); err != nil {
		return fmt.Errorf("the start of tenant %q: %w", start.Tenant, err)
	}
	x.started = true
	x.current = Verified{Tenant: start.Tenant, From: start.From}
	return x.checkKnown()
}

func (x *exportVerifier) leaf(seq int64, hash Hash, leaf []byte) error {
	if !x.started {
		return errors.New("the export has events before its start")
	}
	var event struct {
		Tenant string `json:"tenant"`
		ID     string `json:"id"`
	}
	_ = json.Unmarshal(leaf, &event) // what is no event has another hash
	wrong := func(problem string) error {
		return &Finding{Tenant: x.current.Tenant, Seq: x.tree.Size(), ID: event.ID, Problem: problem}
	}
	switch want := x.tree.Size(); {
	case seq > want:
		event.ID = ""
		return wrong("is missing")
	case seq < want:
		return wrong(fmt.Sprintf("is out of order: its place is %d", seq))
	case event.Tenant != x.current.Tenant:
		return wrong("is of another tenant")
	case tlog.RecordHash(leaf) != hash:
		return wrong("is not what its hash says: it was changed")
	}
	x.tree.Append(hash, nil)
	return x.checkKnown()
}

// checkKnown checks the known checkpoints of the tree's size.
func (x *exportVerifier) checkKnown() error {
	for _, c := range x.known[place{x.current.Tenant, x.tree.Size()}] {
		if c.Root != x.tree.Root() {
			return x.broken(c)
		}
		x.current.Checkpoints++
		x.current.Newest = c.Size
	}
	return nil
}

func (x *exportVerifier) end(end ExportEnd) error {
	if !x.started || end.Tenant != x.current.Tenant {
		return fmt.Errorf("the export has an end of tenant %q without a start", end.Tenant)
	}
	key := x.embedded
	if x.key != nil {
		key = *x.key
	}
	c, err := key.Open(end.Checkpoint)
	if err != nil {
		return fmt.Errorf("the end of tenant %q: %w", end.Tenant, err)
	}
	here := Checkpoint{Tenant: x.current.Tenant, Size: x.tree.Size(), Root: x.tree.Root()}
	if c.Tenant != here.Tenant || !consistent(end.Consistency, here, c) {
		return x.broken(c)
	}
	x.current.To = x.tree.Size()
	x.current.Checkpoints++
	x.current.Newest = c.Size
	x.done = append(x.done, x.current)
	x.started = false
	return nil
}

func (x *exportVerifier) total(tenants ExportTotal) error {
	if x.started || int(tenants) != len(x.done) {
		return fmt.Errorf("the export is cut off %s: it was of %d tenants", x.where(), tenants)
	}
	x.ended = true
	return nil
}

func (x *exportVerifier) broken(c Checkpoint) error {
	return &Finding{Tenant: x.current.Tenant, Checkpoint: c.Size, Problem: "the events of the export are not those that it was signed for"}
}

// Uncovered returns those of known that no part of what was verified reaches.
func Uncovered(known []Checkpoint, verified []Verified) []Checkpoint {
	return slices.DeleteFunc(slices.Clone(known), func(c Checkpoint) bool {
		return slices.ContainsFunc(verified, func(v Verified) bool {
			return v.Tenant == c.Tenant && v.From <= c.Size && c.Size <= v.To
		})
	})
}
