package sqlstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/audit"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals audit events, and the keys that sign tokens.

var (
	auditSubject  = seal.Column{Table: "audit_events", Name: "subject"}
	auditResource = seal.Column{Table: "audit_events", Name: "resource"}
)

const signingKeysTable = "signing_keys"

// auditContent is what is only read back of an audit event.
type auditContent struct {
	Details   string `json:"details"`
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	// Salt keeps what the tree shows of the event from telling whether a guess is right.
	Salt string `json:"salt"`
}

func auditIdentity(row postgres.AuditEvent) []string {
	return []string{
		row.ID, strconv.FormatInt(row.OccurredAt, 10), row.Actor, row.Action, row.Resource,
		row.Subject, row.Outcome, row.RequestID, strconv.FormatInt(row.Revision, 10),
	}
}

// openAuditEvent opens a row of audit_events.
func (q *sealed) openAuditEvent(row postgres.AuditEvent) (postgres.AuditEvent, error) {
	var err error
	if row.Subject, err = q.openSome(auditSubject, row.Subject, row.Seal); err != nil {
		return postgres.AuditEvent{}, err
	}
	if row.Resource, err = q.openSome(auditResource, row.Resource, row.Seal); err != nil {
		return postgres.AuditEvent{}, err
	}
	content := auditContent{Details: row.Details, IP: row.Ip, UserAgent: row.UserAgent, Salt: row.Salt}
	if row.Seal != "" && content != (auditContent{}) {
		return postgres.AuditEvent{}, q.damaged(auditSubject.Table, seal.ErrDamaged)
	}
	if err := q.openRow(auditSubject.Table, auditIdentity(row), row.Seal, &content); err != nil {
		return postgres.AuditEvent{}, err
	}
	row.Details, row.Ip, row.UserAgent, row.Salt, row.Seal = content.Details, content.IP, content.UserAgent, content.Salt, ""
	return row, nil
}

// sealAuditEvent is a row of audit_events as it is written.
func (q *sealed) sealAuditEvent(row postgres.AuditEvent) (postgres.AuditEvent, error) {
	var err error
	content := auditContent{Details: row.Details, IP: row.Ip, UserAgent: row.UserAgent, Salt: row.Salt}
	if row.Seal, err = q.rowSeal(auditSubject.Table, auditIdentity(row), content); err != nil {
		return postgres.AuditEvent{}, err
	}
	if row.Seal != "" {
		row.Details, row.Ip, row.UserAgent, row.Salt = "", "", "", ""
	}
	if row.Subject, err = q.someName(auditSubject, row.Subject); err != nil {
		return postgres.AuditEvent{}, err
	}
	row.Resource, err = q.someName(auditResource, row.Resource)
	return row, err
}

// someName is name, and openSome is openName, for a column in which a name may be
// missing. What is missing stays so, and the row's seal tells it from what was removed.
func (q *sealed) someName(column seal.Column, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return q.name(column, name)
}

// someNames are all forms that a filter asks for, which is empty where it asks for none.
func (q *sealed) someNames(column seal.Column, name string) ([]string, error) {
	if name == "" {
		return []string{""}, nil
	}
	return q.names(column, name)
}

func (q *sealed) openSome(column seal.Column, value, rowSeal string) (string, error) {
	if value == "" {
		return "", nil
	}
	return q.openName(column, value, rowSeal)
}

func (q *sealed) CreateAuditEvent(ctx context.Context, event postgres.CreateAuditEventParams) error {
	event, err := q.sealedEvent(event)
	if err != nil {
		return err
	}
	return q.Querier.CreateAuditEvent(ctx, event)
}

// sealedEvent is sealAuditEvent for a row that is to be created.
func (q *sealed) sealedEvent(event postgres.CreateAuditEventParams) (postgres.CreateAuditEventParams, error) {
	row, err := q.sealAuditEvent(postgres.AuditEvent{
		Tenant: event.Tenant, ID: event.ID, OccurredAt: event.OccurredAt, Actor: event.Actor, Action: event.Action,
		Resource: event.Resource, Subject: event.Subject, Outcome: event.Outcome, Details: event.Details, Ip: event.Ip,
		UserAgent: event.UserAgent, RequestID: event.RequestID, Revision: event.Revision, Salt: event.Salt,
	})
	if err != nil {
		return postgres.CreateAuditEventParams{}, err
	}
	event.Resource, event.Subject, event.Seal = row.Resource, row.Subject, row.Seal
	event.Details, event.Ip, event.UserAgent, event.Salt = row.Details, row.Ip, row.UserAgent, row.Salt
	return event, nil
}

func (q *sealed) AuditEvents(ctx context.Context, page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
	return q.auditPage(page, func(page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
		return q.Querier.AuditEvents(ctx, page)
	})
}

func (q *sealed) AuditEventsOfSubject(ctx context.Context, page postgres.AuditEventsOfSubjectParams) ([]postgres.AuditEvent, error) {
	return q.auditPage(postgres.AuditEventsParams(page), func(page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
		return q.Querier.AuditEventsOfSubject(ctx, postgres.AuditEventsOfSubjectParams(page))
	})
}

func (q *sealed) AuditEventsOfResource(ctx context.Context, page postgres.AuditEventsOfResourceParams) ([]postgres.AuditEvent, error) {
	return q.auditPage(postgres.AuditEventsParams(page), func(page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
		return q.Querier.AuditEventsOfResource(ctx, postgres.AuditEventsOfResourceParams(page))
	})
}

