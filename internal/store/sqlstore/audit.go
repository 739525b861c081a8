package sqlstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/audit"
)

// This file appends events to the audit log and lists them; audit_log.go keeps the tree
// over them.

// AppendEvent implements store.Store.
func (s *Store) AppendEvent(ctx context.Context, tenant string, event audit.Event) error {
	row, err := s.events.row(tenant, 0, event)
	if err != nil {
		return err
	}
	const doing = "append an audit event"
	if s.vault.opens() {
		err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
			tx, err := s.vault.hold(ctx, tx, tenant)
			if err != nil {
				return false, err
			}
			return true, classify(ctx, tx.CreateAuditEvent(ctx, row), doing)
		})
	} else {
		_, err = s.swap(ctx, doing, func(q postgres.Querier) (int64, error) { return 1, q.CreateAuditEvent(ctx, row) })
	}
	if err == nil {
		s.counts.events.Add(1)
	}
	return err
}

func (w *writer) AppendEvent(_ context.Context, event audit.Event) error {
	row, err := w.ids.row(w.tenant, w.revision, event)
	if err != nil {
		return err
	}
	w.events = append(w.events, row)
	return nil
}

// behindAll sorts behind every event's id.
const behindAll = "~"

// idSlack is how far an event's id and its time may be apart: an older release drew
// the id when it wrote the event.
const idSlack = time.Minute

// AuditEvents implements store.Reader. It uses the index of the filter that finds the
// fewest events, by and large.
func (r reader) AuditEvents(ctx context.Context, filter audit.Filter, before string, limit int) ([]audit.Event, error) {
	p := postgres.AuditEventsParams{
		Tenant:    r.tenant,
		Before:    behindAll,
		Since:     micros(filter.Since),
		Until:     endMicros(filter.Until),
		Subject:   filter.User,
		Action:    filter.Action,
		Resource:  filter.Resource,
		Outcome:   filter.Outcome,
		RequestID: filter.RequestID,
		MaxRows:   maxRows(limit),
	}
	if before != "" {
		p.Before = before
	}
	if !filter.Since.IsZero() {
		p.Behind = idPrefix(filter.Since.Add(-idSlack))
	}
	if !filter.Until.IsZero() {
		p.Before = min(p.Before, idPrefix(filter.Until.Add(idSlack)))
	}
	rows, err := auditEvents(ctx, r.queries, p)
	if err != nil {
		return nil, classify(ctx, err, "read the audit log")
	}
	events := make([]audit.Event, len(rows))
	for i, row := range rows {
		if events[i], err = eventOf(recordOf(row)); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func auditEvents(ctx context.Context, q postgres.Querier, p postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
	switch {
	case p.RequestID != "":
		return q.AuditEventsOfRequest(ctx, postgres.AuditEventsOfRequestParams(p))
	case p.Subject != "":
		return q.AuditEventsOfSubject(ctx, postgres.AuditEventsOfSubjectParams(p))
	case p.Resource != "":
		return q.AuditEventsOfResource(ctx, postgres.AuditEventsOfResourceParams(p))
	case p.Action != "":
		return q.AuditEventsOfAction(ctx, postgres.AuditEventsOfActionParams(p))
	case p.Outcome == audit.Refused:
		return q.AuditEventsRefused(ctx, postgres.AuditEventsRefusedParams(p))
	default:
		return q.AuditEvents(ctx, p)
	}
}

// eventRows makes rows of events. It draws their ids: UUIDs version 7 of the events'
// own times, so that a time finds its events, each behind the one before.
type eventRows struct {
	mu sync.Mutex
	// last is the newest id's time, in 60 bits, of each of a few seconds. mu guards it.
	last map[uint64]uint64
}

// maxIDSeconds is how many seconds are told apart: more than one, for not all events
// are of the present.
const maxIDSeconds = 64

// row is the one place where an event becomes a row; recordOf is its inverse.
func (e *eventRows) row(tenant string, revision int64, event audit.Event) (postgres.CreateAuditEventParams, error) {
	details := []byte("{}")
	if len(event.Details) > 0 {
		var err error
		if details, err = json.Marshal(event.Details); err != nil {
			return postgres.CreateAuditEventParams{}, fmt.Errorf("encode an audit event's details: %w", err)
		}
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	return postgres.CreateAuditEventParams{
		Tenant:     tenant,
		ID:         e.id(micros(event.Time)),
		OccurredAt: micros(event.Time),
		Actor:      storable(event.Actor),
		Action:     storable(event.Action),
		Resource:   storable(event.Resource),
		Subject:    storable(event.User),
		Outcome:    storable(event.Outcome),
		Details:    string(details),
		Ip:         storable(event.IP),
		UserAgent:  storable(event.UserAgent),
		RequestID:  storable(event.RequestID),
		Revision:   revision,
		Salt:       base64.RawURLEncoding.EncodeToString(salt),
	}, nil
}

// id draws the id of an event at a time: milliseconds and their 4096th parts (RFC 9562,
// section 6.2, method 3), or what comes behind the last id of the same moment.
func (e *eventRows) id(micros int64) string {
	at := uint64(micros/1000)<<12 | uint64(micros%1000<<12/1000)
	second := uint64(micros / 1e6)
	e.mu.Lock()
	last, ok := e.last[second]
	if ok && at <= last {
		at = last + 1
	}
	if e.last == nil || !ok && len(e.last) == maxIDSeconds {
		e.last = map[uint64]uint64{}
	}
	e.last[second] = at
	e.mu.Unlock()

	var id uuid.UUID
	rand.Read(id[8:])
	for i, shift := range []int{52, 44, 36, 28, 20, 12} {
		id[i] = byte(at >> shift)
	}
	id[6] = 0x70 | byte(at>>8)&0x0f
	id[7] = byte(at)
	id[8] = 0x80 | id[8]&0x3f
	return id.String()
}

// idPrefix sorts before the ids of events from a time on, and behind all others.
func idPrefix(at time.Time) string {
	millis := min(uint64(micros(at)/1000), 1<<48-1)
	return fmt.Sprintf("%08x-%04x", millis>>16, millis&0xffff)
}

// recordOf is the one place where a row becomes what the tree and all readers see.
func recordOf(row postgres.AuditEvent) audit.Record {
	return audit.Record{
		Seq:        row.Seq,
		Tenant:     row.Tenant,
		ID:         row.ID,
		TimeMicros: row.OccurredAt,
		Actor:      row.Actor,
		Action:     row.Action,
		Resource:   row.Resource,
		Subject:    row.Subject,
		Outcome:    row.Outcome,
		Details:    row.Details,
		IP:         row.Ip,
		UserAgent:  row.UserAgent,
		RequestID:  row.RequestID,
		Revision:   row.Revision,
		Salt:       row.Salt,
	}
}

func eventOf(r audit.Record) (audit.Event, error) {
	event := audit.Event{
		ID:        r.ID,
		Time:      time.UnixMicro(r.TimeMicros).UTC(),
		Actor:     r.Actor,
		Action:    r.Action,
		Resource:  r.Resource,
		User:      r.Subject,
		Outcome:   r.Outcome,
		IP:        r.IP,
		UserAgent: r.UserAgent,
		RequestID: r.RequestID,
		Revision:  r.Revision,
	}
	if r.Seq >= 0 {
		event.Seq = &r.Seq
	}
	if r.Details != "{}" {
		if err := json.Unmarshal([]byte(r.Details), &event.Details); err != nil {
			return audit.Event{}, fmt.Errorf("decode the details of audit event %s: %w", r.ID, err)
		}
	}
	return event, nil
}
