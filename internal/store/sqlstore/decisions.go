package sqlstore

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/store"
)

// This file keeps the decision log.

// AppendDecisions implements store.Store.
func (s *Store) AppendDecisions(ctx context.Context, decisions []store.TenantDecision) error {
	const doing = "append to the decision log"
	rows := make([]postgres.CreateDecisionParams, len(decisions))
	for i := range decisions {
		d := &decisions[i]
		if d.ID == "" {
			d.ID = decisionID(d.Time, s.decisions.Add(1)).String()
		}
		var err error
		if rows[i], err = decisionRow(*d); err != nil {
			return err
		}
	}
	return s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		written, err := s.sealDecisions(ctx, tx, rows)
		if err != nil {
			return false, err
		}
		err = tx.pipeline(ctx, func(q postgres.Querier) error {
			for _, row := range written {
				if err := q.CreateDecision(ctx, row); err != nil {
					return err
				}
			}
			return nil
		})
		return true, classify(ctx, err, doing)
	})
}

// sealDecisions returns decisions of several tenants as tx is to write them.
func (s *Store) sealDecisions(ctx context.Context, tx transaction, rows []postgres.CreateDecisionParams) ([]postgres.CreateDecisionParams, error) {
	if !s.vault.opens() {
		return rows, s.vault.admit(ctx, tx)
	}
	held := map[string]transaction{}
	for _, row := range rows {
		held[row.Tenant] = nil
	}
	// In one order, so that no two batches wait for each other to make the same tenants.
	for _, tenant := range slices.Sorted(maps.Keys(held)) {
		var err error
		if held[tenant], err = s.vault.hold(ctx, tx, tenant); err != nil {
			return nil, err
		}
	}
	written := slices.Clone(rows)
	for i, row := range rows {
		if q, ok := held[row.Tenant].(sealedTx); ok {
			decision, err := q.sealDecision(postgres.Decision(row))
			if err != nil {
				return nil, err
			}
			written[i] = postgres.CreateDecisionParams(decision)
		}
	}
	return written, nil
}

