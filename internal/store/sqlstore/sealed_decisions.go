package sqlstore

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals the decision log.

var (
	decisionsSubject    = seal.Column{Table: "decisions", Name: "subject"}
	decisionsPermission = seal.Column{Table: "decisions", Name: "permission"}
)

// decisionContent is what is only read back of a decision.
type decisionContent struct {
	Details string `json:"details"`
	IP      string `json:"ip"`
}

func decisionIdentity(row postgres.Decision) []string {
	return []string{
		row.ID, strconv.FormatInt(row.DecidedAt, 10), row.Actor, row.Subject, row.Permission, row.ResourceType, row.ResourceID,
		strconv.FormatInt(row.Allowed, 10), strconv.FormatInt(row.Revision, 10), row.RequestID,
	}
}

// openDecision opens a row of decisions.
func (q *sealed) openDecision(row postgres.Decision) (postgres.Decision, error) {
	var err error
	if row.Subject, err = q.openSome(decisionsSubject, row.Subject, row.Seal); err != nil {
		return postgres.Decision{}, err
	}
	if row.Permission, err = q.openSome(decisionsPermission, row.Permission, row.Seal); err != nil {
		return postgres.Decision{}, err
	}
	content := decisionContent{Details: row.Details, IP: row.Ip}
	if err := q.openRow(decisionsSubject.Table, decisionIdentity(row), row.Seal, &content); err != nil {
		return postgres.Decision{}, err
	}
	row.Details, row.Ip, row.Seal = content.Details, content.IP, ""
	return row, nil
}

// sealDecision is a row of decisions as it is written.
func (q *sealed) sealDecision(row postgres.Decision) (postgres.Decision, error) {
	var err error
	if row.Seal, err = q.rowSeal(decisionsSubject.Table, decisionIdentity(row), decisionContent{Details: row.Details, IP: row.Ip}); err != nil {
		return postgres.Decision{}, err
	}
	if row.Seal != "" {
		row.Details, row.Ip = "", ""
	}
	if row.Subject, err = q.someName(decisionsSubject, row.Subject); err != nil {
		return postgres.Decision{}, err
	}
	row.Permission, err = q.someName(decisionsPermission, row.Permission)
	return row, err
}

func (q *sealed) CreateDecision(ctx context.Context, decision postgres.CreateDecisionParams) error {
	row, err := q.sealDecision(postgres.Decision(decision))
	if err != nil {
		return err
	}
	return q.Querier.CreateDecision(ctx, postgres.CreateDecisionParams(row))
}

func (q *sealed) Decisions(ctx context.Context, page postgres.DecisionsParams) ([]postgres.Decision, error) {
	return q.decisions(page, func(page postgres.DecisionsParams) ([]postgres.Decision, error) {
		return q.Querier.Decisions(ctx, page)
	})
}

func (q *sealed) DecisionsByAnswer(ctx context.Context, page postgres.DecisionsByAnswerParams) ([]postgres.Decision, error) {
	return q.decisions(postgres.DecisionsParams(page), func(page postgres.DecisionsParams) ([]postgres.Decision, error) {
		return q.Querier.DecisionsByAnswer(ctx, postgres.DecisionsByAnswerParams(page))
	})
}

func (q *sealed) DecisionsOfPermission(ctx context.Context, page postgres.DecisionsOfPermissionParams) ([]postgres.Decision, error) {
	return q.decisions(postgres.DecisionsParams(page), func(page postgres.DecisionsParams) ([]postgres.Decision, error) {
		return q.Querier.DecisionsOfPermission(ctx, postgres.DecisionsOfPermissionParams(page))
	})
}

func (q *sealed) DecisionsOfRequest(ctx context.Context, page postgres.DecisionsOfRequestParams) ([]postgres.Decision, error) {
	return q.decisions(postgres.DecisionsParams(page), func(page postgres.DecisionsParams) ([]postgres.Decision, error) {
		return q.Querier.DecisionsOfRequest(ctx, postgres.DecisionsOfRequestParams(page))
	})
}

func (q *sealed) DecisionsOfUser(ctx context.Context, page postgres.DecisionsOfUserParams) ([]postgres.Decision, error) {
	return q.decisions(postgres.DecisionsParams(page), func(page postgres.DecisionsParams) ([]postgres.Decision, error) {
		return q.Querier.DecisionsOfUser(ctx, postgres.DecisionsOfUserParams(page))
	})
}

func (q *sealed) DecisionsOnResource(ctx context.Context, page postgres.DecisionsOnResourceParams) ([]postgres.Decision, error) {
	return q.decisions(postgres.DecisionsParams(page), func(page postgres.DecisionsParams) ([]postgres.Decision, error) {
		return q.Querier.DecisionsOnResource(ctx, postgres.DecisionsOnResourceParams(page))
	})
}

// decisions reads a page for each form of the filter's names, and makes one of them.
func (q *sealed) decisions(page postgres.DecisionsParams, read func(postgres.DecisionsParams) ([]postgres.Decision, error)) ([]postgres.Decision, error) {
	subjects, err := q.someNames(decisionsSubject, page.Subject)
	if err != nil {
		return nil, err
	}
	permissions, err := q.someNames(decisionsPermission, page.Permission)
	if err != nil {
		return nil, err
	}
	var all []postgres.Decision
	for _, page.Subject = range subjects {
		for _, page.Permission = range permissions {
			rows, err := read(page)
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				if row, err = q.openDecision(row); err != nil {
					return nil, err
				}
				all = append(all, row)
			}
		}
	}
	slices.SortFunc(all, func(a, b postgres.Decision) int { return strings.Compare(b.ID, a.ID) })
	return all[:min(int64(len(all)), page.MaxRows)], nil
}
