// Package seedimport brings a database of auth, as package seed reads it, into a
// Gatehouse database. Check finds out what can be brought, Import brings it.
package seedimport

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse/authz"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/internal/seed"
)

const (
	// batchSize bounds how many rows one transaction brings.
	batchSize = 500
	// maxProblems is how many rows that cannot be brought a report names.
	maxProblems = 20
)

// Options says how to bring rows.
type Options struct {
	// IgnoreStrictUsers leaves users active whom auth answers no about because its
	// strict_users is on and they have no API key.
	IgnoreStrictUsers bool
	// Progress is called for each row that is done with. Required.
	Progress func()
}

// Report tells what there was and what became of it.
type Report struct {
	// Found is how many rows of each kind can be brought, Added how many things the
	// database that they were brought to did not have.
	Found, Added [seed.Kinds]int
	// Inactive is how many users were made inactive.
	Inactive int
	// Problems names rows that cannot be brought, or not wholly, and why, but not what
	// they hold: the first maxProblems of LeftOut and Unreadable together.
	Problems []string
	// LeftOut is how many rows Gatehouse cannot hold.
	LeftOut int
	// Unreadable is how many rows have a value that cannot be told.
	Unreadable int
}

// Rows is how many rows can be brought.
func (r Report) Rows() (n int) {
	for _, found := range r.Found {
		n += found
	}
	return n
}

// ErrOddKey is a key that opens nothing of what looks encrypted.
var ErrOddKey = errors.New("the encryption key opens none of the values that look encrypted")

// Check reads everything and writes nothing.
func Check(ctx context.Context, from *seed.Database, options Options) (Report, error) {
	var report Report
	for _, err := range report.bringable(ctx, from) {
		if err != nil {
			return report, fmt.Errorf("reading the database of auth: %w", err)
		}
		options.Progress()
	}
	if from.OddKey() {
		return report, ErrOddKey
	}
	return report, nil
}

// Import brings what is not there yet, in transactions of one tenant each, and leaves
// everything else as it is: so it can be run again, after an error too.
func Import(ctx context.Context, from *seed.Database, to *engine.Engine, options Options) (Report, error) {
	var report Report
	i := importer{to: to, options: options, report: &report}
	for row, err := range report.bringable(ctx, from) {
		if err != nil {
			return report, fmt.Errorf("reading the database of auth: %w", err)
		}
		if err := i.add(ctx, row); err != nil {
			return report, err
		}
	}
	return report, i.flush(ctx)
}

// bringable yields the rows that can be brought, and reports on all.
func (r *Report) bringable(ctx context.Context, from *seed.Database) iter.Seq2[seed.Row, error] {
	return func(yield func(seed.Row, error) bool) {
		for row, err := range from.Rows(ctx) {
			if err == nil && !r.accept(&row) {
				continue
			}
			if err == nil {
				r.Found[row.Kind]++
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// accept tells whether a row can be brought, and takes a description away that cannot.
func (r *Report) accept(row *seed.Row) bool {
	if _, unreadable := errors.AsType[*seed.ValueError](row.Err); unreadable {
		r.Unreadable++
		r.note(*row, row.Err.Error())
		return false
	}
	if !engine.IsClientKey(row.Creator) {
		if row.Kind == seed.Creator {
			return false // its rows tell, if there are any
		}
		return r.leaveOut(*row, "creator: is not a UUID version 4")
	}
	if row.Err != nil {
		return r.leaveOut(*row, row.Err.Error())
	}
	if row.Kind == seed.Creator {
		return true
	}
	if err := authz.ValidateRole(row.Role); err != nil {
		return r.leaveOut(*row, "role: "+err.Error())
	}
	if authz.IsBuiltin(row.Role) {
		return r.leaveOut(*row, "role: the name is that of a built-in role")
	}
	switch row.Kind {
	case seed.Grant:
		// To auth an asterisk is nothing special, so what would be a wildcard here is none.
		if err := authz.ValidatePermission(row.Name); err != nil {
			return r.leaveOut(*row, "permission: "+err.Error())
		}
	case seed.Membership:
		if err := authz.ValidateID(row.Name); err != nil {
			return r.leaveOut(*row, "user: "+err.Error())
		}
	case seed.Role:
		if !isDescription(row.Description) {
			r.leaveOut(*row, fmt.Sprintf("description: must be at most %d characters of UTF-8; the role is brought without", authz.MaxDescription))
			row.Description = ""
		}
	}
	return true
}

func isDescription(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsRune(text, 0) && utf8.RuneCountInString(text) <= authz.MaxDescription
}

// leaveOut returns false.
func (r *Report) leaveOut(row seed.Row, why string) bool {
	r.LeftOut++
	r.note(row, why)
	return false
}

func (r *Report) note(row seed.Row, why string) {
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, row.Place()+": "+why)
	}
}

// importer gathers rows of one creator and writes them together.
type importer struct {
	to      *engine.Engine
	options Options
	report  *Report
	rows    []seed.Row
}

func (i *importer) add(ctx context.Context, row seed.Row) error {
	if len(i.rows) == batchSize || len(i.rows) > 0 && i.rows[0].Creator != row.Creator {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	i.rows = append(i.rows, row)
	return nil
}

func (i *importer) flush(ctx context.Context) error {
	if len(i.rows) == 0 {
		return nil
	}
	tenant, adopted, err := i.to.AdoptClientKey(ctx, i.rows[0].Creator)
	if err != nil {
		return fmt.Errorf("bringing a client key: %w", err)
	}
	if adopted {
		i.report.Added[seed.Creator]++
	}
	var done Report
	_, err = tenant.Batch(ctx, func(t *engine.Tenant) error {
		done = Report{}
		for _, row := range i.rows {
			if err := i.bring(ctx, t, row, &done); err != nil {
				return fmt.Errorf("bringing %s to tenant %s: %w", row.Place(), t.ID(), err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for kind, added := range done.Added {
		i.report.Added[kind] += added
	}
	i.report.Inactive += done.Inactive
	for range i.rows {
		i.options.Progress()
	}
	i.rows = i.rows[:0]
	return nil
}

func (i *importer) bring(ctx context.Context, t *engine.Tenant, row seed.Row, done *Report) error {
	var written authz.Written
	var err error
	switch row.Kind {
	case seed.Role:
		written, err = addRole(ctx, t, row)
	case seed.Grant:
		written, err = t.AddPermission(ctx, row.Role, row.Name)
	case seed.Membership:
		written, err = t.AdoptMembership(ctx, row.Name, row.Role)
		if err == nil && written.Changed && row.Refused && !i.options.IgnoreStrictUsers {
			err = deactivate(ctx, t, row.Name, done)
		}
	}
	if written.Changed {
		done.Added[row.Kind]++
	}
	return err
}

// addRole leaves the description of a role that is there.
func addRole(ctx context.Context, t *engine.Tenant, row seed.Row) (authz.Written, error) {
	if _, err := t.Role(ctx, row.Role); !errors.Is(err, engine.ErrNotFound) {
		return authz.Written{}, err
	}
	var options authz.RoleOptions
	if row.Description != "" {
		options.Description = &row.Description
	}
	return t.AddRole(ctx, row.Role, options)
}

// deactivate registers a user as inactive, unless the user is registered.
func deactivate(ctx context.Context, t *engine.Tenant, user string, done *Report) error {
	if _, err := t.User(ctx, user); !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	written, err := t.PutUser(ctx, authz.User{Name: user, Inactive: true})
	if written.Changed {
		done.Inactive++
	}
	return err
}