// DeleteDecisions implements store.Store.
func (s *Store) DeleteDecisions(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	const doing = "delete old decisions"
	err = s.inTransaction(ctx, doing, func(tx transaction) (bool, error) {
		rows, err := tx.StaleDecisions(ctx, postgres.StaleDecisionsParams{Before: micros(before), MaxRows: maxRows(limit)})
		deleted = len(rows)
		if err != nil || deleted == 0 {
			return false, classify(ctx, err, doing)
		}
		err = tx.pipeline(ctx, func(q postgres.Querier) error {
			for _, row := range rows {
				if err := q.DeleteDecision(ctx, postgres.DeleteDecisionParams(row)); err != nil {
					return err
				}
			}
			return nil
		})
		return true, classify(ctx, err, doing)
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// anyAnswer is the queries' argument for decisions that allow and decisions that deny.
const anyAnswer = -1

// LoggedDecisions implements store.Reader.
func (r reader) LoggedDecisions(ctx context.Context, filter authz.DecisionFilter, before string, limit int) ([]authz.LoggedDecision, error) {
	arguments := postgres.DecisionsParams{
		Tenant:       r.tenant,
		Subject:      filter.User,
		Permission:   filter.Permission,
		ResourceType: filter.Resource.Type,
		ResourceID:   filter.Resource.ID,
		Allowed:      anyAnswer,
		RequestID:    filter.RequestID,
		Since:        firstDecisionID(filter.Since),
		Before:       before,
		MaxRows:      maxRows(limit),
	}
	if filter.Allowed != nil {
		arguments.Allowed = flag(*filter.Allowed)
	}
	if until := firstDecisionID(filter.Until); !filter.Until.IsZero() && (before == "" || until < before) {
		arguments.Before = until
	} else if before == "" {
		arguments.Before = behindAll
	}
	rows, err := r.decisions(ctx, arguments)
	if err != nil {
		return nil, classify(ctx, err, "read the decision log")
	}
	decisions := make([]authz.LoggedDecision, len(rows))
	for i, row := range rows {
		if decisions[i], err = decisionOf(row); err != nil {
			return nil, err
		}
	}
	return decisions, nil
}

// decisions asks by way of the filter that is likely to leave the fewest.
func (r reader) decisions(ctx context.Context, by postgres.DecisionsParams) ([]postgres.Decision, error) {
	switch {
	case by.RequestID != "":
		return r.queries.DecisionsOfRequest(ctx, postgres.DecisionsOfRequestParams(by))
	case by.ResourceType != "":
		return r.queries.DecisionsOnResource(ctx, postgres.DecisionsOnResourceParams(by))
	case by.Subject != "":
		return r.queries.DecisionsOfUser(ctx, postgres.DecisionsOfUserParams(by))
	case by.Permission != "":
		return r.queries.DecisionsOfPermission(ctx, postgres.DecisionsOfPermissionParams(by))
	case by.Allowed != anyAnswer:
		return r.queries.DecisionsByAnswer(ctx, postgres.DecisionsByAnswerParams(by))
	default:
		return r.queries.Decisions(ctx, by)
	}
}

// decisionDetails is what the column details holds, as JSON.
type decisionDetails struct {
	SubjectType string           `json:"subject_type,omitempty"`
	Reasons     []decisionReason `json:"reasons,omitempty"`
}

// decisionReason is an authz.Reason as JSON.
type decisionReason struct {
	Outcome     authz.Outcome `json:"outcome"`
	Role        string        `json:"role"`
	At          authz.Node    `json:"at"`
	Group       string        `json:"group,omitempty"`
	Inheritance []string      `json:"inheritance,omitempty"`
	Permission  string        `json:"permission"`
	Condition   string        `json:"condition,omitempty"`
	Error       string        `json:"error,omitempty"`
}

func decisionRow(d store.TenantDecision) (postgres.CreateDecisionParams, error) {
	details := decisionDetails{SubjectType: storable(d.SubjectType)}
	for _, r := range d.Reasons {
		details.Reasons = append(details.Reasons, decisionReason(r))
	}
	text, err := json.Marshal(details)
	if err != nil {
		return postgres.CreateDecisionParams{}, fmt.Errorf("encode a decision's details: %w", err)
	}
	return postgres.CreateDecisionParams{
		Tenant:       d.Tenant,
		ID:           d.ID,
		DecidedAt:    micros(d.Time),
		Actor:        storable(d.Actor),
		Subject:      d.User,
		Permission:   d.Permission,
		ResourceType: d.Resource.Type,
		ResourceID:   d.Resource.ID,
		Allowed:      flag(d.Allowed),
		Revision:     d.Revision,
		Details:      string(text),
		RequestID:    storable(d.RequestID),
		Ip:           storable(d.IP),
	}, nil
}

func decisionOf(row postgres.Decision) (authz.LoggedDecision, error) {
	var details decisionDetails
	if err := json.Unmarshal([]byte(row.Details), &details); err != nil {
		return authz.LoggedDecision{}, fmt.Errorf("decode the details of decision %s: %w", row.ID, err)
	}
	d := authz.LoggedDecision{
		ID:          row.ID,
		Time:        time.UnixMicro(row.DecidedAt).UTC(),
		Actor:       row.Actor,
		User:        row.Subject,
		SubjectType: details.SubjectType,
		Permission:  row.Permission,
		Resource:    authz.Node{Type: row.ResourceType, ID: row.ResourceID},
		Allowed:     row.Allowed != 0,
		Revision:    row.Revision,
		RequestID:   row.RequestID,
		IP:          row.Ip,
	}
	for _, r := range details.Reasons {
		d.Reasons = append(d.Reasons, authz.Reason(r))
	}
	return d, nil
}

// decisionID makes a UUID version 7 (RFC 9562, section 5.7) of the microsecond of a
// decision, then a count, then 40 random bits: ids are in the order of time, and those of
// one moment in that in which this process took them.
func decisionID(at time.Time, count uint32) uuid.UUID {
	id := uuid.New()
	stampDecision(&id, at)
	id[8] = 0x80 | byte(count>>16)&0x3f
	binary.BigEndian.PutUint16(id[9:], uint16(count))
	return id
}

// firstDecisionID sorts before the ids of the decisions at a time, and behind those before.
func firstDecisionID(at time.Time) string {
	var id uuid.UUID
	stampDecision(&id, at)
	return id.String()
}

// stampDecision writes the first half of an id: the milliseconds, the version, and the
// microseconds among the 4096 parts of a millisecond.
func stampDecision(id *uuid.UUID, at time.Time) {
	micros := uint64(min(micros(at), lastDecisionMicros))
	binary.BigEndian.PutUint64(id[:], micros/1000<<16|7<<12|micros%1000<<2)
}

// lastDecisionMicros is the last time that an id has room for.
const lastDecisionMicros = (1<<48)*1000 - 1
