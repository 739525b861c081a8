package sqlstore

import (
	"context"
	"strconv"

	"github.com/gatehouse/gatehouse/gen/postgres"
)

// This file seals the change feed.

const changesTable = "changes"

// changeContent is what is only read back of a change.
type changeContent struct {
	Key string `json:"key"`
}

func changeIdentity(row postgres.Change) []string {
	return []string{strconv.FormatInt(row.Revision, 10), strconv.FormatInt(row.Position, 10), row.Kind}
}

// openChange opens a row of changes.
func (q *sealed) openChange(row postgres.Change) (postgres.Change, error) {
	content := changeContent{Key: row.Key}
	if err := q.openRow(changesTable, changeIdentity(row), row.Seal, &content); err != nil {
		return postgres.Change{}, err
	}
	row.Key, row.Seal = content.Key, ""
	return row, nil
}

// sealChange is a row of changes as it is written.
func (q *sealed) sealChange(row postgres.Change) (postgres.Change, error) {
	var err error
	if row.Seal, err = q.rowSeal(changesTable, changeIdentity(row), changeContent{Key: row.Key}); err != nil {
		return postgres.Change{}, err
	}
	if row.Seal != "" {
		row.Key = ""
	}
	return row, nil
}

func (q *sealed) CreateChange(ctx context.Context, change postgres.CreateChangeParams) error {
	row, err := q.sealChange(postgres.Change(change))
	if err != nil {
		return err
	}
	return q.Querier.CreateChange(ctx, postgres.CreateChangeParams(row))
}

func (q *sealed) ChangesAfter(ctx context.Context, page postgres.ChangesAfterParams) ([]postgres.ChangesAfterRow, error) {
	rows, err := q.Querier.ChangesAfter(ctx, page)
	if err != nil {
		return nil, err
	}
	for i, row := range rows {
		change, err := q.openChange(postgres.Change{
			Revision: row.Revision,
			Position: row.Position,
			Kind:     row.Kind,
			Key:      row.Key,
			Seal:     row.Seal,
		})
		if err != nil {
			return nil, err
		}
		rows[i].Key, rows[i].Seal = change.Key, ""
	}
	return rows, nil
}
