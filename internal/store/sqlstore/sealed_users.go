package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse/gen/postgres"
	"github.com/gatehouse/gatehouse/internal/seal"
)

// This file seals registered users.

var usersName = seal.Column{Table: "users", Name: "name"}

// userContent is what is only read back of a user.
type userContent struct {
	Properties string `json:"properties"`
}

func userIdentity(name string, active int64) []string {
	return []string{name, strconv.FormatInt(active, 10)}
}

// openUser opens a row of users.
func (q *sealed) openUser(row postgres.User) (postgres.User, error) {
	name, err := q.openName(usersName, row.Name, row.Seal)
	if err != nil {
		return postgres.User{}, err
	}
	content := userContent{Properties: row.Properties}
	if err := q.openRow(usersName.Table, userIdentity(name, row.Active), row.Seal, &content); err != nil {
		return postgres.User{}, err
	}
	row.Name, row.Properties, row.Seal = name, content.Properties, ""
	return row, nil
}

// sealUser is a row of users as it is written.
func (q *sealed) sealUser(row postgres.User) (postgres.User, error) {
	var err error
	if row.Seal, err = q.rowSeal(usersName.Table, userIdentity(row.Name, row.Active), userContent{Properties: row.Properties}); err != nil {
		return postgres.User{}, err
	}
	if row.Seal != "" {
		row.Properties = ""
	}
	row.Name, err = q.name(usersName, row.Name)
	return row, err
}

// openUserRow opens what queries read of a row of users.
func (q *sealed) openUserRow(row postgres.UserRow) (postgres.UserRow, error) {
	user, err := q.openUser(postgres.User{Name: row.Name, Active: row.Active, Properties: row.Properties, Seal: row.Seal})
	return postgres.UserRow{Name: user.Name, Active: user.Active, Properties: user.Properties, Seal: user.Seal}, err
}

func (q *sealed) SetUser(ctx context.Context, user postgres.SetUserParams) (int64, error) {
	before, err := q.findUser(ctx, postgres.UserParams{Tenant: user.Tenant, Name: user.Name})
	switch {
	case err == nil && before.Active == user.Active && before.Properties == user.Properties:
		return 0, nil
	case err == nil:
		if _, err := q.DeleteUser(ctx, postgres.DeleteUserParams{Tenant: user.Tenant, Name: user.Name}); err != nil {
			return 0, err
		}
	case !isNoRows(err):
		return 0, err
	}
	row, err := q.sealUser(postgres.User(user))
	if err != nil {
		return 0, err
	}
	return q.Querier.SetUser(ctx, postgres.SetUserParams(row))
}

func (q *sealed) DeleteUser(ctx context.Context, user postgres.DeleteUserParams) (int64, error) {
	return q.each(usersName, user.Name, func(form string) (int64, error) {
		return q.Querier.DeleteUser(ctx, postgres.DeleteUserParams{Tenant: user.Tenant, Name: form})
	})
}

func (q *sealed) User(ctx context.Context, user postgres.UserParams) (postgres.UserRow, error) {
	row, err := q.findUser(ctx, user)
	if isNoRows(err) {
		err = cmp.Or(q.openInactive(ctx, user.Tenant), err)
	}
	return row, err
}

func (q *sealed) findUser(ctx context.Context, user postgres.UserParams) (postgres.UserRow, error) {
	row, err := byName(q, usersName, user.Name, func(form string) (postgres.UserRow, error) {
		return q.Querier.User(ctx, postgres.UserParams{Tenant: user.Tenant, Name: form})
	})
	if err != nil {
		return postgres.UserRow{}, err
	}
	return q.openUserRow(row)
}

// openInactive opens all users that are not active. Whoever is not there counts as
// active, and a name that was changed is not found: so it is asked before a user is said
// not to be there.
func (q *sealed) openInactive(ctx context.Context, tenant string) error {
	return scan(func(last postgres.User) ([]postgres.User, error) {
		return q.Querier.SealedInactiveUsers(ctx, postgres.SealedInactiveUsersParams{Tenant: tenant, After: last.Name, MaxRows: scanRows})
	}, func(row postgres.User) error {
		_, err := q.openUser(row)
		return err
	})
}

// Users reads all users of the tenant to put them in order.
func (q *sealed) Users(ctx context.Context, page postgres.UsersParams) ([]postgres.UsersRow, error) {
	found := first[postgres.UsersRow]{
		max: page.MaxRows, compare: func(a, b postgres.UsersRow) int { return strings.Compare(a.Name, b.Name) },
	}
	err := scan(func(last postgres.UsersRow) ([]postgres.UsersRow, error) {
		return q.Querier.Users(ctx, postgres.UsersParams{Tenant: page.Tenant, After: last.Name, MaxRows: scanRows})
	}, func(row postgres.UsersRow) error {
		user, err := q.openUserRow(postgres.UserRow(row))
		if err == nil && user.Name > page.After {
			found.add(postgres.UsersRow(user))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found.list(), nil
}

func (q *sealed) UsersNamed(ctx context.Context, users postgres.UsersNamedParams) ([]postgres.UsersNamedRow, error) {
	names := namesOf(users.Names)
	forms, err := q.allNames(usersName, names)
	if err != nil {
		return nil, err
	}
	rows, err := q.Querier.UsersNamed(ctx, postgres.UsersNamedParams{Tenant: users.Tenant, Names: forms})
	if err != nil {
		return nil, err
	}
	if len(rows) < len(names) {
		if err := q.openInactive(ctx, users.Tenant); err != nil {
			return nil, err
		}
	}
	for i, row := range rows {
		user, err := q.openUserRow(postgres.UserRow(row))
		if err != nil {
			return nil, err
		}
		rows[i] = postgres.UsersNamedRow(user)
	}
	slices.SortFunc(rows, func(a, b postgres.UsersNamedRow) int { return strings.Compare(a.Name, b.Name) })
	return rows, nil
}
