package engine

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/live"
	"github.com/gatehouse/gatehouse/internal/store"
)

// snapshotFacts are facts of one snapshot, each read once, and kept until the next
// users or nodes are read.
type snapshotFacts struct {
	ctx      context.Context
	reader   store.Reader
	view     *live.View
	subjects map[string]*authz.Subject
	nodes    map[authz.Node]*store.NodeRecord
}

func newSnapshotFacts(ctx context.Context, r store.Reader) *snapshotFacts {
	return &snapshotFacts{
		ctx: ctx, reader: r, view: live.Through(ctx, r),
		subjects: map[string]*authz.Subject{}, nodes: map[authz.Node]*store.NodeRecord{},
	}
}

// Subject implements facts.
func (f *snapshotFacts) Subject(user string) (*authz.Subject, error) {
	if subject := f.subjects[user]; subject != nil {
		return subject, nil
	}
	subject, err := f.view.Subject(user)
	if err == nil {
		f.subjects[user] = subject
	}
	return subject, err
}

// Node implements facts.
func (f *snapshotFacts) Node(node authz.Node) (*store.NodeRecord, error) {
	if record, read := f.nodes[node]; read {
		return record, nil
	}
	record, err := f.view.Node(node)
	if err == nil {
		f.nodes[node] = record
	}
	return record, err
}

// readSubjects reads many users at once, with what they hold at some nodes, and lets go
// of those before.
func (f *snapshotFacts) readSubjects(users []string, at []authz.Node) error {
	records, err := f.reader.Subjects(f.ctx, users, at)
	if err != nil {
		return err
	}
	f.subjects = make(map[string]*authz.Subject, len(records))
	for user, record := range records {
		f.subjects[user] = authz.NewSubject(user, record.User.Inactive, record.User.Properties, record.Holdings)
	}
	return nil
}

// readNodes reads many nodes of a type at once, and lets go of those before.
func (f *snapshotFacts) readNodes(nodeType string, ids []string) error {
	records, err := f.reader.NodesNamed(f.ctx, nodeType, ids)
	if err != nil {
		return err
	}
	f.nodes = make(map[authz.Node]*store.NodeRecord, len(ids))
	for _, id := range ids {
		f.nodes[authz.Node{Type: nodeType, ID: id}] = nil
	}
	for i := range records {
		f.nodes[records[i].Node] = &records[i]
	}
	return nil
}
