package main

import (
	"context"
	"fmt"

	"github.com/gatehouse/gatehouse/engine"
)

type migrateCommand struct{}

// Help implements kong.HelpProvider.
func (migrateCommand) Help() string {
	return `Servers of the release before may run meanwhile. A database that is of this release already is left as it is; one that is of a newer release is refused.

Example:

    AUTH_DATABASE_URL=postgres://gatehouse@db.example.com/gatehouse gatehouse migrate` + exitCodes
}

// Run migrates the configured database.
func (migrateCommand) Run(ctx context.Context, p *program) error {
	s, err := p.settings()
	if err != nil {
		return err
	}
	from, to, err := engine.Migrate(ctx, s.database.url)
	switch {
	case err != nil:
		return fmt.Errorf("migrating the database of %s: %w", s.database.variable, err)
	case from == to:
		_, err = fmt.Fprintf(p.stdout, "schema version %d: nothing to do\n", to)
	default:
		_, err = fmt.Fprintf(p.stdout, "schema version %d -> %d\n", from, to)
	}
	return err
}