func (q *sealed) AuditEventsOfAction(ctx context.Context, page postgres.AuditEventsOfActionParams) ([]postgres.AuditEvent, error) {
	return q.auditPage(postgres.AuditEventsParams(page), func(page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
		return q.Querier.AuditEventsOfAction(ctx, postgres.AuditEventsOfActionParams(page))
	})
}

func (q *sealed) AuditEventsOfRequest(ctx context.Context, page postgres.AuditEventsOfRequestParams) ([]postgres.AuditEvent, error) {
	return q.auditPage(postgres.AuditEventsParams(page), func(page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
		return q.Querier.AuditEventsOfRequest(ctx, postgres.AuditEventsOfRequestParams(page))
	})
}

func (q *sealed) AuditEventsRefused(ctx context.Context, page postgres.AuditEventsRefusedParams) ([]postgres.AuditEvent, error) {
	return q.auditPage(postgres.AuditEventsParams(page), func(page postgres.AuditEventsParams) ([]postgres.AuditEvent, error) {
		return q.Querier.AuditEventsRefused(ctx, postgres.AuditEventsRefusedParams(page))
	})
}

// auditPage asks for each form of the filter's names.
func (q *sealed) auditPage(page postgres.AuditEventsParams, ask func(postgres.AuditEventsParams) ([]postgres.AuditEvent, error)) ([]postgres.AuditEvent, error) {
	subjects, err := q.someNames(auditSubject, page.Subject)
	if err != nil {
		return nil, err
	}
	resources, err := q.someNames(auditResource, page.Resource)
	if err != nil {
		return nil, err
	}
	all := []postgres.AuditEvent{}
	for _, page.Subject = range subjects {
		for _, page.Resource = range resources {
			rows, err := q.auditRows(ask(page))
			if err != nil {
				return nil, err
			}
			all = append(all, rows...)
		}
	}
	slices.SortFunc(all, func(a, b postgres.AuditEvent) int { return strings.Compare(b.ID, a.ID) })
	return all[:min(int64(len(all)), page.MaxRows)], nil
}

// auditRows opens what a query has found.
func (q *sealed) auditRows(rows []postgres.AuditEvent, err error) ([]postgres.AuditEvent, error) {
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = q.openAuditEvent(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (q *sealed) PendingAuditEvents(ctx context.Context, pending postgres.PendingAuditEventsParams) ([]postgres.AuditEvent, error) {
	return q.auditRows(q.Querier.PendingAuditEvents(ctx, pending))
}

func (q *sealed) SequencedAuditEvents(ctx context.Context, page postgres.SequencedAuditEventsParams) ([]postgres.AuditEvent, error) {
	rows, err := q.Querier.SequencedAuditEvents(ctx, page)
	for i, row := range rows {
		opened, err := q.openAuditEvent(row)
		if errors.Is(err, seal.ErrDamaged) {
			// With those before it, among which verification may find another fault.
			return rows[:i], &audit.Finding{Tenant: row.Tenant, Seq: row.Seq, ID: row.ID, Problem: "was changed: it does not open with the database's key"}
		}
		if err != nil {
			return nil, err
		}
		rows[i] = opened
	}
	return rows, err
}

func (q *sealed) AuditEvent(ctx context.Context, event postgres.AuditEventParams) (postgres.AuditEvent, error) {
	return q.auditRow(q.Querier.AuditEvent(ctx, event))
}

func (q *sealed) AuditEventAt(ctx context.Context, event postgres.AuditEventAtParams) (postgres.AuditEvent, error) {
	return q.auditRow(q.Querier.AuditEventAt(ctx, event))
}

func (q *sealed) auditRow(row postgres.AuditEvent, err error) (postgres.AuditEvent, error) {
	if err != nil {
		return postgres.AuditEvent{}, err
	}
	return q.openAuditEvent(row)
}

// signingContent is what is only read back of a signing key.
type signingContent struct {
	Material string `json:"material"`
}

func signingIdentity(row postgres.SigningKey) []string {
	return []string{
		row.Purpose, strconv.FormatInt(row.Number, 10), row.ID, row.Algorithm,
		strconv.FormatInt(row.CreatedAt, 10), strconv.FormatInt(row.SignsFrom, 10),
	}
}

// openSigningKey opens a row of signing_keys.
func (q *sealed) openSigningKey(row postgres.SigningKey) (postgres.SigningKey, error) {
	content := signingContent{Material: row.Material}
	if err := q.openRow(signingKeysTable, signingIdentity(row), row.Seal, &content); err != nil {
		return postgres.SigningKey{}, err
	}
	row.Material, row.Seal = content.Material, ""
	return row, nil
}

// sealSigningKey is a row of signing_keys as it is written.
func (q *sealed) sealSigningKey(row postgres.SigningKey) (postgres.SigningKey, error) {
	var err error
	if row.Seal, err = q.rowSeal(signingKeysTable, signingIdentity(row), signingContent{Material: row.Material}); err != nil {
		return postgres.SigningKey{}, err
	}
	if row.Seal != "" {
		row.Material = ""
	}
	return row, nil
}

func (q *sealed) CreateSigningKey(ctx context.Context, key postgres.CreateSigningKeyParams) (int64, error) {
	row, err := q.sealSigningKey(postgres.SigningKey(key))
	if err != nil {
		return 0, err
	}
	return q.Querier.CreateSigningKey(ctx, postgres.CreateSigningKeyParams(row))
}

func (q *sealed) SigningKeys(ctx context.Context, keys postgres.SigningKeysParams) ([]postgres.SigningKey, error) {
	rows, err := q.Querier.SigningKeys(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		if rows[i], err = q.openSigningKey(row); err != nil {
			return nil, err
		}
	}
	return rows, nil
}
