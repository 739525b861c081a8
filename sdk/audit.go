package sdk

import (
	"context"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/sdk/api"
)

// AuditEvent is one entry of a tenant's audit log.
type AuditEvent = audit.Event

// AuditFilter selects events. A zero field selects all.
type AuditFilter = audit.Filter

// AuditEvents lists the tenant's audit events, newest first.
func (c *Client) AuditEvents(ctx context.Context, filter AuditFilter, page authz.Page) (authz.List[AuditEvent], error) {
	a, err := read[[]api.AuditEvent](c.api.ListAuditEvents(ctx, &api.ListAuditEventsParams{
		User:      given(filter.User),
		Action:    given(filter.Action),
		Resource:  given(filter.Resource),
		Outcome:   given(api.Outcome(filter.Outcome)),
		RequestId: given(filter.RequestID),
		Since:     bound(filter.Since),
		Until:     bound(filter.Until),
		Limit:     given(page.Limit),
		Cursor:    given(page.Cursor),
	}))
	return listOf(a, a.data, auditEvent), err
}

func auditEvent(e api.AuditEvent) AuditEvent {
	return AuditEvent{
		ID:        e.Id,
		Time:      e.Time,
		Actor:     e.Actor,
		Action:    e.Action,
		Resource:  e.Resource,
		User:      e.User,
		Outcome:   string(e.Outcome),
		Details:   e.Details,
		IP:        e.Ip,
		UserAgent: e.UserAgent,
		RequestID: e.RequestId,
		Revision:  e.Revision,
		Seq:       e.Seq,
	}
}

// AuditCheckpoint is a signed checkpoint of the tenant's audit log.
type AuditCheckpoint = audit.SignedCheckpoint

// Checkpoint is what a checkpoint says: the size and root of a tenant's log.
type Checkpoint = audit.Checkpoint

// AuditPlace names an event by its ID, or by its Seq where ID is empty.
type AuditPlace = audit.EventPlace

// InclusionProof shows that an event is in the log of a checkpoint, ConsistencyProof
// that a log goes on from where a former checkpoint was. Their methods Verify check that
// without a word from the server.
type (
	InclusionProof   = audit.InclusionProof
	ConsistencyProof = audit.ConsistencyProof
)

// OpenCheckpoint returns what a signed checkpoint says, where the verifier key has
// signed it, of whatever tenant: 'gatehouse audit key' prints the key.
func OpenCheckpoint(note, key string) (Checkpoint, error) {
	k, err := audit.ParseKey(key)
	if err != nil {
		return Checkpoint{}, err
	}
	return k.Open(note)
}

// AuditCheckpoint returns the newest checkpoint; ErrNotFound before the first one. Its
// signature has been checked against its own Key, which says little: see
// OpenCheckpoint.
func (c *Client) AuditCheckpoint(ctx context.Context) (AuditCheckpoint, error) {
	a, err := read[api.AuditCheckpoint](c.api.GetAuditCheckpoint(ctx))
	if err != nil {
		return AuditCheckpoint{}, err
	}
	opened, err := OpenCheckpoint(a.data.Checkpoint, a.data.Key)
	return AuditCheckpoint{Checkpoint: opened, Note: a.data.Checkpoint, Key: a.data.Key}, err
}

// AuditInclusion proves that an event is in the log of a size; 0 is that of the newest
// checkpoint. An event without a place yet is ErrConflict.
func (c *Client) AuditInclusion(ctx context.Context, event AuditPlace, size int64) (InclusionProof, error) {
	params := &api.ProveAuditInclusionParams{Id: given(event.ID), Size: given(size)}
	if event.ID == "" {
		params.Seq = &event.Seq
	}
	a, err := read[api.AuditInclusion](c.api.ProveAuditInclusion(ctx, params))
	if err != nil {
		return InclusionProof{}, err
	}
	hashes, err := auditHashes(a.data.Hashes)
	return InclusionProof{
		Seq: a.data.Seq, Size: a.data.Size, Leaf: []byte(a.data.Leaf), Hashes: hashes, Checkpoint: orZero(a.data.Checkpoint),
	}, err
}

// AuditConsistency proves that the log of size to, 0 being that of the newest
// checkpoint, begins with that of size from.
func (c *Client) AuditConsistency(ctx context.Context, from, to int64) (ConsistencyProof, error) {
	a, err := read[api.AuditConsistency](c.api.ProveAuditConsistency(ctx, &api.ProveAuditConsistencyParams{From: from, To: given(to)}))
	if err != nil {
		return ConsistencyProof{}, err
	}
	hashes, err := auditHashes(a.data.Hashes)
	return ConsistencyProof{From: a.data.From, To: a.data.To, Hashes: hashes}, err
}

func auditHashes(texts []string) ([]audit.Hash, error) {
	hashes := make([]audit.Hash, len(texts))
	for i, text := range texts {
		var err error
		if hashes[i], err = audit.ParseHash(text); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}
